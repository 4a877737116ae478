"""Where the home and the grants are: homes of each kind, swapped and odd paths, sockets, many at once."""
import os
import shutil
import socket
import stat
import subprocess
import threading

import sandbox


class Homes(sandbox.Boundary):
    def kind(self, kind):
        return ["-p", self.profile(f'extends = ["director"]\n[filesystem]\nhome = "{kind}"\n', kind + ".toml")]

    def check_secrets(self, options, errnos):
        for name in sandbox.SECRET_FILES:
            self.control("read", self.home(name))
        self.all_denied([("read", self.home(name)) for name in sandbox.SECRET_FILES], errnos, options=options)

    def test_masked_home_is_readable_without_its_secrets(self):
        options = self.kind("masked")
        self.check_secrets(options, "ENOENT")
        self.allowed("read", self.home(".bashrc"), options=options)
        self.allowed("read", self.home("other-project/.env"), options=options, leaks=True)
        self.allowed("create", self.project("made-masked"), options=options)
        os.unlink(self.project("made-masked"))
        self.all_denied([("write", self.home(".bashrc")), ("create", self.home("made")), ("unlink", self.home(".profile"))],
                        "EROFS|EACCES", options=options)
        done = self.run_ok("stat", "-c", "%a", self.home(".config"), options=options)
        self.assertEqual(done.out.strip(), f"{stat.S_IMODE(os.stat(self.home('.config')).st_mode):o}")

    def test_masked_home_shows_no_socket_or_fifo_of_its_own(self):
        os.mkfifo(self.home("fifo"))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.home("server"))
            server.listen()
            self.before = self.world.picture()
            self.control("connect-unix", self.home("server"))
            self.all_denied([("connect-unix", self.home("server")), ("stat", self.home("fifo"))], "ENOENT",
                            options=self.kind("masked"))
        os.unlink(self.home("fifo"))
        os.unlink(self.home("server"))
        self.before = self.world.picture()

    def test_host_home_is_writable_without_its_secrets(self):
        options = self.kind("host")
        self.check_secrets(options, "EACCES|ENOENT")
        self.allowed("create", self.home("made-inside"), options=options)
        self.assertTrue(os.path.exists(self.home("made-inside")))
        os.unlink(self.home("made-inside"))
        self.all_denied([("rename", self.home(".ssh"), self.home("moved")), ("rmdir", self.home(".ssh"))],
                        "EBUSY|EACCES|EPERM|EXDEV|ENOTEMPTY", options=options)

    def test_private_home_within_a_granted_tree(self):
        options = ["--read", self.world.base]
        self.allowed("read", self.outside("canary"), options=options, leaks=True)
        self.control("read", self.home(".bashrc"))
        self.all_denied([("read", self.home(".bashrc")), ("read", self.home(".ssh/id_rsa"))], "ENOENT", options=options)

    def test_a_false_home_does_not_uncover_the_real_one(self):
        """$HOME decides what ~ is, but not alone what is secret."""
        fake = self.outside("home")
        os.makedirs(fake)
        self.before = self.world.picture()
        for value in ("relative", "/"):
            self.assertRefused(self.dirbox("true", env={"HOME": value}))
        self.run_ok("sh", "-c", 'test "$HOME" = "$1" && cd ~', "sh", fake, env={"HOME": fake})
        shutil.rmtree(fake)  # with dirbox's own cache, and ~/.swarm
        # director's ~/.swarm cannot be made there; a profile that wants nothing of the home runs.
        bare = self.profile('extends = ["base"]\n[filesystem]\nread = ["${CWD}"]\n', "bare.toml")
        if not sandbox.AS_ROOT:
            self.assertRefused(self.dirbox("true", env={"HOME": "/nonexistent/home"}), "/nonexistent")
        # Root can make any directory, and the cache of filters would be made there.
        absent = os.path.join(self.world.base, "absent/home") if sandbox.AS_ROOT else "/nonexistent/home"
        self.run_ok("true", env={"HOME": absent}, options=["-p", bare])
        self.before = self.world.picture()


