"""Descriptors: only 0-2 come in, and they give the rights of the mode they were passed with."""
import os
import socket
import subprocess

import sandbox


class Inherited(sandbox.Boundary):
    def test_nothing_above_two(self):
        low, high = os.open(self.world.outside, os.O_RDONLY), os.open(self.outside("canary"), os.O_RDONLY)
        os.dup2(high, 200)
        fds = (low, high, 200)
        self.assertEqual(self.probe_outside("fds", pass_fds=fds).verdict, "fail")
        self.allowed("fds", pass_fds=fds)
        self.denied("read-fd", 200, "EBADF", pass_fds=fds)
        self.denied("walk-fd", low, "canary", "ENOENT|ENOTDIR|EACCES", pass_fds=fds)
        for fd in fds:
            os.close(fd)

    def test_connected_host_socket(self):
        ours, theirs = socket.socketpair()
        self.denied("write-fd", theirs.fileno(), "EBADF", pass_fds=(theirs.fileno(),))
        theirs.close()
        self.assertEqual(ours.recv(10), b"")
        ours.close()

    def test_no_process_inside_holds_a_way_out(self):
        """Directories, namespaces, sockets and files of the launcher's are not in any process inside."""
        script = "for p in /proc/[0-9]*; do for f in $p/fd/*; do readlink $f; done; done 2>/dev/null; true"
        targets = set(self.run_ok("sh", "-c", script, leaks=True).out.split("\n"))
        for target in targets:
            with self.subTest(target=target):
                self.assertNotRegex(target, r"^(mnt|net|user|pid|ipc|uts|cgroup):\[|\.toml$|/outside|/\.ssh|/\.local/state")


class Streams(sandbox.Boundary):
    """stdin, stdout and stderr that are regular files."""

    def test_read_only_stdin_stays_read_only(self):
        path = self.outside("canary")
        with open(path, "rb") as file:
            self.assertEqual(self.probe_outside_stdin("reopen-write", file).verdict, "ok")
        self.before = self.world.picture()
        with open(path, "rb") as file:
            self.denied("reopen-write", 0, "EACCES|EROFS|EPERM|ENOENT|EBADF|ENXIO", stdin=file)
        with open(path, "rb") as file:
            self.denied("write-fd", 0, "EBADF", stdin=file)
        with open(path, "rb") as file:
            self.denied("truncate-fd", 0, "EBADF|EINVAL", stdin=file)
        with open(path, "rb") as file:
            self.denied("chmod-fd", 0, "EROFS|EPERM|EACCES|EBADF", stdin=file)

    def probe_outside_stdin(self, verb, file):
        done = subprocess.run([sandbox.PROBE, verb, "0"], stdin=file, stdout=subprocess.PIPE, check=False)
        return self.outcomes(done.stdout.decode())[0]

    def test_stdin_can_be_read_and_keeps_its_offset(self):
        with open(self.project("lines"), "w", encoding="ascii") as file:
            file.write("one\ntwo\n")
        with open(self.project("lines"), "rb", buffering=0) as file:
            file.read(4)
            self.assertEqual(self.dirbox("cat", stdin=file).out, "two\n")

    def test_write_only_stdout_stays_write_only(self):
        """A log that the sandbox appends to must not give back what others wrote there."""
        log = self.outside("log")
        self.world.plant(log, self.world.marker + "\n", 0o600)
        with open(log, "ab") as file:
            child = self.start(self.project("probe"), "reopen-read", "1", stdout=file, stderr=subprocess.PIPE)
            child.communicate(timeout=sandbox.PATIENCE)
        with open(log, encoding="ascii") as file:
            text = file.read()
        self.assertIn("reopen-read fail", text)
        self.assertTrue(text.startswith(self.world.marker))
        os.unlink(log)

    def test_append_mode_stays_append(self):
        log = self.outside("log")
        self.world.plant(log, "before\n", 0o600)
        with open(log, "ab") as file:
            child = self.start("sh", "-c", "echo after; (: > /proc/self/fd/1); true", stdout=file, stderr=subprocess.DEVNULL)
            self.assertEqual(child.wait(sandbox.PATIENCE), 0)
        with open(log, encoding="ascii") as file:
            self.assertEqual(file.read(), "before\nafter\n")
        os.unlink(log)

    def test_a_directory_as_stdin_is_no_way_out(self):
        folder = os.open(self.world.outside, os.O_RDONLY)
        try:
            done = self.dirbox(self.project("probe"), "walk-fd", "0", "canary", stdin=folder)
            self.assertIn(done.code, (1, 125), done)
            done = self.dirbox(self.project("probe"), "walk-fd", "0", "../home/.ssh/id_rsa", stdin=folder)
            self.assertIn(done.code, (1, 125), done)
        finally:
            os.close(folder)


if __name__ == "__main__":
    sandbox.main()
