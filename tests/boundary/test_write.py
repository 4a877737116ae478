"""Nothing outside the grants changes; what a command may write has no powers beyond its content."""
import os
import shutil
import stat
import subprocess

import sandbox


class Outside(sandbox.Boundary):
    def test_start_files(self):
        """The home inside is private: writing there may succeed, and changes nothing of the real one."""
        for name in sandbox.START_FILES:
            self.control("append", self.home(name))
        self.before = self.world.picture()
        attempts = [("write", self.home(name)) for name in sandbox.START_FILES]
        attempts += [("create", self.home(name)) for name in sandbox.START_FILES]
        attempts += [("mkdir", self.home(name)) for name in (".config", ".ssh", ".local", ".git")]
        attempts += [("create", self.home(name)) for name in (".ssh/authorized_keys", ".zshenv", ".bash_logout", ".gitconfig")]
        self.probes(attempts)  # tearDown compares the real home

    def test_every_kind_of_write_outside(self):
        canary, folder = self.outside("canary"), self.outside()
        self.control("append", canary)
        self.before = self.world.picture()
        self.allowed("append", self.project("file"))
        self.all_denied([
            ("write", canary), ("append", canary), ("truncate", canary), ("mmap-write", canary), ("chmod", "777", canary),
            ("chown", canary), ("utime", canary), ("setxattr", canary), ("unlink", canary), ("rename", canary, canary + "2"),
            ("link", canary, self.project("hard")), ("rename", self.project("file"), self.outside("moved")),
            ("link", self.project("file"), self.outside("hard")),
        ], "ENOENT|EACCES|EROFS|EPERM|EXDEV")
        self.assertTrue(os.path.exists(self.project("file")))
        self.probes([("create", self.outside("new")), ("mkdir", folder + "/sub"), ("symlink", "x", self.outside("link"))])

    def test_through_links_that_the_repository_ships(self):
        os.symlink(self.world.outside, self.project("out-dir"))
        os.symlink(self.outside("canary"), self.project("out-file"))
        os.symlink("../../outside/canary", self.project("out-relative"))
        self.control("append", self.project("out-file"))
        self.before = self.world.picture()
        self.all_denied([("append", self.project("out-file")), ("write", self.project("out-relative")),
                         ("create", self.project("out-dir/new")), ("unlink", self.project("out-dir/canary"))], "ENOENT")

    def test_system_tree(self):
        self.all_denied([("create", path + "/planted") for path in ("/usr", "/usr/bin", "/usr/local/bin", "/usr/lib")],
                        "EROFS|EACCES")
        for path in ("/usr/planted", "/usr/bin/planted", "/usr/local/bin/planted", "/etc/planted"):
            self.assertFalse(os.path.exists(path))
        self.all_denied([("write", "/etc/passwd"), ("unlink", "/etc/resolv.conf"), ("create", "/etc/ld.so.preload")],
                        "EROFS|EACCES|EPERM|EBUSY|ENOENT")

    def test_read_grant_is_read_only(self):
        options = ["--read", self.world.outside]
        # The canary holds the marker: the caller looks itself.
        self.allowed("read", self.outside("canary"), options=options, leaks=True)
        self.all_denied([("write", self.outside("canary")), ("create", self.outside("new")), ("unlink", self.outside("canary")),
                         ("chmod", "777", self.outside("canary")), ("utime", self.outside("canary")),
                         ("link", self.outside("canary"), self.outside("hard"))], "EROFS|EACCES", options=options)

    def test_read_grant_cannot_be_remounted(self):
        options = ["--read", self.world.outside]
        remount_writable = 0x20 | 0x1000
        self.all_denied([("mount", "none", self.world.outside, "none", remount_writable),
                         ("mount-setattr", self.world.outside), ("umount", self.world.outside)],
                        "EPERM|ENOSYS", options=options)
        self.denied("create", self.outside("new"), "EROFS|EACCES", options=options)

    def test_write_grant_writes_the_real_place(self):
        options = ["--write", self.world.outside]
        self.allowed("create", self.outside("made-inside"), options=options)
        self.assertTrue(os.path.exists(self.outside("made-inside")))
        os.unlink(self.outside("made-inside"))

    def test_write_grant_of_one_file(self):
        options = ["--write", self.outside("canary")]
        self.allowed("append", self.outside("canary"), options=options)
        self.before = self.world.picture()
        self.probes([("create", self.outside("beside"))], options=options)

    def test_the_granted_root_itself_stays(self):
        """CWD cannot be renamed or replaced, so the next launch gets the same directory."""
        os.makedirs(self.home(".swarm"), exist_ok=True)
        inode = os.stat(self.world.project).st_ino
        for path in (self.world.project, self.home(".swarm")):
            self.probes([("rename", path, path + "-moved"), ("rmdir", path), ("exchange", path, self.home(".cache")),
                         ("symlink", "/", path)])
        self.assertEqual(os.stat(self.world.project).st_ino, inode)
        self.assertFalse(os.path.islink(self.home(".swarm")))

    def test_what_lies_above_protected_and_hidden_paths(self):
        """Elsewhere nothing would hide a file the next time, and another could take the place of a protected one."""
        for name in ("config/deploy.sh", "deep/er/key", "keys/a.key"):
            os.makedirs(os.path.dirname(self.project(name)), exist_ok=True)
            self.world.plant(self.project(name), "as it was\n")
        with open(self.outside("above.toml"), "w", encoding="utf-8") as file:
            file.write('extends = ["worker"]\n[filesystem]\nprotect = ["${CWD}/config/deploy.sh"]\n'
                       'hide = ["${CWD}/deep/er/key", "${CWD}/keys/*.key"]\n')
        options = ["-p", self.outside("above.toml")]
        self.before = self.world.picture()
        try:
            for name in ("config", "deep/er", "deep", "keys"):
                self.denied("rename", self.project(name), self.project(name + "2"), "EBUSY", options=options)
            self.denied("rmdir", self.project("config"), "EBUSY", options=options)
            self.allowed("create", self.project("config/new"), options=options)
            self.allowed("rename", self.project("config/new"), self.project("config/newer"), options=options)
            self.denied("read", self.project("deep/er/key"), "EACCES", options=options)
        finally:
            for name in ("config", "deep", "keys"):
                shutil.rmtree(self.project(name))

    def test_protecting_exactly_what_can_be_written(self):
        """The working directory itself, and a directory of the home."""
        name = self.home(".swarm/kept")
        self.world.plant(name, "kept\n")
        self.addCleanup(os.unlink, name)
        options = ["-p", self.profile('extends = "director"\n[filesystem]\nprotect = ["${CWD}", "~/.swarm"]\n', "exact.toml")]
        self.addCleanup(os.unlink, options[1])
        for path, new in ((self.project("file"), self.project("new")), (name, self.home(".swarm/new"))):
            self.control("append", path)
            self.before = self.world.picture()
            self.allowed("read", path, options=options)
            self.denied("append", path, "EROFS|EACCES", options=options)
            self.denied("create", new, "EROFS|EACCES", options=options)
            self.assertFalse(os.path.exists(new))

    def test_the_launcher_and_its_profiles(self):
        self.all_denied([("write", sandbox.DIRBOX), ("unlink", sandbox.DIRBOX)], "ENOENT|EACCES|EROFS|EPERM|ETXTBSY")
        self.probes([("mkdir", self.home(".config")), ("mkdir", self.home(".config/dirbox")),
                     ("create", self.home(".config/dirbox/profile.toml"))])
        self.assertFalse(os.path.exists(self.home(".config/dirbox/profile.toml")))

    def test_launcher_binary_through_proc(self):
        """The CVE-2019-5736 class: the running launcher's file, by the handle of any visible process."""
        with open(sandbox.DIRBOX, "rb") as file:
            before = file.read()
        self.probes([("append", f"/proc/{pid}/exe") for pid in ("1", "self", "2", "3")])
        self.sh("for p in /proc/[0-9]*; do { : >> $p/exe; } 2>/dev/null; done; true")
        with open(sandbox.DIRBOX, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_kernel_settings(self):
        paths = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
                 "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
                 "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs", "/proc/sys/user/max_user_namespaces",
                 "/proc/sys/fs/binfmt_misc/register", "/proc/sys/net/ipv4/ip_forward"]
        self.all_denied([("write", path) for path in paths], "EROFS|EACCES|EPERM|ENOENT")


