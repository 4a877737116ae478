"""Uses brokered commands as programs in the sandbox would: through pipes, shells and terminals, and against the protocol.

Runs inside broker_host, given: DIR (its --dir), LOG, ROOT (a directory shared with the host).
Each function named test_* is a case; the names of those to run follow, all when none is given.
"""
import array
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

DIR, LOG, ROOT = sys.argv[1:4]
BIN = DIR + "/bin"
LIMIT = 20.0  # seconds until a condition counts as never met


def run(*command, **options):
    return subprocess.run(command, capture_output=True, timeout=LIMIT, **options)


def events(kind=None, command=None):
    with open(LOG, encoding="utf-8") as log:
        rows = [json.loads(line) for line in log if line.endswith("\n")]
    return [r for r in rows if kind in (None, r["kind"]) and command in (None, r["command"])]


def until(condition, what):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.005)  # conditions that no descriptor announces
    raise AssertionError("never: " + what)


class Terminal:
    """A shell with job control on a pty of its own."""

    def __init__(self, *command):
        self.master, slave = pty.openpty()
        self.resize(24, 80)
        environment = {"PATH": BIN + ":/usr/bin:/bin", "TERM": "xterm", "PS1": "$ ", "HOME": "/nowhere"}
        self.process = subprocess.Popen(command or ("bash", "--norc", "--noediting", "-i"), env=environment, stdin=slave,
                                        stdout=slave, stderr=slave, start_new_session=True, cwd=ROOT,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""
        if not command:
            self.expect(r"\$ $")

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.master)

    def send(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern):
        """Reads until the pattern matches, and forgets what came before its end."""
        end = time.monotonic() + LIMIT
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"expected {pattern!r}, got {self.text!r}")
            try:
                self.text += os.read(self.master, 4096).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"expected {pattern!r}, terminal ended after {self.text!r}") from error

    def line(self, text):
        """For the shell. What is typed earlier than its prompt belongs to the command that still runs."""
        self.send(text + "\n")

    def prompt(self):
        self.expect(r"\$ $")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextlib.contextmanager
def terminal(*command):
    opened = Terminal(*command)
    try:
        yield opened
    finally:
        opened.close()


# What a program sees without a terminal.

def test_every_exit_status():
    for status in range(256):
        done = run(BIN + "/hsh", "-c", f"exit {status}")
        assert done.returncode == status, done


