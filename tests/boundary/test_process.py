"""Processes outside are out of reach; no privilege is held or can be gained; nothing outlives the launcher."""
import fcntl
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile

import sandbox

NEWUSER, NEWNS, NEWPID, NEWNET = 0x10000000, 0x20000, 0x20000000, 0x40000000


class Victim:
    """A process of the caller's, in the caller's process group, that records every signal it survives."""

    def __init__(self):
        self.child = subprocess.Popen(["sleep", "1000"])

    def __enter__(self):
        return self.child.pid

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def alive(self):
        return self.child.poll() is None


class Outside(sandbox.Boundary):
    def test_signals_to_a_host_process(self):
        victim = Victim()
        with victim as pid:
            self.control("kill", pid, 0)
            self.all_denied([("kill", pid, 9), ("kill", -pid, 9), ("pidfd-kill", pid, 9), ("kill", os.getpid(), 9),
                             ("kill", os.getppid(), 0)], "ESRCH|EPERM")
            self.assertTrue(victim.alive())

    def test_broadcast(self):
        victim = Victim()
        with victim:
            self.sh("kill -9 -1")
            self.probe("kill", -1, 0)
            self.assertTrue(victim.alive())

    def test_process_group_of_the_caller(self):
        """kill(0) crosses pid namespaces when the process group is shared."""
        victim = Victim()
        with victim:
            self.allowed("kill-group-ignoring", int(signal.SIGTERM))
            self.sh("kill -9 0")
            self.assertTrue(victim.alive())

    def test_own_session(self):
        detail = self.allowed("ids").detail
        self.assertNotIn(f"sid={os.getsid(0)}", detail)
        self.assertNotIn("sid=0", detail, "the session's leader is inside")

    def test_tracing_a_host_process(self):
        victim = Victim()
        with victim as pid:
            self.all_denied([("ptrace", pid), ("vm-readv", pid, 0x400000), ("pidfd-getfd", pid, 0),
                             ("read", f"/proc/{pid}/environ"), ("read", f"/proc/{pid}/maps"), ("append", f"/proc/{pid}/mem")],
                            "ESRCH|EPERM|ENOENT|ENOSYS|EACCES")

    def test_pid_one_cannot_be_taken_over(self):
        self.all_denied([("ptrace", 1), ("vm-readv", 1, 0x400000), ("pidfd-getfd", 1, 0), ("append", "/proc/1/mem"),
                         ("read", "/proc/1/environ"), ("read", "/proc/1/maps")], "EPERM|EACCES|ENOSYS|ESRCH")

    def test_pid_one_cannot_be_taken_over_where_tracing_is_open(self):
        self.all_denied([("ptrace", 1), ("pidfd-getfd", 1, 0), ("append", "/proc/1/mem"), ("read", "/proc/1/environ")],
                        "EPERM|EACCES|ENOSYS", options=["-p", "debug"])

    def test_killing_or_stopping_pid_one_frees_nothing(self):
        done = self.sh("kill -9 1; kill -STOP 1; kill -TERM 1; cat ~/.ssh/id_rsa; echo still; exit 4")
        self.assertNotIn(self.world.marker, done.out + done.err)
        self.assertIn(done.code, (4, 143, 137))

    def test_shared_memory_of_the_host(self):
        key = 0x44495242
        made = subprocess.run(["ipcmk", "-M", "4096"], capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
        if made.returncode != 0:
            self.skipTest("this machine has no SysV shared memory")
        identity = re.search(r"\d+", made.stdout).group()
        try:
            self.control("shmat-id", identity)
            self.denied("shmat-id", identity, "EINVAL|EIDRM|ENOSYS|EPERM")
        finally:
            subprocess.run(["ipcrm", "-m", identity], check=True)
        self.all_denied([("shmget", key), ("semget", key), ("msgget", key)], "ENOENT|ENOSYS|EPERM")

    def test_session_keyring_of_the_caller(self):
        """A key in the caller's session keyring: found outside, out of reach inside."""
        outside = self.probe_outside("add-key", "dirbox-test-key")
        if outside.verdict != "ok":
            self.skipTest("this kernel has no keyrings")
        self.denied("keyctl-search", "dirbox-test-key", "EPERM|ENOSYS")
        self.denied("add-key", "other", "EPERM|ENOSYS")


class Privileges(sandbox.Boundary):
    def test_no_capabilities(self):
        self.allowed("caps")
        self.allowed("bounding")

    def test_no_new_privileges_and_a_filter(self):
        self.allowed("nnp")
        self.allowed("seccomp-mode")

    def test_every_process_inside(self):
        """pid 1 and everything else: no capability, a filter, no_new_privs."""
        # Init confines itself as it starts the command: what the command can see a moment later is what counts.
        script = "until grep -q '^Seccomp:.2' /proc/1/status; do :; done; for p in /proc/[0-9]*; do sed -n 's/^\\(Cap...\\|NoNewPrivs\\|Seccomp\\):/\\1/p' $p/status; done"
        for line in self.run_ok("sh", "-c", script).out.splitlines():
            name, value = line.split()
            with self.subTest(line=line):
                if name.startswith("Cap"):
                    self.assertEqual(int(value, 16), 0)
                elif name == "NoNewPrivs":
                    self.assertEqual(value, "1")
                elif name == "Seccomp":
                    self.assertEqual(value, "2")

    def test_identity(self):
        uid = os.geteuid()
        self.assertIn(f"uid={uid},{uid},{uid} ", self.allowed("ids").detail)
        others = [0, 1, 65534, 1234]
        self.all_denied([("setuid", other) for other in others if other != uid], "EINVAL|EPERM")
        maps = self.run_ok("cat", "/proc/self/uid_map", "/proc/self/gid_map").out.splitlines()
        self.assertEqual([line.split() for line in maps],
                         [[str(uid), str(uid), "1"], [str(os.getegid()), str(os.getegid()), "1"]])

    def core_limits(self, **start):
        """As they are after a process inside has set them to 0."""
        return self.run_ok("/usr/bin/python3", "-c", """
import ctypes, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.prlimit(0, resource.RLIMIT_CORE, (0, 0))
ctypes.CDLL(None).syscall(160 if ctypes.sizeof(ctypes.c_long) == 8 and __import__("os").uname().machine == "x86_64" else 164, 4, bytes(16))
print(resource.getrlimit(resource.RLIMIT_CORE))
""", **start).out

    def test_no_core_dumps(self):
        """The limit is 1: for 0, and for 0 only inside, the kernel would run a handler of the host's (core(5)). Who was
        started with a hard limit of 0, as sudo does, cannot raise it."""
        limit = min(1, resource.getrlimit(resource.RLIMIT_CORE)[1] % (1 << 64))
        self.assertEqual(self.core_limits(), f"({limit}, {limit})\n")
        self.assertEqual(self.core_limits(wrapper=("prlimit", "--core=0:0")), "(0, 0)\n")
        self.assertEqual(self.sh("ulimit -c 0 && ulimit -n 64 && ulimit -n").out, "64\n")

    def test_nested_namespaces(self):
        self.control("clone3", NEWUSER) if not sandbox.AS_ROOT else None
        attempts = [(verb, flags) for verb in ("unshare", "clone", "clone3")
                    for flags in (NEWUSER, NEWUSER | NEWNS, NEWUSER | NEWNET, NEWUSER | NEWPID, NEWNS, NEWNET)]
        self.all_denied(attempts, "EPERM|ENOSYS|ENOSPC")
        self.assertEqual(self.probe("read", "/proc/sys/user/max_user_namespaces").detail.strip("|"), "0")
        self.allowed("clone", 0)

    def test_entering_namespaces(self):
        self.all_denied([("setns", f"/proc/{pid}/ns/{kind}") for pid in ("1", "self") for kind in ("mnt", "net", "user", "pid")],
                        "EPERM|ENOSYS|EACCES|EINVAL")

    def test_ptrace_of_own_children_is_closed_or_harmless(self):
        self.denied("call", "ptrace", "EPERM|ENOSYS|ESRCH")

    def test_memfd_execution_stays_confined(self):
        outcome = self.probe("memfd-exec", self.project("probe"), "nnp")
        self.assertIn(outcome.verdict, ("ok", "fail"))
        done = self.dirbox(self.project("probe"), "memfd-exec", self.project("probe"), "read", self.home(".ssh/id_rsa"))
        self.assertNotIn("read ok", done.out)


class Lifetime(sandbox.Boundary):
    def held(self, path):
        """Whether some process holds the lock on the file that the probe's daemon made."""
        with open(path, "rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def daemon(self, name, then):
        """A sandbox in which a daemon holds project/NAME, then the shell does `then`."""
        path = self.project(name)
        child = self.start("sh", "-c", f"./probe daemonize {path} && until test -s {path}; do :; done; echo ready; {then}",
                           stdout=subprocess.PIPE, text=True)
        for line in child.stdout:
            if line == "ready\n":
                break
        self.assertTrue(os.path.exists(path))
        return child, path

    def test_control_a_daemon_outlives_its_shell_without_dirbox(self):
        path = self.project("held-outside")
        subprocess.run([sandbox.PROBE, "daemonize", path], check=True, stdout=subprocess.DEVNULL)
        sandbox.wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0, "the daemon starts")
        self.assertTrue(self.held(path))
        os.kill(self.holder(path), signal.SIGKILL)

    @staticmethod
    def holder(path):
        """The process that has the lock."""
        ask = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        with open(path, "rb+") as file:
            return struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, ask))[4]

    def test_a_daemon_ends_with_the_sandbox(self):
        child, path = self.daemon("held-exit", "exit 3")
        self.assertEqual(child.wait(sandbox.PATIENCE), 3)
        sandbox.wait_until(lambda: not self.held(path), "the daemon is gone")

    def test_killing_the_launcher_kills_everything(self):
        child, path = self.daemon("held-kill", "exec sleep 1000")
        self.assertTrue(self.held(path))
        child.kill()
        child.wait()
        sandbox.wait_until(lambda: not self.held(path), "the daemon is gone")

    def test_termination_is_passed_on(self):
        child, path = self.daemon("held-term", "trap 'echo caught; exit 9' TERM; : > trapped; while :; do ./probe nnp >/dev/null; done")
        sandbox.wait_until(lambda: os.path.exists(self.project("trapped")), "the trap is set")
        child.terminate()
        out, _ = child.communicate(timeout=sandbox.PATIENCE)
        self.assertEqual((child.returncode, out), (9, "caught\n"))
        sandbox.wait_until(lambda: not self.held(path), "the daemon is gone")

    def test_killing_the_launcher_leaves_nothing_on_disk(self):
        # Its own, since in the user's other suites come and go.
        runtime = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, runtime)
        env = {"XDG_RUNTIME_DIR": runtime}

        def entries():
            return {os.path.join(folder, name) for top in (self.world.base, runtime) for folder, folders, names in os.walk(top)
                    for name in folders + names}
        self.run_ok("true", env=env)  # makes caches and directories that stay
        before = entries()
        child = self.start("sh", "-c", "echo ready; exec sleep 1000", stdout=subprocess.PIPE, text=True, env=env)
        self.assertEqual(child.stdout.readline(), "ready\n")
        sandbox.wait_until(lambda: os.path.exists(runtime + "/dirbox") and os.listdir(runtime + "/dirbox"), "the session is there")
        killed = os.listdir(runtime + "/dirbox")
        child.kill()
        child.communicate()
        # The next session sweeps what the killed one had.
        child = self.start("cat", stdin=subprocess.PIPE, env=env)
        sandbox.wait_until(lambda: os.listdir(runtime + "/dirbox") not in ([], killed), "the next session is there")
        child.communicate(b"")
        self.assertEqual({path for path in entries() - before if "log" not in path and ".jsonl" not in path}, set())

    def test_a_container_whose_first_process_reaps_nobody(self):
        script = (f"import os, subprocess; [subprocess.run(['{sandbox.DIRBOX}', 'run', '-q', '-p', 'worker', '--', 'true'], check=True)"
                  " for _ in range(3)]; print([n for n in os.listdir('/proc') if n.isdigit() and ' Z ' in open(f'/proc/{n}/stat').read()])")
        done = subprocess.run(["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "python3", "-c", script],
                              cwd=self.world.project, env=self.world.environment, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, "[]\n"), done)

    def test_children_are_reaped(self):
        script = "for i in $(seq 50); do (./probe nnp >/dev/null &) ; done; wait; until [ $(ps -e | grep -c defunct) = 0 ]; do :; done; echo clean"
        self.assertIn("clean", self.run_ok("sh", "-c", script).out)


if __name__ == "__main__":
    sandbox.main()
