"""Which profile a directory gets, and what a project file may say."""
import errno
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import suite

DIRBOX = os.environ["DIRBOX"]


class Project(unittest.TestCase):
    def setUp(self):
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="dirbox-project-"))
        self.addCleanup(shutil.rmtree, self.base)
        self.home = os.path.join(self.base, "home")
        self.project = os.path.join(self.home, "work/p")
        self.config = os.path.join(self.home, ".config/dirbox")
        for folder in (self.project, self.config):
            os.makedirs(folder)
        self.selections = os.path.join(self.config, "projects.toml")
        self.environment = {"HOME": self.home, "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8",
                            "GIT_CONFIG_NOSYSTEM": "1"}

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def text(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def dirbox(self, *words, cwd=None, answer=None):
        return subprocess.run([DIRBOX, *words], cwd=cwd or self.project, env=self.environment, text=True,
                              capture_output=True, timeout=60, input=answer or "")

    def ok(self, *words, **how):
        done = self.dirbox(*words, **how)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def refused(self, *words, **how):
        done = self.dirbox(*words, **how)
        self.assertEqual((done.returncode, done.stdout), (125, ""), done)
        return done.stderr

    def git(self, *words, cwd=None):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main",
                        *words], cwd=cwd or self.project, env=self.environment, check=True, capture_output=True)

    def chosen(self, cwd=None):
        """The profile that a start in `cwd` takes, and the reason, from run -v."""
        done = self.dirbox("run", "-v", "--", "true", cwd=cwd)
        self.assertEqual(done.returncode, 0, done)
        line = next(line for line in done.stderr.splitlines() if line.startswith("dirbox: note: profile "))
        return line.removeprefix("dirbox: note: profile ").split(": ", 1)