def test_deaths_by_signal():
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV,
                   signal.SIGPIPE, signal.SIGTERM, signal.SIGRTMIN + 3):
        done = run(BIN + "/hsh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
        assert done.returncode == -number, (number, done)


def test_pipes_and_redirections():
    shell = f"cd {ROOT}; export PATH={BIN}:$PATH; "
    assert run("sh", "-c", shell + "printf 'b\\na\\n' | hcat | sort | hcat").stdout == b"a\nb\n"
    done = run("sh", "-c", shell + "hsh -c 'echo out; echo err >&2' > one 2> two; hcat one two < /dev/null; rm one two")
    assert done.stdout == b"out\nerr\n", done
    assert run("sh", "-c", shell + "hcat <&-; echo $?; hsh -c 'read x' < /dev/null; echo $?").stdout == b"0\n1\n"
    assert run("sh", "-c", shell + "mkdir -p d; cd d && hsh -c pwd; cd .. && rmdir d").stdout == f"{ROOT}/d\n".encode()
    data = os.urandom(1 << 20) * 8
    done = run(BIN + "/hcat", input=data, cwd=ROOT)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_large_requests():
    words = ["x" * 1000] * 500
    done = run(BIN + "/hsh", "-c", 'printf %s "$*" | wc -c', "sh", *words)
    assert done.stdout == b"500499\n", done
    assert "more]" in events("ended")[-1]["arguments"][-1] and sum(map(len, events("ended")[-1]["arguments"])) < 5000
    done = run(BIN + "/hsh", "-c", "true", *["x" * 100000] * 11)
    assert done.returncode == 125 and b"1 MiB" in done.stderr, done
    assert run(BIN + "/hsh", "-c", "true", *["x"] * 5000).returncode == 125


def test_scripts_and_what_cannot_be_executed():
    done = run(BIN + "/hscript", "a", "b c")
    assert done.returncode == 5 and done.stdout == f"{DIR}/host/script a b c u\n".encode(), done
    done = run(BIN + "/hbroken")
    assert done.returncode == 126 and b"ENOEXEC" in done.stderr, done
    with terminal() as t:
        t.line("hbroken; echo rc $?")
        t.expect("ENOEXEC[^\r]*\r\nrc 126\r\n")


def test_signals_reach_the_command():
    script = 'trap "echo caught; exit 7" USR1; echo ready; while :; do sleep 0.01; done'
    child = subprocess.Popen([BIN + "/hsh", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGUSR1)
    assert child.stdout.read() == b"caught\n" and child.wait(LIMIT) == 7
    child.stdout.close()
    sleeper = subprocess.Popen([BIN + "/hsleep", "300"])
    until(lambda: events("started", "hsleep"), "hsleep starts")
    sleeper.terminate()
    assert sleeper.wait(LIMIT) == -signal.SIGTERM


def test_ignored_signals_stay_ignored():
    script = "trap '' INT; exec " + BIN + "/hsh -c 'echo ready; read line; echo $line'"
    child = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(b"alive\n", LIMIT)
    assert out == b"alive\n" and child.returncode == 0


def test_stop_and_continue_without_a_terminal():
    # In a group of its own: SIGTSTP does not stop a member of an orphaned one, which the suite's may be.
    child = subprocess.Popen([BIN + "/hsh", "-c", "echo ready; read line; echo $line"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, process_group=0)
    assert child.stdout.readline() == b"ready\n"
    for _ in range(3):
        child.send_signal(signal.SIGTSTP)
        until(lambda: os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED | os.WNOHANG)[1]), "the shim stops")
        child.send_signal(signal.SIGCONT)
    out, _ = child.communicate(b"on\n", LIMIT)
    assert out == b"on\n" and child.returncode == 0


def test_killing_the_shim_kills_the_command():
    for script in ("exec sleep 301", "trap '' HUP TERM; echo ready; while :; do sleep 0.1; done"):
        before = len(events("ended", "hsh"))
        child = subprocess.Popen([BIN + "/hsh", "-c", script])
        started = len(events("started", "hsh"))
        until(lambda: len(events("started", "hsh")) > before and started is not None, "hsh starts")
        child.kill()
        child.wait()
        until(lambda: len(events("ended", "hsh")) > before, "hsh ends")


def test_thirty_two_at_once():
    children = [subprocess.Popen([BIN + "/hsh", "-c", "read x; exit 9"], stdin=subprocess.PIPE) for _ in range(32)]
    until(lambda: len(events("started", "hsh")) - len(events("ended", "hsh")) == 32, "32 run")
    refused = [run(BIN + "/htrue") for _ in range(5)]
    for child in children:
        child.stdin.close()
    for done in refused:
        assert done.returncode == 125 and b"as many" in done.stderr, done
    assert [child.wait(LIMIT) for child in children] == [9] * 32
    until(lambda: run(BIN + "/htrue").returncode == 0, "there is room again")


def test_a_flood_is_slowed_and_served():
    done = run("sh", "-c", f"seq 300 | xargs -P 8 -I_ {BIN}/htrue")
    assert done.returncode == 0, done


def test_limits_of_one_command():
    first = subprocess.Popen([BIN + "/hone", "-c", "read x"], stdin=subprocess.PIPE)
    until(lambda: events("started", "hone"), "the first starts")
    second = run(BIN + "/hone", "-c", "true")
    assert second.returncode == 126 and b"as many as the profile permits" in second.stderr, second
    first.stdin.close()
    assert first.wait(LIMIT) == 1
    slow = run(BIN + "/hslow", "300")
    assert slow.returncode == 124 and b"timeout" in slow.stderr, slow


# Which command, which arguments, which environment, which directory.

def test_the_shim_is_one_command_under_every_name():
    for make in (os.symlink, os.link):
        for name in ("bash", "hsh", "hcat; id"):
            make(BIN + "/htrue", ROOT + "/" + name)
            assert run(ROOT + "/" + name, "-c", "echo gone wrong").stdout == b""
            assert events("ended")[-1]["command"] == "htrue"
            os.unlink(ROOT + "/" + name)
    done = subprocess.run(["../../bin/sh", "-c", "echo gone wrong"], executable=BIN + "/htrue", capture_output=True)
    assert done.stdout == b"" and events("ended")[-1]["command"] == "htrue"
    done = subprocess.run(["evil", "-c", 'echo "$0"'], executable=BIN + "/hsh", capture_output=True)
    assert done.stdout == b"hsh\n", done


def test_policy():
    assert run(BIN + "/git", "--version").stdout.startswith(b"git version")
    for words in (["--version; id"], ["--version", "--exec-path=/tmp"], ["-c", "alias.x=!id", "x"], ["status\nid"], []):
        done = run(BIN + "/git", *words)
        assert done.returncode == 126 and b"refused" in done.stderr and not done.stdout, (words, done)
    done = run(BIN + "/git", "log", "--all")
    assert done.returncode == 126 and b"not this one" in done.stderr and b"test.toml" in done.stderr, done
    assert events("refused")[-1]["arguments"] == ["log", "--all"]
    done = run(BIN + "/git", "\x1b]0;title\x07")
    assert b"\x1b" not in done.stderr


def speak_body(body, command):
    """An EXEC whose body is too large for its message."""
    fd = os.memfd_create("body", os.MFD_ALLOW_SEALING)
    os.write(fd, body)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    try:
        return speak(header(EXEC, 4, len(body)), good_fds() + [fd], command=command)
    finally:
        os.close(fd)


def test_judging_has_a_bound():
    """A megabyte of options is more than any command has, and the launcher judges nothing else meanwhile."""
    assert speak_body(exec_body(["x", "log", "-" + "p" * 1000000]), "git") == [(FAIL, 126)]
    assert "more options" in events("refused", "git")[-1]["reason"]


def test_no_variable_is_injected():
    evil = {"LD_PRELOAD": "/tmp/x.so", "PATH": "/evil", "DOCKER_HOST": "tcp://evil", "DOCKER_CONFIG": "/evil",
            "BASH_ENV": "/evil", "ENV": "/evil", "GIT_SSH_COMMAND": "evil", "HOME": "/evil", "TMUX": "/evil,1,1",
            "TMUX_TMPDIR": "/evil", "SHELL": "/evil", "EDITOR": "evil", "SSH_AUTH_SOCK": "/evil", "PYTHONPATH": "/evil",
            "NODE_OPTIONS": "--require=/evil", "XDG_RUNTIME_DIR": "/evil", "OTHER": "evil", "TERM": "../../evil",
            "LANG": "/evil", "HTTPS_PROXY": "http://evil", "BASH_FUNC_x%%": "() { evil; }"}
    done = run(BIN + "/henv", env=evil)
    assert done.returncode == 0 and b"evil" not in done.stdout and b"LD_PRELOAD" not in done.stdout, done
    names = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    assert names["HOME"] and names["PATH"]
    done = run(BIN + "/henv", env={"TERM": "xterm", "LC_ALL": "C", "PASSED": "yes"})
    for entry in (b"TERM=xterm\n", b"LC_ALL=C\n", b"PASSED=yes\n"):
        assert entry in done.stdout, done


def test_nothing_planted_is_executed():
    for name in ("env", "sleep"):
        with open(ROOT + "/" + name, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho planted\n")
        os.chmod(ROOT + "/" + name, 0o755)
    done = run(BIN + "/henv", "sleep", "0", cwd=ROOT, env={"PATH": f".:{ROOT}"})
    assert done.returncode == 0 and b"planted" not in done.stdout, done
    for name in ("env", "sleep"):
        os.unlink(ROOT + "/" + name)


def test_working_directory():
    done = run(BIN + "/hsh", "-c", "pwd", cwd="/")
    assert done.returncode == 126 and b"working directory" in done.stderr, done
    os.mkdir(ROOT + "/gone")
    done = run("sh", "-c", f"cd {ROOT}/gone; rmdir ../gone; {BIN}/htrue")
    assert done.returncode == 126, done
    os.symlink("/", ROOT + "/link")
    assert run("sh", "-c", f"cd {ROOT}/link; {BIN}/htrue").returncode == 126
    os.unlink(ROOT + "/link")
    elsewhere = os.open("/", os.O_PATH)
    assert speak(exec_packet(["x"]), [0, 1, 2, elsewhere])[0] == (FAIL, 126)
    # The name of a directory whose content the sandbox replaced: another directory than the host's.
    os.mkdir(ROOT + "/a")
    moved = os.open(ROOT + "/a", os.O_PATH)
    assert speak(exec_packet(["x"], cwd=ROOT + "/a"), [0, 1, 2, moved])[0][0] == EXIT
    assert speak(exec_packet(["x"], cwd=ROOT), [0, 1, 2, moved])[0] == (FAIL, 126)
    os.rmdir(ROOT + "/a")


def test_a_working_directory_is_looked_up_without_symlinks():
    """What a symlink of the sandbox leads to on the host would be told by the error, or mounted by autofs."""
    reasons = set()
    for target in (LOG, DIR, DIR + "/nothing", DIR + "/bin/htrue"):
        os.symlink(target, ROOT + "/link")
        assert speak(exec_packet(["x"], cwd=ROOT + "/link"), good_fds()) == [(FAIL, 126)]
        reasons.add(events("refused")[-1]["reason"])
        os.unlink(ROOT + "/link")
    assert len(reasons) == 1, reasons


# The protocol, spoken by hand.

MAGIC, VERSION = 0x58424444, 1
EXEC, SIGNAL, EXIT, FAIL = 1, 2, 20, 21


def header(kind, a=0, b=0, magic=MAGIC, version=VERSION):
    return struct.pack("=IHHII", magic, version, kind, a, b)


def exec_body(argv, cwd=None, argc=None, envc=0):
    text = b"".join(w.encode() + b"\0" for w in [ROOT if cwd is None else cwd] + argv)
    return struct.pack("=II44x", len(argv) if argc is None else argc, envc) + text


def exec_packet(argv, **options):
    body = exec_body(argv, **options)
    return header(EXEC, 0, len(body)) + body


def connect(command="htrue"):
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.settimeout(LIMIT)
    link.connect(f"{DIR}/sock/{command}.sock")
    return link


def answers(link):
    got = []
    while True:
        try:
            data = link.recv(4096)
        except ConnectionResetError:
            continue  # what was sent before it is still to be read
        if len(data) < 16:
            return got
        _, _, kind, a, _ = struct.unpack("=IHHII", data[:16])
        if kind in (EXIT, FAIL):
            got.append((kind, a))


def speak(packet, fds=(), command="htrue"):
    with connect(command) as link:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with contextlib.suppress(BrokenPipeError):
            link.sendmsg([packet], rights)
        return answers(link)


def good_fds():
    return [0, 1, 2, os.open(ROOT, os.O_PATH | os.O_CLOEXEC)]


def test_protocol_by_hand():
    assert speak(exec_packet(["x"]), good_fds()) == [(EXIT, 0)]


def test_malformed_packets():
    good = exec_packet(["x"])
    bad = [b"x", b"\0" * 16, good[:15], good[:40], good[:-1], good + b"x", header(99), header(SIGNAL, 9),
           header(EXEC, 0, 0), header(EXEC, 8, len(good) - 16) + good[16:], header(EXIT, 0),
           header(EXEC, 0, len(good) - 16, magic=1) + good[16:], header(EXEC, 0, len(good) - 16, version=2) + good[16:],
           exec_packet(["x"], argc=0), exec_packet(["x"], argc=2), exec_packet(["x"], argc=0xffffffff),
           exec_packet(["x"], envc=0xffffffff), header(EXEC, 4, 0xffffffff), b"x" * 40000, os.urandom(5000)]
    for packet in bad:
        assert speak(packet, good_fds()) == [(FAIL, 125)], packet[:64]
    assert run(BIN + "/htrue").returncode == 0


def test_descriptors():
    path, directory = os.open(ROOT, os.O_PATH), os.open(ROOT, os.O_RDONLY)
    poll = select.epoll()
    for fds in ([], [0], [0, 1, 2], [0, 1, 2, path, path], [0] * 9, [path, 1, 2, path], [0, 1, directory, path],
                [poll.fileno(), 1, 2, path]):
        assert speak(exec_packet(["x"]), fds) == [(FAIL, 125)], fds
    null = os.open("/dev/null", os.O_RDWR)
    assert speak(exec_packet(["x"]), [0, 1, 2, null]) == [(FAIL, 126)]
    before = len(os.listdir("/proc/self/fd"))
    assert len(os.listdir("/proc/self/fd")) == before


def pass_and_leave(address, packets):
    """In a process of its own, whose end does not wait: passes what makes whoever closes it last wait for LINGER."""
    with socket.create_connection(address) as held, connect() as link:
        held.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                held.send(bytes(65536))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))
        for packet, count in packets:
            fds = good_fds()
            fds = [held.fileno(), *fds[1:]] if count == len(fds) else [held.fileno()] * count
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            with contextlib.suppress(BrokenPipeError):
                link.sendmsg([packet], rights)
        os._exit(0)


