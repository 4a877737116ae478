"""The command runs as it would without dirbox: status, arguments, streams, directory, environment, usual tools."""
import json
import os
import signal
import subprocess

import sandbox


class Status(sandbox.Boundary):
    def test_every_exit_code(self):
        for code in (0, 1, 2, 3, 64, 100, 124, 125, 126, 127, 128, 129, 137, 254, 255):
            with self.subTest(code=code):
                self.assertEqual(self.sh(f"exit {code}").code, code)

    def test_signals_are_128_plus_n(self):
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV,
                       signal.SIGUSR1):
            with self.subTest(signal=number):
                self.assertEqual(self.sh(f"kill -{int(number)} $$").code, 128 + number)

    def test_not_found_is_127(self):
        done = self.dirbox("no-such-command-anywhere")
        self.assertEqual(done.code, 127, done)
        self.assertIn("no-such-command-anywhere", done.err)

    def test_path_not_found_is_127(self):
        self.assertEqual(self.dirbox("./no-such-file").code, 127)

    def test_not_executable_is_126(self):
        done = self.dirbox("./file")
        self.assertEqual(done.code, 126, done)
        self.assertIn("file", done.err)

    def test_directory_is_126(self):
        self.assertEqual(self.dirbox("/usr").code, 126)

    def test_usage_errors_are_125_and_name_the_word(self):
        for options, word in ((["--no-such-option"], "--no-such-option"), (["-p", "no-such-profile"], "no-such-profile"),
                              (["--read"], "--read")):
            with self.subTest(options=options):
                canary = self.project("ran")
                self.assertRefused(self.dirbox("touch", canary, options=options), word, canary=canary)

    def test_no_command_is_125(self):
        self.assertEqual(self.dirbox(options=["--"]).code, 125)

    def test_bare_double_dash_is_run(self):
        self.assertEqual(self.dirbox("sh", "-c", "exit 7", launcher=()).code, 7)


class Streams(sandbox.Boundary):
    def test_pipes_pass_bytes_untouched(self):
        data = bytes(range(256)) * 1000
        child = self.start("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = child.communicate(data, timeout=sandbox.PATIENCE)
        self.assertEqual(out, data)

    def test_stdout_and_stderr_stay_apart(self):
        done = self.sh("echo out; echo err >&2")
        self.assertEqual((done.out, done.err), ("out\n", "err\n"))

    def test_a_quiet_command_is_quiet(self):
        self.assertEqual(self.dirbox("true"), (0, "", ""))

    def test_arguments_are_not_interpreted(self):
        words = ["a b", "*", "$HOME", "", "--", "-p", "tab\there", "new\nline", "ünï", "'\"\\"]
        done = self.dirbox("/usr/bin/printf", "%s\\0", *words)
        self.assertEqual(done.out.split("\0")[:-1], words)

    def test_streams_to_files(self):
        with open(self.project("to"), "wb") as file:
            child = self.start("sh", "-c", "echo written", stdout=file)
            self.assertEqual(child.wait(sandbox.PATIENCE), 0)
        with open(self.project("to"), encoding="ascii") as file:
            self.assertEqual(file.read(), "written\n")

    def test_closed_streams(self):
        """Descriptors 0-2 closed by the caller do not become something else inside."""
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sandbox.DIRBOX, "run", "--", "sh", "-c",
                               "stat -L -c %t:%T /proc/self/fd/0 /proc/self/fd/2 > fds; exit 3"], cwd=self.world.project,
                              env=self.world.environment, check=False, timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 3)
        with open(self.project("fds"), encoding="ascii") as file:
            self.assertEqual(file.read(), "1:3\n1:3\n")

    def test_broken_pipe_ends_the_command(self):
        done = subprocess.run(["sh", "-c", '"$@" | head -n 1', "sh", sandbox.DIRBOX, "run", "--", "yes"],
                              cwd=self.world.project, env=self.world.environment, check=False, capture_output=True,
                              timeout=sandbox.PATIENCE)
        self.assertEqual(done.stdout, b"y\n")


class Directory(sandbox.Boundary):
    def test_working_directory_is_kept_readable_and_writable(self):
        done = self.run_ok("sh", "-c", "pwd && cat file && echo made > made-inside")
        self.assertEqual(done.out, f"{self.world.project}\ncontent of the project\n")
        with open(self.project("made-inside"), encoding="ascii") as file:
            self.assertEqual(file.read(), "made\n")
        self.assertEqual(os.stat(self.project("made-inside")).st_uid, os.geteuid())

    def test_swarm_directory_is_writable(self):
        os.makedirs(self.home(".swarm"), exist_ok=True)
        self.run_ok("sh", "-c", "echo state > ~/.swarm/state.json && mkdir ~/.swarm/logs")
        with open(self.home(".swarm/state.json"), encoding="ascii") as file:
            self.assertEqual(file.read(), "state\n")

    def test_names_that_look_like_options_and_separators(self):
        for name in ("with space", "colon:colon", "comma,comma", "new\nline", "--bind", "quote'\"", "back\\slash", "ü",
                     "$(touch x)", "a=b", "%s", "{x}"):
            with self.subTest(name=name):
                folder = self.project(name)
                os.makedirs(folder, exist_ok=True)
                done = self.run_ok("sh", "-c", "echo made > made; pwd", cwd=folder)
                self.assertEqual(done.out, folder + "\n")
                self.assertTrue(os.path.exists(folder + "/made"))

    def test_a_symlinked_working_directory(self):
        os.makedirs(self.project("real"), exist_ok=True)
        link = self.project("link")
        os.symlink("real", link)
        done = self.run_ok("sh", "-c", "pwd -P; echo made > made", cwd=link)
        self.assertEqual(done.out, self.project("real") + "\n")


