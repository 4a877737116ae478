"""What a boundary suite needs: a world to protect, dirbox to run in it, and assertions in threes.

A World is a fresh directory tree: a HOME with secrets planted, a project (a git repository; the working directory),
a directory of the user's outside every grant. Every secret holds the world's random marker, so a leak through any
output is noticed without knowing the way it took; and after every test everything but the grants must be unchanged.

    class Reading(sandbox.Boundary):
        def test_key(self):
            self.control("read", self.home("id"))             # succeeds outside the sandbox
            self.allowed("read", self.project("file"))        # succeeds inside
            self.denied("read", self.home("id"), "ENOENT")    # fails inside, with exactly this errno
"""
import collections
import ctypes
import faulthandler
import hashlib
import os
import pwd
import re
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import suite

DIRBOX = os.environ.get("DIRBOX", "")
BUILD = os.path.dirname(DIRBOX)
PROBE = os.path.join(BUILD, "probe")
WITHOUT = os.path.join(BUILD, "without")
AS_ROOT = os.geteuid() == 0
PATIENCE = 60  # seconds until a command that hangs is a failure; ten times that under a sanitizer
if os.environ.get("DIRBOX_SANITIZED"):
    PATIENCE *= 10
# A suite that hangs all the same says where.
faulthandler.dump_traceback_later(float(os.environ.get("DIRBOX_TEST_HANG", 14 * PATIENCE)), exit=True)

Done = collections.namedtuple("Done", "code out err")
Outcome = collections.namedtuple("Outcome", "verdict errno detail")

SECRET_FILES = """
.ssh/id_rsa .ssh/id_ed25519 .ssh/config .aws/credentials .aws/config .gnupg/private-keys-v1.d/key.key
.config/gh/hosts.yml .netrc .docker/config.json .npmrc .pypirc .cargo/credentials.toml .git-credentials
.config/gcloud/credentials.db .azure/accessTokens.json .kube/config .mozilla/firefox/p/logins.json
.config/google-chrome/Default/Cookies .local/share/keyrings/login.keyring .password-store/mail.gpg
.bash_history .zsh_history .vault-token .terraform.d/credentials.tfrc.json .config/hub .pgpass .my.cnf
.config/rclone/rclone.conf .gem/credentials .m2/settings.xml .config/op/config .config/sops/age/keys.txt
""".split()

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]

SECRET_VARIABLES = ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "OPENAI_API_KEY", "DATABASE_URL", "SSH_AUTH_SOCK_COPY"]

START_FILES = [".bashrc", ".profile", ".gitconfig", ".config/autostart/x.desktop", ".config/systemd/user/x.service",
               ".local/bin/tool", ".ssh/authorized_keys"]


