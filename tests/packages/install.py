#!/usr/bin/python3
"""install.py BUILD RELEASE: the Debian package of the release build in BUILD, in a fresh system of RELEASE.

It is installed, used by an ordinary user, removed and purged; what it leaves is compared with what was before.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

import tree

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
USER = "someone"
COMPLETIONS = {
    "bash": "/usr/share/bash-completion/completions/dirbox",
    "zsh": "/usr/share/zsh/site-functions/_dirbox",
    "fish": "/usr/share/fish/vendor_completions.d/dirbox.fish",
}


def make_package(build):
    """The package, made from what is built there."""
    for old in glob.glob(os.path.join(build, "*.deb")):
        os.unlink(old)
    subprocess.run(["cmake", "--build", build, "--target", "package"], check=True, stdout=subprocess.DEVNULL)
    made = glob.glob(os.path.join(build, "*.deb"))
    assert len(made) == 1, made
    return made[0]


class Package(unittest.TestCase):
    build = release = package = box = None

    @classmethod
    def setUpClass(cls):
        cls.package = make_package(cls.build)
        cls.box = tree.Tree(cls.release)
        cls.addClassCleanup(cls.box.close)
        shutil.copy(cls.package, cls.box.path("/root/dirbox.deb"))
        cls.box.must("useradd", "--create-home", "--shell", "/bin/bash", USER)
        cls.box.must("install", "-d", "-o", USER, f"/home/{USER}/project")

    def files(self):
        """Every file of the system but what package management itself writes."""
        own = re.compile(r"^/(proc|sys|dev|run|tmp|root|var/(lib|cache|log)|home)(/|$)|^/etc/ld\.so\.cache$")
        return {name for name in self.box.must("find", "/", "-xdev").splitlines() if not own.match(name)}

    def field(self, name):
        return subprocess.run(["dpkg-deb", "--field", self.package, name], check=True, text=True,
                              capture_output=True).stdout.strip()

    def test_1_fields(self):
        self.assertEqual(self.field("Package"), "dirbox")
        # Names no machine that built it.
        self.assertRegex(self.field("Maintainer"), r"^[^<>@]+ <[^<>@ ]+@dirbox\.invalid>$")
        # Only the C library is linked dynamically; dpkg-shlibdeps found which version.
        self.assertRegex(self.field("Depends"), r"^libc6 \(>= 2\.\d+\)$")
        self.assertLess(os.path.getsize(self.package), 8 << 20)

    def test_2_installed_used_and_removed(self):
        before = self.files()
        self.box.must("dpkg", "--install", "/root/dirbox.deb")
        try:
            self.check_files()
            self.check_use()
        finally:
            self.box.must("dpkg", "--remove", "dirbox")
        self.assertEqual(self.files() - before, set())
        self.box.must("dpkg", "--purge", "dirbox")
        self.assertNotEqual(self.box.run("dpkg", "--status", "dirbox").returncode, 0)

    def test_3_apparmor(self):
        """The profile is in force only where AppArmor can parse it, and goes with the package."""
        self.box.install("apparmor")
        version = int(self.box.must("apparmor_parser", "--version").split("version ")[1].split(".")[0])
        before = self.files()
        self.box.must("dpkg", "--install", "/root/dirbox.deb")
        profile = self.box.path("/etc/apparmor.d/dirbox")
        self.assertEqual(os.path.exists(profile), version >= 4, f"AppArmor {version}")
        if version >= 4:
            self.box.must("apparmor_parser", "--skip-kernel-load", "--skip-cache", "--debug", "/etc/apparmor.d/dirbox")
        self.box.must("dpkg", "--purge", "dirbox")
        self.assertEqual(self.files() - before, set())

    def check_files(self):
        listed = self.box.must("dpkg", "--listfiles", "dirbox").splitlines()
        for page in ("man1/dirbox.1.gz", "man5/dirbox-profile.5.gz", "man7/dirbox-security.7.gz"):
            self.assertIn("/usr/share/man/" + page, listed)
        for shell, path in COMPLETIONS.items():
            with open(self.box.path(path), encoding="utf-8") as file:
                self.assertEqual(file.read(), self.box.must("dirbox", "completion", shell))
        for path in listed:
            status = os.lstat(self.box.path(path))
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7022), (0, 0, 0), path)
        self.assertFalse(os.path.exists(self.box.path("/etc/dirbox")))

    def check_use(self):
        project = f"/home/{USER}/project"
        self.assertRegex(self.box.must("dirbox", "--version"), r"^dirbox \d")
        seen = self.box.must("dirbox", "run", "-p", "offline", "--", "id", "-un", user=USER, cwd=project)
        self.assertEqual(seen, USER + "\n")
        for profile in ("director", "offline"):
            with self.subTest(profile=profile):
                done = self.box.run("dirbox", "verify", "-p", profile, user=USER, cwd=project)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertNotIn("FAIL", done.stdout)


def main():
    if os.geteuid() != 0:
        print("SKIP: needs root")
        return SKIPPED
    Package.build, Package.release = sys.argv[1:3]
    try:
        tree.prepare_cache()
        tree.bootstrap(tree.RELEASES[Package.release])
    except tree.Unavailable as why:
        print(f"SKIP: {why}")
        return SKIPPED
    return 0 if unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