class Places(sandbox.Boundary):
    def test_what_is_made_anew_is_not_granted(self):
        for path in ("/", "/proc", "/sys", "/dev", "/dev/null", "/tmp", "/var/tmp", "/run", "/etc/passwd"):
            for option in ("--read", "--write"):
                with self.subTest(option=option, path=path):
                    self.assertRefused(self.dirbox("touch", "ran", options=[option, path]), option,
                                       canary=self.project("ran"))
        for path in ("/etc", "/var", os.path.dirname(self.world.home)):
            with self.subTest(path=path):
                self.assertRefused(self.dirbox("touch", "ran", options=["--write", path]), canary=self.project("ran"))

    def test_reading_etc_leaves_the_own_files(self):
        with open("/etc/passwd", encoding="utf-8") as file:
            before = file.read()
        done = self.run_ok("sh", "-c", "cat /etc/passwd; cat /etc/nsswitch.conf /etc/resolv.conf; ls /etc", options=["--read", "/etc"])
        self.assertIn("nameserver 127.0.0.1", done.out)
        self.assertIn("debian_version" if os.path.exists("/etc/debian_version") else "hosts", done.out)
        self.assertNotIn("daemon:", done.out)
        self.denied("read", "/etc/shadow", "ENOENT|EACCES", options=["--read", "/etc"])
        with open("/etc/passwd", encoding="utf-8") as file:
            self.assertEqual(file.read(), before)

    def test_a_project_in_the_temporary_directory(self):
        for parent in ("/tmp", "/var/tmp", "/dev/shm"):
            folder = f"{parent}/dirbox-{self.world.marker[-8:]}-project"
            os.mkdir(folder)
            try:
                with self.subTest(folder=folder):
                    self.world.plant(folder + "-beside", self.world.marker)
                    self.run_ok("sh", "-c", "pwd; echo x > made", cwd=folder)
                    self.assertTrue(os.path.exists(folder + "/made"))
                    self.assertNotEqual(self.dirbox("cat", folder + "-beside", cwd=folder).code, 0)
            finally:
                shutil.rmtree(folder)
                os.unlink(folder + "-beside")

    def test_odd_names(self):
        for name in (b"a b", b"a:b,c", b"-rf", b"new\nline", b"\xff\xfe", b"\\040", b"$(id)"):
            folder = os.fsencode(self.world.project) + b"/" + name
            os.mkdir(folder)
            with self.subTest(name=name):
                for options in ([], ["--dry-run", "--json"]):
                    self.run_ok("sh", "-c", "echo x > made", cwd=folder, options=options)
                self.assertTrue(os.path.exists(folder + b"/made"))
            shutil.rmtree(folder)

    def test_single_files_and_what_is_no_file(self):
        single = self.outside("single")
        self.world.plant(single, "before\n")
        os.mkfifo(self.outside("fifo"))
        self.before = self.world.picture()
        self.denied("rename", self.project("file"), single, "EBUSY|EXDEV|EACCES", options=["--write", single])
        self.run_ok("sh", "-c", f"echo before > {single}; cat {single}", options=["--write", single])
        self.run_ok("test", "-p", self.outside("fifo"), options=["--read", self.outside("fifo")])
        for path in (single, self.outside("fifo")):
            os.unlink(path)
        self.before = self.world.picture()

    def test_umask_and_full_file_systems(self):
        self.run_ok("cat", "/etc/passwd", preexec_fn=lambda: os.umask(0o777))
        tiny = self.profile('extends = ["director"]\n[filesystem]\nhome_size = "4K"\ntmp_size = "4K"\nrun_size = "32K"\n', "tiny.toml")
        done = self.dirbox("sh", "-c", "cat /dev/zero > ~/fill; echo after", options=["-p", tiny])
        self.assertIn("after", done.out)

    def test_what_fifos_and_loops_cannot_hold_up(self):
        for name in (".git", ".gitconfig", "package.json"):
            os.mkfifo(self.project("fifos-" + name))
        tree = self.project("hostile")
        os.makedirs(tree + "/bin")
        os.mkfifo(tree + "/.git")
        os.mkfifo(tree + "/bin/tool", 0o755)
        os.chmod(tree + "/bin/tool", 0o755)
        os.symlink("loop", tree + "/loop")
        os.symlink("../loop", tree + "/bin/looped")
        self.run_ok("true", cwd=tree, env={"PATH": f"{tree}/bin:{tree}/loop:/usr/bin:/bin"})
        self.assertEqual(self.dirbox("tool", cwd=tree, env={"PATH": tree + "/bin:/usr/bin"}).code, 127)
        self.assertEqual(self.dirbox("./bin/tool", cwd=tree).code, 126)
        self.assertRefused(self.dirbox("true", cwd=tree, options=["--read", "./loop"]), "ELOOP")
        shutil.rmtree(tree)