LINGER = 6  # seconds


def test_closing_what_was_passed_holds_nothing_up():
    """In a message that is refused, in a request, more than there may be, and where nobody reads it."""
    for packets in ([(b"junk", 1)], [(exec_packet(["x"]), 4)], [(b"junk", 20)], [(b"junk", 0), (b"junk", 1)],
                    [(exec_packet(["x"], argc=2), 4)]):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            pid = os.fork()
            if pid == 0:
                pass_and_leave(listener.getsockname(), packets)
            peer, _ = listener.accept()  # nothing is read from it
            with peer:
                os.waitpid(pid, 0)
                begun = time.monotonic()
                assert speak(b"another") == [(FAIL, 125)]
                took = time.monotonic() - begun
        assert took < LINGER / 2, ([(len(packet), count) for packet, count in packets], took)


def test_memfd_bodies():
    body = exec_body(["x"])
    seal = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    for seals, size, result in ((seal, len(body), (EXIT, 0)), (seal & ~fcntl.F_SEAL_WRITE, len(body), (FAIL, 125)),
                                (0, len(body), (FAIL, 125)), (seal, len(body) + 1, (FAIL, 125)),
                                (seal, 1 << 30, (FAIL, 125))):
        fd = os.memfd_create("body", os.MFD_ALLOW_SEALING)
        os.write(fd, body)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        assert speak(header(EXEC, 4, size), good_fds() + [fd]) == [result], (seals, size)
        os.close(fd)
    with open(ROOT + "/body", "w+b") as file:
        file.write(body)
        file.flush()
        assert speak(header(EXEC, 4, len(body)), good_fds() + [file.fileno()]) == [(FAIL, 125)]
    os.unlink(ROOT + "/body")