class Environment(sandbox.Boundary):
    def variables(self, **start):
        done = self.run_ok("cat", "/proc/self/environ", **start)
        return dict(entry.split("=", 1) for entry in done.out.split("\0") if entry)

    def test_allowlist(self):
        passed = {"LC_ALL": "C", "TZ": "UTC", "COLORTERM": "truecolor"}
        found = self.variables(env={**passed, "LD_PRELOAD": "", "SOME_RANDOM_THING": "1", "BASH_ENV": "/x"})
        for name, value in passed.items():
            self.assertEqual(found.get(name), value)
        for name in ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG"):
            self.assertIn(name, found)
        self.assertEqual(found["HOME"], self.world.home)
        self.assertEqual(found["IS_SANDBOX"], "1")
        self.assertTrue(found["DIRBOX"])
        for name in (*sandbox.SECRET_VARIABLES, "SOME_RANDOM_THING", "LD_PRELOAD", "BASH_ENV", "GIT_CONFIG_NOSYSTEM"):
            self.assertNotIn(name, found)

    def test_option_passes_and_sets(self):
        found = self.variables(options=["--env", "FROM_HOST", "--env", "SET=a=b c", "--env", "EMPTY="],
                               env={"FROM_HOST": "1"})
        self.assertEqual((found["FROM_HOST"], found["SET"], found["EMPTY"]), ("1", "a=b c", ""))

    def test_no_process_inside_shows_the_callers_environment(self):
        self.dirbox("sh", "-c", "cat /proc/[0-9]*/environ")
        found = self.dirbox("sh", "-c", "cat /proc/1/environ | tr '\\0' '\\n'")
        self.assertNotIn("SECRET", found.out)

    def test_variables_that_claim_a_sandbox_change_nothing(self):
        claims = {"container": "docker", "SANDBOX_RUNTIME": "1", "CLAUDE_SANDBOX": "1", "FLATPAK_ID": "x",
                  "IS_SANDBOX": "1", "DIRBOX": "x", "SNAP": "/snap/x"}
        outcome = self.probe("read", self.home(".ssh/id_rsa"), env=claims)
        self.assertEqual((outcome.verdict, outcome.errno), ("fail", "ENOENT"))
        self.allowed("seccomp-mode", env=claims)


class Tools(sandbox.Boundary):
    """What a director does all day works."""

    def test_git_by_a_login_shell(self):
        script = ("git status && git -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m inside"
                  " && git log --oneline")
        self.assertIn("inside", self.run_ok("bash", "-lc", script).out)

    def test_compiler_and_make(self):
        self.world.plant(self.project("hello.c"), '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n')
        self.world.plant(self.project("Makefile"), "hello: hello.c\n\tgcc -O1 -o $@ $<\n")
        self.assertIn("compiled", self.run_ok("sh", "-c", "make hello && ./hello").out)

    def test_python(self):
        script = ("import json, os, subprocess, tempfile, threading, multiprocessing as m; t = threading.Thread(); t.start();"
                  "t.join(); tempfile.mkstemp(); m.Lock(); print(json.dumps([os.getcwd(), subprocess.getoutput('echo sub')]))")
        done = self.run_ok("/usr/bin/python3", "-c", script)
        self.assertEqual(json.loads(done.out), [self.world.project, "sub"])

    def test_node(self):
        done = self.run_ok("node", "-e", "console.log(require('child_process').execSync('echo sub').toString())")
        self.assertEqual(done.out.strip(), "sub")

    def test_process_tools(self):
        self.run_ok("sh", "-c", "ps -e | grep -q ps && pgrep sh >/dev/null && grep -q content file && ls")

    def test_tmux_inside(self):
        script = ("tmux -f /dev/null new-session -d -x 80 -y 24 'echo from-the-pane > pane; tmux wait-for -S done; exec cat' && "
                  "tmux wait-for done && cat pane; tmux kill-server 2>/dev/null; true")
        self.assertIn("from-the-pane", self.run_ok("sh", "-c", script, options=("-p", "worker")).out)

    def test_temporary_directories(self):
        self.run_ok("sh", "-c", "for d in /tmp /var/tmp /dev/shm; do echo x > $d/f && test -s $d/f || exit 1; done")

    def test_devices(self):
        script = ("echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 8 /dev/urandom > /dev/full; "
                  "test -c /dev/tty && test -d /dev/pts && test -L /dev/stdin && test -L /dev/fd")
        self.run_ok("sh", "-c", script)


if __name__ == "__main__":
    sandbox.main()
