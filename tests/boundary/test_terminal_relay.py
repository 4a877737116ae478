"""The relay between two terminals: streams one by one, job control, hang-ups, floods in both directions."""
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading

import sandbox

RUN = f"{sandbox.DIRBOX} run --"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_of(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return re.search(rf"{field}:\s+(\S+)", file.read()).group(1)


class Streams(sandbox.WithTerminal):
    def line(self, script):
        """A script on a terminal, to its end; everything that the terminal showed."""
        terminal = self.raw_terminal("sh", "-c", f"{script}; echo the-end")
        terminal.text = "\n"
        seen = terminal.expect(r"(?s)(.*)the-end\r\n").group(1)
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.modes(), terminal.before)
        self.assertFalse(fcntl.fcntl(terminal.slave, fcntl.F_GETFL) & os.O_NONBLOCK)
        return seen.lstrip("\n")

    def test_newlines_are_made_once(self):
        for script in (f"{RUN} echo a", f"echo a | {RUN} cat", f"{RUN} echo a | cat",
                       f"{RUN} sh -c 'echo a >&2' </dev/null | cat", f"{RUN} echo a </dev/null 2>/dev/null",
                       f"{RUN} sh -c 'echo a >&2' </dev/null >/dev/null", f"{RUN} echo a & wait"):
            with self.subTest(script=script):
                self.assertEqual(self.line(script), "a\r\n")

    def test_carriage_returns_of_the_command_stay(self):
        for script in (r"printf 'a\r\nb\rc\n'", r"printf 'a\r\nb\rc\n' | cat"):
            native = self.line(script)
            for form in (script.replace("printf", f"{RUN} printf"), f"true | {script.replace('printf', f'{RUN} printf')}",
                         f"true | {RUN} sh -c 'stty -F /dev/tty raw; printf \"a\\r\\r\\nb\\rc\\r\\n\"'"):
                with self.subTest(form=form):
                    self.assertEqual(self.line(form), native)

    def test_modes_inside_are_those_outside(self):
        for change in ("erase ^H", "-ixon", "kill ^X -echoctl", "-opost", "tostop", "rows 17 columns 93"):
            with self.subTest(change=change):
                seen = self.line(f"old=$(stty -g); stty {change}; stty -a; echo ==; {RUN} stty -a; stty $old")
                outside, inside = seen.replace("\r", "").split("==\n")
                self.assertEqual([w.strip() for w in inside.split("\n")], [w.strip() for w in outside.split("\n")])

    def test_keyboard_of_a_pipeline(self):
        """A neighbour that reads the keyboard gets it, until the command asks."""
        terminal = self.raw_terminal("sh", "-c", f"{RUN} cat started - | cat")
        terminal.expect("started")
        terminal.send("typed\n")
        terminal.expect("typed\r\ntyped\r\n")
        terminal.send("\x04")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_pager_behind_the_command(self):
        terminal = self.raw_terminal("sh", "-c", f"{RUN} seq 1 500 | LESSHISTFILE=- less")
        terminal.expect("23\r\n:")
        terminal.send("G")
        terminal.expect("500")
        terminal.send("q")
        self.assertEqual(terminal.wait(), 0)

    def test_pager_inside(self):
        """stdin is a pipe: the keys come through /dev/tty."""
        terminal = self.raw_terminal("sh", "-c", f"seq 1 500 | {RUN} less")
        terminal.expect("23\r\n:")
        terminal.send("G")
        terminal.expect("500")
        terminal.send("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_command_that_polls_its_terminal(self):
        """No read, so no SIGTTIN: a line that nobody reads is the sign."""
        terminal = self.raw_terminal(
            "sh", "-c", RUN + " python3 -c 'import select,os; os.write(2,b\"ready\"); select.select([0],[],[]); "
            "print(os.read(0,99))' | cat")
        terminal.expect("ready")
        terminal.send("polled\n")
        terminal.expect(r"b'polled\\n'")
        self.assertEqual(terminal.wait(), 0)

    def test_two_terminals(self):
        """stderr is another terminal than stdout: nothing is lost."""
        master, slave = os.openpty()
        try:
            terminal = self.raw_terminal("sh", "-c", f"{RUN} sh -c 'echo one; echo two >&2' 2>{os.ttyname(slave)}")
            terminal.expect("one\r\ntwo\r\n")
            self.assertEqual(terminal.wait(), 0)
        finally:
            os.close(master)
            os.close(slave)

    def test_the_command_closes_and_reopens_its_terminal(self):
        terminal = self.terminal("sh", "-c", "exec <&- >&- 2>&-; : </dev/tty; exec >/dev/tty; echo again")
        terminal.expect("again")
        self.assertEqual(terminal.wait(), 0)


class Jobs(sandbox.WithTerminal):
    def started(self, shell, command):
        shell.send(f"{command}\n")
        shell.expect(r"[\r\n]started")

    def stop(self, shell):
        shell.send("\x1a")
        shell.expect("Stopped")
        shell.expect("prompt> ")

    def test_stop_and_continue_many_times(self):
        for command in (f"{RUN} cat started -", f"{RUN} cat started - | cat"):
            with self.subTest(command=command):
                shell = self.shell()
                self.started(shell, command)
                for i in range(4):
                    shell.send(f"line{i}\n")
                    shell.expect(f"line{i}\r\nline{i}\r\n")
                    self.stop(shell)
                    shell.send("fg\n")
                    shell.expect(r"cat.*\r\n")
                shell.send("\x04")
                shell.expect("prompt> ")
                shell.send("echo status=$?\n")
                shell.expect("status=0")

    def test_continue_in_the_background(self):
        shell = self.shell()
        os.mkfifo(self.project("go"))
        self.started(shell, f"{RUN} sh -c 'echo started; read x <go; echo got-$x'")
        self.stop(shell)
        shell.send("bg\n")
        shell.expect("prompt> ")
        shell.send("echo word >go; wait\n")
        shell.expect("got-word")
        shell.expect("prompt> ")
        shell.send("stty -a | grep -c ' icanon'\n")
        shell.expect(r"[\r\n]1\r")
        os.unlink(self.project("go"))

    def test_stopped_then_killed(self):
        for number, name in ((143, ""), (137, "-KILL"), (129, "-HUP")):
            with self.subTest(signal=name):
                shell = self.shell()
                self.started(shell, f"{RUN} tail -f started")
                self.stop(shell)
                shell.send(f"kill {name} %1; s=148; while [ $s = 148 ]; do wait -f %1; s=$?; done; echo status=$s\n")
                shell.expect(f"status={number}")

    def test_reading_in_the_background_stops_the_job(self):
        shell = self.shell()
        shell.send(f"{RUN} sh -c 'read x; echo got-$x' & wait\n")
        shell.expect("prompt> ")
        shell.send("jobs -l\n")
        shell.expect(r"Stopped.*tty input")
        shell.send("fg\n")
        shell.expect("got-.*\r\n")
        shell.send("word\n")
        shell.expect("[\r\n]got-word")
        shell.expect("prompt> ")
        shell.send("stty -a | grep -c ' icanon'\n")
        shell.expect(r"[\r\n]1\r")

    def test_brought_forward_while_running(self):
        """The shell sends no SIGCONT then."""
        shell = self.shell()
        os.mkfifo(self.project("fifo"))
        shell.send(f"{RUN} sh -c 'read x <fifo; read y; echo got-$x-$y' &\n")
        shell.expect("prompt> ")
        shell.send("echo one >fifo & fg %1\n")
        shell.expect("got-.*\r\n")
        shell.send("two\n")
        shell.expect("[\r\n]got-one-two")
        os.unlink(self.project("fifo"))

    def test_vim_stops_and_redraws(self):
        shell = self.shell()
        shell.send(f"{RUN} vim.tiny -u NONE -n page\n")
        shell.expect("~")
        shell.send("ihello\x1b")
        self.stop(shell)
        shell.send("fg\n")
        shell.expect("hello")
        shell.send(":wq\r")
        shell.expect("prompt> ")
        with open(self.project("page"), encoding="ascii") as file:
            self.assertEqual(file.read(), "hello\n")

    def test_resized_while_stopped(self):
        shell = self.shell()
        self.started(shell, f"{RUN} sh -c 'echo started; read x; stty size'")
        self.stop(shell)
        shell.resize(31, 77)
        shell.send("fg\n")
        shell.expect("read x.*\r\n")
        shell.send("\n")
        shell.expect("31 77")

    def test_stop_without_a_shell_to_continue(self):
        """An orphaned job does not stop natively, nor here."""
        terminal = self.terminal("cat", "started", "-")
        terminal.expect("started")
        terminal.send("\x1a")
        terminal.send("on\n")
        terminal.expect("on\r\non\r\n")
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 130)

    def test_interrupt_reaches_the_neighbours(self):
        for script in (f"{RUN} tail -f started; echo went-on",
                       f"{RUN} sh -c 'exec tail -f started >&2' | sleep 101; echo went-on"):
            with self.subTest(script=script):
                terminal = self.raw_terminal("sh", "-c", script)
                terminal.expect("started")
                terminal.send("\x03")
                self.assertEqual(terminal.wait(), -signal.SIGINT)
                self.assertNotIn("went-on", terminal.text)

    def test_the_command_makes_no_signal_key_for_the_neighbours(self):
        inside = "stty intr a quit b; trap 'echo its-own' INT QUIT; echo started; until read x; do :; done; echo got-$x"
        terminal = self.raw_terminal("sh", "-c", f'{RUN} sh -c "{inside}"; echo went-on'.replace("$x", "\\$x"))
        terminal.expect("started")
        terminal.wait_raw()
        for key in ("a", "b"):
            terminal.send(key)
            terminal.expect("its-own")
        terminal.send("line\n")
        terminal.expect("got-line")
        terminal.expect("went-on")
        self.assertEqual(terminal.wait(), 0)

    def test_stop_by_signal_and_continue(self):
        shell = self.shell()
        self.started(shell, f"{RUN} sh -c 'echo started; read x; echo got-$x; cat'")
        child = subprocess.check_output(["pgrep", "-P", str(shell.child.pid), "dirbox"], text=True).split()[0]
        os.kill(int(child), signal.SIGTSTP)
        shell.expect("Stopped")
        shell.expect("prompt> ")
        shell.send("fg\n")
        shell.expect("cat.*\r\n")
        shell.send("word\n")
        shell.expect("[\r\n]got-word")
        shell.send("\x04")
        shell.expect("prompt> ")

    def test_continued_in_the_middle_of_a_stop(self):
        child = self.start("sh", "-c", "for i in $(seq 40); do kill -STOP $$; done; echo went-on", process_group=0,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        with child:
            while not sandbox.select.select([child.stdout], [], [], 0.001)[0]:
                child.send_signal(signal.SIGCONT)
            self.assertEqual(child.stdout.read(), "went-on\n")
            self.assertEqual(child.wait(), 0)

    def test_signals_reach_the_command_alone(self):
        for stdin in (subprocess.DEVNULL, None):
            child = self.start(
                "sh", "-c", "trap 'echo command; kill $!; exit 7' USR1; "
                "(trap 'echo child' USR1; echo ready; while :; do sleep 0.1; done) & while :; do wait; done",
                stdin=stdin or subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            with child:
                self.assertEqual(child.stdout.readline(), "ready\n")
                child.send_signal(signal.SIGUSR1)
                self.assertEqual(child.stdout.read(), "command\n")
                self.assertEqual(child.wait(), 7)

    def test_every_signal_is_a_status(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            with self.subTest(signal=number):
                terminal = self.terminal("tail", "-f", "ready")
                terminal.expect("ready")
                terminal.child.send_signal(number)
                self.assertEqual(terminal.wait(), 128 + number)
                self.assertEqual(terminal.modes(), terminal.before)


class Ends(sandbox.WithTerminal):
    def test_the_terminal_is_closed(self):
        """As when a window or a pane goes: everything ends, at once and without spinning."""
        for how in ("", "< /dev/null", "| cat"):
            with self.subTest(how=how):
                canary = self.project("held")
                terminal = self.raw_terminal("bash", "-c", f"{RUN} sh -c 'echo ready >&2; exec flock held sleep 100' {how}; :")
                terminal.expect("ready")
                inside = int(subprocess.check_output(["pgrep", "-P", str(terminal.child.pid), "dirbox"],
                                                     text=True).split()[0])
                os.close(terminal.slave)
                os.close(terminal.master)
                sandbox.wait_until(lambda: not sandbox.lives(inside), "dirbox ends")
                terminal.child.wait(sandbox.PATIENCE)
                subprocess.run(["flock", "-w", str(sandbox.PATIENCE), canary, "true"], check=True)
                terminal.master, terminal.slave = os.openpty()

    def test_a_command_that_outlives_the_terminal_does_not_make_dirbox_spin(self):
        fifo = self.project("fifo")
        os.mkfifo(fifo)
        terminal = self.raw_terminal(sandbox.DIRBOX, "run", "--", "sh", "-c",
                                     "trap '' HUP; echo ready; read x <fifo; exit 3")
        terminal.expect("ready")
        os.close(terminal.slave)
        os.close(terminal.master)
        terminal.master, terminal.slave = os.openpty()
        with open(fifo, "w", encoding="ascii"):
            before = cpu_seconds(terminal.child.pid)
            self.assertFalse(sandbox.select.select([], [], [], 0.5)[0])
            self.assertLess(cpu_seconds(terminal.child.pid) - before, 0.1)
        self.assertEqual(terminal.child.wait(sandbox.PATIENCE), 3)
        os.unlink(fifo)

    def test_last_words_of_a_descendant(self):
        terminal = self.terminal("sh", "-c", "(seq 1 3000; echo last-of-all) & wait; exit 4")
        terminal.expect("3000\r\nlast-of-all\r\n")
        self.assertEqual(terminal.wait(), 4)

    def test_command_not_found_leaves_the_modes(self):
        terminal = self.terminal("/nonexistent")
        self.assertEqual(terminal.wait(), 127)
        self.assertEqual(terminal.modes(), terminal.before)
        self.assertNotRegex(terminal.text, r"[^\r]\n")

    def test_nested(self):
        """Without user namespaces inside, a launcher inside the sandbox fails cleanly."""
        shutil.copy2(sandbox.DIRBOX, self.project("inner-dirbox"))
        terminal = self.terminal("./inner-dirbox", "run", "--force-cwd", "--", "true")
        self.assertEqual(terminal.wait(), 125)
        self.assertIn("dirbox: ", terminal.text)
        self.assertEqual(terminal.modes(), terminal.before)


class Floods(sandbox.WithTerminal):
    def test_a_display_that_shows_nothing(self):
        """The command blocks, dirbox neither grows nor spins, and Ctrl-C works."""
        terminal = self.terminal("yes")
        terminal.expect("y\r\ny")
        sandbox.wait_until(lambda: status_of(terminal.child.pid, "State") == "S", "dirbox waits")
        sandbox.select.select([], [], [], 0.2)
        before = cpu_seconds(terminal.child.pid)
        sandbox.select.select([], [], [], 0.5)
        self.assertLess(cpu_seconds(terminal.child.pid) - before, 0.1)
        # No buffer grows: the debug build itself takes 8.5 MiB; tests/bench/start holds the release build to its target.
        # AddressSanitizer keeps up to 256 MiB of what was freed.
        self.assertLess(int(status_of(terminal.child.pid, "VmHWM")), (320 if "DIRBOX_SANITIZED" in os.environ else 11) << 10)
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 130)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_stopped_output(self):
        terminal = self.terminal("yes")
        terminal.expect("y\r\ny")
        terminal.send("\x13")
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), 130)

    def test_a_display_that_shows_nothing_holds_up_no_stop(self):
        shell = self.shell()
        shell.send(f"{RUN} sh -c 'yes & read x; kill -STOP $$; kill $!'\n")
        shell.expect("y\r\ny")
        shell.send("\n")
        inside = int(subprocess.check_output(["pgrep", "-P", str(shell.child.pid), "dirbox"], text=True).split()[0])
        sandbox.wait_until(lambda: status_of(inside, "State") == "T", "the launcher is stopped")
        shell.expect("Stopped")
        shell.send("fg\n")
        shell.expect("fg\r\n")
        shell.expect("prompt> ")

    def paste(self, modes, end):
        terminal = self.terminal("sh", "-c", f"stty {modes} -echo; echo ready; head -c 1000000 >pasted; echo done; {end}")
        terminal.expect("ready")
        text = "".join(f"{i:07d} of a long paste.........\n" for i in range(32000))[:1000000 - 1] + "\n"
        sender = threading.Thread(target=terminal.send_all, args=(text,))
        sender.start()
        terminal.expect("done")
        sender.join()
        self.assertEqual(terminal.wait(), 0)
        with open(self.project("pasted"), encoding="ascii") as file:
            self.assertEqual(file.read(), text)

    def test_paste_by_lines(self):
        self.paste("icanon", "true")

    def test_paste_raw(self):
        self.paste("raw", "stty sane")

    def test_much_output_is_complete(self):
        terminal = self.terminal("sh", "-c", "seq 1 300000 | sha256sum; seq 1 300000; echo the-end")
        digest = terminal.expect("([0-9a-f]{64})  -\r\n").group(1)
        seen = terminal.read_until(b"the-end\r\n")
        self.assertEqual(hashlib.sha256(seen[:-9].replace(b"\r\n", b"\n")).hexdigest(), digest)
        self.assertEqual(terminal.wait(), 0)


    def test_last_output_on_a_slow_display_is_complete(self):
        """It takes longer than the patience with one that shows nothing."""
        text = "".join(f"{i:07d}\n" for i in range(1, 1900))
        terminal = self.terminal("sh", "-c", "seq -f %07.0f 1 1899; : > ended")
        sandbox.wait_until(lambda: os.path.exists(self.project("ended")), "the command ends")
        os.unlink(self.project("ended"))
        seen = b""
        while not seen.endswith(b"0001899\r\n"):
            self.assertTrue(sandbox.select.select([terminal.master], [], [], sandbox.PATIENCE)[0], seen[-20:])
            seen += os.read(terminal.master, 64)
            sandbox.select.select([], [], [], 0.01)
        self.assertEqual(seen.decode().replace("\r\n", "\n"), text)
        self.assertEqual(terminal.wait(), 0)


