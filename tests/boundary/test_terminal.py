"""A terminal of the sandbox's own, that behaves as the caller's, and no way into the caller's."""
import os
import signal
import subprocess
import threading

import sandbox


class Behaviour(sandbox.WithTerminal):
    def test_the_command_has_a_terminal(self):
        terminal = self.terminal("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tty && echo yes")
        terminal.expect("/dev/pts/[0-9]+")
        terminal.expect("yes")
        self.assertEqual(terminal.wait(), 0)

    def test_size_and_resize(self):
        terminal = self.terminal("bash", "-c", "stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do read -t 1 x; done",
                                 rows=33, columns=101)
        terminal.expect("33 101")
        terminal.expect("ready")
        terminal.resize(44, 120)
        terminal.expect("44 120")
        self.assertEqual(terminal.wait(), 0)

    def test_interrupt(self):
        terminal = self.terminal("tail", "-f", "ready")
        terminal.expect("ready")
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 130)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_quit(self):
        terminal = self.terminal("tail", "-f", "ready")
        terminal.expect("ready")
        terminal.send("\x1c")
        self.assertEqual(terminal.wait(), 131)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_end_of_file(self):
        terminal = self.terminal("cat")
        terminal.send("line\n")
        terminal.expect("line\r\nline")
        terminal.send("\x04")
        self.assertEqual(terminal.wait(), 0)

    def test_raw_mode_inside_is_undone_outside(self):
        terminal = self.terminal("sh", "-c", "stty raw -echo; echo ready; exit 5")
        terminal.expect("ready")
        self.assertEqual(terminal.wait(), 5)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_modes_are_restored_when_the_launcher_is_terminated(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(signal=number):
                terminal = self.terminal("sh", "-c", "stty raw -echo; exec tail -f ready")
                terminal.expect("ready")
                terminal.child.send_signal(number)
                self.assertIn(terminal.wait(), (128 + number, -number))
                self.assertEqual(terminal.modes(), terminal.before)

    def test_stop_and_continue(self):
        terminal = self.shell()
        terminal.send(f"{sandbox.DIRBOX} run -- tail -f started\n")
        terminal.expect(r"[\r\n]started")
        terminal.send("\x1a")
        terminal.expect("Stopped")
        terminal.expect("prompt> ")
        terminal.send("stty -a | grep -c ' icanon'; jobs\n")
        terminal.expect(r"[\r\n]1\r")
        terminal.expect("prompt> ")
        terminal.send("fg\n")
        terminal.expect("run -- ")
        terminal.wait_raw()
        terminal.send("\x03")
        terminal.expect("prompt> ")
        terminal.send("echo status=$?\n")
        terminal.expect("status=130")

    def test_background(self):
        terminal = self.shell()
        terminal.send(f"{sandbox.DIRBOX} run -- sh -c 'echo from-the-background' & wait\n")
        terminal.expect(r"[\r\n]from-the-background")
        terminal.send("echo still=$((40+2))\n")
        terminal.expect("still=42")

    def test_hangup_ends_the_command(self):
        terminal = self.terminal("sh", "-c", f"{self.world.project}/probe daemonize held; echo ready; exec sleep 100")
        terminal.expect("ready")
        terminal.child.send_signal(signal.SIGHUP)
        self.assertIn(terminal.wait(), (128 + signal.SIGHUP, -signal.SIGHUP))

    def test_each_stream_is_decided_by_itself(self):
        """stdout is a pipe, the rest a terminal."""
        terminal = self.raw_terminal("sh", "-c", f"{sandbox.DIRBOX} run -- sh -c 'test -t 0; echo $?; test -t 1; echo $?; "
                                     "test -t 2; echo $?' | tr '\\n' ,")
        terminal.expect("0,1,0,")

    def test_script_and_pipes(self):
        done = subprocess.run(["script", "-qec", f"{sandbox.DIRBOX} run -- sh -c 'tty; exit 9'", "/dev/null"],
                              cwd=self.world.project, env=self.world.environment, capture_output=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 9)
        self.assertIn(b"/dev/pts/", done.stdout)

    def test_in_a_pane_of_tmux(self):
        socket = self.project("tmux-socket")
        tmux = ["tmux", "-S", socket, "-f", "/dev/null"]
        command = f"{sandbox.DIRBOX} run -- sh -c 'stty size; echo in-the-pane'; tmux -S {socket} wait-for -S done; exec cat"
        subprocess.run(tmux + ["new-session", "-d", "-x", "91", "-y", "33", command], cwd=self.world.project,
                       env=self.world.environment, check=True, timeout=sandbox.PATIENCE)
        try:
            subprocess.run(tmux + ["wait-for", "done"], check=True, timeout=sandbox.PATIENCE)
            shown = subprocess.run(tmux + ["capture-pane", "-p"], check=True, capture_output=True, text=True).stdout
            self.assertIn("in-the-pane", shown)
            self.assertRegex(shown, r"3[23] 91")
        finally:
            subprocess.run(tmux + ["kill-server"], check=True, timeout=sandbox.PATIENCE)

    def test_vim(self):
        terminal = self.terminal("vim.tiny", "-u", "NONE", "-n", "made-by-vim")
        terminal.expect("made-by-vim")
        terminal.send("ihello\x1b:wq\r")
        self.assertEqual(terminal.wait(), 0)
        with open(self.project("made-by-vim"), encoding="ascii") as file:
            self.assertEqual(file.read(), "hello\n")
        self.assertEqual(terminal.modes(), terminal.before)

    def test_much_output(self):
        terminal = self.terminal("sh", "-c", "seq 1 20000; echo the-end")
        seen = terminal.expect("20000\r\nthe-end")
        self.assertTrue(seen)
        self.assertEqual(terminal.wait(), 0)


    def test_input_that_nobody_reads(self):
        """A paste into a command that does not read blocks neither signals nor the end."""
        terminal = self.terminal("sh", "-c", "stty raw -echo; exec tail -f ready")
        terminal.expect("ready")
        os.set_blocking(terminal.master, False)
        with self.assertRaises(BlockingIOError):
            for _ in range(1000):
                os.write(terminal.master, b"x" * 1000)
        os.set_blocking(terminal.master, True)
        terminal.child.terminate()
        self.assertEqual(terminal.wait(), 128 + signal.SIGTERM)

    def test_echo_of_much_input(self):
        """Both directions at once: neither side may wait for the other for ever."""
        terminal = self.terminal("sh", "-c", "stty raw -echo; echo ready; exec head -c 300000")
        terminal.expect("ready")
        sent = threading.Thread(target=lambda: [terminal.send("y" * 1000) for _ in range(300)])
        sent.start()
        terminal.expect("y{300000}")
        sent.join()
        self.assertEqual(terminal.wait(), 0)


class Injection(sandbox.WithTerminal):
    """The probe's line must not appear in the input of the shell that started dirbox."""

    def attack(self, verb, high):
        terminal = self.shell()
        terminal.send(f"{sandbox.DIRBOX} run -- ./probe {verb} {high}\n")
        seen = terminal.expect(rf"[\r\n]{verb} (ok|fail \w+)")
        terminal.expect("prompt> ")
        return seen.group(1)

    def test_tiocsti(self):
        for high in ("low", "high"):
            with self.subTest(bits=high):
                self.assertRegex(self.attack("tiocsti", high), r"fail (EPERM|EACCES|EIO|ENOTTY|ENXIO)")

    def test_tioclinux(self):
        for high in ("low", "high"):
            with self.subTest(bits=high):
                self.assertRegex(self.attack("tioclinux", high), r"fail (EPERM|EACCES|ENOTTY|EINVAL)")

    def test_through_stderr_alone(self):
        """stdin and stdout are elsewhere; stderr is the terminal."""
        terminal = self.shell()
        terminal.send(f"{sandbox.DIRBOX} run -- sh -c './probe ioctl 2 0x5412 >&2' < /dev/null | cat\n")
        self.assertRegex(terminal.expect(r"[\r\n]ioctl (ok|fail \w+)").group(1), "fail (EPERM|EACCES)")

    def test_other_terminals_of_the_user(self):
        other_master, other_slave = os.openpty()
        name = os.ttyname(other_slave)
        try:
            self.control("append", name)
            os.read(other_master, 100)
            os.set_blocking(other_master, False)
            outcome = self.probe("append", name)
            if outcome.verdict == "ok":
                self.assertRaises(BlockingIOError, os.read, other_master, 100)
            self.assertEqual(self.run_ok("sh", "-c", "ls /dev/pts | grep -v ptmx | wc -l").out.strip(), "0")
        finally:
            os.close(other_master)
            os.close(other_slave)

    def test_one_sandbox_leaves_terminals_to_others(self):
        """The kernel has one number of them for all devpts beside the host's own."""
        code = """
import errno, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
made, why = [], ""
while not why:
    try: made.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    except OSError as e: why = errno.errorcode[e.errno]
print(len(made), why, flush=True)
sys.stdin.read()
"""
        child = self.start("/usr/bin/python3", "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(lambda: (child.stdin.close(), child.wait(), child.stdout.close()))
        made, why = child.stdout.readline().decode().split()
        self.assertEqual(why, "ENOSPC")
        self.assertTrue(200 <= int(made) <= 300, made)
        terminal = self.terminal("echo", "started")
        terminal.expect("started")
        self.assertEqual(terminal.wait(), 0)

    def test_the_callers_terminal_is_not_held_inside(self):
        """Every terminal that a process inside holds is of the sandbox's own devpts."""
        terminal = self.terminal("sh", "-c", "for f in /proc/[0-9]*/fd/*; do stat -L -c 'dev=%d %F;' $f; done 2>/dev/null; echo end")
        host_devpts = os.fstat(terminal.slave).st_dev
        terminal.expect(r"dev=\d+ character special file;")
        self.assertEqual(terminal.wait(), 0)
        self.assertNotRegex(terminal.text, rf"dev={host_devpts} character")


if __name__ == "__main__":
    sandbox.main()