class World:
    """See the module's text. `base` is the tree; everything is removed by close()."""

    def __init__(self):
        root = os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".dirbox-tests")
        os.makedirs(root, mode=0o700, exist_ok=True)
        self.base = tempfile.mkdtemp(prefix="w", dir=root)
        self.marker = "marker-" + secrets.token_hex(8)
        self.home = os.path.join(self.base, "home")
        self.project = os.path.join(self.home, "project")
        self.outside = os.path.join(self.base, "outside")
        for folder in (self.home, self.project, self.outside, self.home + "/.cache", self.home + "/.local/state",
                       self.home + "/.local/share", self.home + "/.config"):
            os.makedirs(folder, exist_ok=True)
        for name in SECRET_FILES:
            self.plant(os.path.join(self.home, name), f"{self.marker} {name}\n", 0o600)
        for name in START_FILES:
            self.plant(os.path.join(self.home, name), "# start file\n")
        self.plant(self.outside + "/canary", f"{self.marker} canary\n")
        self.plant(self.home + "/other-project/.env", f"{self.marker} env\n")
        self.plant(self.project + "/file", "content of the project\n")
        shutil.copy2(PROBE, self.project + "/probe")
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.home, "LANG": "C.UTF-8", "TERM": "xterm",
            "USER": pwd.getpwuid(os.geteuid()).pw_name, "LOGNAME": pwd.getpwuid(os.geteuid()).pw_name,
            "SHELL": "/bin/bash", "GIT_CONFIG_NOSYSTEM": "1",
            **{name: self.marker for name in SECRET_VARIABLES},
        }
        for name in os.environ:
            if name.startswith(("DIRBOX_TEST", "ASAN_", "UBSAN_", "LSAN_")):
                self.environment[name] = os.environ[name]
        for words in (["init", "-q", "-b", "main"], ["add", "file"], ["commit", "-q", "-m", "first"]):
            subprocess.run(GIT + words, cwd=self.project, check=True, env=self.environment)

    @staticmethod
    def plant(path, text, mode=0o644):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def picture(self):
        """Every entry outside the grants: type, mode, owner, and content."""
        kept = {}
        skipped = (self.project, self.home + "/.cache/dirbox", self.home + "/.config/dirbox", self.home + "/.local/state/dirbox",
                   self.home + "/.swarm", self.home + "/.claude", self.home + "/.claude.json")
        for folder, folders, names in os.walk(self.base):
            folders[:] = [f for f in folders if os.path.join(folder, f) not in skipped]
            for name in folders + names:
                path = os.path.join(folder, name)
                if path in skipped:
                    continue
                status = os.lstat(path)
                content = b""
                if stat.S_ISREG(status.st_mode) and status.st_size > 1 << 20:  # a program of an installation
                    content = f"{status.st_size} {status.st_mtime_ns}".encode()
                elif stat.S_ISREG(status.st_mode):
                    with open(path, "rb") as file:
                        content = file.read()
                elif stat.S_ISLNK(status.st_mode):
                    content = os.readlink(path).encode()
                kept[path] = (oct(status.st_mode), status.st_uid, hashlib.sha256(content).hexdigest()[:16])
        return kept

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)


