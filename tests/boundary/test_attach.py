"""dirbox attach: what joins a running sandbox is as confined as the command with which it began."""
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import unittest

import sandbox

PROFILE = """
extends = "worker"
[[excluded]]
command = "tmux"
mode = "inside"
"""
# What a process is allowed, by its own word.
STATE = (r"for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; "
         r"grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters):' /proc/self/status; "
         r"ulimit -c; ulimit -n; pwd; echo PATH=$PATH HOME=$HOME DIRBOX=$DIRBOX")


class Attach(sandbox.WithTerminal):
    def setUp(self):
        super().setUp()
        self.profile_file = self.profile(PROFILE, "inside.toml")
        self.extra = {"XDG_RUNTIME_DIR": ""}

    def session(self, script="", profile=None):
        """A sandbox that lasts to the end of the test; its id, and what `script` printed."""
        child = self.start("sh", "-c", f"{{ {script or ':'}; }} 2>&1; echo; echo id $DIRBOX; exec cat", stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, options=("-q", "-p", profile or self.profile_file), env=self.extra)
        self.addCleanup(self.end, child)
        printed = ""
        for line in child.stdout:
            printed += line.decode()
            if printed.splitlines()[-1].startswith("id "):
                break
        self.child = child
        return printed.splitlines()[-1][3:], printed

    @staticmethod
    def end(child):
        if child.poll() is None:
            child.stdin.close()
            child.wait(sandbox.PATIENCE)
        child.stdout.close()

    def attach(self, *words, **start):
        """dirbox attach to its end: words before "--" are its own."""
        return self.dirbox(launcher=("attach", *words), env=self.extra, **start)

    def attached(self, session, script, **start):
        return self.attach(session, "--", "sh", "-c", script, **start)

    def on_terminal(self, *words, **size):
        terminal = sandbox.Terminal([sandbox.DIRBOX, "attach", *words], self.world.project,
                                    {**self.world.environment, **self.extra}, **size)
        self.addCleanup(terminal.close)
        return terminal

    # The same sandbox.
    def test_the_confinement_is_that_of_the_command(self):
        session, printed = self.session(STATE)
        first = printed.split("\n\nid ")[0].rstrip("\n")
        self.assertIn("Seccomp:\t2", first)
        self.assertIn("NoNewPrivs:\t1", first)
        self.assertRegex(first, r"CapBnd:\t0+\n")
        done = self.attached(session, STATE)
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertEqual(done.out.rstrip("\n"), first)
        self.assertNotEqual(os.readlink("/proc/self/ns/mnt"), first.splitlines()[1])

    def test_what_is_denied_and_what_works(self):
        session, _ = self.session()
        probe = self.project("probe")
        for path in (self.home(".ssh/id_rsa"), self.outside("canary")):
            self.control("read", path)
            outcome = self.outcomes(self.attach(session, "--", probe, "read", path).out)[0]
            self.check_denied(path, outcome, "ENOENT")
        outcome = self.outcomes(self.attach(session, "--", probe, "write", self.home("planted")).out)
        self.assertFalse(os.path.exists(self.home("planted")), outcome)
        done = self.attached(session, "cat file; echo joined > joined; unshare -U true 2>/dev/null || echo no namespaces")
        self.assertEqual(done.out, "content of the project\nno namespaces\n")
        with open(self.project("joined"), encoding="ascii") as file:
            self.assertEqual(file.read(), "joined\n")
        os.remove(self.project("joined"))

    def test_what_it_starts_is_of_the_same_domain(self):
        # Landlock keeps other domains from signalling and tracing: here each may stop the other.
        session, _ = self.session()
        done = self.attached(session, "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = cat ] && kill -0 ${p#/proc/} && echo reached; done; "
                                      "readlink /proc/1/root || echo sealed")
        self.assertEqual(done.out, "reached\nsealed\n")

    def test_every_process_inside_has_its_filter(self):
        session, _ = self.session()
        done = self.attached(session, "grep -H ^Seccomp: /proc/[0-9]*/status; cat /proc/[0-9]*/comm")
        self.assertIn("dirbox-starter", done.out)
        modes = re.findall(r"/status:Seccomp:\t(\d)", done.out)
        self.assertGreaterEqual(len(modes), 4)
        self.assertEqual(set(modes), {"2"})

    def test_nobody_inside_looks_into_the_starter(self):
        session, _ = self.session()
        done = self.attached(session, "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = dirbox-starter ] && s=$p; done; "
                                      "tr '\\0' ' ' < $s/cmdline; cat $s/fd/3 && echo read; readlink $s/fd/3 && echo read; ls $s/cwd/ && echo read; cat $s/environ && echo read; "
                                      "readlink $s/exe && echo read; head -c1 $s/mem && echo read; true")
        self.assertNotIn("read", done.out)
        self.assertNotIn(self.profile_file, done.out)

    def test_descriptors(self):
        session, _ = self.session()
        done = self.attached(session, "ls /proc/self/fd | tr '\\n' ' '")
        self.assertEqual(done.out, "0 1 2 3 ")

    def test_refused_calls_are_named(self):
        session, _ = self.session()
        self.attached(session, f"echo x > {self.outside('canary')}")
        self.end(self.child)
        log = self.dirbox(launcher=("log", session), env=self.extra, leaks=True)
        self.assertIn("sh -c", log.out + log.err)
        self.assertIn(self.outside("canary"), log.out + log.err)

    def test_the_end_of_the_observer_is_said(self):
        child = self.start("sh", "-c", "echo $DIRBOX; exec cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, options=("-q", "-p", self.profile_file), env=self.extra)
        session = child.stdout.readline().decode().strip()
        attached = self.start("sh", "-c", "echo > /tmp/x; echo up; read line; echo > /tmp/y", launcher=("attach", session),
                              env=self.extra, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(attached.stdout.readline(), b"up\n")
        observers = subprocess.run(["pgrep", "-P", str(child.pid), "-x", "dirbox-observer"], capture_output=True, text=True, check=True)
        for pid in observers.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        attached.communicate(b"go\n", timeout=sandbox.PATIENCE)
        _, err = child.communicate(timeout=sandbox.PATIENCE)
        self.assertIn(b"the observer ended", err)

    # Statuses, streams.
    def test_statuses(self):
        session, _ = self.session()
        self.assertEqual(self.attached(session, "exit 3").code, 3)
        self.assertEqual(self.attached(session, "kill -TERM $$").code, 128 + signal.SIGTERM)
        for command, code, name in (("no-such-command", 127, "ENOENT"), ("./file", 126, "EACCES")):
            done = self.attach(session, "--", command)
            self.assertEqual(done.code, code)
            self.assertIn(f"dirbox: run: {command}: {name}", done.err)
        self.assertEqual(self.attach(session, "--", "").code, 125)

    def test_streams(self):
        session, _ = self.session()
        data = bytes(range(256)) * 5000
        child = self.start(launcher=("attach", session, "--", "sh", "-c", "cat; echo done >&2"), env=self.extra,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = child.communicate(data, timeout=sandbox.PATIENCE)
        self.assertEqual((child.returncode, out, err), (0, data, b"done\n"))

    def test_files_and_what_is_no_stream(self):
        session, _ = self.session()
        path = os.path.join(self.world.outside, "result")
        with open(path, "w", encoding="ascii") as file:
            child = self.start(launcher=("attach", session, "--", "sh", "-c", "echo one; cat /proc/self/fd/1; echo $?"),
                               env=self.extra, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL)
            self.assertEqual(child.wait(sandbox.PATIENCE), 0)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "one\n1\n", "a passed file is not opened again with other rights")
        os.remove(path)
        folder = os.open(self.world.home, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        done = self.attached(session, "chmod 666 /proc/self/fd/0; echo $?; cat", stdin=subprocess.DEVNULL)
        self.assertEqual((done.code, done.out), (0, "1\n"), "a device of the host's keeps its mode")
        done = self.attach(session, "--", "ls", "/proc/self/fd/0/", stdin=folder)
        self.assertEqual(done.code, 125)
        self.assertIn("a directory", done.err)

    # On a terminal.
    def test_a_shell_on_a_terminal(self):
        session, _ = self.session()
        terminal = self.on_terminal(session, "--", "sh", rows=31, columns=97)
        terminal.expect(r"[$#] ")
        terminal.send("tty; stty size\n")
        terminal.expect(r"/dev/pts/\d+\r\n31 97\r\n")
        terminal.send("sleep 1000; echo status $?\n")
        terminal.wait_raw()
        wait = "grep -l '^sleep' /proc/[0-9]*/comm"
        sandbox.wait_until(lambda: self.attached(session, wait).code == 0, "sleep runs")
        terminal.send("\x03")
        terminal.expect(r"status 130|[$#] ")
        terminal.send("exit 4\n")
        self.assertEqual(terminal.wait(), 4)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_resize(self):
        session, _ = self.session()
        terminal = self.on_terminal(session, "--", "sh", "-c",
                                    "trap 'stty size' WINCH; echo up; while :; do read -r line; echo got $line; done")
        terminal.expect("up\r\n")
        terminal.wait_raw()
        terminal.resize(41, 111)
        terminal.child.send_signal(signal.SIGWINCH)
        terminal.send("x\n")
        terminal.expect("41 111")
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 130)

    @unittest.skipUnless(shutil.which("tmux"), "this machine has no tmux")
    def test_tmux_inside_detach_and_attach_again(self):
        session, _ = self.session("tmux -f /dev/null new-session -d -s work -n one sh")
        for number in range(2):
            terminal = self.on_terminal(session, rows=30, columns=100)
            terminal.expect("0:one")
            terminal.send(f"echo round$((40 + {number}))\n")
            terminal.expect(f"round4{number}")
            terminal.send("tmux detach-client\n")
            terminal.expect("detached")
            self.assertEqual(terminal.wait(), 0)
            self.assertEqual(terminal.modes(), terminal.before)
        done = self.attach(session, "--", "tmux", "list-windows", "-t", "work", "-F", "#{window_name}")
        self.assertEqual(done.out, "one\n")
        self.assertFalse(os.path.exists(f"/tmp/tmux-{os.geteuid()}/default") and
                         "work" in subprocess.run(["tmux", "ls"], capture_output=True, text=True, check=False).stdout)

    def test_the_only_session_needs_no_name(self):
        runtime = tempfile.mkdtemp(prefix="dirbox-runtime-", dir="/tmp")
        self.addCleanup(shutil.rmtree, runtime, True)
        self.extra = {"XDG_RUNTIME_DIR": runtime}
        self.assertRefused(self.attach("--", "true"), "no session")
        one, _ = self.session()
        sandbox.wait_until(lambda: os.path.exists(f"{runtime}/dirbox/{one}"), "the session can be found")
        self.assertEqual(self.attach("--", "sh", "-c", "echo $DIRBOX").out.strip(), one)
        two, _ = self.session()
        sandbox.wait_until(lambda: os.path.exists(f"{runtime}/dirbox/{two}"), "the second session can be found")
        self.assertRefused(self.attach("--", "true"), "several", one, two)

    # Ends.
    def test_the_end_of_the_session(self):
        session, _ = self.session()
        terminal = self.on_terminal(session, "--", "sh", "-c", "echo up; exec cat")
        terminal.expect("up\r\n")
        self.end(self.child)
        self.assertEqual(terminal.wait(), 128 + signal.SIGKILL)
        terminal.expect("the session has ended")
        self.assertEqual(terminal.modes(), terminal.before)
        self.assertRefused(self.attach(session, "--", "true"), "find the session")

    def test_a_flood_from_inside_does_not_hold_the_client(self):
        """Whoever else is inside opens the terminal and writes without end, faster than it is read."""
        flood = "until tty=$(cat tty); do :; done 2>/dev/null; trap '' HUP; for i in 1 2 3; do yes > $tty & done"
        session, _ = self.session(f"({flood}) >/dev/null 2>&1 & :")
        terminal = self.on_terminal(session, "--", "sh", "-c", "tty > tty.new; mv tty.new tty; read -r line; mv tty tty.old")
        terminal.expect("(y\r\n){1000}")
        terminal.send("typed\n")
        sandbox.wait_until(lambda: os.path.exists(self.project("tty.old")), "the command has read it")
        shown, most = 0, 256 << 10
        while shown < most:
            try:
                terminal.child.wait(0.005)
                break
            except subprocess.TimeoutExpired:
                if select.select([terminal.master], [], [], 0)[0]:
                    shown += len(os.read(terminal.master, 2048))
        self.assertLess(shown, most)
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.modes(), terminal.before)
        os.remove(self.project("tty.old"))

    def test_the_end_of_the_client_hangs_up(self):
        session, _ = self.session()
        for number, sent in enumerate((signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)):
            mark = self.project(f"hung-up-{number}")
            terminal = self.on_terminal(session, "--", "sh", "-c", f"trap 'echo up > {mark}; exit' HUP; echo up; while :; do read x; done")
            terminal.expect("up\r\n")
            terminal.child.send_signal(sent)
            terminal.wait()
            sandbox.wait_until(lambda: os.path.exists(mark), "SIGHUP arrives")
            os.remove(mark)
        child = self.start(launcher=("attach", session, "--", "sh", "-c", "trap 'echo up > hung-up; exit' HUP; echo up; while :; do read x || :; done"),
                           env=self.extra, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(child.stdout.readline(), b"up\n")
        child.kill()
        child.wait()
        child.stdout.close()
        child.stdin.close()
        sandbox.wait_until(lambda: os.path.exists(self.project("hung-up")), "SIGHUP arrives without a terminal")
        os.remove(self.project("hung-up"))

    def test_whoever_kills_the_starter_ends_only_that(self):
        session, _ = self.session()
        self.attached(session, "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = dirbox-starter ] && kill -9 ${p#/proc/}; done")
        sandbox.wait_until(lambda: "has ended" in self.attach(session, "--", "true").err, "the supervisor notices")
        self.assertRefused(self.attach(session, "--", "true"), "has ended")
        self.child.stdin.write(b"alive\n")
        self.child.stdin.flush()
        self.assertEqual(self.child.stdout.readline(), b"alive\n")

    def test_a_stopped_starter_does_not_hold_the_client(self):
        session, _ = self.session("until p=$(grep -ls dirbox-starter /proc/[0-9]*/comm); do :; done; p=${p%/comm}; kill -STOP ${p#/proc/}")
        client = subprocess.Popen([sandbox.DIRBOX, "attach", session, "--", "true"], cwd=self.world.project, stdin=subprocess.DEVNULL,
                                  env={**self.world.environment, **self.extra})
        # It has asked when it waits: its signals are blocked before.
        sandbox.wait_until(lambda: self.blocks(client.pid, signal.SIGINT), "it watches for signals")
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(sandbox.PATIENCE), 128 + signal.SIGINT)

    @staticmethod
    def blocks(pid, number):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            mask = next(line.split()[1] for line in status if line.startswith("SigBlk:"))
        return int(mask, 16) >> (number - 1) & 1

    # Who may not.
    def test_a_session_that_is_not_open(self):
        plain = self.profile('extends = "worker"\n', "plain.toml")
        session, _ = self.session(profile=plain)
        self.assertRefused(self.attach(session, "--", "true"), "nothing can be attached", "mode = \"inside\"")
        self.assertRefused(self.attach("0123456789ab", "--", "true"), "ENOENT")
        self.assertRefused(self.attach("../x", "--", "true"), "not a session id")

    def test_not_from_inside(self):
        session, _ = self.session()
        self.world.plant(self.project("dirbox-copy"), "")
        shutil.copy2(sandbox.DIRBOX, self.project("dirbox-copy"))
        done = self.attached(session, f"./dirbox-copy attach {session} -- true")
        self.assertEqual(done.code, 125)
        os.remove(self.project("dirbox-copy"))


if __name__ == "__main__":
    sandbox.main()