class Races(sandbox.Boundary):
    """A process swaps a path, and its parent, all the time: the right directory or none."""

    def swap(self, first, second, launches, options, script):
        swapper = subprocess.Popen(["/usr/bin/python3", "-c", """
import ctypes, os, select, sys
libc, first, second = ctypes.CDLL(None), *(os.fsencode(w) for w in sys.argv[1:])
print("up", flush=True)
while libc.renameat2(-100, first, -100, second, 2) == 0:
    select.select([], [], [], 0.0003)
""", first, second], stdout=subprocess.PIPE, text=True)
        try:
            self.assertEqual(swapper.stdout.readline(), "up\n")
            done = [self.dirbox("sh", "-c", script, options=options) for _ in range(launches)]
        finally:
            swapper.kill()
            swapper.wait()
            swapper.stdout.close()
        for one in done:
            # 1: inside, the path is being swapped as well, for a symlink that leads nowhere there.
            self.assertIn(one.code, (0, 1, 125), f"{one}")
            self.assertEqual(one.out, "right\n" if one.code == 0 else "", f"{one}")
        self.before = self.world.picture()

    def setUp(self):
        base = self.outside("race")
        self.world.plant(base + "/a/b/grant/which", "right\n")
        self.world.plant(base + "/evil/which", self.world.marker)
        self.world.plant(base + "/evil/grant/which", self.world.marker)
        self.world.plant(base + "/evil/b/grant/which", self.world.marker)
        self.base = base
        super().setUp()

    def tearDown(self):
        shutil.rmtree(self.base)
        self.before = {path: value for path, value in self.before.items() if not path.startswith(self.base)}
        super().tearDown()

    def script(self):
        return f"cat {self.base}/a/b/grant/which"

    def test_the_path_is_swapped_for_a_symlink(self):
        os.symlink(self.base + "/evil", self.base + "/link")
        self.world.plant(self.base + "/evil/which", "right\n")  # a symlink that the user may have made is followed
        self.swap(self.base + "/a/b/grant", self.base + "/link", 25, ["--write", self.base + "/a/b/grant"], self.script())

    def test_a_parent_is_swapped_in_a_writable_tree(self):
        tree = self.project("race")
        self.world.plant(tree + "/a/grant/which", "right\n")
        os.symlink(self.base + "/evil", tree + "/link")
        self.swap(tree + "/a", tree + "/link", 25, ["--read", tree + "/a/grant"], f"cat {tree}/a/grant/which")
        shutil.rmtree(tree)

    def test_what_is_protected_or_hidden_is_swapped(self):
        tree = self.project("race")
        os.makedirs(tree + "/dir/kept")
        os.makedirs(tree + "/other/kept")
        self.world.plant(tree + "/dir/kept/which", "right\n")
        self.world.plant(tree + "/other/kept/which", "right\n")
        os.symlink(self.world.home, tree + "/link")
        self.world.plant(tree + "/dir/kept/sub/x", "")
        self.world.plant(tree + "/other/kept/sub/x", "")
        self.swap(tree + "/dir", tree + "/link", 25, ["--hide", tree + "/dir/kept", "--read", tree + "/dir/kept/sub"], "echo right")
        self.assertFalse(os.path.exists(self.home("kept")), "made through the symlink")
        shutil.rmtree(tree)


class Sockets(sandbox.Boundary):
    def serve(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        self.addCleanup(self.forget, path, server)
        self.before = self.world.picture()
        return server

    def forget(self, path, server):
        server.close()
        os.unlink(path)

    def test_a_listed_socket_and_no_other(self):
        listed, beside = self.outside("listed.sock"), self.outside("beside.sock")
        server = self.serve(listed)
        self.serve(beside)
        for path in (listed, beside):
            self.control("connect-unix", path)
        server.accept()[0].close()
        self.denied("connect-unix", listed, "ENOENT")
        self.allowed("connect-unix", listed, options=["--socket", listed])
        peer = server.accept()[0]
        peer.close()
        self.denied("connect-unix", beside, "ENOENT", options=["--socket", listed])
        script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{listed}'); print(s.recv(9))"
        answering = threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"))
        answering.start()
        self.assertIn("hello", self.run_ok("python3", "-c", script, options=["--socket", listed]).out)
        answering.join()

    def test_a_dangerous_socket_needs_consent(self):
        path = self.outside("run/docker.sock")
        self.serve(path)
        refused = self.dirbox("touch", "ran", options=["--socket", path])
        self.assertRefused(refused, "--socket", "engine", "dangerous = true", canary=self.project("ran"))
        plain = self.profile(f'extends = ["director"]\n[filesystem]\nsockets = ["{path}"]\n', "plain.toml")
        self.assertRefused(self.dirbox("touch", "ran", options=["-p", plain]), "plain.toml:3:", canary=self.project("ran"))
        meant = self.profile(f'extends = ["director"]\n[filesystem]\nsockets = [{{path = "{path}", dangerous = true}}]\n', "meant.toml")
        self.allowed("connect-unix", path, options=["-p", meant])
        self.assertIn("weaker", self.run_ok("true", options=["-p", meant]).err)

    def test_what_is_no_socket(self):
        for option, path in (("--socket", self.project("file")), ("--socket", self.outside("absent")), ("--device", self.project("file")),
                             ("--device", "/dev/ptmx"), ("--device", "/dev/absent")):
            with self.subTest(option=option, path=path):
                self.assertRefused(self.dirbox("true", options=[option, path]), option)


class Many(sandbox.Boundary):
    def test_two_hundred_at_once(self):
        wanted = 200 if not os.environ.get("DIRBOX_SANITIZED") else 20
        children = [self.start("true", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(wanted)]
        results = [(child.communicate(timeout=sandbox.PATIENCE * 5)[1], child.returncode) for child in children]
        self.assertEqual([result for result in results if result[1] != 0], [])
        self.assertEqual([name for name in os.listdir(self.world.project) if "dirbox" in name], [])


if __name__ == "__main__":
    sandbox.main()
