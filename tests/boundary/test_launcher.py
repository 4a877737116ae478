"""The launcher fails closed, refuses dangerous requests, and leaves the host as it was."""
import concurrent.futures
import json
import os
import resource
import shutil
import subprocess
import tempfile

import sandbox

MISSING_IS_FATAL = ["open_tree", "move_mount", "fsopen", "mount_setattr", "openat2", "seccomp", "pivot_root", "capset",
                    "setsid", "pidfd_open", "close_range", "clone3,clone:0x10000000,unshare:0x10000000=EPERM",
                    "clone3,clone:0x10000000,unshare:0x10000000=ENOSPC"]


class FailClosed(sandbox.Boundary):
    def without(self, spec, *command, **start):
        return self.dirbox(*command, wrapper=[sandbox.WITHOUT, spec, "--"], **start)

    def judge(self, spec, done, canary):
        """Refused with 125 and nothing run; or run by another way, with everything in place."""
        if done.code == 125:
            self.assertRegex(done.err, r"(?m)^dirbox: .*(ENOSYS|EPERM|ENOSPC|Function not implemented)", spec)
            self.assertFalse(os.path.exists(canary), "the command ran")
            return "refused"
        self.assertEqual(done.code, 0, f"{spec}: {done}")
        for line in ("caps ok", "nnp ok", "seccomp-mode ok", "read fail ENOENT", "connect-tcp fail", "fds ok"):
            self.assertIn(line, done.out, f"{spec}: a weaker sandbox: {done}")
        return "ran"

    def attempt(self, spec):
        canary = self.project("ran")
        if os.path.exists(canary):
            os.unlink(canary)
        script = (f"touch {canary}; ./probe caps; ./probe nnp; ./probe seccomp-mode; ./probe read {self.home('.ssh/id_rsa')};"
                  "./probe connect-tcp 192.0.2.1 80; ./probe fds; true")
        return self.judge(spec, self.without(spec, "sh", "-c", script), canary)

    def test_each_missing_call(self):
        for spec in MISSING_IS_FATAL:
            with self.subTest(missing=spec):
                self.attempt(spec)

    def test_no_user_namespaces_is_refused_with_a_hint(self):
        spec = "clone3,clone:0x10000000,unshare:0x10000000=EPERM"
        done = self.without(spec, "touch", self.project("ran-unconfined"))
        self.assertRefused(done, "EPERM", "hint", canary=self.project("ran-unconfined"))

    def test_no_seccomp_is_refused(self):
        done = self.without("seccomp", "touch", self.project("ran-unfiltered"))
        self.assertRefused(done, canary=self.project("ran-unfiltered"))

    def test_landlock_absent_is_an_error_or_a_named_waiver(self):
        spec = "landlock_create_ruleset,landlock_add_rule,landlock_restrict_self"
        canary = self.project("ran-without-landlock")
        done = self.without(spec, "touch", canary)
        self.assertRefused(done, "andlock", canary=canary)
        profile = self.profile('extends = ["director"]\n[require]\nlandlock = "optional"\n', "waiver.toml")
        done = self.without(spec, "touch", canary, options=["-p", profile])
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.err, "(?i)landlock", "the waiver is said aloud")
        self.assertTrue(os.path.exists(canary))


class FaultInjection(sandbox.Boundary):
    """--test-fail=STEP: whatever step fails, the command has not run."""

    def test_every_step(self):
        listed = self.dirbox(options=["--test-fail=list"], env={"DIRBOX_TEST": "1"})
        self.assertEqual(listed.code, 0, listed)
        steps = [line.split()[0] for line in listed.out.splitlines()]
        self.assertGreater(len(steps), 10)
        before = self.host()
        for step in steps:
            with self.subTest(step=step):
                canary = self.project("ran-" + step.replace("/", "-"))
                done = self.dirbox("touch", canary, options=[f"--test-fail={step}"], env={"DIRBOX_TEST": "1"})
                self.assertRefused(done, canary=canary)
        self.assertEqual(self.host(), before)

    @staticmethod
    def host():
        """The mounts of the host, but for what the docker suites mount meanwhile."""
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            return [line for line in file if " /tmp/dirbox-docker-" not in line]

    def test_unknown_step(self):
        self.assertRefused(self.dirbox("true", options=["--test-fail=no-such-step"], env={"DIRBOX_TEST": "1"}), "no-such-step")


