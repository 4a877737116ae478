"""dirbox why: for each layer the verdict, rule, file:line and cure, and that the run agrees with the answer, before the
cure and with it."""
import json
import os
import shlex
import socket
import subprocess
import tempfile
import unittest

import sandbox


class Asking(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="why", dir=self.world.base)
        self.before = self.world.picture()
        self.addCleanup(subprocess.run, ["rm", "-rf", self.place], check=True)

    def tearDown(self):
        subprocess.run(["rm", "-rf", self.place], check=True)
        os.mkdir(self.place, 0o700)
        super().tearDown()

    def why(self, *words, code=None):
        """Exit status and the answer."""
        done = subprocess.run([sandbox.DIRBOX, "why", "--json", *words], cwd=self.world.project, env=self.environment(),
                              capture_output=True, text=True, timeout=sandbox.PATIENCE, stdin=subprocess.DEVNULL, check=False)
        if code is not None:
            self.assertEqual(done.returncode, code, done)
        if done.returncode == 125:
            self.assertEqual(done.stdout, "")
            return done.stderr
        self.assertEqual(done.stderr, "")
        answer = json.loads(done.stdout)
        self.assertEqual(answer["allowed"], done.returncode == 0, done)
        return answer

    def environment(self):
        return self.world.environment

    def profile(self, text, name="mine.toml", extends="director"):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'{text}\nextends = "{extends}"\n')
        return path

    def runs(self, script, *options):
        return self.dirbox("sh", "-c", script, options=options).code == 0

    def refused_then_cured(self, question, script, layers, options=(), by="cure"):
        """The answer says no and the run agrees; with the cure that it gives both say yes."""
        answer = self.why(*options, *question, code=1)
        self.assertEqual(answer["layers"], layers, answer)
        self.assertFalse(self.runs(script, *options), answer)
        more = shlex.split(answer["cure"]) if by == "cure" else ["-p", self.profile(answer["toml"], "cured.toml")]
        self.assertTrue(self.why(*options, *more, *question, code=0)["allowed"])
        self.assertTrue(self.runs(script, *options, *more), answer)
        return answer

    def plant(self, name, text="text\n"):
        path = os.path.join(self.place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Why(Asking):
    # Files.
    def test_read(self):
        path = self.plant("f")
        for by in ("cure", "toml"):
            with self.subTest(by=by):
                answer = self.refused_then_cured(["path", path], f"cat {path}", self.files_layers(), by=by)
                self.assertEqual((answer["operation"], answer["subject"], answer["cause"], answer["cure"], answer["toml"]),
                                 ("read", path, "absent", f"--read {path}", f'filesystem.read = ["{path}"]'))

    def files_layers(self):
        """A path that nothing grants is refused twice, where the kernel has Landlock."""
        shown = subprocess.run([sandbox.DIRBOX, "profile", "show", "--plan", "--json"], cwd=self.world.project,
                               env=self.environment(), capture_output=True, check=True, timeout=sandbox.PATIENCE)
        return ["mount", "landlock"] if json.loads(shown.stdout)["landlock"] else ["mount"]

    def test_write_of_a_read_grant(self):
        path = self.plant("f")
        profile = self.profile(f'filesystem.read = ["{self.place}"]')
        answer = self.refused_then_cured(["path", path, "--write"], f"echo x >> {path}", self.files_layers(), ["-p", profile])
        self.assertEqual((answer["cause"], answer["rule"], answer["origin"]), ("read-only", self.place, f"{profile}:1:20"))

    def test_make(self):
        path = os.path.join(self.place, "made")
        answer = self.refused_then_cured(["path", path, "--write"], f"echo x > {path}", self.files_layers())
        self.assertEqual(answer["cure"], f"--write {self.place}")

    def test_make_in_what_is_missing(self):
        path = os.path.join(self.place, "a/b/made")
        answer = self.why("path", path, "--write", code=1)
        self.assertNotIn("cure", answer)
        profile = self.profile(answer["toml"])
        self.assertTrue(self.runs(f"echo x > {path}", "-p", profile))

    def test_hidden_is_never(self):
        for name in ("~/.ssh/id_rsa", self.home(".ssh/id_rsa"), "../.ssh/id_rsa"):
            with self.subTest(name=name):
                answer = self.why("path", name, code=1)
                self.assertEqual((answer["subject"], answer["cause"], answer["rule"]),
                                 (self.home(".ssh/id_rsa"), "hidden", "~/.ssh"))
                self.assertRegex(answer["origin"], r"^base\.toml:\d+:\d+$")
                self.assertIn("hidden", answer["never"])
                self.assertFalse({"cure", "toml"} & set(answer))

    def test_what_never_means_of_what_is_hidden(self):
        """A grant beneath a hidden directory shows what it names, one of the directory itself is refused."""
        key = self.home(".ssh/id_rsa")
        self.assertIn("unless a grant names a path beneath ~/.ssh itself", self.why("path", key, code=1)["never"])
        self.assertTrue(self.runs(f"cat {key} > /dev/null", "--read", key))
        never = self.why("path", "~/.ssh", code=1)["never"]
        self.assertIn('filesystem.hide = ["-~/.ssh"]', never)
        done = self.dirbox("true", options=["--read", self.home(".ssh")])
        self.assertEqual(done.code, 125)
        self.assertIn('hint: hiding wins; a profile of your own can drop it: filesystem.hide = ["-~/.ssh"]\n', done.err)
        dropped = self.profile('filesystem.hide = ["-~/.ssh"]')
        self.assertTrue(self.runs(f"cat {key} > /dev/null", "--read", self.home(".ssh"), "-p", dropped))
        self.assertIn("leave out the option", self.why("--hide", "file", "path", "file", code=1)["never"])
        done = self.dirbox("true", options=["--write", "file", "--hide", "file"])
        self.assertIn("hint: hiding wins; leave out the option that hides it\n", done.err)
        os.makedirs(self.home(".config/dirbox"), exist_ok=True)
        self.assertIn("dirbox hides it itself: it never comes in", self.why("path", "~/.config/dirbox", code=1)["never"])
        done = self.dirbox("true", options=["--read", self.home(".config/dirbox")])
        self.assertIn("hint: hiding wins; dirbox hides it itself: it never comes in\n", done.err)

    def test_through_symlinks(self):
        """What is asked about is the file; a link that is not there inside leads nowhere."""
        os.symlink(self.home(".ssh/id_rsa"), self.project("key"))
        os.symlink(self.project("file"), os.path.join(self.place, "link"))
        try:
            answer = self.why("./key", code=1)
            self.assertEqual((answer["subject"], answer["cause"]), (self.home(".ssh/id_rsa"), "hidden"))
            link = os.path.join(self.place, "link")
            answer = self.refused_then_cured(["path", link], f"cat {link}", self.files_layers())
            self.assertEqual((answer["subject"], answer["cure"]), (link, f"--read {link}"))
        finally:
            os.unlink(self.project("key"))

    def test_what_the_guard_does(self):
        name = ".vscode/tasks.json"
        plant = "mkdir -p .vscode && echo x > .vscode/tasks.json"
        self.assertNotIn("guard", self.why("path", "README", "--write", code=0)["detail"])
        self.assertIn("the guard undoes it: VS Code", self.why("path", name, "--write", code=0)["detail"])
        self.assertIn("makes a program", self.why("path", ".git/config", "--write", code=0)["detail"])
        self.assertTrue(self.runs(plant))
        self.assertFalse(os.path.exists(self.project(name)))
        profile = self.profile('filesystem.guard = "enforce"\nfilesystem.protect = ["${PROJECT}/**/*.kept"]')
        answer = self.why("-p", profile, "path", name, "--write", code=1)
        self.assertEqual((answer["layers"], answer["cause"]), (["guard"], "guarded-name"))
        self.assertFalse(self.runs(plant, "-p", profile))
        self.assertIn("**/*.kept", self.why("-p", profile, "path", "sub/a.kept", "--write", code=1)["detail"])
        os.rmdir(self.project(".vscode"))

    def test_private_directories(self):
        answer = self.why("~/.bashrc", code=1)
        self.assertEqual(answer["cause"], "absent")
        self.assertIn("not shown", self.why("~/.bashrc", "--write", code=0)["detail"])
        self.assertIn("private", self.why("/tmp/whatever", "--write", code=0)["detail"])

    def test_directories_that_the_sandbox_makes(self):
        """The home is there, and so is what leads to a grant; neither is a reason to open it."""
        for path in ("~", "..", "../..", "/tmp", self.world.home):
            with self.subTest(path=path):
                answer = self.why("path", path, code=0)
                self.assertFalse({"cure", "toml"} & set(answer))
                self.assertTrue(self.runs(f"ls {answer['subject']}"))
        self.assertIn("private", self.why("path", "~", code=0)["detail"])
        self.assertIn("the host's own is not shown", self.why("path", "~", code=0)["detail"])
        self.assertEqual(self.why("path", "~/.ssh", code=1)["cause"], "hidden")

    def test_what_is_written_where_only_the_host_has_the_directory(self):
        for name in ("~/other-project/.env", "~/other-project/new"):
            with self.subTest(name=name):
                answer = self.why("path", name, "--write", code=1)
                self.assertEqual(answer["cause"], "absent")
                self.assertIn("directory is not there inside", answer["detail"])
                self.assertFalse(self.runs(f"echo x >> {name}"))
                self.assertTrue(self.why(*shlex.split(answer["cure"]), "path", name, "--write", code=0)["allowed"])
        self.assertIn("hidden", self.why("path", "~/.ssh/new", "--write", code=1)["never"])
        self.assertIn("has to be made first", self.why("path", "~/new/deep", "--write", code=0)["detail"])
        self.assertTrue(self.runs("mkdir ~/new && echo x > ~/new/deep"))

    @unittest.skipIf(sandbox.AS_ROOT, "needs an ordinary user")
    def test_modes_of_the_file(self):
        answer = self.why("--write", "/usr/share", "path", "/usr/share/made", "--write", code=1)
        self.assertEqual((answer["cause"], answer["layers"]), ("mode", []))
        self.assertIn("outside", answer["never"])

    def test_exec_of_a_path(self):
        script = self.plant("tool", "#!/bin/sh\nexit 0\n")
        os.chmod(script, 0o755)
        self.refused_then_cured(["path", script, "--exec"], script, self.files_layers())
        os.chmod(script, 0o644)
        for question in (["path", script, "--exec"], ["exec", "--", script]):
            answer = self.why("--read", script, *question, code=1)
            self.assertEqual(answer["cause"], "mode", answer)
            self.assertIn("outside", answer["never"])
        self.assertIn("no such program", self.why("exec", "--", "./nosuch", code=1)["never"])
        self.assertIn("no such program", self.why("exec", "--", "./.git", code=1)["never"])

    def test_what_init_keeps_to_itself(self):
        for path in ("/proc/1/mem", "/proc/1/environ", "/proc/1/fd/0", "/proc/1/task/1/maps", "/proc/self/../1/mem"):
            self.assertFalse(self.runs(f"head -c 1 {path} > /dev/null"), path)
            self.assertEqual(self.why("path", path, code=1)["cause"], "closed", path)
        for path in ("/proc/1/status", "/proc/self/mem", "/proc/1"):
            self.assertTrue(self.runs(f"test -r {path}"))
            self.assertTrue(self.why("path", path, code=0)["allowed"])

    # Sockets.
    def test_socket(self):
        path = os.path.join(self.place, "s")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(8)
            script = f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{path}\")'"
            answer = self.refused_then_cured(["socket", path], script, ["mount"])
            self.assertEqual((answer["operation"], answer["cure"]), ("connect", f"--socket {path}"))

    def test_dangerous_socket(self):
        os.mkdir(os.path.join(self.place, "tmux-1"))
        path = os.path.join(self.place, "tmux-1/default")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            answer = self.why("socket", path, code=1)
            self.assertNotIn("cure", answer)
            self.assertIn("dangerous = true", answer["toml"])
            self.assertIn("terminals", answer["detail"])

    # The network.
    def test_host(self):
        answer = self.why("host", "denied.test:8080", code=1)
        self.assertEqual((answer["layers"], answer["cause"], answer["cure"]),
                         (["netns", "proxy"], "no-rule", "--allow denied.test:8080"))
        self.assertFalse(self.runs("getent hosts denied.test"))
        for more in (["--allow", "denied.test:8080"], ["-p", self.profile(answer["toml"])]):
            self.assertEqual(self.why(*more, "host", "denied.test:8080", code=0)["rule"], "denied.test:8080")
            self.assertTrue(self.runs("getent hosts denied.test", *more))
        answer = self.why("--allow", "denied.test:8080", "host", "denied.test:443", code=1)
        self.assertEqual(answer["cause"], "port-closed")

    def test_the_loopback_by_name(self):
        for host in ("localhost", "localhost:3000", "app.localhost", "::1", "[::1]:80"):
            answer = self.why("host", host, code=0)
            self.assertEqual((answer["layers"], answer["cause"]), (["netns"], "loopback"), answer)

    def test_a_port_of_the_host(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(8)
            port = server.getsockname()[1]
            for option, inside in ((f"{port}", port), (f"1234:{port}", 1234)):
                for host in (f"127.0.0.1:{inside}", f"localhost:{inside}"):
                    answer = self.why("--host-port", option, "host", host, code=0)
                    self.assertEqual((answer["rule"], answer["origin"]), (option, "--host-port"), answer)
                    self.assertIn(f"port {port} of the host", answer["detail"])
                script = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {inside}))'"
                self.assertTrue(self.runs(script, "--host-port", option))
            self.assertNotIn("rule", self.why("--host-port", str(port), "host", "127.0.0.1:1", code=0))

    def test_what_is_nowhere(self):
        for how in ([], ["--exec"]):
            self.assertEqual(self.why("path", "/nowhere", *how, code=1)["never"], "there is no such file")

    def test_denied_host(self):
        profile = self.profile('network.deny = ["denied.test"]')
        answer = self.why("-p", profile, "--allow", "denied.test", "host", "denied.test", code=1)
        self.assertEqual((answer["rule"], answer["origin"]), ("denied.test", f"{profile}:1:17"))
        self.assertIn("deny rule", answer["never"])

    def test_addresses(self):
        answer = self.why("host", "192.0.2.7:443", code=1)
        self.assertEqual((answer["layers"], answer["cure"]), (["netns"], "--allow 192.0.2.7:443"))
        self.assertIn("never", self.why("169.254.169.254", code=1))
        self.assertEqual(self.why("-p", "offline", "host", "denied.test", code=1)["cause"], "no-network")

    # System calls.
    def test_syscall(self):
        script = "python3 -c 'import ctypes; raise SystemExit(ctypes.CDLL(None).personality(0xffffffff) < 0)'"
        profile = self.profile('seccomp.deny = ["personality"]')
        answer = self.why("-p", profile, "syscall", "personality", code=1)
        self.assertEqual((answer["layers"], answer["rule"], answer["origin"], answer["cause"]),
                         (["seccomp"], "personality", f"{profile}:1:17", "denied-call"))
        self.assertFalse(self.runs(script, "-p", profile))
        cured = self.profile(answer["toml"], "cured.toml")
        self.assertEqual(self.why("-p", cured, "syscall", "personality", code=0)["origin"], f"{cured}:1:18")
        self.assertTrue(self.runs(script, "-p", cured))

    def test_syscall_with_arguments(self):
        self.assertTrue(self.why("syscall", "ioctl", "0", "0x5413", code=0)["allowed"])
        answer = self.why("syscall", "ioctl", "0", "0x5412", code=1)
        self.assertIn("TIOCSTI", answer["detail"])
        self.assertIn("only a rule of your own for the exact value", answer["never"])
        profile = self.profile('seccomp.rules = [{syscall = "ioctl", when = ["arg1 == 0x5412"], action = "allow"}]')
        self.why("-p", profile, "syscall", "ioctl", "0", "0x5412", code=0)
        self.assertIn("ioctl", self.why("syscall", "iotcl", code=125))

    def test_mounting_takes_a_namespace_of_its_own(self):
        """What the answer proposes does what it says: no more, and no less."""
        mount = "mkdir /tmp/m && {} mount -t tmpfs x /tmp/m"
        for call in ("mount", "chroot", "unshare"):
            answer = self.why("syscall", call, code=1)
            self.assertIn("unshare -Ur", answer["toml"])
        profile = self.profile(answer["toml"])
        self.assertFalse(self.runs(mount.format("unshare -Urm")))
        self.assertFalse(self.runs(mount.format(""), "-p", profile))
        # Root has to leave out -r, and mount(8) wants it.
        self.assertEqual(self.runs(mount.format("unshare -Urm"), "-p", profile), not sandbox.AS_ROOT)

    # Variables.
    def test_variable(self):
        answer = self.refused_then_cured(["env", "GITHUB_TOKEN"], 'test -n "$GITHUB_TOKEN"', ["namespace"])
        self.assertEqual((answer["cause"], answer["cure"]), ("not-passed", "--env GITHUB_TOKEN"))
        self.assertRegex(self.why("env", "HOME", code=0)["origin"], r"^base\.toml:\d+:\d+$")

    # Commands.
    def excluded(self, rules):
        tool = self.plant("bin/hosttool", "#!/bin/sh\necho host \"$@\"\n")
        os.chmod(tool, 0o755)
        self.world.environment["PATH"] = os.path.dirname(tool) + ":/usr/bin:/bin"
        self.addCleanup(self.world.environment.update, PATH="/usr/local/bin:/usr/bin:/bin")
        return self.profile(f'excluded = [{{ command = "hosttool", mode = "host", {rules} }}]')

    def test_excluded_command(self):
        profile = self.excluded('allow = ["list"]')
        answer = self.why("-p", profile, "exec", "--", "hosttool", "list", code=0)
        self.assertEqual((answer["layers"], answer["rule"], answer["origin"].rsplit(":", 1)[0]),
                         (["broker"], "list", f"{profile}:1"))
        # As a rule it would permit more than this call.
        self.assertIn("no rule", self.why("-p", profile, "exec", "--", "hosttool", "*", code=1)["never"])
        answer = self.why("-p", profile, "exec", "--", "hosttool", "show", "a b", code=1)
        self.assertEqual(answer["layers"], ["broker"])
        self.assertFalse(self.runs("hosttool show 'a b'", "-p", profile))
        cured = self.profile(answer["toml"], "cured.toml")
        self.assertTrue(self.why("-p", cured, "exec", "--", "hosttool", "show", "a b", code=0)["allowed"])
        self.assertTrue(self.runs("hosttool show 'a b'", "-p", cured))
        self.assertFalse(self.runs("hosttool show a b", "-p", cured))

    def test_denied_command(self):
        answer = self.why("-p", "director-guide", "exec", "--", "tmux", "kill-server", code=0)
        self.assertEqual(answer["layers"], ["broker"])
        tmux = self.why("exec", "--", "tmux", "kill-server", code=1)
        self.assertRegex(tmux["origin"], r"^director\.toml:\d+:\d+$")
        self.assertIn("grammar", tmux["never"])

    def test_command_inside(self):
        self.assertIn("/git runs inside", self.why("exec", "--", "git", "push", "-f", code=0)["detail"])
        self.assertIn("no such program", self.why("exec", "--", "nosuchprogram", code=1)["never"])

    # The form.
    def test_text(self):
        done = subprocess.run([sandbox.DIRBOX, "why", "~/.ssh/a\x1b[31m\nb"], cwd=self.world.project, env=self.environment(),
                              capture_output=True, text=True, timeout=sandbox.PATIENCE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith("denied: read "), done)
        self.assertNotIn("\x1b", done.stdout)
        self.assertRegex(done.stdout, r"\n  rule       ~/\.ssh \(base\.toml:\d+:\d+\)\n")

    def test_questions_without_an_answer(self):
        for words in ([], [""], ["what"], ["path"], ["path", ""], ["path", "a", "b"], ["exec"], ["exec", "ls"], ["exec", "--"],
                      ["env", "A=B"], ["host", "a b"], ["syscall", "nosuch"], ["syscall", "read", "x"],
                      ["host", "example.com", "--write"], ["path", "/x", "--write", "--exec"], ["path", "/x", "--", "ls"],
                      ["-p", "nosuch", "/x"], ["--wriet", "x", "path", "/x"]):
            with self.subTest(words=words):
                self.assertTrue(self.why(*words, code=125).startswith("dirbox: "))

    def test_nothing_is_made(self):
        profile = self.profile(f'filesystem.write = [{{ path = "{self.place}/new", create = true }}]')
        self.why("-p", profile, "path", "/etc/passwd")
        self.assertFalse(os.path.exists(f"{self.place}/new"))


