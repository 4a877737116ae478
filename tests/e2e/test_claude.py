"""Claude Code from the npm registry, installed as a user would: found, granted and started without configuration."""
import os
import pwd
import shutil
import subprocess

import sandbox

VERSION = "2.1.197"
PREFIX = os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".dirbox-tests", "npm-" + VERSION)


def install():
    """The package, once per machine. Raises OSError where npm or its registry cannot be reached."""
    program = os.path.join(PREFIX, "bin", "claude")
    if not os.path.exists(program):
        shutil.rmtree(PREFIX, ignore_errors=True)
        done = subprocess.run(["npm", "install", "--global", "--prefix", PREFIX, "--no-audit", "--no-fund",
                               "@anthropic-ai/claude-code@" + VERSION], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            shutil.rmtree(PREFIX, ignore_errors=True)
            raise OSError(done.stderr.strip().splitlines()[-1:])
    return program


class Claude(sandbox.Boundary):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if shutil.which("npm") is None:
            raise sandbox.unittest.SkipTest("this machine has no npm")
        try:
            cls.program = install()
        except OSError as error:
            raise sandbox.unittest.SkipTest(f"this machine has no way to the npm registry: {error}")

        # The installation, below this test's home: ~/.local/bin/claude -> ../../.npm-global/bin/claude -> …
        home = cls.world.home
        subprocess.run(["cp", "-al", PREFIX, os.path.join(home, ".npm-global")], check=True)
        os.makedirs(os.path.join(home, ".local/bin"), exist_ok=True)
        os.symlink("../../.npm-global/bin/claude", os.path.join(home, ".local/bin/claude"))
        cls.env = {"PATH": os.path.join(home, ".local/bin") + ":/usr/bin:/bin"}

    def test_version_and_help(self):
        done = self.dirbox("claude", "--version", env=self.env)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(done.out.strip(), VERSION + " (Claude Code)")
        done = self.dirbox("claude", "--help", env=self.env)
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(done.out, "Usage: claude")

    def test_the_plan_names_the_installation(self):
        done = self.dirbox("claude", "--version", env=self.env, options=("--dry-run",))
        self.assertEqual(done.code, 0, done.err)
        self.assertRegex(done.out, r"\.npm-global/lib/node_modules is readable: install tree of claude")

    def test_the_installation_cannot_be_written(self):
        done = self.dirbox("sh", "-c", 'echo x >> "$(readlink -f "$(command -v claude)")"', env=self.env)
        self.assertNotEqual(done.code, 0)
        self.assertRegex(done.err, "Read-only file system|Permission denied")


if __name__ == "__main__":
    sandbox.main()
