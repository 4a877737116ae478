"""What the host changes while nothing inside acts is left alone; what something inside does so that it looks like that, is not."""
import json
import os
import select
import signal
import socket
import subprocess
import time

import sandbox

# Orders come through a FIFO in the project: a standard stream that is a pipe would be one to a program of the host.
HELD = "touch used; echo ready; while read -r line; do eval \"$line\"; done"
# Each waits for a line between what it prepares and what it does with it, in calls that the filter does not ask about.
PRELUDE = """
import ctypes, mmap, os, socket, struct, sys, threading
EVIL = b"evil\\n"
def go():
    print("ready", flush=True)
    sys.stdin.readline()
def done():
    print("done", flush=True)
    sys.stdin.read()
"""
OLD_DESCRIPTORS = {
    "a descriptor": """
file = os.open(".envrc", os.O_WRONLY)
go()
os.pwrite(file, EVIL, 0)
os.close(file)
done()
""",
    "a mapping": """
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
file = os.open(".envrc", os.O_RDWR)
memory = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file, 0)
os.close(file)
go()
ctypes.memmove(memory, EVIL, 5)
os.utime(".envrc")
done()
""",
    "a mode": """
os.utime(".envrc")
go()
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, bits, 2**32 - 1) for tag, bits in ((1, 7), (4, 5), (32, 5)))
os.setxattr(".husky/pre-push", "system.posix_acl_access", acl)
done()
""",
    "a descriptor in flight": """
ours, theirs = socket.socketpair()
file = os.open(".envrc", os.O_WRONLY)
socket.send_fds(ours, [b"x"], [file])
os.close(file)
go()
file = socket.recv_fds(theirs, 1, 1)[1][0]
os.pwrite(file, EVIL, 0)
os.close(file)
done()
""",
    "a descriptor of a child's": """
ours, theirs = os.pipe()
if os.fork() == 0:
    file = os.open(".envrc", os.O_WRONLY)
    os.read(ours, 1)
    os.pwrite(file, EVIL, 0)
    os._exit(0)
go()
os.write(theirs, b"x")
os.wait()
done()
""",
}
# What no event tells of, until a program of the host reads it and writes it anew.
LAUNDERED = """
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
file = os.open(".git/config", os.O_RDWR)
size = os.fstat(file).st_size
memory = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file, 0)
os.close(file)
evil = b"[core]\\n\\tfsmonitor = evil\\n"
go()
ctypes.memmove(memory, evil.ljust(size, b"\\n"), size)
done()
"""
# A call that was let go, and is not done yet.
UNDER_WAY = """
def write():
    with open("fifo", "w") as file:
        file.write("x")
thread = threading.Thread(target=write)
thread.start()
go()
thread.join()
done()
"""