def test_messages_to_a_running_command():
    for packet in (header(SIGNAL, 9), header(SIGNAL, 19), b"x", exec_packet(["x"]), header(3, 70000, 1)):
        with connect("hsleep") as link:
            before = len(events("ended", "hsleep"))
            link.sendmsg([exec_packet(["x", "302"])],
                         [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", good_fds()))])
            until(lambda: len(events("started", "hsleep")) > before, "hsleep starts")
            link.send(packet)
            until(lambda: len(events("ended", "hsleep")) > before, "a malformed message ends the command")


def ask_for_terminal():
    """The master of a pty whose command has ended, or None when there was none to be had."""
    body = exec_body(["x"])
    with connect() as link:
        link.sendmsg([header(EXEC, 3, len(body)) + body],
                     [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", good_fds()))])
        _, rights, _, _ = link.recvmsg(4096, socket.CMSG_SPACE(4))
        answers(link)
        return array.array("i", rights[0][2][:4])[0] if rights else None


def test_terminals_are_not_hoarded():
    held = [ask_for_terminal() for _ in range(64)]
    assert None not in held
    assert ask_for_terminal() is None
    assert "too many" in events("failed")[-1]["reason"]
    assert run(BIN + "/htrue").returncode == 0
    os.close(held.pop())
    until(lambda: ask_for_terminal() is not None, "there is a terminal again")
    for master in held:
        os.close(master)


def test_orders_beyond_measure():
    """A flood of signals and stops neither blocks the broker nor outlives the connection."""
    body = exec_body(["x", "308"])
    for flags in (0, 3):
        before = len(events("ended", "hsleep"))
        with connect("hsleep") as link:
            link.sendmsg([header(EXEC, flags, len(body)) + body],
                         [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", good_fds()))])
            until(lambda: len(events("started", "hsleep")) > before, "hsleep starts")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(2000):
                    link.send(header(SIGNAL, signal.SIGTSTP))
                    link.send(header(4))
            assert run(BIN + "/htrue").returncode == 0
        until(lambda: len(events("ended", "hsleep")) > before, "hsleep ends")


def test_silent_connections_time_out():
    links = [connect() for _ in range(40)]
    got = [answers(link) for link in links]
    assert all(answer == [(FAIL, 125)] for answer in got), got
    for link in links:
        link.close()
    assert run(BIN + "/htrue").returncode == 0


# What a person at a terminal sees.

def test_terminal_interrupt():
    with terminal() as t:
        for script, key, status in (("exec sleep 303", "\x03", 130), ("exec cat", "\x04", 0),
                                    ("ulimit -c 0; exec sleep 303", "\x1c", 131)):
            t.line(f"hsh -c 'echo go; {script}'")
            t.expect("go\r\n")
            t.send(key)
            t.prompt()
            t.line("echo rc $?")
            t.expect(f"rc {status}\r\n")
            t.prompt()


def test_terminal_stop_and_foreground():
    with terminal() as t:
        modes = t.modes()
        t.line("hsh -c 'trap \"echo woke\" CONT; echo go; until read x; do :; done; echo got $x'")
        t.expect("go\r\n")
        for _ in range(3):
            t.send("\x1a")
            t.expect(r"Stopped .*\r\n")
            t.prompt()
            assert t.modes()[:4] == modes[:4]
            t.line("echo rc $?")
            t.expect("rc (148|0)\r\n")
            t.prompt()
            t.line("fg")
            t.expect("\nwoke\r\n")  # SIGCONT discards a SIGTSTP that comes before it
        t.send("again\n")
        t.expect("got again\r\n")
        t.prompt()
        assert t.modes()[:4] == modes[:4]
        t.line("hsh -c 'kill -STOP $$; echo resumed'")
        t.expect(r"Stopped .*\r\n")
        t.prompt()
        t.line("fg")
        t.expect("resumed\r\n")


def test_terminal_background_job():
    with terminal() as t:
        modes = t.modes()
        t.line("hsh -c 'echo from behind; read x; echo got $x; exit 6' &")
        t.expect("\nfrom behind|\\$ from behind")
        t.line("echo shell still reads")
        t.expect("shell still reads\r\n")
        t.expect("shell still reads\r\n")
        t.prompt()
        assert t.modes()[:4] == modes[:4]
        t.line("fg")
        t.expect("hsh -c [^\r]*\r\n")
        t.send("input\n")
        t.expect("got input\r\n")
        t.prompt()
        t.line("echo rc $?")
        t.expect("rc 6\r\n")


def test_terminal_size_and_resize():
    with terminal() as t:
        t.line("hsh -c 'trap \"stty size; exit 4\" WINCH; stty size; tty; while :; do sleep 0.01; done'; echo rc $?")
        t.expect("24 80\r\n")
        t.expect("/dev/pts/[0-9]+\r\n")
        t.resize(31, 101)
        t.expect("31 101\r\n")
        t.expect("rc 4\r\n")


def test_terminal_modes_are_restored():
    with terminal() as t:
        modes = t.modes()
        for script, status in (("stty raw -echo; exit 3", 3), ("stty raw -echo; kill -9 $$", 137)):
            t.line(f"hsh -c '{script}'; echo rc $?")
            t.expect(f"rc {status}\r\n")
            t.prompt()
            assert t.modes()[:4] == modes[:4]


def test_terminal_all_output_arrives():
    with terminal() as t:
        t.line("hsh -c 'seq 20000; printf the-end'; echo")
        t.expect("\r\n19999\r\n20000\r\nthe-end\r\n")


def test_terminal_has_the_command_as_its_own():
    with terminal() as t:
        t.line("hsh -c 'echo typed > /dev/tty; ps -o stat= -p $$' 2>/dev/null; echo rc $?")
        t.expect("typed\r\n")
        t.expect(r"S?s?\+|R\+")
        t.expect("rc 0\r\n")
        t.prompt()
        t.line("hsh -c 'echo to stderr >&2; test -t 2 && echo tty' 2>errors; hcat errors; rm errors")
        t.expect("to stderr\r\n")
        t.prompt()
        t.line("hsh -c 'test -t 0 && test -t 1 && test -t 2 && echo all three'")
        t.expect("\nall three\r\n")
        t.prompt()
        t.line("hsh -c 'test -t 1 || echo no terminal' | cat; hsh -c ': </dev/tty' | cat; echo done")
        t.expect("no terminal\r\n")
        t.expect("done\r\n")


def test_terminal_editor():
    with terminal() as t:
        modes = t.modes()
        t.line("hvi -u NONE edited")
        t.expect("edited")
        t.send("ihello from vi\x1b")
        t.send(":wq\r")
        t.expect("written")
        t.prompt()
        assert t.modes()[:4] == modes[:4]
        t.line("hcat edited; rm edited")
        t.expect("hello from vi\r\n")


def test_terminal_timeout():
    with terminal() as t:
        modes = t.modes()
        t.line("hslow 309; echo rc $?")
        t.expect("timeout[^\r]*\r\nrc 124\r\n")
        t.prompt()
        assert t.modes()[:4] == modes[:4]


def test_terminal_of_a_killed_shim():
    with terminal() as t:
        before = len(events("ended", "hsleep"))
        t.line("hsleep 304 & sleep 0; jobs -p; echo listed")
        pid = int(t.expect(r"\r\n([0-9]+)\r\nlisted").group(1))
        until(lambda: len(events("started", "hsleep")) > before, "hsleep starts")
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(events("ended", "hsleep")) > before, "hsleep ends")


def test_terminal_that_goes_away():
    before = len(events("ended", "hsleep"))
    t = Terminal()
    t.line("hsleep 305")
    until(lambda: len(events("started", "hsleep")) > before, "hsleep starts")
    t.close()
    until(lambda: len(events("ended", "hsleep")) > before, "hsleep ends")


def main():
    names = sys.argv[4:] or [name for name in globals() if name.startswith("test_")]
    os.chdir(ROOT)
    failed = 0
    for name in names:
        begun = time.monotonic()
        try:
            globals()[name]()
            print(f"ok   {name} {time.monotonic() - begun:.2f} s", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            import traceback
            traceback.print_exc()
            print(f"FAIL {name}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
