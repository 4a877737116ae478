"""dirbox doctor: green where everything works; each failure provoked, and told with its errno, its cause and its fix."""
import json
import os
import shutil
import socket
import subprocess
import threading
import unittest

import sandbox

# A system call that is missing -> the check that tells.
MISSING = {
    "clone3": "userns",
    "openat2": "openat2",
    "fsopen": "tmpfs",
    "fsconfig": "tmpfs",
    "fsmount": "tmpfs",
    "open_tree": "open-tree",
    "mount_setattr": "mount-setattr",
    "move_mount": "move-mount",
    "pivot_root": "pivot-root",
    "umount2": "pivot-root",
    "sethostname": "uts-ns",
    "landlock_create_ruleset": "landlock",
    "landlock_add_rule": "landlock",
    "landlock_restrict_self": "landlock",
    "seccomp": "seccomp",
    "capset": "capabilities",
    "pidfd_open": "calls",
    "memfd_create": "calls",
    "close_range": "calls",
    "signalfd4": "calls",
}


class Engine(threading.Thread):
    """A container engine that answers a ping with `status`."""

    def __init__(self, path, status):
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(1)
        self.status = status

    def run(self):
        connection, _ = self.server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(f"HTTP/1.0 {self.status} X\r\n\r\nOK".encode())