class Boundary(unittest.TestCase):
    """A suite's base: one World for each class, checked after each test."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.world = World()

    @classmethod
    def tearDownClass(cls):
        cls.world.close()

    def setUp(self):
        self.before = self.world.picture()

    def tearDown(self):
        after = self.world.picture()
        changed = {path: (self.before.get(path), after.get(path)) for path in {**self.before, **after}
                   if self.before.get(path) != after.get(path)}
        self.assertEqual(changed, {}, "changed outside the sandbox: path: (before, after)")

    # Paths.
    def home(self, name=""):
        return os.path.join(self.world.home, name)

    def project(self, name=""):
        return os.path.join(self.world.project, name)

    def outside(self, name=""):
        return os.path.join(self.world.outside, name)

    # Running.
    def git(self, *words, cwd=None, check=True):
        """The host's git, in the project; what it printed."""
        done = subprocess.run([*GIT, *words], cwd=cwd or self.world.project, env=self.world.environment, text=True,
                              capture_output=True)
        if check:
            self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def start(self, *command, options=(), cwd=None, env=None, wrapper=(), launcher=("run",), **popen):
        """dirbox as a Popen."""
        argv = [*wrapper, DIRBOX, *launcher, *options, "--", *command] if command else \
            [*wrapper, DIRBOX, *launcher, *options]
        environment = {**self.world.environment, **(env or {})}
        return subprocess.Popen(argv, cwd=cwd or self.world.project, env=environment, **popen)

    def dirbox(self, *command, stdin=None, leaks=False, **start):
        """dirbox to its end. Nothing that it prints may hold a secret (leaks=True: the caller looks itself)."""
        source = {"stdin": stdin} if stdin is not None and not isinstance(stdin, (str, bytes)) else \
            {"stdin": subprocess.PIPE if stdin is not None else subprocess.DEVNULL}
        text = stdin.encode() if isinstance(stdin, str) else stdin if isinstance(stdin, bytes) else None
        child = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **source, **start)
        try:
            out, err = child.communicate(text, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            self.fail(f"hangs: {command}\nstdout: {out.decode()}\nstderr: {err.decode()}")
        done = Done(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        if not leaks:
            self.assertNotIn(self.world.marker, done.out + done.err, f"a secret came out of {command}")
        return done

    def sh(self, script, **start):
        return self.dirbox("sh", "-c", script, **start)

    def run_ok(self, *command, **start):
        done = self.dirbox(*command, **start)
        self.assertEqual(done.code, 0, f"{command}: {done}")
        return done

    # Probes.
    @staticmethod
    def outcomes(text):
        result = []
        for line in text.splitlines():
            words = line.split(" ", 2)
            if len(words) < 2 or words[1] not in ("ok", "fail", "signal", "usage"):
                continue
            rest = line.split(" ", 3)
            if words[1] == "ok":
                result.append(Outcome("ok", "", words[2] if len(words) > 2 else ""))
            else:
                result.append(Outcome(words[1], rest[2] if len(rest) > 2 else "", rest[3] if len(rest) > 3 else ""))
        return result

    def probe_outside(self, verb, *args, **popen):
        done = subprocess.run([PROBE, verb, *map(str, args)], cwd=self.world.project, env=self.world.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=PATIENCE,
                              **popen)
        return self.outcomes(done.stdout.decode(errors="replace"))[0]

    def probe(self, verb, *args, leaks=False, **start):
        done = self.dirbox(self.world.project + "/probe", verb, *map(str, args), leaks=leaks, **start)
        outcomes = self.outcomes(done.out)
        self.assertEqual(len(outcomes), 1, f"probe {verb} {args}: {done}")
        return outcomes[0]

    def probes(self, attempts, **start):
        """Many attempts in one sandbox: a list of (verb, arg...), to a list of Outcomes."""
        script = "".join("\t".join(map(str, attempt)) + "\n" for attempt in attempts)
        done = self.dirbox(self.world.project + "/probe", "batch", stdin=script, **start)
        outcomes = self.outcomes(done.out)
        self.assertEqual(len(outcomes), len(attempts), f"{done}")
        return outcomes

    def control(self, verb, *args, **popen):
        outcome = self.probe_outside(verb, *args, **popen)
        self.assertEqual(outcome.verdict, "ok", f"control outside: {verb} {args}: {outcome}")
        return outcome

    def allowed(self, verb, *args, **start):
        outcome = self.probe(verb, *args, **start)
        self.assertEqual(outcome.verdict, "ok", f"positive inside: {verb} {args}: {outcome}")
        return outcome

    def denied(self, verb, *args_and_errno, **start):
        *args, errnos = args_and_errno
        outcome = self.probe(verb, *args, **start)
        self.check_denied((verb, *args), outcome, errnos)
        return outcome

    def check_denied(self, attempt, outcome, errnos):
        """`errnos`: one errno name, or several separated by '|'."""
        outcome = outcome._replace(detail=outcome.detail[:200])
        self.assertEqual(outcome.verdict, "fail", f"negative inside: {attempt}: {outcome}")
        self.assertIn(outcome.errno, errnos.split("|"), f"negative inside: {attempt}: {outcome}")

    def all_denied(self, attempts, errnos, **start):
        for attempt, outcome in zip(attempts, self.probes(attempts, **start)):
            with self.subTest(attempt=attempt):
                self.check_denied(attempt, outcome, errnos)

    # The launcher's own failures.
    def assertRefused(self, done, *fragments, canary=None):
        """Exit 125, a clean message that holds the fragments, and the command did not run."""
        self.assertEqual(done.code, 125, f"{done}")
        self.assertRegex(done.err, r"(?m)^dirbox: ", "a message")
        for fragment in fragments:
            self.assertIn(fragment, done.err)
        if canary:
            self.assertFalse(os.path.exists(canary), "the command ran")

    def profile(self, text, name="test.toml"):
        """A profile file beside the project; its path."""
        path = os.path.join(self.world.base, "profiles-of-the-test", name)
        self.world.plant(path, text)
        self.before = self.world.picture()
        return path


class Terminal:
    """A controlling terminal of its own with a command on it, driven like a person would."""

    def __init__(self, argv, cwd, env, rows=24, columns=80):
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = self.modes()
        self.text, self.past = "", ""
        self.child = subprocess.Popen(argv, cwd=cwd, env=env, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                      start_new_session=True, preexec_fn=self._take)

    @staticmethod
    def _take():
        import fcntl
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def modes(self):
        import termios
        return termios.tcgetattr(self.slave)[:4]

    def wait_raw(self):
        """Until dirbox has it: a shell's fg echoes the job before it gives the terminal away, and a Ctrl-C then is lost."""
        import termios
        wait_until(lambda: not termios.tcgetattr(self.slave)[3] & termios.ICANON, "the terminal is in raw mode")

    def resize(self, rows, columns):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode())

    def send_all(self, text):
        """Waits for room as often as it must: for another thread than the one that reads."""
        left = text.encode()
        while left:
            left = left[os.write(self.master, left[:1024]):]

    def read_until(self, end):
        """Everything up to `end`, where there is too much for expect()."""
        seen = bytearray(self.text.encode())
        self.text = ""
        while not seen.endswith(end):
            if not select.select([self.master], [], [], PATIENCE)[0]:
                raise AssertionError(f"the terminal never showed {end!r}")
            seen += os.read(self.master, 65536)
        return bytes(seen)

    def expect(self, pattern):
        """Reads until `pattern` has come; what follows it stays for the next call."""
        deadline = time.monotonic() + PATIENCE
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.past += self.text[:match.end()]
                self.text = self.text[match.end():]
                return match
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"the terminal never showed {pattern!r}, but: ...{self.past[-1000:]!r}, then {self.text[-500:]!r}")
            self.text += os.read(self.master, 65536).decode(errors="replace")

    def wait(self):
        """Exit status, or minus the signal; the output goes on being read, so that nothing blocks on it."""
        def drained():
            if select.select([self.master], [], [], 0)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            return self.child.poll() is not None
        wait_until(drained, "the command on the terminal ends")
        return self.child.returncode

    def close(self):
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)