class Refusals(sandbox.Boundary):
    def test_home_as_working_directory(self):
        self.assertRefused(self.dirbox("touch", self.home("ran"), cwd=self.world.home), "hint", canary=self.home("ran"))

    def test_root_as_working_directory(self):
        self.assertRefused(self.dirbox("true", cwd="/"), "hint")

    def test_working_directory_above_a_hidden_path(self):
        self.assertRefused(self.dirbox("touch", "ran", cwd=self.home(".config")), canary=self.home(".config/ran"))
        self.assertRefused(self.dirbox("true", cwd=self.home(".ssh")))
        self.assertRefused(self.dirbox("true", cwd=self.world.base))

    def test_symlink_to_home_as_working_directory(self):
        link = self.project("to-home")
        os.symlink(self.world.home, link)
        self.assertRefused(self.dirbox("true", cwd=link))
        os.unlink(link)

    def test_deleted_working_directory(self):
        folder = self.project("gone")
        os.mkdir(folder)
        done = subprocess.run(["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", sandbox.DIRBOX, "run", "--", "true"], cwd=folder,
                              env=self.world.environment, capture_output=True, text=True, check=False, timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 125, done)

    def test_missing_grants(self):
        for option in ("--read", "--write"):
            with self.subTest(option=option):
                canary = self.project("ran-missing")
                done = self.dirbox("touch", canary, options=[option, self.outside("absent")])
                self.assertRefused(done, self.outside("absent"), canary=canary)

    def test_bad_profiles_run_nothing(self):
        cases = {
            "unknown key": ('extends = ["director"]\n[filesystem]\nreed = ["/usr"]\n', "2:|3:"),
            "wrong type": ('[filesystem]\nread = "x"\n', "2:"),
            "syntax": ("[filesystem\n", "1:"),
            "cycle": ('extends = ["./bad.toml"]\n', "cycle|extend each other"),
            "unknown parent": ('extends = ["no-such-parent"]\n', "no-such-parent"),
            "empty rule": ('extends = ["director"]\n[network]\nallow = [""]\n', "3:"),
            "all hosts": ('extends = ["director"]\n[network]\nallow = ["*"]\n', "3:"),
        }
        for name, (text, pattern) in cases.items():
            with self.subTest(case=name):
                canary = self.project("ran-bad")
                done = self.dirbox("touch", canary, options=["-p", self.profile(text, "bad.toml")])
                self.assertRefused(done, canary=canary)
                self.assertRegex(done.err, pattern)


class Hygiene(sandbox.Boundary):
    def test_a_session_that_sends_descriptors_without_end_answers(self):
        """The kernel counts descriptors on their way for a user's processes together: the launcher can send none then."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        script = """
import array, resource, socket, sys
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
kept = []
for line in sys.stdin:
    for _ in range(int(line)):
        kept += socket.socketpair()
        kept[-1].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 250))])
    print("sent", flush=True)