class Doctor(sandbox.Boundary):
    def doctor(self, *options, wrapper=(), environment=None, **popen):
        """Exit status and checks by name."""
        done = subprocess.run([*wrapper, sandbox.DIRBOX, "doctor", "--json", *options], capture_output=True, text=True,
                              env=self.world.environment if environment is None else environment,
                              timeout=sandbox.PATIENCE, stdin=subprocess.DEVNULL, check=False, **popen)
        self.assertTrue(done.stdout, done)
        return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def in_namespaces(self, script, *options, flags="-Urm"):
        """The same as root of a user namespace, after `script`."""
        return self.doctor(*options, wrapper=("unshare", flags, "sh", "-ec", script + '\nexec "$@"', "sh"))

    def assertTold(self, check, errno, *fragments, call=None):
        self.assertEqual((check["state"], check["ok"]), ("failed", False), check)
        self.assertEqual(check.get("errno"), errno, check)
        if call:
            self.assertEqual(check["call"], call, check)
        self.assertTrue(check["fix"], check)
        for fragment in fragments:
            self.assertIn(fragment, check["cause"] + "\n" + check["fix"], check)

    def test_this_machine(self):
        code, checks = self.doctor()
        wrong = {name: check for name, check in checks.items()
                 if check["need"] in ("required", "waivable") and not check["ok"]}
        self.assertEqual((code, wrong), (0, {}))
        self.assertIs(checks["userns"]["ok"], True)
        self.assertEqual(checks["sandbox"]["state"], "ok")
        self.assertEqual([name for name, check in checks.items() if check["state"] == "notrun"], [])

    def test_what_it_says(self):
        done = self.dirbox(launcher=("doctor",), options=["-v"])
        self.assertEqual(done.code, 0, done)
        self.assertIn("dirbox can enforce every layer here.", done.out)
        self.assertIn("everything: the sandbox is made without root", done.out)

    def test_each_missing_call(self):
        for call, name in MISSING.items():
            with self.subTest(call=call):
                code, checks = self.doctor(wrapper=(sandbox.WITHOUT, call, "--"))
                self.assertEqual(code, 1)
                expected = "signalfd" if call == "signalfd4" else call
                self.assertTold(checks[name], "ENOSYS", "seccomp filter",
                                call=None if call in ("sethostname", "capset") else expected)

    def test_a_forbidden_call(self):
        code, checks = self.doctor(wrapper=(sandbox.WITHOUT, "clone3,unshare=EPERM", "--"))
        self.assertEqual(code, 1)
        self.assertTold(checks["userns"], "EPERM", "a seccomp filter", "--security-opt seccomp=unconfined",
                        call="clone3")
        self.assertEqual(checks["tmpfs"]["state"], "notrun", "builds on what failed")
        self.assertEqual(checks["seccomp"]["state"], "ok", "does not")

    def test_a_call_that_kills(self):
        code, checks = self.doctor(wrapper=(sandbox.WITHOUT, "open_tree,landlock_add_rule=KILL", "--"))
        self.assertEqual(code, 1)
        for name in ("open-tree", "landlock"):
            self.assertTold(checks[name], None, "a seccomp filter")
            self.assertEqual(checks[name]["signal"], 31)
        self.assertEqual(checks["tmpfs"]["state"], "ok")

    def test_no_user_namespaces_left(self):
        code, checks = self.in_namespaces("echo 0 >/proc/sys/user/max_user_namespaces")
        self.assertEqual(code, 1)
        self.assertTold(checks["userns"], "ENOSPC", "user.max_user_namespaces is 0", "set user.max_user_namespaces",
                        call="clone3")
        # The control: the cure is what was missing.
        code, checks = self.in_namespaces("echo 0 >/proc/sys/user/max_user_namespaces\n"
                                          "echo 15000 >/proc/sys/user/max_user_namespaces")
        self.assertEqual((code, checks["userns"]["state"]), (0, "ok"))

    def test_run_refuses_and_names_the_limit(self):
        ran = self.project("ran")
        done = self.dirbox("touch", ran, wrapper=(
            "unshare", "-Urm", "sh", "-ec", 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"', "sh"))
        self.assertRefused(done, "ENOSPC", "user.max_user_namespaces", canary=ran)

    def test_no_namespaces_of_one_kind_left(self):
        for kind, name in (("net", "net-ns"), ("mnt", "mnt-ns"), ("pid", "pid-ns"), ("ipc", "ipc-ns"),
                           ("uts", "uts-ns"), ("cgroup", "cgroup-ns")):
            with self.subTest(kind=kind):
                code, checks = self.in_namespaces(f"echo 0 >/proc/sys/user/max_{kind}_namespaces")
                self.assertEqual(code, 1)
                self.assertTold(checks[name], "ENOSPC", f"user.max_{kind}_namespaces is 0", call="clone3")

    def tree(self, name):
        """A root file system with dirbox and what it is linked with, and nothing else."""
        tree = os.path.join(self.world.project, name)
        linked = subprocess.run(["ldd", sandbox.DIRBOX], capture_output=True, text=True, check=True).stdout.split()
        for library in [word for word in linked if word.startswith("/")] + [sandbox.DIRBOX]:
            target = tree + ("/dirbox" if library == sandbox.DIRBOX else library)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.realpath(library), target)
        os.makedirs(tree + "/proc")
        self.addCleanup(shutil.rmtree, tree)
        return tree

    def in_chroot(self, tree, before=""):
        done = subprocess.run(["unshare", "-Urm", "sh", "-ec", before + '\nexec env -i /usr/sbin/chroot "$1" /dirbox doctor --json',
                               "sh", tree], capture_output=True, text=True, timeout=sandbox.PATIENCE, check=False)
        self.assertTrue(done.stdout, done)
        return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def test_a_chroot_without_proc(self):
        code, checks = self.in_chroot(self.tree("bare"))
        self.assertEqual(code, 1)
        self.assertTold(checks["proc"], "ENOENT", "/proc is not mounted", call="statfs")
        self.assertEqual(checks["proc"]["commands"], ["mount -t proc proc /proc"])
        self.assertTold(checks["userns"], "EPERM", "chroot", call="clone3")
        self.assertEqual(checks["seccomp"]["state"], "ok", "works when nothing else does")

    def test_a_chroot_with_proc(self):
        tree = self.tree("chroot")
        code, checks = self.in_chroot(tree, 'mount --rbind /proc "$1/proc"')
        self.assertEqual(code, 1)
        self.assertTold(checks["userns"], "EPERM", "this process is in a chroot", call="clone3")

    def test_no_proc(self):
        code, checks = self.in_namespaces("mount -t tmpfs none /proc")
        self.assertEqual(code, 1)
        self.assertTold(checks["proc"], "ENOENT", "/proc is not mounted")
        self.assertTold(checks["uid-map"], "ENOENT", "/proc is not mounted", call="open")

    def test_proc_covered(self):
        code, checks = self.in_namespaces("mount -t tmpfs none /proc/sys", flags="-Urmpf")
        self.assertEqual(code, 1)
        self.assertTold(checks["proc-mount"], "EPERM", "proc overmounted", "/proc/sys", "systempaths=unconfined")

    def test_nothing_in_the_environment(self):
        code, checks = self.doctor(environment={}, cwd="/")
        self.assertEqual((code, checks["sandbox"]["state"]), (0, "ok"))

    def test_profiles_do_not_matter(self):
        broken = self.home(".config/dirbox/director.toml")
        self.world.plant(broken, "nonsense = 1\n")
        self.assertEqual(self.doctor()[0], 0)
        shutil.rmtree(os.path.dirname(broken))

    def test_the_name_server(self):
        path = self.project("resolv.conf")
        mount = f"mount --bind {path} /etc/resolv.conf"
        self.world.plant(path, "nameserver 127.0.0.99\n")
        code, checks = self.in_namespaces(mount)
        self.assertEqual(code, 0, "nothing of dirbox itself is missing")
        self.assertTold(checks["resolver"], "ECONNREFUSED", "127.0.0.99")
        self.world.plant(path, "search example.org\n")
        self.assertEqual(self.in_namespaces(mount)[1]["resolver"]["state"], "absent")
        os.unlink(path)

    def engine(self, path):
        return self.doctor("--only", "docker", environment={**self.world.environment, "DOCKER_HOST": "unix://" + path})

    def test_the_container_engine(self):
        path = self.project("engine.sock")
        self.assertEqual(self.engine(path)[1]["docker"]["state"], "absent")
        server = Engine(path, 200)
        server.start()
        self.assertEqual(self.engine(path)[1]["docker"]["state"], "ok")
        server.join()
        server.server.close()
        code, checks = self.engine(path)
        self.assertEqual(code, 0, "docker is no requirement")
        self.assertTold(checks["docker"], "ECONNREFUSED", path, "start the engine", call="connect")
        if not sandbox.AS_ROOT:
            os.chmod(path, 0)
            told = self.engine(path)[1]["docker"]
            self.assertTold(told, "EACCES", "not for this user", call="connect")
            self.assertEqual(told["commands"], [], "no command makes anyone root")
        os.unlink(path)
        server = Engine(path, 500)
        server.start()
        self.assertTold(self.engine(path)[1]["docker"], "EPROTO", call="recv")
        server.join()
        os.unlink(path)

    def test_only(self):
        _, checks = self.doctor("--only", "mount-setattr")
        self.assertEqual(list(checks), ["userns", "uid-map", "open-tree", "mount-setattr"], "with what it builds on")
        _, checks = self.doctor("--only", "policy")
        self.assertEqual(list(checks), ["apparmor", "selinux", "yama", "sysctls", "surroundings"])
        _, checks = self.doctor("--only", "policy", "--only", "userns")
        self.assertEqual(list(checks)[:2], ["userns", "apparmor"])
        for options in (["--only", "nothing"], ["--only", "nothing", "--only", "policy"], ["--only", ""]):
            self.assertRefused(self.dirbox(launcher=("doctor",), options=options), "there is no such check")

    def test_the_fixes_are_a_script(self):
        for wrapper in ((), (sandbox.WITHOUT, "clone3", "--"),
                        ("unshare", "-Urm", "sh", "-ec", 'mount -t tmpfs none /proc; exec "$@"', "sh")):
            done = subprocess.run([*wrapper, sandbox.DIRBOX, "doctor", "--fix"], capture_output=True, text=True,
                                  env=self.world.environment, timeout=sandbox.PATIENCE, check=False)
            self.assertTrue(done.stdout.startswith("# "), done)
            subprocess.run(["sh", "-n"], input=done.stdout, text=True, check=True)
        self.assertIn("\nmount -t proc proc /proc\n", done.stdout)


if __name__ == "__main__":
    sandbox.main()