class Remote(sandbox.WithTerminal):
    def test_ssh_with_a_terminal(self):
        """The session's leader is dirbox itself; resize and Ctrl-C pass through two relays."""
        if not os.path.exists("/usr/sbin/sshd"):
            self.skipTest("this machine has no sshd")
        if not sandbox.AS_ROOT:
            self.skipTest("needs root: sshd gives the terminal to its user")
        os.makedirs("/run/sshd", exist_ok=True)
        base = self.outside("ssh")
        os.makedirs(base, mode=0o700)
        try:
            for name in ("host", "user"):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{base}/{name}"], check=True)
            sshd = (f"/usr/sbin/sshd -i -f /dev/null -o HostKey={base}/host -o AuthorizedKeysFile={base}/user.pub "
                    "-o UsePAM=no -o StrictModes=no -o PidFile=none -o PermitRootLogin=yes -o UseDNS=no")
            options = ["-F", "/dev/null", "-i", f"{base}/user", "-o", f"ProxyCommand={sshd}",
                       "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={base}/known", "-o", "BatchMode=yes"]
            terminal = self.raw_terminal(
                "ssh", "-tt", *options, "localhost",
                f"cd {self.world.project} && HOME={self.world.home} {RUN} sh -c 'stty size; trap \"stty size\" WINCH; "
                "echo ready; while :; do read x; done'", rows=29, columns=99)
            terminal.expect("29 99")
            terminal.expect("ready")
            terminal.resize(30, 98)
            terminal.expect("30 98")
            terminal.send("\x03")
            self.assertEqual(terminal.wait(), 130)
            self.assertEqual(terminal.modes(), terminal.before)
        finally:
            shutil.rmtree(base)


if __name__ == "__main__":
    sandbox.main()