"""
        with self.start("python3", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            for count in (b"1\n", b"8\n"):
                child.stdin.write(count)
                child.stdin.flush()
                self.assertEqual(child.stdout.readline(), b"sent\n")
                listed = lambda: subprocess.run([sandbox.DIRBOX, "ps"], env=self.world.environment, text=True, cwd="/",
                                                capture_output=True, timeout=sandbox.PATIENCE, check=True).stdout
                sandbox.wait_until(lambda: f"  {child.pid}  " in listed(), f"it is seen after {count}", patience=10)

    def test_parallel_runs_in_one_directory(self):
        runs = 200
        before = sorted(os.listdir(self.world.project))
        self.run_ok("true")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda _: self.start("true", stdin=subprocess.DEVNULL).wait(10 * sandbox.PATIENCE), range(runs)))
        self.assertEqual(codes, [0] * runs)
        self.assertEqual(sorted(os.listdir(self.world.project)), before)
        state = self.home(".local/state/dirbox")
        left = [name for _, folders, names in os.walk(state) for name in folders + names if "run" in name or name.endswith(".sock")]
        self.assertEqual(left, [])

    def test_one_inside_another(self):
        """dirbox in a sandbox, container or CI job does not believe that it is confined already: it confines or refuses."""
        shutil.copy2(sandbox.DIRBOX, self.project("inner"))
        canary = self.project("ran-inner")
        script = f"./inner run -- sh -c 'touch {canary}; cat ~/.ssh/id_rsa'"
        done = self.sh(script)
        self.assertEqual((done.code, os.path.exists(canary)), (125, False), done)
        os.unlink(self.project("inner"))

    def test_inside_another_pid_namespace(self):
        wrapper = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--mount-proc"]
        control = subprocess.run([*wrapper, "true"], check=False, capture_output=True)
        if control.returncode != 0:
            self.skipTest("this machine has no unprivileged user namespaces")
        outcome = self.probe("read", self.home(".ssh/id_rsa"), wrapper=wrapper)
        self.assertEqual((outcome.verdict, outcome.errno), ("fail", "ENOENT"))

    def test_planted_programs_are_not_used(self):
        """A PATH that begins with a directory of the project: the launcher runs nothing from it."""
        planted = self.project("node_modules/.bin")
        for name in ("bwrap", "socat", "git", "which", "iptables", "newuidmap", "newgidmap", "ip", "sh", "dirbox", "mount", "true"):
            self.world.plant(os.path.join(planted, name), f"#!/bin/sh\ntouch {self.outside('executed')} {self.project('executed-$PPID')}\n", 0o755)
        path = planted + ":" + self.world.environment["PATH"]
        self.run_ok("/bin/true", env={"PATH": path})
        self.assertEqual([n for n in os.listdir(self.world.project) if n.startswith("executed")], [])
        shutil.rmtree(self.project("node_modules"))

    def test_hostile_repository(self):
        """Names that the launcher inspects, shipped as links, loops, pipes and sockets: the start neither follows nor hangs."""
        names = [".git-x", ".claude", ".mcp.json", ".vscode", ".envrc", ".dirbox.toml", ".swarm", "node_modules", ".bashrc"]
        forms = ["absolute", "relative", "loop", "proc", "fifo"]
        for form in forms:
            folder = self.project("hostile-" + form)
            os.makedirs(folder, exist_ok=True)
            for name in names:
                path = os.path.join(folder, name)
                if form == "fifo":
                    os.mkfifo(path)
                else:
                    os.symlink({"absolute": self.outside("made-by-link"), "relative": "../" * 12 + self.outside("made-by-link")[1:],
                                "loop": name, "proc": "/proc/self/root" + self.outside("made-by-link")}[form], path)
            with self.subTest(form=form):
                self.dirbox("true", cwd=folder)
                self.assertFalse(os.path.exists(self.outside("made-by-link")))
            shutil.rmtree(folder)

    def test_a_command_without_a_name_is_named_too(self):
        done = self.dirbox("")
        self.assertEqual(done.code, 127)
        self.assertIn('dirbox: run: "": ENOENT', done.err)

    def test_file_names_with_escapes_are_not_printed_raw(self):
        folder = self.project("esc\x1b]0;owned\x07\nname")
        os.makedirs(folder, exist_ok=True)
        done = self.dirbox("no-such-command", options=["--read", folder + "/absent"])
        self.assertNotIn("\x1b", done.err)
        self.assertNotIn("\x1b", self.dirbox("./\x1b[31mred").err)
        self.world.plant(self.project("\x1b[31mred"), "#!/no/interpreter\n", 0o755)
        done = self.dirbox("./\x1b[31mred")
        self.assertEqual((done.code, "\x1b" in done.err), (127, False), done)
        self.assertIn("red: ENOENT", done.err)
        os.remove(self.project("\x1b[31mred"))

    def test_log_follows_a_session_that_has_logged_nothing(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # Other suites have sessions of the same user.
        runtime = tempfile.mkdtemp(prefix="dirbox-runtime-")
        self.addCleanup(shutil.rmtree, runtime)
        pipes["env"] = {"XDG_RUNTIME_DIR": runtime}

        def sessions():
            return {row["pid"]: row["session"] for row in json.loads(self.dirbox(launcher=("ps", "--json"), env=pipes["env"]).out)}

        def follow(*options):
            child = self.start(launcher=("log", "-f", *options), **pipes)
            self.addCleanup(lambda: child.poll() is None and child.kill())
            return child

        self.assertNotEqual(self.dirbox("touch", self.outside("earlier")).code, 0)  # the log that is the last one by now
        for last in (f"touch {self.outside('later')}", "true"):
            with self.subTest(last=last):
                box = self.start("sh", "-c", f"read -r line; {last}", **pipes)
                self.addCleanup(lambda box=box: box.poll() is None and box.kill())
                sandbox.wait_until(lambda: box.pid in sessions(), "it is listed")
                followers = [follow(*options) for options in ([sessions()[box.pid]], [sessions()[box.pid][:-1]], [])]
                # Each has looked, and found nothing.
                for child in followers:
                    sandbox.wait_until(lambda child=child: child.poll() is not None or "poll" in self.waits_in(child), "it waits")
                box.communicate("\n", timeout=sandbox.PATIENCE)
                for child in followers:
                    out, err = child.communicate(timeout=sandbox.PATIENCE)
                    self.assertEqual(child.returncode, 0, err)
                    self.assertNotIn("/earlier", out)
                    if last == "true":
                        self.assertIn("ended without an event", err)
                    else:
                        self.assertIn("/later", out)

    @staticmethod
    def waits_in(child):
        with open(f"/proc/{child.pid}/syscall", encoding="utf-8") as file:
            number = file.read().split()[0]
        return {"7": "poll", "271": "ppoll", "73": "ppoll"}.get(number, number)

    def test_escapes_in_json_are_not_printed_raw(self):
        """A terminal obeys C1 controls too, and bidi marks hide what a name is."""
        name = self.outside("x\x9b31mred\x7f\u202e\U000e0041y")
        self.assertNotEqual(self.dirbox("touch", name).code, 0)
        done = self.dirbox(launcher=("log", "--json"))
        self.assertNotRegex(done.out, "[\x7f-\x9f\u202e\U000e0041]")
        self.assertIn(name, [json.loads(line).get("subject") for line in done.out.splitlines()])

    def test_escapes_of_a_project_file_are_not_printed_raw(self):
        """What a .dirbox.toml quotes in an error reaches the terminal escaped, and a backslash only once."""
        folder = self.project("toml")
        os.makedirs(os.path.join(folder, ".git"))
        evil = "a\\u001b]52;c;ZXZpbA==\\u0007\\nb"
        cases = (f'[docker]\nimages = ["{evil}"]\n', f'[docker]\ncpus = "{evil}"\n', f'[docker]\nnetworks = ["{evil}"]\n',
                 f'[docker]\ncapabilities = ["{evil}"]\n', f'[[seccomp.rules]]\nsyscall = "read"\nwhen = ["{evil}"]\naction = "kill"\n',
                 f'[[excluded]]\ncommand = "docker"\nmode = "host"\nallow = ["{evil} x"]\n')
        for text in cases:
            with open(os.path.join(folder, ".dirbox.toml"), "w", encoding="utf-8") as file:
                file.write(text)
            for words in (["run", "--", "true"], ["trust", "--show"]):
                with self.subTest(text=text, words=words):
                    done = subprocess.run([sandbox.DIRBOX, *words], cwd=folder, env=self.world.environment, capture_output=True,
                                          text=True, check=False, stdin=subprocess.DEVNULL, timeout=sandbox.PATIENCE)
                    self.assertEqual(done.returncode, 125, done)
                    self.assertIn("]52;c;", done.stderr)
                    self.assertNotRegex(done.stdout + done.stderr, "[\x1b\x07]")
                    self.assertNotRegex(done.stderr, r"\\\\x1b")
        shutil.rmtree(folder)


if __name__ == "__main__":
    sandbox.main()