class Selection(Project):
    def test_default(self):
        self.assertEqual(self.chosen(), ["director", "the default"])
        self.assertEqual(self.dirbox("run", "--", "true").stderr, "")

    def test_set_list_unset(self):
        self.assertEqual(self.ok("project", "set", "worker"), f"worker {self.project}\n")
        self.assertEqual(self.ok("project", "set", "offline", "..", cwd=self.project), f"offline {self.home}/work\n")
        self.assertEqual(self.ok("project", "list"), f"offline  {self.home}/work\nworker   {self.project}\n")
        listed = json.loads(self.ok("project", "list", "--json"))
        self.assertEqual([one["profile"] for one in listed], ["offline", "worker"])
        self.assertEqual(self.chosen(), ["worker", f"{self.selections}:2:1: {self.project}"])
        os.makedirs(self.home + "/work/pp/sub")
        self.assertEqual(self.chosen(self.home + "/work/pp/sub")[0], "offline")
        self.assertEqual(self.dirbox("run", "-v", "-p", "build", "--", "true").stderr.splitlines()[0],
                         "dirbox: note: profile build: asked for")
        self.assertTrue(self.ok("profile", "show").startswith("worker: " + self.selections))
        self.ok("project", "unset")
        self.assertEqual(self.chosen()[0], "offline")
        self.assertIn("no profile of its own", self.refused("project", "unset"))
        shutil.rmtree(self.home + "/work/pp")
        self.ok("project", "set", "build", self.project)
        shutil.rmtree(self.project)
        self.ok("project", "unset", self.project, cwd=self.home)
        os.makedirs(self.project)
        self.ok("project", "set", "build", self.project)
        shutil.rmtree(self.project)
        self.ok("project", "unset", "p", cwd=self.home + "/work")

    def test_a_file_is_no_directory(self):
        self.write(self.project + "/a.txt", "")
        self.assertIn("a.txt: ENOTDIR", self.refused("project", "set", "worker", "a.txt"))
        self.assertEqual(self.ok("project", "list"), "")

    def test_comments_stay(self):
        self.write(self.selections, f'# mine\n[projects]\n"{self.project}" = "worker" # because\n# end\n')
        self.ok("project", "set", "build")
        self.ok("project", "set", "worker", self.home)
        self.assertEqual(self.text(self.selections),
                         f'# mine\n[projects]\n"{self.project}" = "build" # because\n"{self.home}" = "worker"\n# end\n')
        self.assertEqual(os.listdir(self.config), ["projects.toml"])

    def test_behind_a_symlink(self):
        real = self.home + "/dotfiles/projects.toml"
        self.write(real, "# real\n")
        os.symlink(real, self.selections)
        self.ok("project", "set", "worker")
        self.assertTrue(os.path.islink(self.selections))
        self.assertIn("worker", self.text(real))

    def test_through_a_symlink(self):
        """An entry counts where its name leads, and unset takes the name that list shows."""
        given, real = self.home + "/untrusted", self.home + "/big/untrusted"
        os.makedirs(given)
        os.makedirs(self.home + "/big")
        self.ok("project", "set", "offline", given)
        os.rename(given, real)
        os.symlink("big/untrusted", given)
        self.assertEqual(self.chosen(given), ["offline", f"{self.selections}:2:1: {given}, which leads to {real}"])
        self.assertEqual(self.ok("project", "list"), f"offline  {given}  leads to {real}\n")
        self.ok("project", "unset", "untrusted", cwd=self.home)
        self.assertEqual(self.ok("project", "list"), "")
        self.ok("project", "set", "worker", given)
        self.ok("project", "unset", given)
        self.assertEqual(self.ok("project", "list"), "")

    def test_a_planted_symlink_changes_nothing(self):
        """What an entry names lies in a writable tree; a sandbox there makes a symlink of it."""
        strict, planted = self.home + "/strict", self.project + "/tool"
        for name in ("/strict/sub", "/other"):
            os.makedirs(self.home + name)
        self.write(self.selections, f'[projects]\n"{planted}" = "build"\n"{strict}" = "offline"\n')
        for target, cwd, other in ((strict, "/strict/sub", self.selections + ":3:1 offline"),
                                   (strict + "/sub", "/strict/sub", self.selections + ":3:1 offline"),
                                   (self.home, "/other", "the default director")):
            os.symlink(target, planted)
            said = self.refused("run", "--", "touch", "ran", cwd=self.home + cwd)
            for fragment in (self.selections + ":2:1 says build", other, f"dirbox project unset {planted}"):
                self.assertIn(fragment, said)
            os.unlink(planted)
        os.symlink(self.home, planted)
        self.assertEqual(self.chosen(strict + "/sub")[0], "offline")
        self.ok("project", "unset", planted)
        self.assertEqual(self.chosen(self.home + "/other")[0], "director")

    def test_the_mode_stays(self):
        for mode in (0o640, 0o444, 0o600):
            self.write(self.selections, "[projects]\n")
            os.chmod(self.selections, mode)
            self.ok("project", "set", "worker")
            self.assertEqual(os.stat(self.selections).st_mode & 0o777, mode)
            os.unlink(self.selections)
        self.ok("project", "set", "worker")
        self.assertEqual(os.stat(self.selections).st_mode & 0o777, 0o600)

    def test_list_says_what_is_missing(self):
        self.write(self.selections, f'[projects]\n"{self.project}" = "wroker"\n"/gone" = "offline"\n"{self.home}" = "worker"\n')
        self.assertEqual([line.split("  ")[-1].strip() for line in self.ok("project", "list").splitlines()],
                         ["no such directory", self.home, "no such profile"])
        said = [(one["directory"], one["profile_found"], one["exists"], one["leads_to"])
                for one in json.loads(self.ok("project", "list", "--json"))]
        self.assertEqual(said, [("/gone", True, False, ""), (self.home, True, True, ""), (self.project, False, True, "")])

    def test_many_at_once(self):
        folders = [f"{self.home}/work/{i}" for i in range(16)]
        for folder in folders:
            os.makedirs(folder)
        running = [subprocess.Popen([DIRBOX, "project", "set", "worker", folder], env=self.environment,
                                    stdout=subprocess.DEVNULL) for folder in folders]
        self.assertEqual([one.wait() for one in running], [0] * 16)
        self.assertEqual(len(self.ok("project", "list").splitlines()), 16)

    def test_mistakes(self):
        self.assertIn("did you mean", self.refused("project", "set", "wroker"))
        self.assertIn("ENOENT", self.refused("project", "set", "worker", "nowhere"))
        self.assertIn("not a profile's name", self.refused("project", "set", "projects"))
        self.assertEqual(os.listdir(self.config), [])
        self.write(self.selections, '[projects]\n"/x" = 3\n')
        self.assertIn("projects.toml:2:8", self.refused("run", "--", "true"))
        os.unlink(self.selections)
        os.mkfifo(self.selections)
        self.assertIn("not a regular file", self.refused("run", "--", "true"))

    def test_worktrees_inherit(self):
        self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        self.git("worktree", "add", "-q", self.home + "/elsewhere/wt")
        self.ok("project", "set", "worker")
        profile, why = self.chosen(self.home + "/elsewhere/wt")
        self.assertEqual(profile, "worker")
        self.assertIn("the main work tree of this one", why)
        self.ok("project", "set", "build", self.home + "/elsewhere")
        self.assertEqual(self.chosen(self.home + "/elsewhere/wt")[0], "worker")
        self.ok("project", "set", "offline", self.home + "/elsewhere/wt")
        self.assertEqual(self.chosen(self.home + "/elsewhere/wt")[0], "offline")

    def test_a_forged_gitfile_inherits_nothing(self):
        self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        self.git("worktree", "add", "-q", self.home + "/wt")
        self.ok("project", "set", "build")
        forged = self.home + "/forged"
        os.makedirs(forged)
        self.write(forged + "/.git", f"gitdir: {self.project}/.git/worktrees/wt\n")
        shown = self.ok("profile", "show", cwd=forged)
        self.assertTrue(shown.startswith("director: the default"), shown[:200])