class WithTerminal(Boundary):
    """A suite whose commands have a terminal.

    `tail -f ready` says that it is there and then waits, with no exec in between in which a signal could get lost.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for word in ("ready", "started"):
            cls.world.plant(f"{cls.world.project}/{word}", word + "\n")

    def terminal(self, *command, options=(), **size):
        return self.raw_terminal(DIRBOX, "run", *options, "--", *command, **size)

    def raw_terminal(self, *argv, **size):
        terminal = Terminal(list(argv), self.world.project, self.world.environment, **size)
        self.addCleanup(terminal.close)
        return terminal

    def shell(self):
        """An interactive shell outside, for job control."""
        terminal = self.raw_terminal("bash", "--norc", "--noprofile", "-i")
        terminal.send("PS1='prompt''> '; set -m\n")
        terminal.expect("prompt> ")
        return terminal


def lives(pid):
    """A zombie does not: the first process of a container may reap nobody."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, what, patience=PATIENCE):
    """Polls for what has no event to wait for (another program's effect). The one place where tests do."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what}")
        select.select([], [], [], 0.01)


def stays(path, text):
    """Whether what the host writes now is still there after many times as long as the guard takes to undo it."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        try:
            with open(path, encoding="utf-8") as file:
                if file.read() != text:
                    return False
        except FileNotFoundError:
            return False
        select.select([], [], [], 0.005)
    return True


def guard_can_believe(path):
    """Whether `path` is on a file system of dirbox-guard(1), "What the host changes"."""
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)
    return done.stdout.strip() in ("ext2/ext3", "xfs", "btrfs", "f2fs")


def have_kernel_call(number, *args):
    """Whether the running kernel implements a system call."""
    libc = ctypes.CDLL(None, use_errno=True)
    return not (libc.syscall(number, *args) < 0 and ctypes.get_errno() == 38)


def main():
    if not DIRBOX:
        sys.exit("set DIRBOX to the dirbox to test, for example build/dev/dirbox")
    suite.run()