class Host(sandbox.Boundary):
    turn = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not sandbox.guard_can_believe(cls.world.base):
            raise sandbox.unittest.SkipTest("the home directory is on a file system on which no change is the host's for sure")

    def setUp(self):
        super().setUp()
        self.base = "."
        for name in (".pryrc", ".mcp.json"):
            if os.path.lexists(self.project(name)):
                os.unlink(self.project(name))
        self.write(".envrc", "base\n")
        self.write(".husky/pre-push", "#!/bin/sh\n")
        os.chmod(self.project(".husky/pre-push"), 0o644)
        self.write(".vscode/tasks.json", "{}")
        self.write("sub/.envrc", "base\n")
        # What changed just before the start is not known to be what it was then.
        sandbox.wait_until(lambda: time.time() > os.stat(self.project("sub/.envrc")).st_ctime + 0.1, "it has been there")

    def write(self, name, text):
        path = self.project(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        try:
            with open(self.project(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def held(self, *command, **start):
        self.boxes = getattr(self, "boxes", 0) + 1
        orders, out, err = (os.path.join(start.get("cwd", self.world.project), f"{name}{self.boxes}")
                            for name in ("orders", "out", "err"))
        os.mkfifo(orders)
        with open(out, "w", encoding="utf-8") as stdout, open(err, "w", encoding="utf-8") as stderr:
            box = self.start("sh", "-c", 'exec < "$0"; exec "$@"', orders, *(command or ("sh", "-c", HELD)),
                             **{"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr, **start})
        # For reading too: it is opened at once, and the reader's opening does not wait.
        box.orders = os.fdopen(os.open(orders, os.O_RDWR), "w", encoding="ascii")
        box.files, box.told = (orders, out, err), 0
        self.addCleanup(self.drop, box)
        self.hear(box, "ready")
        return box

    def drop(self, box):
        box.orders.close()
        if box.poll() is None:
            box.kill()
            box.wait()
        for path in box.files:
            os.unlink(path)

    def hear(self, box, word):
        """The next line of what it prints."""
        def is_heard():
            lines = self.read(box.files[1]).splitlines()
            return len(lines) > box.told or box.poll() is not None
        sandbox.wait_until(is_heard, word)
        lines = self.read(box.files[1]).splitlines()
        self.assertEqual(lines[box.told:], [word], self.read(box.files[2]))
        box.told += 1

    def attacker(self, script, **start):
        return self.held("/usr/bin/python3", "-I", "-c", PRELUDE + script, **start)

    def tell(self, box, line=""):
        print(line + "; echo done" if line else "", file=box.orders, flush=True)
        self.hear(box, "done")

    def end(self, box):
        box.orders.close()
        box.wait(sandbox.PATIENCE)
        self.assertEqual(box.returncode, 0, self.read(box.files[2]))

    def stays(self, name=""):
        """In a directory of its own, where there was nothing before, unless `name` is given."""
        Host.turn += 1
        path = self.project(name or f"{self.base}/s{self.turn}/.irbrc")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return sandbox.stays(path, f"the host's, {self.turn}\n")

    def assertUndone(self):
        """For longer than it would take to believe the host."""
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            self.assertFalse(self.stays())
            select.select([], [], [], 0.05)

    @staticmethod
    def state(pid):
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(") ", 1)[1].split()[0]

    def events(self, cause):
        done = subprocess.run([sandbox.DIRBOX, "log", "--json"], env=self.world.environment, text=True, capture_output=True,
                              check=True)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return {os.path.relpath(e["subject"], self.world.project) for e in events if e.get("cause") == cause}

    def test_left_alone(self):
        box = self.held()
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.write(".envrc", "in place\n")
        with open(self.project(".vscode/tasks.json"), "w", encoding="utf-8") as slow:  # as editors write that keep it open
            slow.write('{"version": ')
            slow.flush()
            self.assertTrue(self.stays())
            slow.write('"2.0.0"}')
        self.write(".mcp.json", "{}")
        self.write(".idea/workspace.xml", "<x/>")
        self.write(".new~", "by rename\n")
        os.rename(self.project(".new~"), self.project("sub/.envrc"))
        self.git("config", "core.fsmonitor", "/bin/false")
        self.write(".git/hooks/pre-push", "#!/bin/sh\n")
        os.chmod(self.project(".git/hooks/pre-push"), 0o755)
        self.assertTrue(self.stays())
        # From here on what the host made is what there was; the sandbox's own changes go.
        self.tell(box, "echo evil > .envrc; echo evil > .git/hooks/pre-push; git config core.fsmonitor evil; echo evil > .pythonrc")
        sandbox.wait_until(lambda: self.read(".envrc") == "in place\n", "it stands again")
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.end(box)
        self.assertEqual([self.read(name) for name in (".envrc", ".vscode/tasks.json", ".mcp.json", ".idea/workspace.xml",
                                                       "sub/.envrc", ".git/hooks/pre-push")],
                         ["in place\n", '{"version": "2.0.0"}', "{}", "<x/>", "by rename\n", "#!/bin/sh\n"])
        self.assertEqual(self.git("config", "core.fsmonitor"), "/bin/false\n")
        self.assertTrue(os.access(self.project(".git/hooks/pre-push"), os.X_OK))
        self.assertLessEqual({".envrc", ".vscode/tasks.json", ".mcp.json", "sub/.envrc", ".git/config",
                              ".git/hooks/pre-push"}, self.events("host"))
        self.git("config", "--unset", "core.fsmonitor")
        os.unlink(self.project(".git/hooks/pre-push"))

    def test_more_happens_than_can_be_followed(self):
        """The queue of events overflows, and nothing acts inside since."""
        box = self.held()
        sandbox.wait_until(self.stays, "nothing acts inside")
        os.kill(box.pid, signal.SIGSTOP)
        self.write("f", "")
        for old, new in (("f", "g"), ("g", "f")) * 10000:
            os.rename(self.project(old), self.project(new))
        os.kill(box.pid, signal.SIGCONT)
        sandbox.wait_until(self.stays, "the host is believed again", patience=20)
        self.end(box)
        os.unlink(self.project("f"))

    def test_what_leads_elsewhere_is_undone(self):
        """It would be executed from where the sandbox may have written."""
        box = self.held()
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.git("config", "core.hooksPath", "hooks")
        sandbox.wait_until(lambda: self.git("config", "core.hooksPath", check=False) == "", "it goes")
        self.assertTrue(self.stays())
        os.symlink("file", self.project(".gdbinit"))
        sandbox.wait_until(lambda: not os.path.lexists(self.project(".gdbinit")), "it goes")
        self.tell(box, "ln .envrc other")
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.write("other", "the host's output\n")
        sandbox.wait_until(lambda: self.read(".envrc") == "base\n", "it goes")
        self.end(box)

    def test_what_is_older_is_undone(self):
        """Somebody inside may have it open."""
        box = self.held("sh", "-c", "echo evil > note; exec 3>>note; " + HELD)
        sandbox.wait_until(self.stays, "nothing acts inside")
        os.rename(self.project("note"), self.project(".pryrc"))
        sandbox.wait_until(lambda: self.read(".pryrc") is None, "it goes")
        self.end(box)

    def test_old_descriptors(self):
        for what, script in OLD_DESCRIPTORS.items():
            with self.subTest(what=what):
                box = self.attacker(script)
                sandbox.wait_until(self.stays, "nothing acts inside")
                self.tell(box)
                sandbox.wait_until(self.stays, "nothing acts inside")
                self.end(box)
                self.assertEqual(self.read(".envrc"), "base\n")
                self.assertFalse(os.access(self.project(".husky/pre-push"), os.X_OK))
                self.assertEqual(self.read(f"s{self.turn}/.irbrc"), f"the host's, {self.turn}\n")
                self.setUp()

    def test_what_the_host_writes_anew(self):
        """It has read what something inside has written through a mapping."""
        config = self.project(".git/config")
        with open(config, "rb") as file:
            text = file.read()
        self.addCleanup(self.write, ".git/config", text.decode())
        box = self.attacker(LAUNDERED)
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.tell(box)
        self.assertEqual(self.git("config", "core.fsmonitor", check=False), "evil\n")
        self.git("config", "branch.main.remote", "origin")
        sandbox.wait_until(lambda: self.git("config", "core.fsmonitor", check=False) == "", "it goes")
        self.end(box)
        self.assertEqual(self.git("config", "branch.main.remote"), "origin\n")

    def test_a_call_under_way(self):
        fifo = self.project("fifo")
        os.mkfifo(fifo)
        box = self.attacker(UNDER_WAY)
        self.assertUndone()
        with open(fifo, encoding="ascii") as file:
            self.assertEqual(file.read(), "x")
        self.tell(box)
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.end(box)
        os.unlink(fifo)

    def test_other_sandboxes(self):
        """Nobody is the witness of another one, above, beneath or in the same tree."""
        for ours, theirs in ((".", "."), (".", "sub"), ("sub", ".")):
            with self.subTest(ours=ours, theirs=theirs):
                self.base = "sub"
                box = self.held(cwd=self.project(ours))
                sandbox.wait_until(self.stays, "nothing acts inside")
                for _ in range(10):
                    done = self.dirbox("sh", "-c", f"echo evil > {self.project('sub/.envrc')}", cwd=self.project(theirs))
                    self.assertEqual(done.code, 0, done)
                    self.assertNotEqual(self.read("sub/.envrc"), "evil\n")
                    self.write("sub/.envrc", "base\n")
                other = self.held("sh", "-c", f"echo evil > {self.project('sub/.envrc')}; " + HELD, cwd=self.project(theirs))
                sandbox.wait_until(lambda: self.read("sub/.envrc") != "evil\n", "it goes")
                self.assertUndone()
                self.end(other)
                sandbox.wait_until(self.stays, "alone again")
                self.end(box)
                self.assertNotEqual(self.read("sub/.envrc"), "evil\n")

    def test_a_sandbox_without_a_guard(self):
        off = self.profile('extends = "worker"\nfilesystem.guard = "off"\n')
        box = self.held()
        sandbox.wait_until(self.stays, "nothing acts inside")
        other = self.held("sh", "-c", "echo evil > .envrc; " + HELD, options=("-p", off))
        sandbox.wait_until(lambda: self.read(".envrc") == "base\n", "it goes")
        self.end(other)
        # One that is gone when our guard looks.
        file = self.profile(f'extends = "worker"\nfilesystem.write = ["{self.project(".envrc")}"]\n', "file.toml")
        for profile, cwd in ((off, "."), (file, "sub")):
            sandbox.wait_until(self.stays, "nothing acts inside")
            done = self.sh(f"echo evil > {self.project('.envrc')}", options=("-p", profile), cwd=self.project(cwd))
            self.assertEqual(done.code, 0, done)
            sandbox.wait_until(lambda: self.read(".envrc") == "base\n", "it goes")
        self.end(box)

    def test_what_was_touched_is_undone(self):
        """What is mapped, or pinned for direct I/O, may be written later; both raise the ctime."""
        box = self.attacker('os.utime(".envrc")\ngo()\ndone()\n')
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.assertFalse(self.stays(".envrc"))
        self.assertTrue(self.stays())
        self.tell(box)
        self.end(box)

    def test_servers_of_the_host(self):
        """They take orders: those at a socket in the project, and whoever is at the end of a pipe."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.project("socket"))
            server.listen()
            box = self.attacker('s = socket.socket(socket.AF_UNIX)\ns.connect("socket")\ns.close()\ngo()\ndone()\n')
            self.assertUndone()
            self.tell(box)
            self.end(box)
        os.unlink(self.project("socket"))
        read, write = os.pipe()
        with os.fdopen(read), os.fdopen(write, "w") as pipe:
            box = self.held("sh", "-c", HELD, stderr=pipe)
            self.assertUndone()
            self.end(box)

    def test_what_acts_outside(self):
        """A command of the host that the sandbox has called may go on after its answer; what is attached has calls of its own."""
        tools = self.outside("bin")
        self.world.plant(tools + "/late", '#!/bin/sh\n(read -r _ < "$1"; echo evil > .envrc) > /dev/null 2>&1 &\n', 0o755)
        self.before = self.world.picture()
        profile = self.profile('extends = "worker"\n[[excluded]]\ncommand = "late"\nmode = "host"\nallow = ["<file>"]\n')
        fifo = self.project("fifo")
        os.mkfifo(fifo)
        box = self.held(options=("-p", profile), env={"PATH": tools + ":" + self.world.environment["PATH"]})
        sandbox.wait_until(self.stays, "nothing acts inside")
        self.tell(box, "late fifo")
        with open(fifo, "w", encoding="ascii") as file:
            print("go", file=file)
        self.assertUndone()
        self.end(box)
        self.assertEqual(self.read(".envrc"), "base\n")
        os.unlink(fifo)
        box = self.held(options=("-p", self.profile('extends = "worker"\n[[excluded]]\ncommand = "true"\nmode = "inside"\n', "inside.toml")))
        sandbox.wait_until(self.stays, "nothing acts inside")
        sessions = subprocess.run([sandbox.DIRBOX, "ps"], env=self.world.environment, text=True, capture_output=True, check=True)
        (session,) = [line.split()[0] for line in sessions.stdout.splitlines() if f" {box.pid} " in line]
        attached = self.dirbox("true", launcher=("attach", session))
        self.assertEqual(attached.code, 0, attached)
        self.assertUndone()
        self.end(box)

    def test_what_is_stopped_acts_no_more(self):
        with open(os.devnull, "w", encoding="ascii") as nothing:
            box = self.start("sh", "-c", "touch used; sleep 1; kill -STOP $$; touch used; echo evil > .pryrc", stdin=subprocess.DEVNULL,
                             stdout=nothing, stderr=nothing, process_group=0)
        try:
            sandbox.wait_until(lambda: self.state(box.pid) == "T", "the launcher is stopped")
            self.write(".envrc", "the host's\n")
            self.write(".pryrc", "the host's\n")
            self.stays()
        finally:
            os.kill(box.pid, signal.SIGCONT)
        self.assertEqual(box.wait(sandbox.PATIENCE), 0)
        self.assertEqual([self.read(".envrc"), self.read(".pryrc")], ["the host's\n"] * 2)

    def test_no_witness(self):
        for rules in ('log.observe = "none"\n', 'network.mode = "proxy"\nnetwork.host_ports = ["8080"]\n',
                      '[[seccomp.rules]]\nsyscall = "openat"\naction = "log"\n',
                      '[[seccomp.rules]]\nsyscall = "openat"\nwhen = ["arg5 != 12345"]\naction = "allow"\n'):
            with self.subTest(rules=rules):
                box = self.held(options=("-p", self.profile('extends = "worker"\n' + rules)))
                self.assertUndone()
                self.end(box)


if __name__ == "__main__":
    sandbox.main()