class ProjectFile(Project):
    def setUp(self):
        super().setUp()
        self.git("init", "-q")
        self.file = self.project + "/.dirbox.toml"

    def widened(self, text, *fragments):
        """The file is refused, nothing runs, and the message has the fragments."""
        self.write(self.file, text)
        done = self.dirbox("run", "--", "sh", "-c", "touch ran; echo ran")
        self.assertEqual((done.returncode, done.stdout), (125, ""), f"{text}: {done}")
        self.assertFalse(os.path.exists(self.project + "/ran"))
        for fragment in ("widens", "is not trusted with this content", *fragments):
            self.assertIn(fragment, done.stderr)
        return done.stderr

    def inside(self, command, **how):
        return self.dirbox("run", "--", "sh", "-c", command, **how)

    def test_narrowing_is_free(self):
        self.write(self.project + "/secret", "s")
        self.write(self.file, '[filesystem]\nhide = ["${PROJECT}/secret"]\nwrite = ["-~/.swarm"]\n'
                   'protect = ["${PROJECT}/file"]\n[network]\nmode = "none"\n[limits]\nnofile = 100\n')
        self.write(self.project + "/file", "f")
        done = self.inside("cat secret; echo x > file; ls ~/.swarm; ulimit -n")
        self.assertEqual(done.stdout, "100\n", done)
        self.assertEqual(self.text(self.project + "/file"), "f")
        self.assertIn("nothing in it needs trust", self.ok("trust"))

    def test_what_else_narrows(self):
        rows = [
            '[docker]\nmemory = "1G"\ncpus = "1"\npids = 9\nshm_size = "1M"\nmax_containers = 1\n',
            '[[excluded]]\ncommand = "docker"\nmode = "inside"\n[[excluded]]\ncommand = "tmux"\nmode = "inside"\n',
            '[[network.limits]]\nname = "github.com"\nmax_upload = "1M"\n',
            '[network]\nallow = ["github.com:443"]\n',
            '[log]\nobserve = "reads"\n',
            '[filesystem]\nswarm_state = "private"\n',
        ]
        for text in rows:
            with self.subTest(text=text):
                self.write(self.file, text)
                self.assertIn("nothing in it needs trust", self.ok("trust", "--show"))
                self.assertEqual(self.ok("run", "--", "echo", "ran"), "ran\n")

    def test_removing_what_is_not_there(self):
        """Of a project's file, whose author does not know the user's profile; in a profile it is a mistake."""
        self.write(self.file, '[network]\nallow = ["-pypi.org"]\n')
        said = f'{self.file}:2:10: network.allow has no "pypi.org" to remove'
        self.assertIn(said, self.ok("trust", "--show"))
        done = self.dirbox("run", "-v", "--", "true")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(f'note: network.allow has no "pypi.org" to remove ({self.file}:2:10)', done.stderr)
        self.write(self.config + "/mine.toml", 'extends = "director"\n[network]\nallow = ["-pypi.org"]\n')
        self.assertIn("to remove", self.refused("profile", "show", "mine"))

    def test_an_agents_restrictions_stay(self):
        for path in (self.project + "/.claude/settings.local.json", self.home + "/.config/alt/settings.json"):
            self.write(path, '{"permissions": {"deny": ["Bash(curl:*)"]}}')
        self.write(self.config + "/alt.toml", 'extends = "director"\n[filesystem]\nread = ["~/.config/alt"]\n'
                   '[environment]\nset = {CLAUDE_CONFIG_DIR = "${HOME}/.config/alt"}\n')
        self.ok("project", "set", "alt")
        for text in ("${PROJECT}/.claude/settings.local.json", "${PROJECT}/.claude", "~/.config/alt/settings.json"):
            self.widened(f'[filesystem]\nhide = ["{text}"]\n', "it takes away what restricts the agent")

    def test_show_and_run_say_which_file_holds(self):
        self.write(self.file, '[network]\nmode = "none"\n')
        shown = self.ok("profile", "show")
        self.assertRegex(shown, rf"(?m)^network.mode +none +{self.file}:2:8$")
        self.assertEqual(json.loads(self.ok("profile", "show", "--json"))["chain"][-1], self.file)
        self.assertNotIn(self.file, self.ok("profile", "show", "director"))
        self.assertIn(f"note: project file {self.file}: nothing in it needs trust",
                      self.dirbox("run", "-v", "--", "true").stderr)
        self.write(self.file, '[network]\nallow = ["evil.test"]\n')
        refusal = self.refused("profile", "show")
        self.assertIn("is not trusted with this content", refusal)
        self.assertIn("dirbox profile show director shows the profile alone", refusal)
        self.assertNotIn("evil.test", self.ok("profile", "show", "director"))
        self.ok("trust", "--yes")
        self.assertIn("evil.test", self.ok("profile", "show"))
        self.assertIn(f"note: project file {self.file}: trusted", self.dirbox("run", "-v", "--", "true").stderr)

    def test_a_file_that_does_not_hold_is_named(self):
        sub = self.project + "/sub"
        self.write(sub + "/.dirbox.toml", '[network]\nmode = "none"\n')
        self.assertIn(f"warning: {sub}/.dirbox.toml does not hold here, the project's is {self.file}\n",
                      self.inside("true", cwd=sub).stderr)
        self.assertEqual(self.inside("true").stderr, "")
        plain = self.home + "/plain/deep"
        os.makedirs(plain)
        self.write(self.home + "/plain/.dirbox.toml", "")
        self.assertIn(f"warning: {self.home}/plain/.dirbox.toml does not hold here, no repository",
                      self.inside("true", cwd=plain).stderr)
        self.assertEqual(self.inside("true", cwd=self.home + "/plain").stderr, "")

    def test_what_the_file_breaks_is_not_the_profiles_mistake(self):
        self.write(self.home + "/tool/config", "x")
        profile = self.config + "/full.toml"
        self.write(profile, 'extends = "director"\n[filesystem]\nread = ["~/tool/config"]\n'
                   '[docker]\nbinds = ["~/tool/config"]\n')
        self.ok("project", "set", "full")
        self.assertEqual(self.inside("true").returncode, 0)
        self.write(self.file, '[filesystem]\nread = ["-~/tool/config"]\n')
        said = self.refused("run", "--", "true")
        self.assertTrue(said.startswith(f"dirbox: use a project file: {self.file}: with it the profile fails: "), said)
        self.assertIn(f"{profile}:5:10", said)

    def test_widening_needs_trust(self):
        os.makedirs(self.home + "/data")
        os.makedirs(self.home + "/.ssh")
        rows = [
            (f'[filesystem]\nwrite = ["{self.home}/data"]\n', f"write {self.home}/data (before: not visible)"),
            (f'[filesystem]\nread = ["{self.home}/data"]\n', f"read {self.home}/data (before: not visible)"),
            ('[filesystem]\nread = ["~/.ssh/"]\nhide = ["-~/.ssh"]\n', f"read {self.home}/.ssh (before: not visible)"),
            ('[filesystem]\nhome = "masked"\n', "filesystem.home"),
            ('[filesystem]\ntmp_size = "2G"\n', "+ filesystem.tmp_size 2G"),
            ('[filesystem]\nprotect = ["-${PROJECT}/.git/hooks"]\n', "write " + self.project + "/.git/hooks (before: read)"),
            ('[filesystem]\nwrite = [{path = "~/new", create = true}]\n', "make the directory"),
            ('[filesystem]\ndevices = ["?/dev/nul*"]\n', "+ filesystem.devices ?/dev/nul*"),
            ('[network]\nallow = ["evil.test"]\n', "+ network.allow evil.test"),
            ('[network]\nmode = "host"\n', "+ network.mode host"),
            ('[network]\ntls = "off"\n', "+ network.tls off"),
            ('[network]\nhost_ports = ["5432"]\n', "+ network.host_ports 5432"),
            ('[environment]\npass = ["AWS_*"]\n', "+ environment.pass AWS_*"),
            ('[environment]\nset = {PATH = "/tmp"}\n', "+ environment.set PATH=/tmp"),
            ('[seccomp]\nallow = ["@ptrace"]\n', "+ seccomp.allow @ptrace"),
            ('[process]\nnested_userns = true\n', "+ process.nested_userns true"),
            ('[require]\nlandlock = "optional"\n', "+ require.landlock optional"),
        ]
        for text, fragment in rows:
            with self.subTest(text=text):
                self.widened(text, fragment, self.file)
                self.assertFalse(os.path.exists(self.home + "/new"))

    def test_what_an_option_grants_is_not_uncovered(self):
        """What the profile keeps back of a directory matters only where an option grants the directory."""
        os.chmod(self.home, 0o700)
        self.write(self.home + "/tools/gh/token", "secret")
        self.write(self.home + "/tools/git/config", "[x]\n")
        self.write(self.config + "/mine.toml", 'extends = "director"\n[filesystem]\nhide = ["~/tools/gh"]\n'
                   'read = ["~/tools/git"]\nprotect = ["~/tools/git/config"]\n')
        self.ok("project", "set", "mine")
        rows = [("--read", 'hide = ["-~/tools/gh"]', "cat ~/tools/gh/token", "read " + self.home + "/tools/gh"),
                ("--write", 'read = ["-~/tools/git"]\nprotect = ["-~/tools/git/config"]', "echo x >> ~/tools/git/config",
                 "write " + self.home + "/tools/git (before: read)")]
        for option, text, attack, fragment in rows:
            with self.subTest(text=text):
                if os.path.exists(self.file):
                    os.unlink(self.file)
                words = ("run", option, self.home + "/tools", "--", "sh", "-c", attack)
                self.assertNotEqual(self.dirbox(*words).returncode, 0)
                self.write(self.file, f"[filesystem]\n{text}\n")
                refusal = self.refused(*words)
                self.assertIn(fragment, refusal)
                self.assertIn("is not trusted with this content", refusal)
        self.assertEqual(self.text(self.home + "/tools/git/config"), "[x]\n")
        for key, entry in (("hide", "~/tools/gh"), ("protect", "~/tools/git/config")):
            self.widened(f'[filesystem]\n{key} = ["-{entry}"]\n', f"- filesystem.{key} {entry}")

    def test_a_repository_within_is_announced(self):
        """A sandbox can make one in its working directory; then the file above holds no more."""
        self.write(self.file, '[network]\nmode = "none"\n')
        sub = self.project + "/sub"
        os.mkdir(sub)
        done = self.inside("test -z \"$http_proxy\" && mkdir .git", cwd=sub)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        done = self.inside("true", cwd=sub)
        self.assertIn(f"{self.file} does not hold here", done.stderr)
        self.assertNotIn("does not hold", self.inside("true").stderr)

    def test_what_is_not_there_yet_is_shown_too(self):
        """Or who trusts a file for something else would trust it unseen."""
        self.widened('[filesystem]\nread = ["?~/later/token"]\n', "+ filesystem.read ?~/later/token", self.file + ":2:9")

    def test_trust_is_for_one_content(self):
        os.makedirs(self.home + "/data")
        self.widened(f'[filesystem]\nread = ["{self.home}/data"]\n')
        self.assertIn("no terminal", self.dirbox("trust").stderr)
        self.assertIn(", then: dirbox trust --yes\n", self.dirbox("trust").stderr)
        self.assertIn(f", then: dirbox trust --yes -p director {self.project}\n",
                      self.dirbox("trust", "-p", "director", self.project, cwd=self.home).stderr)
        shown = self.dirbox("trust", "--show")
        self.assertEqual(shown.returncode, 1)
        self.assertTrue(shown.stdout.endswith("  it widens, and is not trusted with this content: dirbox trust\n"), shown)
        self.assertIn("trusted: sha256", self.ok("trust", "--yes"))
        self.assertEqual(self.inside("ls -d ~/data").stdout, f"{self.home}/data\n")
        self.assertIn("trusted with this content", self.ok("trust", "--show"))
        self.widened(f'[filesystem]\nread = ["{self.home}/data"]\n# \n')
        self.write(self.file, f'[filesystem]\nread = ["{self.home}/data"]\n')
        self.assertEqual(self.inside("true").returncode, 0)
        self.ok("trust", "--forget")
        self.assertEqual(self.inside("true").returncode, 125)
        self.assertIn("it is not trusted", self.refused("trust", "--forget"))

    def test_trust_is_taken_back_whatever_the_file_is(self):
        text = '[network]\nallow = ["a.test"]\n'
        gone = self.home + "/gone"
        os.makedirs(gone)

        def trusted():
            return json.loads(self.ok("trust", "--list", "--json"))

        self.assertEqual((trusted(), self.ok("trust", "--list")), ([], ""))
        for change, state in ((lambda: os.unlink(self.file), "gone"), (lambda: self.write(self.file, "[x"), "changed"),
                              (lambda: self.write(self.config + "/projects.toml", "[x"), "trusted")):
            self.write(self.file, text)
            self.ok("trust", "--yes")
            change()
            digest = hashlib.sha256(text.encode()).hexdigest()
            self.assertEqual(trusted(), [{"path": self.file, "sha256": digest, "state": state}])
            self.assertEqual(self.ok("trust", "--list"), f"{state}  {digest[:12]}  {self.file}\n")
            self.ok("trust", "--forget")
            self.assertEqual(trusted(), [])
        os.unlink(self.config + "/projects.toml")
        self.write(gone + "/.dirbox.toml", text)
        self.ok("trust", "--yes", gone)
        shutil.rmtree(gone)
        self.assertIn("ENOENT", self.refused("trust", "--forget", "../gone"))
        self.ok("trust", "--forget", gone)
        self.write(gone + "/.dirbox.toml", text)
        self.assertEqual(self.inside("true", cwd=gone).returncode, 125)
        self.refused("trust", "--list", gone)
        self.refused("trust", "--json")

    def test_trust_is_for_one_project(self):
        os.makedirs(self.home + "/data")
        other = self.home + "/work/q"
        text = f'[filesystem]\nread = ["{self.home}/data"]\n'
        self.write(self.file, text)
        self.write(other + "/.dirbox.toml", text)
        self.ok("trust", "--yes")
        self.assertEqual(self.dirbox("run", "--", "true", cwd=other).returncode, 125)

    def test_what_is_no_project_file(self):
        self.write(self.home + "/real.toml", "")
        os.symlink(self.home + "/real.toml", self.file)
        self.assertIn("must not be a symlink", self.refused("run", "--", "true"))
        os.unlink(self.file)
        os.mkfifo(self.file)
        self.assertIn("not a regular file", self.refused("run", "--", "true"))
        os.unlink(self.file)
        self.write(self.file, 'extends = "director-guide"\n')
        self.assertIn("cannot extend", self.refused("run", "--", "true"))
        self.write(self.file, "[filesystem]\nred = 1\n")
        self.assertIn(".dirbox.toml:2:1", self.refused("run", "--", "true"))

    def test_it_cannot_be_changed_inside(self):
        self.write(self.file, "# mine\n")
        done = self.inside("echo x >> .dirbox.toml; mv .dirbox.toml y; rm -f .dirbox.toml; echo y > z; mv -f z .dirbox.toml")
        self.assertEqual(self.text(self.file), "# mine\n", done)

    def test_dirbox_files_are_out_of_reach(self):
        """Also in a home that is the real one, and where they do not exist yet."""
        shutil.rmtree(self.config)
        profile = self.base + "/host.toml"
        self.write(profile, 'extends = "worker"\n[filesystem]\nhome = "host"\n')
        attack = ("for d in .config .local/state .cache; do mkdir -p ~/$d/dirbox; echo x > ~/$d/dirbox/planted; "
                  "mv ~/$d ~/moved; mkdir -p ~/$d/dirbox; echo x > ~/$d/dirbox/planted; done; mv ~/.local ~/moved2; true")
        done = self.dirbox("run", "-p", profile, "--", "sh", "-c", attack)
        self.assertEqual(done.returncode, 0, done)
        subprocess.run(["chmod", "-R", "u+rwx", self.home], check=True)  # mv copies what it cannot rename
        planted = [os.path.join(folder, name) for folder, _, names in os.walk(self.home) for name in names if name == "planted"]
        self.assertEqual(planted, [])
        for name in (".config/dirbox", ".local/state/dirbox", ".cache/dirbox"):
            self.assertTrue(os.path.isdir(f"{self.home}/{name}"), name)

    def test_with_its_directory_elsewhere(self):
        self.environment["XDG_CONFIG_HOME"] = self.project + "/conf"
        self.write(self.project + "/conf/dirbox/mine.toml", 'extends = "worker"\n')
        done = self.inside("cat conf/dirbox/mine.toml; echo x >> conf/dirbox/mine.toml; mv conf c2; mkdir -p conf/dirbox")
        self.assertEqual(self.text(self.project + "/conf/dirbox/mine.toml"), 'extends = "worker"\n', done)

    def test_profiles_in_a_writable_tree(self):
        """Named by a path, extended by one, or behind the symlink of a dotfile manager."""
        kept = {name: self.project + "/dots/" + name for name in ("mine.toml", "base.toml", "linked.toml", "projects.toml")}
        self.write(kept["mine.toml"], 'extends = "./base.toml"\n')
        for name in ("base.toml", "linked.toml"):
            self.write(kept[name], 'extends = "worker"\n')
        self.write(kept["projects.toml"], f'[projects]\n"{self.project}" = "linked"\n')
        for name in ("linked.toml", "projects.toml"):
            os.symlink(kept[name], f"{self.config}/{name}")
        before = {path: self.text(path) for path in kept.values()}
        attack = ("cd dots; for f in *.toml; do echo '#' >> $f; echo x > new; mv -f new $f; rm -f $f; mv $f gone; done; cd ..; "
                  "mv dots dots2; touch dots/allowed")
        for options, names in ((("-p", "./dots/mine.toml"), ("mine.toml", "base.toml", "projects.toml")),
                               ((), ("linked.toml", "projects.toml"))):
            with self.subTest(options=options):
                done = self.dirbox("run", *options, "--", "sh", "-c", attack)
                self.assertEqual(done.returncode, 0, done)
                for name in names:
                    self.assertEqual(self.text(kept[name]), before[kept[name]], done)
                for path, text in before.items():
                    self.write(path, text)
                os.unlink(self.project + "/dots/allowed")

    def keyctl(self):
        """The errno of a call that the filter refuses with EPERM, and the kernel with another one."""
        call = "import ctypes; l = ctypes.CDLL(None, use_errno=True); l.syscall(250, -1, 0, 0, 0, 0); print(ctypes.get_errno())"
        done = self.dirbox("run", "-q", "--", "/usr/bin/python3", "-c", call)
        self.assertEqual(done.returncode, 0, done)
        return int(done.stdout)

    @unittest.skipUnless(os.uname().machine == "x86_64", "the number of a system call of x86_64")
    def test_a_clone_brings_no_filter(self):
        cache = self.environment["XDG_CACHE_HOME"] = self.base + "/cache"
        self.assertEqual(self.keyctl(), errno.EPERM)
        (name,) = os.listdir(cache + "/dirbox")
        with open(f"{cache}/dirbox/{name}", "rb") as file:
            built = file.read()
        allow_all = struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000)
        body = built[136:140] + struct.pack("<I", len(allow_all)) + allow_all
        planted = built[:72] + hashlib.sha256(body).hexdigest().encode() + body
        shipped = self.project + "/.cache/dirbox/" + name
        os.makedirs(os.path.dirname(shipped))
        for path in (f"{cache}/dirbox/{name}", shipped):
            with open(path, "wb") as file:
                file.write(planted)
            os.chmod(path, 0o600)
        self.assertNotEqual(self.keyctl(), errno.EPERM, "that filter works where it is believed")
        self.environment["XDG_CACHE_HOME"] = self.project + "/.cache"
        self.assertEqual(self.keyctl(), errno.EPERM)
        os.symlink(self.project + "/.cache", self.base + "/link")
        self.environment["XDG_CACHE_HOME"] = self.base + "/link"
        self.assertEqual(self.keyctl(), errno.EPERM)

    def test_a_clone_brings_no_trust(self):
        os.makedirs(self.home + "/data")
        text = f'[filesystem]\nread = ["{self.home}/data"]\n'
        self.write(self.file, text)
        self.ok("trust", "--yes")
        self.assertEqual(self.inside("true").returncode, 0)
        shutil.copytree(self.home + "/.local/state/dirbox/trust", self.project + "/.state/dirbox/trust")
        self.environment["XDG_STATE_HOME"] = self.project + "/.state"
        self.widened(text)
        self.assertIn("the project itself could say", self.refused_to_trust())

    def refused_to_trust(self):
        done = self.dirbox("trust", "--yes")
        self.assertEqual(done.returncode, 125, done)
        return done.stderr

    def test_a_clone_brings_no_swarm(self):
        self.write(self.home + "/other/file", "mine")
        self.environment["XDG_STATE_HOME"] = self.project + "/.state"
        key = "p-" + hashlib.sha256(self.project.encode()).hexdigest()[:16]
        words = ("run", "-p", "director-strict", "--", "sh", "-c", "cat ~/.swarm/file; echo x > ~/.swarm/new")
        self.assertEqual(self.dirbox(*words).returncode, 0)
        own = f"{self.project}/.state/dirbox/projects/{key}/swarm"
        self.assertEqual(os.listdir(own), ["new"])
        shutil.rmtree(own)
        os.symlink(self.home + "/other", own)
        self.assertIn("a symlink of the project", self.refused(*words))
        self.assertEqual(os.listdir(self.home + "/other"), ["file"])

    def test_profiles_of_a_clone_are_announced(self):
        self.environment["XDG_CONFIG_HOME"] = self.project + "/conf"
        self.assertIn("whoever wrote this work tree", self.inside("true").stderr)

    def test_a_run_directory_in_the_project(self):
        runtime = self.environment["XDG_RUNTIME_DIR"] = self.project + "/rt"
        os.mkdir(runtime, 0o700)
        attack = "sleep 1; ls rt/dirbox/*; mv rt rt2; rmdir rt/dirbox; echo x > rt/dirbox/x"
        done = self.inside(attack)
        self.assertEqual((done.returncode != 0, done.stdout), (True, ""), done)
        self.assertFalse(os.path.exists(self.project + "/rt2"))

    def test_the_working_directory_beneath_its_own(self):
        for name in (".config/dirbox", ".local/state/dirbox/trust", ".local/state/dirbox/quarantine/x", ".cache/dirbox/y"):
            own = os.path.join(self.home, name)
            os.makedirs(own, exist_ok=True)
            for options in ((), ("--force-cwd",)):
                said = self.refused("run", *options, "--", "touch", "planted", cwd=own)
                self.assertIn("dirbox keeps there what it believes", said)
            self.assertEqual(os.listdir(own), [])


if __name__ == "__main__":
    suite.run()