class Powers(sandbox.Boundary):
    def test_device_nodes(self):
        attempts = [("mknod", kind, path + "/node") for kind in ("char", "block") for path in (self.world.project, "/tmp", "/dev")]
        self.all_denied(attempts, "EPERM|EACCES|EROFS")
        self.allowed("mknod", "fifo", self.project("fifo"))
        os.unlink(self.project("fifo"))

    def test_device_nodes_of_the_host_keep_their_modes(self):
        """Root owns them inside as well, by path and by what it was passed; they work nonetheless."""
        mode = oct(stat.S_IMODE(os.stat("/dev/null").st_mode))[2:]
        if sandbox.AS_ROOT:
            self.control("chmod", mode, "/dev/null")
        self.all_denied([("chmod", oct(stat.S_IMODE(os.stat(path).st_mode))[2:], path) for path in
                         ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")], "EROFS")
        script = "for fd in 0 1 2; do chmod $MODE /proc/self/fd/$fd && touch changed; done; exit 3"
        for redirection in "< /dev/null > /dev/null 2> /dev/null", "<&- >&- 2>&-", "< /dev/zero > /dev/full 2> /dev/null":
            with self.subTest(redirection=redirection):
                done = subprocess.run(["sh", "-c", 'exec "$@" ' + redirection, "sh", sandbox.DIRBOX, "run", "--env", "MODE=" + mode, "--", "sh", "-c", script],
                                      cwd=self.world.project, env=self.world.environment, check=False, timeout=sandbox.PATIENCE)
                self.assertEqual(done.returncode, 3)
                self.assertFalse(os.path.exists(self.project("changed")))
        if sandbox.AS_ROOT:  # one that has no name any more, as one from outside of a chroot has none
            node = self.outside("null")
            os.mknod(node, stat.S_IFCHR | 0o640, os.makedev(1, 3))
            with open(node, "rb") as gone:
                os.unlink(node)
                os.fchmod(gone.fileno(), 0o644)
                done = self.dirbox("sh", "-c", "chmod 600 /proc/self/fd/0; echo $?; cat", stdin=gone)
                self.assertEqual((done.code, done.out, stat.S_IMODE(os.fstat(gone.fileno()).st_mode)), (0, "1\n", 0o644), done)
        done = self.run_ok("sh", "-c", "echo lost > /dev/null; cat; head -c 3 /dev/zero | wc -c; exec 5<> /dev/null; echo lost >&5; echo here")
        self.assertEqual(done.out, "3\nhere\n")

    def test_mounts_are_nosuid_and_nodev(self):
        table = self.run_ok("cat", "/proc/self/mounts").out
        for line in table.splitlines():
            _, target, kind, options = line.split(" ")[:4]
            with self.subTest(mount=target):
                self.assertIn("nosuid", options.split(","))
                if kind != "devpts" and not target.startswith("/dev/"):
                    self.assertIn("nodev", options.split(","))

    def test_setuid_bit_gives_nothing_inside(self):
        """A setuid program of the system tree runs without its owner's rights."""
        candidates = [path for path in ("/usr/bin/su", "/usr/bin/passwd", "/bin/mount", "/usr/bin/newgrp")
                      if os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID]
        if not candidates:
            self.skipTest("this machine has no setuid program")
        self.allowed("nnp")
        uid = os.geteuid()
        program = self.project("own-id")
        shutil.copy("/usr/bin/id", program)
        os.chmod(program, 0o4755)
        done = self.sh("./own-id -u; id -u")
        self.assertEqual(set(done.out.split()), {str(uid)})

    def test_no_leases(self):
        """Whoever opens a file with a lease on it waits; its owner gets one even where the file is only to be read."""
        code = """
import errno, fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
try: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK); print("taken")
except OSError as e: print(errno.errorcode[e.errno])
fcntl.lockf(os.open("file", os.O_RDWR), fcntl.LOCK_EX)
"""
        self.world.plant(self.outside("shown"), "text", 0o644)
        outside = subprocess.run(["/usr/bin/python3", "-c", code, self.outside("shown")], cwd=self.world.project, capture_output=True,
                                 text=True, check=False, timeout=sandbox.PATIENCE)
        self.assertEqual(outside.stdout, "taken\n", outside)
        for path, options in (self.outside("shown"), ["--read", self.outside("shown")]), (self.project("file"), []):
            done = self.dirbox("/usr/bin/python3", "-c", code, path, options=["-q", *options])
            self.assertEqual((done.code, done.out), (0, "EACCES\n"), done)
        os.unlink(self.outside("shown"))

    def test_no_setuid_program_is_left_behind(self):
        """Any user of the host could run it, root's too; what is made with the bit loses it when it gets content."""
        program = self.project("left")
        shutil.copy("/usr/bin/id", program)
        self.control("chmod", "4755", program)
        os.chmod(program, 0o755)
        self.allowed("chmod", "755", program)
        self.denied("chmod", "4755", program, "EPERM")
        done = self.run_ok("/usr/bin/python3", "-c", """
import errno, os
def answer(call):
    try: return call()
    except OSError as e: return errno.errorcode[e.errno]
fd, folder = os.open("left", os.O_RDWR), os.open(".", os.O_RDONLY)
print(answer(lambda: os.fchmod(fd, 0o6755)), answer(lambda: os.chmod("left", 0o4711, dir_fd=folder)))
os.umask(0)
fd = os.open("made", os.O_RDWR | os.O_CREAT, 0o4755)
os.write(fd, b"content")
fd = os.open("sized", os.O_RDWR | os.O_CREAT, 0o4755)
os.ftruncate(fd, 4096)
""")
        self.assertEqual(done.out, "EPERM EPERM\n")
        for name in "left", "made", "sized":
            self.assertEqual(stat.S_IMODE(os.stat(self.project(name)).st_mode), 0o755, name)

    def test_temporary_filesystems_are_capped(self):
        with open("/proc/meminfo", encoding="ascii") as file:
            memory = int(file.readline().split()[1]) * 1024
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run"):
            done = self.run_ok("stat", "-f", "-c", "%b %S", folder)
            blocks, size = map(int, done.out.split())
            with self.subTest(folder=folder):
                self.assertGreater(blocks, 0, "no size limit")
                self.assertLessEqual(blocks * size, memory // 4)


class Leftovers(sandbox.Boundary):
    def test_no_ghost_files_in_the_project(self):
        """While a sandbox runs and after it, the project has no entry that the command did not make."""
        before = sorted(os.listdir(self.world.project))
        during = self.run_ok("ls", "-A").out.split("\n")
        self.assertEqual(sorted(name for name in during if name), before)
        self.run_ok("true", options=["--hide", self.project("absent"), "--hide", self.project("file")])
        self.assertEqual(sorted(os.listdir(self.world.project)), before)

    def test_host_mount_table_and_temporary_directory(self):
        def host():
            with open("/proc/self/mountinfo", encoding="utf-8") as file:
                return file.read(), sorted(n for n in os.listdir("/tmp") if "dirbox" in n.lower()), \
                    sorted(n for n in os.listdir("/dev/shm") if "dirbox" in n.lower())
        before = host()
        self.run_ok("true")
        self.assertEqual(host()[0], before[0])


if __name__ == "__main__":
    sandbox.main()
