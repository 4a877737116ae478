"""The command line itself: help, mistakes, profiles, completion. Nothing but a dry run needs the sandbox."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import suite

DIRBOX = os.environ["DIRBOX"]


class Cli(unittest.TestCase):
    def setUp(self):
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="dirbox-cli-"))
        self.addCleanup(shutil.rmtree, self.base)
        self.home = os.path.join(self.base, "home")
        self.project = os.path.join(self.home, "project")
        self.config = os.path.join(self.home, ".config/dirbox")
        os.makedirs(self.project)
        os.makedirs(self.config)
        self.environment = {"HOME": self.home, "PATH": os.path.dirname(DIRBOX) + ":/usr/bin:/bin", "TERM": "dumb"}

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def dirbox(self, *words):
        return subprocess.run([DIRBOX, *words], cwd=self.project, env=self.environment, text=True, capture_output=True,
                              timeout=60, stdin=subprocess.DEVNULL)

    def ok(self, *words, code=0):
        done = self.dirbox(*words)
        self.assertEqual((done.returncode, done.stderr), (code, ""), done)
        return done.stdout

    def refused(self, *words):
        """What stands on stderr."""
        done = self.dirbox(*words)
        self.assertEqual((done.returncode, done.stdout), (125, ""), done)
        self.assertTrue(done.stderr.startswith("dirbox: "), done)
        return done.stderr


class Help(Cli):
    def test_every_subcommand_and_verb_has_help(self):
        listed = {line.rsplit(" ", 1)[0] for line in self.ok("__options").splitlines()}
        self.assertLessEqual({"run", "shell", "profile list", "profile show", "profile new"}, listed)
        for command in listed | {"profile check", "profile diff", "completion"}:
            with self.subTest(command=command):
                text = self.ok("help", *command.split())
                self.assertTrue(text.startswith(f"usage: dirbox {command}"), text)
                self.assertEqual(text, self.ok(*command.split(), "--help"))
        for command in ("run", "shell", "profile", "completion"):
            self.assertIn(f"\n  {command}  ", self.ok("--help"))
        self.assertIn("\n  check  ", self.ok("help", "profile"))

    def test_typing_errors_get_a_suggestion(self):
        for words, suggestion in ((["rnu"], "run"), (["help", "profil"], "profile"), (["profile", "shwo"], "show"),
                                  (["run", "--raed", "x"], "--read"), (["profile", "show", "directr"], "director"),
                                  (["profile", "check", "directr"], "director"), (["completion", "bahs"], "bash"),
                                  (["profile", "new", "mine", "--extends", "ofline"], "offline")):
            with self.subTest(words=words):
                self.assertIn(f'did you mean "{suggestion}"', self.refused(*words))

    def test_a_command_without_dashes_gets_the_line_to_paste(self):
        for words, line in ((["ls", "-l", "a b"], "dirbox -- ls -l 'a b'"),
                            (["run", "ls", "-l"], "dirbox run -- ls -l"),
                            (["run", "-p", "offline", "--read=x", "make", "all"],
                             "dirbox run -p offline --read=x -- make all"),
                            (["run", "sh", "--", "x"], "dirbox run -- sh -- x")):
            with self.subTest(words=words):
                self.assertIn(f"{line}\n", self.refused(*words))

    def test_a_home_in_which_nothing_can_be_made(self):
        self.write(self.base + "/file", "")
        self.environment["HOME"] = home = self.base + "/file/home"
        said = self.refused("run", "--", "true")
        self.assertIn(f"create directory: {self.base}/file", said)
        self.assertRegex(said, rf"(?m)^hint: the profile has {home}/\S+ made, and HOME is {home}$")

    def test_what_cannot_be_written_is_an_error(self):
        for words in (["--help"], ["--version"], ["bundle"], ["profile", "list"], ["profile", "show"],
                      ["profile", "list", "--json"], ["completion", "bash"], ["run", "--dry-run", "--", "true"],
                      ["why", "env", "HOME"], ["help", "run"], ["doctor", "--only", "kernel"]):
            with self.subTest(words=words), open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([DIRBOX, *words], cwd=self.project, env=self.environment, text=True, stdout=full,
                                      stderr=subprocess.PIPE, timeout=60, stdin=subprocess.DEVNULL)
                self.assertEqual((done.returncode, done.stderr),
                                 (125, "dirbox: write: standard output: ENOSPC (No space left on device)\n"))

    def test_a_closed_output_takes_nothing(self):
        for words in (["--help"], ["profile", "list"], ["help", "run"], ["run", "--dry-run", "--", "true"]):
            with self.subTest(words=words):
                done = self.closed(*words)
                self.assertEqual((done.returncode, done.stderr),
                                 (125, "dirbox: write: standard output: EBADF (Bad file descriptor)\n"))
        for words, status in ((["run", "--", "true"], 0), (["run", "--", "sh", "-c", "exit 3"], 3)):
            self.assertEqual(self.closed(*words).returncode, status)

    def closed(self, *words):
        return subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', DIRBOX, *words], cwd=self.project, env=self.environment,
                              text=True, stderr=subprocess.PIPE, timeout=60, stdin=subprocess.DEVNULL)

    def test_a_status_outlives_a_full_stderr(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for words, status in ((["nosuch"], 125), (["run", "--", "sh", "-c", "echo x > .envrc; exit 3"], 3)):
                done = subprocess.run([DIRBOX, *words], cwd=self.project, env=self.environment, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=full, timeout=60)
                self.assertEqual((done.returncode, done.stdout), (status, b""), words)

    def test_only_what_the_profile_has_to_do_with_names_it(self):
        for words in (["--env", "=1"], ["--publish", "abc"], ["--allow", ""], ["--allow", "example.com 443"], ["--read", "/\n"]):
            with self.subTest(words=words):
                self.assertNotIn("profile director", self.refused("run", *words, "--", "true"))
        self.write(self.config + "/projects.toml", f'[projects]\n"{self.project}" = "offline"\n')
        said = self.refused("run", "--allow", "example.com", "--", "true")
        self.assertIn('the profile\'s network is "none"', said)
        self.assertIn("profile offline: ", said)
        self.write(self.config + "/offline.toml", "x = 1\n")
        self.assertIn("profile offline: ", self.refused("run", "--", "true"))

    def test_values_that_are_missing(self):
        for words in (["run", "-p", "", "--", "true"], ["run", "--chdir", "", "--", "true"], ["verify", "-p", ""],
                      ["profile", "new", "-o", "", "x"]):
            with self.subTest(words=words):
                done = self.dirbox(*words)
                self.assertIn(done.returncode, (125, 2), done)
                self.assertRegex(done.stderr, "--[a-z]+: an empty [A-Z]+")
        for words in (["guard", "restore", ""], ["guard", "show", ""], ["profile", "check", "base", ""], ["profile", "show", ""],
                      ["profile", "new", ""], ["profile", "diff", "base", ""], ["log", ""], ["grant", "", "a.example"],
                      ["revoke", "x", ""], ["attach", ""], ["attach", "", "--", "true"], ["project", "set", "base", ""],
                      ["project", "unset", ""], ["trust", ""], ["import", "claude", ""], ["bundle", ""], ["completion", ""],
                      ["why", "path", ""]):
            with self.subTest(words=words):
                self.assertIn(": an empty word\n", self.refused(*words))
        self.assertIn("run: --profile takes a value\n", self.refused("run", "-p"))
        self.assertIn(": dirbox run -p offline -- make 'a b'\n", self.refused("-p", "offline", "--", "make", "a b"))
        for words in (["why", "https://a.example:8080/x"], ["why", "host", "https://a.example:8080/x"]):
            self.assertIn("hint: dirbox why host a.example:8080\n", self.refused(*words))

    def test_hints_that_apply(self):
        missing = self.refused("run", "--read", "no such", "--", "true")
        self.assertIn('no such": ENOENT', missing)
        self.assertNotIn("?", missing)
        done = self.dirbox("run", "--", "./no-such")
        self.assertEqual((done.returncode, done.stderr), (127, "dirbox: run: ./no-such: ENOENT (No such file or directory)\n"))
        self.assertIn("PATH is ", self.dirbox("run", "--", "no-such").stderr)
        self.assertIn("--json: it is for --dry-run", self.refused("run", "--json", "--", "true"))
        for self.project, why in (("/dev/shm", "/dev is made anew inside"), ("/etc", "parts of it are made for the sandbox")):
            said = self.refused("run", "--", "true")
            self.assertIn(f"use the working directory: {self.project}: {why}\n", said)
            self.assertIn("hint: change into a project directory", said)

    def test_learn_looks_at_its_output_before_it_runs(self):
        self.write(self.project + "/file.toml", "")
        os.mkdir(self.project + "/folder")
        places = [("folder", "EISDIR", "--force"), ("new/", "EISDIR"), ("no/such/l.toml", "ENOENT"), ("file.toml", "EEXIST"),
                  ("file.toml/l.toml", "ENOTDIR")]
        places.append(("/proc/l.toml", "ENOENT|EACCES") if os.geteuid() == 0 else ("/usr/l.toml", "EACCES|EROFS"))
        for path, errno, *more in places:
            with self.subTest(path=path):
                said = self.refused("learn", "-o", path, *more, "--", "sh", "-c", "echo ran; echo ran > ran")
                self.assertRegex(said, rf"(?m)^dirbox: write a profile: {path}: ({errno})")
        self.assertFalse(os.path.exists(self.project + "/ran"))

    def test_options_that_would_be_ignored(self):
        for words in (["log", "--list", "ID"], ["log", "--list", "--follow"], ["log", "--list", "--summary"],
                      ["doctor", "--fix", "--json"], ["trust", "--show", "--yes"], ["trust", "--forget", "--yes"],
                      ["profile", "list", "--json", "--names"], ["profile", "show", "--plan", "--syscalls"]):
            with self.subTest(words=words):
                one, other = words[-2:]
                self.assertIn(f": {one} and {other}: one of the two at a time\n", self.refused(*words))
        self.assertIn(": --list and --follow: ", self.refused("log", "-f", "--list"))

    def test_counts_of_words(self):
        for words in (["profile"], ["profile", "show", "a", "b"], ["profile", "diff", "base"], ["profile", "check"],
                      ["profile", "new"], ["shell", "--", "x"], ["profile", "list", "--", "x"], ["profile", "list", "x"]):
            with self.subTest(words=words):
                self.refused(*words)


class Profiles(Cli):
    def test_list(self):
        self.write(self.config + "/mine.toml", 'description = "of my own"\nextends = "director"\n')
        self.write(self.config + "/offline.toml", 'extends = "offline"\n')
        self.write(self.config + "/broken.toml", "nonsense = 1\n")
        text = self.ok("profile", "list")
        self.assertRegex(text, r"(?m)^mine +\S+/mine\.toml +of my own$")
        self.assertRegex(text, r"(?m)^offline +\S+ \(shadows\)")
        self.assertRegex(text, r"(?m)^broken .*broken\.toml:1:1: unknown key")
        names = self.ok("profile", "list", "--names").split()
        self.assertEqual(names, [row["name"] for row in json.loads(self.ok("profile", "list", "--json"))])
        self.assertIn("director-strict", names)

    def test_show_has_the_place_of_every_value(self):
        self.write(self.project + "/p.toml", 'extends = "offline"\n[filesystem]\ntmp_size = "2G"\n')
        self.assertRegex(self.ok("profile", "show", "p.toml"), r"(?m)^filesystem\.tmp_size +2G +\./p\.toml:3:12$")
        shown = json.loads(self.ok("profile", "show", "./p.toml", "--json"))
        self.assertEqual(shown["filesystem"]["tmp_size"], {"value": 2 << 30, "origin": "./p.toml:3:12"})
        self.assertEqual(self.ok("profile", "show"), "director: the default\n" + self.ok("profile", "show", "director"))

    def test_the_plan_names_the_network(self):
        for profile, network in (("director", "hosts that a rule allows"), ("offline", "loopback only")):
            self.assertRegex(self.ok("profile", "show", profile, "--plan"), rf"(?m)^  network +{network}$")

    def test_guard_show_is_one_document(self):
        self.assertEqual(json.loads(self.ok("guard", "show", "--json")), [])
        store = self.home + "/.local/state/dirbox/quarantine/"
        record = {"number": 1, "time": 1, "path": "/x", "path_hex": "2f78", "findings": []}
        for session in ("aa", "bb"):
            self.write(store + session + "/records.jsonl", json.dumps(record) + "\n")
        os.makedirs(store + "cc")  # for which nothing could be recorded
        shown = json.loads(self.ok("guard", "show", "--json"))
        self.assertEqual(sorted(row["session"] for row in shown), ["aa", "bb"])

    def test_a_quarantine_that_cannot_be_listed(self):
        self.assertEqual(self.ok("guard", "show"), "")
        self.write(self.home + "/.local/state/dirbox/quarantine", "a file")
        for words in (["show"], ["show", "aa"], ["restore", "aa"]):
            self.assertIn("list the quarantine: ", self.refused("guard", *words))
            self.assertIn("ENOTDIR", self.refused("guard", *words))

    def test_a_missing_profile_of_a_project_names_the_entry(self):
        path = self.config + "/projects.toml"
        self.write(path, f'[projects]\n"{self.project}" = "ofline"\n')
        said = self.refused("run", "--dry-run", "--", "true")
        self.assertIn('no profile "ofline" (did you mean "offline"?)', said)
        self.assertIn(f"profile ofline: {path}:2:1: {self.project}\n", said)

    def test_a_symlink_that_leads_nowhere_is_no_missing_profile(self):
        for name in ("director.toml", "projects.toml"):
            path = os.path.join(self.config, name)
            os.symlink("/no/such/" + name, path)
            said = self.refused("run", "--dry-run", "--", "true")
            self.assertIn(f"{path}: ENOENT (No such file or directory): it is a symlink that leads nowhere\n", said)
            os.unlink(path)

    def test_show_plan(self):
        text = self.ok("profile", "show", "offline", "--plan")
        self.assertIn(self.project, text)
        plan = json.loads(self.ok("profile", "show", "offline", "--plan", "--json"))
        self.assertEqual((plan["profile"], plan["cwd"]), ("offline", self.project))
        self.refused("profile", "show", "--plan", "--syscalls")

    def test_show_syscalls(self):
        self.assertRegex(self.ok("profile", "show", "--syscalls"), r"(?m)^ptrace +@\S+ +errno:EPERM ")
        rows = json.loads(self.ok("profile", "show", "debug", "--syscalls", "--json"))
        ptrace = [row for row in rows if row["call"] == "ptrace"]
        self.assertEqual([row["action"] for row in ptrace], ["allow"])
        self.assertIn(".toml:", ptrace[0]["source"])
        self.assertTrue(all(row["reason"] for row in rows))

    def test_check(self):
        self.assertEqual(self.ok("profile", "check", "director", "offline"), "director: ok\noffline: ok\n")
        bad = self.project + "/bad.toml"
        for text, where in (("[filesystem]\nraed = [\"/x\"]\n", "bad.toml:2:1: unknown key"),
                            ("[filesystem]\nread = [\"/no/such\"]\n", "bad.toml:2:9"),
                            ("x = [", "bad.toml:1:"), ("x = \n", "saw '\\n'\n"), ("[seccomp]\nallow = [\"@nosuch\"]\n", "bad.toml:2:10")):
            with self.subTest(text=text):
                self.write(bad, text)
                self.assertIn(where, self.refused("profile", "check", bad))
        done = self.dirbox("profile", "check", bad, "director")
        self.assertEqual((done.returncode, done.stdout), (125, "director: ok\n"), done)

    def test_new(self):
        path = self.config + "/mine.toml"
        self.assertEqual(self.ok("profile", "new", "mine", "--extends", "worker"), path + "\n")
        self.assertEqual(self.ok("profile", "check", "mine"), "mine: ok\n")
        self.assertIn("worker.toml", self.ok("profile", "show", "mine").splitlines()[0])
        with open(path, encoding="utf-8") as file:
            before = file.read()
        self.assertIn("EEXIST", self.refused("profile", "new", "mine"))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), before)
        other = self.project + "/deep/other.toml"
        self.assertEqual(self.ok("profile", "new", "other", "-o", other), other + "\n")
        self.ok("profile", "check", other)
        self.ok("profile", "new", "director")
        self.ok("profile", "check", "director")
        for name in ("../x", "a/b", "", "-x"):
            with self.subTest(name=name):
                self.refused("profile", "new", name)
        self.assertIn("hint: dirbox profile new third\n", self.refused("profile", "new", "third.toml"))
        self.assertEqual([name for name in os.listdir(self.config) if "third" in name], [])
        os.symlink(self.base + "/victim", self.config + "/link.toml")
        self.refused("profile", "new", "link")
        self.assertFalse(os.path.exists(self.base + "/victim"))

    def test_diff(self):
        self.assertEqual(self.ok("profile", "diff", "base", "base"), "")
        self.assertRegex(self.ok("profile", "diff", "director", "offline", code=1),
                         r"(?m)^- +filesystem\.write +~/\.swarm .*director\.toml:\d+:\d+$")
        self.refused("profile", "diff", "base", "nosuch")


class Import(Cli):
    def test_where_the_settings_are_no_json(self):
        path = self.project + "/s.json"
        for text, said in (('{\n  "sandbox": nil}', f"{path}:2:15: syntax error while parsing value"), ("", f"{path}:1:1: "),
                           ('{"a": 1, "a": 2}', f"{path}: duplicate key\n"), ("[]", f"{path}: not a JSON object\n")):
            with self.subTest(text=text):
                self.write(path, text)
                error = self.refused("import", "claude", path)
                self.assertIn("dirbox: import settings: " + said, error)
                self.assertNotRegex(error, "exception|line 2|byte")

    def import_settings(self, settings, path=None):
        """Of the user, without a path. As the profile `imported`, which is a valid one."""
        self.write(os.path.join(self.project, path or self.home + "/.claude/settings.json"), json.dumps(settings))
        text = self.ok("import", "claude", *([path] if path else []))
        self.write(self.config + "/imported.toml", text)
        done = self.dirbox("profile", "check", "imported")
        self.assertEqual((done.returncode, done.stdout), (0, "imported: ok\n"), text + done.stderr)
        return text

    def test_what_may_not_be_read_is_absent_at_any_depth(self):
        hidden = (".env", "sub/.env", ".env.local", "sub/secrets/k", "sub/a.pem")
        for name in (*hidden, "sub/seen"):
            self.write(f"{self.project}/{name}", "x")
        text = self.import_settings(
            {"permissions": {"deny": ["Read(.env)", "Read(./.env.*)", "Read(secrets/**)", "Read(**/*.pem)"]}})
        self.assertIn("Stricter here throughout", text)
        for name in (*hidden, "sub/seen"):
            with self.subTest(name=name):
                done = self.dirbox("run", "-p", "imported", "--", "cat", name)
                self.assertEqual(done.stdout, "x" if name == "sub/seen" else "", done)

    def test_a_relative_path_begins_where_the_settings_are(self):
        for at in (self.home + "/.claude/cache", self.project + "/cache"):
            os.makedirs(at)
        settings = {"sandbox": {"filesystem": {"allowWrite": ["./cache"]}}}
        self.assertIn('"?~/.claude/cache"', self.import_settings(settings))
        self.assertIn('"?~/.claude/cache"', self.import_settings(settings, "../.claude/settings.json"))
        self.assertIn('"?${PROJECT}/cache"', self.import_settings(settings, self.project + "/.claude/settings.json"))

    def test_what_would_be_refused_is_left_out(self):
        text = self.import_settings({
            "sandbox": {"filesystem": {"allowWrite": ["/tmp", "/", "/proc", "~", "/etc", "/etc/passwd", os.path.dirname(self.home)],
                                       "allowRead": ["/tmp/", "/dev", "."],
                                       "denyRead": ["~/", "/", "/tmp", "/proc", "/home", os.path.dirname(self.home), "."],
                                       "denyWrite": [".", "/", "~"]},
                        "network": {"allowedDomains": ["a.test"], "deniedDomains": ["a.test"],
                                    "allowUnixSockets": ["/var/run/docker.sock", "/etc/passwd", "~/.gnupg/S.gpg-agent"]},
                        "excludedCommands": ["sh -c *", "git push:*", "git evil", "docker ps", "docker", "tmux ls:*"]},
            "permissions": {"deny": ["Read(**)", "Read(//**)", "Read(//**/.env)", "Edit(./**)", "Edit(//**)", "Read(!x)",
                                     *(f"Edit(*.x{i})" for i in range(40))],
                            "additionalDirectories": ["/tmp", "../x"]}})
        self.assertRegex(text, r'(?m)^# sandbox\.filesystem\.allowWrite\[0\]: stricter here: left out: "/tmp": it is private')
        self.assertRegex(text, r'(?m)^# sandbox\.network\.allowedDomains\[0\]: stricter here: left out: "a\.test" is in network')
        self.assertRegex(text, r'(?m)^# sandbox\.network\.allowUnixSockets\[0\]: stricter here: left out: .*a container engine')
        self.assertNotIn("Stricter here throughout", text)


class Chdir(Cli):
    def test_where_the_command_starts(self):
        os.makedirs(self.project + "/sub/deep")
        os.symlink("sub/deep", self.project + "/link")
        for path, wanted in ((self.project + "/sub/", "/sub"), ("sub", "/sub"), ("sub/", "/sub"), (".", ""), ("./sub/./deep", "/sub/deep"),
                             ("sub/../sub//deep", "/sub/deep"), ("link", "/sub/deep"), ("link/..", "/sub"),
                             ("~/project/sub", "/sub"), (self.project + "/link", "/sub/deep")):
            with self.subTest(path=path):
                self.assertEqual(self.ok("run", "--chdir", path, "--", "pwd"), self.project + wanted + "\n")
        self.write(self.project + "/file", "")
        for path, why in (("..", "the sandbox shows no such directory"), ("/no/such", "ENOENT"), (self.home, "the sandbox shows no such"),
                          ("nothing", "ENOENT"), ("file", "ENOTDIR")):
            with self.subTest(path=path):
                self.assertIn(why, self.refused("run", "--chdir", path, "--", "true"))


class Grants(Cli):
    """Options against hidden paths; --dry-run compiles and runs nothing."""

    def dry(self, *options):
        return self.dirbox("run", *options, "--dry-run", "--", "true")

    def test_hiding_in_the_working_directory_needs_no_force(self):
        self.write(self.project + "/secret", "x")
        done = self.dry("--hide", "secret")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(self.project + "/secret", done.stdout)

    def test_what_a_profile_hides_there_still_refuses(self):
        self.write(self.project + "/secret", "x")
        self.write(self.base + "/p.toml", f'extends = "director"\n[filesystem]\nhide = ["{self.project}/secret"]\n')
        done = self.dry("-p", self.base + "/p.toml")
        self.assertEqual(done.returncode, 125, done)
        self.assertIn("p.toml:3:9", done.stderr)
        self.assertEqual(self.dry("-p", self.base + "/p.toml", "--force-cwd").returncode, 0)
        self.write(self.base + "/p.toml", 'extends = "director"\n[filesystem]\nhide = ["${CWD}/secret"]\n')
        self.assertEqual(self.dry("-p", self.base + "/p.toml").returncode, 0)

    def test_a_grant_of_a_hidden_path_is_an_error_that_names_both(self):
        self.write(self.home + "/.ssh/id_rsa", "x")
        for flag in ("--read", "--write"):
            done = self.dry(flag, self.home + "/.ssh")
            self.assertEqual(done.returncode, 125, done)
            self.assertRegex(done.stderr, r"%s: \S+/\.ssh: base\.toml:\d+:\d+ hides \S+/\.ssh" % flag)
            self.assertIn('hide = ["-~/.ssh"]', done.stderr)
        done = self.dry("--read", "x", "--hide", "x")
        self.assertEqual(done.returncode, 125, done)
        self.write(self.base + "/p.toml", 'extends = "director"\n[filesystem]\nhide = ["-~/.ssh"]\n')
        self.assertEqual(self.dry("-p", self.base + "/p.toml", "--read", self.home + "/.ssh").returncode, 0)

    def test_a_grant_beneath_one_warns(self):
        self.write(self.home + "/.ssh/known_hosts", "x")
        done = self.dry("--read", self.home + "/.ssh/known_hosts")
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stdout, r"known_hosts is granted although base\.toml:\d+:\d+ hides \S+/\.ssh")


class Completion(Cli):
    def need(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"this machine has no {shell}")

    def shell(self, *words):
        done = subprocess.run(words, cwd=self.project, env=self.environment, text=True, capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout.splitlines()

    def bash(self, *words):
        script = ('source <(dirbox completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dirbox; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        return self.shell("bash", "--norc", "-c", script, "bash", *words)

    def fish(self, line):
        return [text.split("\t")[0] for text in
                self.shell("fish", "--no-config", "-c", "dirbox completion fish | source; complete -C $argv[1]", line)]

    CASES = [
        (["dirbox", "pro"], {"profile", "project"}),
        (["dirbox", "profile", "sh"], {"show"}),
        (["dirbox", "profile", "show", "director-s"], {"director-strict"}),
        (["dirbox", "run", "-p", "offl"], {"offline"}),
        (["dirbox", "run", "--prof"], {"--profile"}),
        (["dirbox", "profile", "new", "--ext"], {"--extends"}),
        (["dirbox", "run", "--read", "some fi"], {"some file"}),
        (["dirbox", "project", "set", "offl"], {"offline"}),
        (["dirbox", "completion", "z"], {"zsh"}),
        (["dirbox", "help", "sh"], {"shell"}),
        (["dirbox", "shell", "--env", "HOM"], {"HOME"}),
        (["dirbox", "why", "so"], {"socket"}),
        (["dirbox", "why", "--read", "x", "pa"], {"path"}),
        (["dirbox", "why", "path", "some fi"], {"some file"}),
        (["dirbox", "why", "socket", "some fi"], {"some file"}),
        (["dirbox", "why", "-p", "offline", "path", "some fi"], {"some file"}),
        (["dirbox", "why", "env", "HOM"], {"HOME"}),
        (["dirbox", "why", "host", ""], set()),
        (["dirbox", "why", "syscall", "p"], set()),
        (["dirbox", "completion", "zsh", ""], set()),
        (["dirbox", "run", "--chdir", "some"], {"some folder"}),
        (["dirbox", "trust", "some"], {"some folder"}),
        (["dirbox", "project", "unset", "some"], {"some folder"}),
        (["dirbox", "project", "set", "offline", "some"], {"some folder"}),
        (["dirbox", "help", "profile", "sh"], {"show"}),
        (["dirbox", "help", "run", ""], set()),
        (["dirbox", "help", "profile", "show", ""], set()),
    ]

    def plant(self):
        self.write(self.project + "/some file", "")
        os.mkdir(self.project + "/some folder")

    def test_bash(self):
        self.need("bash")
        self.plant()
        for words, wanted in self.CASES:
            with self.subTest(words=words):
                self.assertEqual(set(self.bash(*words)) - {""}, wanted)
        self.assertIn("basename", self.bash("dirbox", "run", "--", "basen"))
        self.assertIn("some file", self.bash("dirbox", "run", "--", "cat", "so"))
        self.assertIn("--dry-run", self.bash("dirbox", "run", "--"))

    def test_fish(self):
        self.need("fish")
        self.plant()
        for words, wanted in self.CASES:
            with self.subTest(words=words):
                line = " ".join(word.replace(" ", "\\ ") for word in words)
                self.assertEqual({text.replace("\\ ", " ").rstrip("/") for text in self.fish(line)}, wanted)

    def test_zsh(self):
        """Outside of its line editor: what the function hands to zsh's own helpers."""
        self.need("zsh")
        script = """
compdef() { print -r -- "registered $*" }
source <(dirbox completion zsh)
_describe() { print -rl -- "${list[@]%%:*}" }
_arguments() { print -rl -- "$@" }
_normal() { print -r -- "normal $CURRENT ${words[*]}" }
words=("$@"); CURRENT=$#
_dirbox
"""
        def offered(*words):
            out = self.shell("zsh", "-f", "-c", script, "zsh", *words)
            self.assertEqual(out[0], "registered _dirbox dirbox")
            return out[1:]
        self.assertLessEqual({"run", "profile", "help"}, set(offered("dirbox", "")))
        self.assertEqual(offered("dirbox", "profile", ""), ["list", "show", "check", "new", "diff"])
        self.assertIn("*--profile[the profile (default\\: the project's)]:NAME|FILE:_dirbox_profiles",
                      offered("dirbox", "run", "--prof"))
        self.assertIn("*:NAME|FILE:_dirbox_profiles", offered("dirbox", "profile", "show", ""))
        self.assertIn("1:bash|zsh|fish:(bash zsh fish)", offered("dirbox", "completion", ""))
        self.assertIn("*--chdir[", "".join(offered("dirbox", "run", "--ch")))
        self.assertIn("*:DIR:_files -/", offered("dirbox", "trust", ""))
        self.assertIn("2:DIR:_files -/", offered("dirbox", "project", "set", "x", ""))
        self.assertIn("1:path|host|exec|syscall|env|socket:(path host exec syscall env socket)", offered("dirbox", "why", ""))
        self.assertIn("path) _files ;; ", offered("dirbox", "why", "path", "")[-1])
        self.assertEqual(offered("dirbox", "help", "profile", ""), ["list", "show", "check", "new", "diff"])
        self.assertEqual(offered("dirbox", "run", "--", "cat", "x"), ["normal 2 cat x"])


if __name__ == "__main__":
    suite.run()
