"""Hidden files are absent under every name, and nothing tells their content."""
import os
import socket
import subprocess
import threading

import sandbox

HIDING = ["--hide"]


class Secrets(sandbox.Boundary):
    def test_every_secret_file_is_absent(self):
        for name in sandbox.SECRET_FILES:
            self.control("read", self.home(name))
        self.allowed("read", self.project("file"))
        self.all_denied([("read", self.home(name)) for name in sandbox.SECRET_FILES], "ENOENT")

    def test_names_and_metadata_are_absent(self):
        folders = sorted({name.split("/")[0] for name in sandbox.SECRET_FILES if name.startswith((".ssh", ".aws", ".gnupg"))})
        self.control("list", self.home(".ssh"))
        self.all_denied([("stat", self.home(name)) for name in folders + [".ssh/id_rsa", ".netrc"]], "ENOENT")
        self.all_denied([("list", self.home(name)) for name in folders], "ENOENT")
        listed = self.probe("list", self.world.home)
        for name in folders + ["other-project"]:
            self.assertNotIn(name, listed.detail.split())

    def test_spellings(self):
        key = self.home(".ssh/id_rsa")
        spellings = [self.project("../.ssh/id_rsa"), key.replace("/.ssh", "//.ssh/."), "../.ssh/id_rsa",
                     "/proc/self/cwd/../.ssh/id_rsa", "/proc/self/root" + key, "/proc/thread-self/root" + key,
                     "/proc/1/root" + key, "/proc/1/cwd/.ssh/id_rsa", "/../.." + key, "/dev/fd/../root" + key]
        for spelling in spellings[:5]:
            self.control("read", spelling)
        for attempt, outcome in zip(spellings, self.probes([("read", s) for s in spellings])):
            with self.subTest(spelling=attempt):
                self.check_denied(attempt, outcome, "ENOENT|EACCES|EPERM|ENOTDIR")

    def test_symlink_made_inside(self):
        link = self.project("link-to-key")
        self.allowed("symlink", self.home(".ssh/id_rsa"), link)
        self.control("read", link)
        self.denied("read", link, "ENOENT")

    def test_symlink_to_a_directory_shipped_by_the_repository(self):
        os.symlink(self.world.home, self.project("link-home"))
        self.control("read", self.project("link-home/.aws/credentials"))
        self.denied("read", self.project("link-home/.aws/credentials"), "ENOENT")

    def test_sibling_project(self):
        self.control("read", self.home("other-project/.env"))
        self.denied("read", self.home("other-project/.env"), "ENOENT")
        self.denied("list", self.home("other-project"), "ENOENT")

    def test_file_outside_the_home(self):
        self.control("read", self.outside("canary"))
        self.denied("read", self.outside("canary"), "ENOENT")

    def test_secret_made_after_the_start(self):
        """A credential that appears while the sandbox runs is not seen."""
        late = self.home(".config/late-tool/token")
        child = self.start("sh", "-c", f"echo ready; read go; cat {late}; ls ~/.config/late-tool; ls -a ~", stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(child.stdout.readline(), "ready\n")
        self.world.plant(late, self.world.marker)
        out, _ = child.communicate("go\n", timeout=sandbox.PATIENCE)
        self.assertNotIn(self.world.marker, out)
        self.assertIn("No such file", out)
        self.before = self.world.picture()

    def test_hidden_directory_replaced_on_the_host(self):
        """The host swaps ~/.aws by rename, as a password manager does: the new one stays hidden."""
        aws, fresh = self.home(".aws"), self.home(".aws-fresh")
        child = self.start("sh", "-c", f"echo ready; read go; cat {aws}/credentials {fresh}/credentials", stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(child.stdout.readline(), "ready\n")
        self.world.plant(fresh + "/credentials", self.world.marker)
        os.rename(aws, self.home(".aws-old"))
        os.rename(fresh, aws)
        out, _ = child.communicate("go\n", timeout=sandbox.PATIENCE)
        self.assertNotIn(self.world.marker, out)
        self.before = self.world.picture()


class Masked(sandbox.Boundary):
    """home = "masked": the real home, without what is hidden, under any alias."""

    def masked(self, extra=""):
        return ["-p", self.profile(f'extends = ["director"]\n[filesystem]\nhome = "masked"\n{extra}\n', "masked.toml")]

    def test_listed_secrets_are_gone_and_the_rest_is_readable(self):
        options = self.masked()
        self.allowed("read", self.home(".bashrc"), options=options)
        self.all_denied([("read", self.home(name)) for name in
                         (".ssh/id_rsa", ".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".bash_history")],
                        "ENOENT|EACCES", options=options)
        self.denied("write", self.home(".bashrc"), "EROFS|EACCES", options=options)

    def test_hidden_directory_that_is_a_symlink(self):
        """~/.gnupg -> ~/dotfiles/gnupg: the target is hidden as well."""
        os.rename(self.home(".gnupg"), self.home("dotfiles-gnupg"))
        os.symlink("dotfiles-gnupg", self.home(".gnupg"))
        self.before = self.world.picture()
        options = self.masked()
        for path in (".gnupg/private-keys-v1.d/key.key", "dotfiles-gnupg/private-keys-v1.d/key.key"):
            with self.subTest(path=path):
                self.control("read", self.home(path))
                self.denied("read", self.home(path), "ENOENT|EACCES", options=options)

    def test_hide_beats_grants_by_the_longest_path(self):
        self.world.plant(self.project("secret/key"), self.world.marker)
        self.world.plant(self.project("secret/open/file"), "open\n")
        options = [*HIDING, self.project("secret"), "--read", self.project("secret/open")]
        self.denied("read", self.project("secret/key"), "ENOENT|EACCES", options=options)
        self.allowed("read", self.project("secret/open/file"), options=options)
        self.denied("write", self.project("secret/open/file"), "EROFS|EACCES", options=options)
        self.assertRefused(self.dirbox("true", options=[*HIDING, self.project("secret"), "--write", self.project("secret")]),
                           "--write", "--hide hides", self.project("secret"))

    def test_hidden_file_through_a_second_name(self):
        """A symlink inside the grant that leads to a hidden path of the same grant."""
        self.world.plant(self.project("vault/key"), self.world.marker)
        os.symlink("vault", self.project("way"))
        options = [*HIDING, self.project("vault")]
        self.control("read", self.project("way/key"))
        self.denied("read", self.project("way/key"), "ENOENT|EACCES", options=options)
        os.unlink(self.project("way"))

    def test_a_grant_beneath_what_is_hidden_in_a_writable_tree(self):
        self.world.plant(self.project("keys/open/public"), "public\n")
        self.world.plant(self.project("keys/secret"), self.world.marker)
        self.before = self.world.picture()
        options = ["-p", self.profile('extends = "director"\n[filesystem]\nhide = ["${CWD}/keys"]\nread = ["${CWD}/keys/open"]\n',
                                      "beneath.toml")]
        self.assertEqual(self.sh("cat keys/open/public; ls -A keys", options=options).out, "public\nopen\n")
        self.denied("read", self.project("keys/secret"), "ENOENT", options=options)
        self.denied("write", self.project("keys/open/public"), "EROFS", options=options)
        self.assertRegex(self.sh("touch keys/new 2>&1 || true", options=options).out, "Permission denied|Read-only")

    def test_hidden_path_cannot_be_moved_away(self):
        self.world.plant(self.project("keep/key"), self.world.marker)
        options = [*HIDING, self.project("keep")]
        self.denied("rename", self.project("keep"), self.project("moved"), "EBUSY|EACCES|EPERM|ENOENT|EXDEV", options=options)
        self.denied("rmdir", self.project("keep"), "EBUSY|EACCES|EPERM|ENOENT", options=options)
        self.assertTrue(os.path.exists(self.project("keep/key")))


class System(sandbox.Boundary):
    def test_account_list_is_synthetic(self):
        with open("/etc/passwd", encoding="utf-8") as file:
            others = [line.split(":")[0] for line in file if line.split(":")[0] not in
                      ("root", "nobody", self.world.environment["USER"])]
        inside = self.run_ok("cat", "/etc/passwd", "/etc/group").out
        for name in others:
            self.assertNotRegex(inside, rf"(?m)^{name}:")
        self.assertRegex(inside, rf"(?m)^{self.world.environment['USER']}:")
        self.run_ok("sh", "-c", "test $(id -un) = $USER")

    def test_host_configuration_is_absent(self):
        paths = ["/etc/shadow", "/etc/sudoers", "/etc/ssh/ssh_host_rsa_key", "/etc/fstab", "/etc/crontab", "/root/.bashrc",
                 "/boot", "/mnt", "/srv", "/var/log", "/var/lib/docker", "/var/spool/cron"]
        for attempt, outcome in zip(paths, self.probes([("read", path) for path in paths])):
            with self.subTest(path=attempt):
                self.assertEqual(outcome.verdict, "fail")

    def test_kernel_information_files(self):
        paths = ["/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg",
                 "/dev/kmsg", "/dev/mem", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/firmware", "/proc/sysrq-trigger",
                 "/sys/kernel/security", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/kpagecount"]
        self.all_denied([("read", path) for path in paths], "ENOENT|EACCES|EPERM|EISDIR")
        addresses = self.sh("cat /proc/kallsyms | head -n 5").out
        self.assertRegex(addresses, r"\A((0{8,16}) .*\n)*\Z", "kallsyms shows no addresses")

    def test_host_temporary_files(self):
        for folder in ("/tmp", "/var/tmp", "/dev/shm"):
            path = os.path.join(folder, "dirbox-test-" + self.world.marker)
            with self.subTest(folder=folder):
                self.world.plant(path, self.world.marker)
                try:
                    self.control("read", path)
                    self.denied("read", path, "ENOENT")
                    self.allowed("create", path)
                    with open(path, encoding="ascii") as file:
                        self.assertEqual(file.read(), self.world.marker)
                finally:
                    os.unlink(path)

    def test_runtime_directory(self):
        runtime = os.path.join(self.world.base, "runtime")
        self.world.plant(runtime + "/secret", self.world.marker)
        self.before = self.world.picture()
        self.denied("read", runtime + "/secret", "ENOENT", env={"XDG_RUNTIME_DIR": runtime})

    def test_mount_table_names_no_host_path_outside_the_grants(self):
        mounts = self.run_ok("cat", "/proc/self/mountinfo", "/proc/self/mounts").out
        for name in (".ssh", ".aws", "other-project", "outside"):
            self.assertNotIn(name, mounts)


class Processes(sandbox.Boundary):
    """Ways to the host's tree through /proc."""

    def test_roots_and_descriptors_of_every_visible_process(self):
        key = self.home(".ssh/id_rsa")
        script = (f'for p in /proc/[0-9]*; do for way in root{key} cwd/../.ssh/id_rsa cwd{key}; do cat $p/$way; done; '
                  f'for fd in $p/fd/*; do cat $fd{key} $fd/.ssh/id_rsa $fd/../.ssh/id_rsa; done; '
                  'done 2>/dev/null </dev/null; true')
        self.run_ok("sh", "-c", script)

    def test_an_outside_process_is_not_visible(self):
        done = self.dirbox("sh", "-c", f"cat /proc/{os.getpid()}/comm /proc/{os.getpid()}/environ; ls -d /proc/[0-9]* | wc -l")
        self.assertNotIn("python", done.out)
        count = int(done.out.split()[-1])
        self.assertLess(count, 8)

    def test_mounts_stay_when_attacked(self):
        targets = ["/proc", "/dev", "/tmp", "/usr", "/etc", self.world.home, self.world.project, "/"]
        self.all_denied([("umount", target) for target in targets], "EPERM|ENOSYS|EACCES")
        self.all_denied([("mount", "/", self.project(), "none", 0x1000), ("mount", "none", self.project(), "tmpfs"),
                         ("mount", "none", "/usr", "none", 0x20)], "EPERM|ENOSYS|EACCES")
        self.denied("open-tree", "/", "EPERM|ENOSYS")
        self.denied("read", self.home(".ssh/id_rsa"), "ENOENT")

    def test_file_handles(self):
        self.denied("open-by-handle", self.world.project, "EPERM|ENOSYS")


class Served(sandbox.Boundary):
    def test_a_host_service_does_not_open_files_for_the_sandbox(self):
        """A host service on loopback is not reachable: control by the same client outside."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            accepted = threading.Thread(target=lambda: server.accept()[0].close())
            accepted.start()
            self.control("connect-tcp", "127.0.0.1", port)
            accepted.join()
            self.denied("connect-tcp", "127.0.0.1", port, "ECONNREFUSED|ENETUNREACH|EACCES|EPERM")


if __name__ == "__main__":
    sandbox.main()