class Layers(Asking):
    """Which layers enforce each promise: in the plan, in verify's report, and at the start when one is missing."""

    def plan(self, *options):
        done = subprocess.run([sandbox.DIRBOX, "run", "--dry-run", "--json", *options, "--", "true"], cwd=self.world.project,
                              env=self.environment(), capture_output=True, check=True, timeout=sandbox.PATIENCE)
        return json.loads(done.stdout)["layers"]

    WORDS = {"namespace", "mount", "landlock", "seccomp", "netns", "proxy", "broker", "guard"}

    def test_in_the_plan(self):
        layers = self.plan()
        self.assertEqual({word for row in layers for word in row["layers"]} | {"landlock"}, self.WORDS)
        shown = subprocess.run([sandbox.DIRBOX, "profile", "show", "--plan"], cwd=self.world.project, env=self.environment(),
                               capture_output=True, text=True, check=True, timeout=sandbox.PATIENCE).stdout
        for row in layers:
            self.assertRegex(shown, rf"\n  {row['promise']} +{row['layers'][0]}")

    def test_in_the_banner(self):
        profile = self.profile('network.mode = "host"')
        self.assertNotIn("weaker", self.dirbox("true").err)
        err = self.dirbox("true", options=["-p", profile]).err
        self.assertIn(f"dirbox: weaker: network: the host's own, nothing is filtered ({profile}:1:16)\n", err)
        self.assertIn("dirbox: weaker: only hosts that a rule names are reached: nothing (not: netns, proxy)\n", err)
        missing = [row for row in self.plan("-p", profile) if row["missing"]]
        self.assertEqual(len(missing), err.count("(not: "))

    def test_in_the_report_of_verify(self):
        for words in ([], ["--json"]):
            done = subprocess.run([sandbox.DIRBOX, "verify", "--only", "files.cwd", *words], cwd=self.world.project,
                                  env=self.environment(), capture_output=True, text=True, check=True, timeout=sandbox.PATIENCE)
            if words:
                self.assertEqual(json.loads(done.stdout)["layers"], self.plan())
            else:
                self.assertIn("system calls that are closed fail", done.stdout)


if __name__ == "__main__":
    sandbox.main()
