"""What one sandbox learns of directories in which nothing is guarded serves the next one, and hides nothing from it."""
import glob
import os
import re
import shutil
import struct
import subprocess
import time

import sandbox

DIRECTORIES = 40


def forge(text, status):
    """The file, with the change time that a directory has by now."""
    at, out = 16, bytearray(text)  # magic, digest
    while at < len(text):
        _, inode, _, _, length = struct.unpack_from("=QQqII", text, at)
        if inode == status.st_ino:
            struct.pack_into("=qI", out, at + 16, status.st_ctime_ns // 10**9, status.st_ctime_ns % 10**9)
        at += 32 + length
    return bytes(out)


class Plain(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        for i in range(DIRECTORIES):
            self.world.plant(self.project(f"d{i}/e/file"), "text\n")
        self.files = os.path.join(self.home(".local/state/dirbox/plain"), 32 * "?")
        made = time.time()
        # Younger ones are not remembered: the times of some file systems are that coarse.
        sandbox.wait_until(lambda: time.time() > made + 3.5, "three seconds")
        self.write()
        self.assertEqual(len(glob.glob(self.files)), 1)

    def tearDown(self):
        subprocess.run("rm -rf d[0-9]* moved .old; rm -f w", shell=True, cwd=self.world.project, check=True)
        for file in glob.glob(self.files):
            os.unlink(file)
        super().tearDown()

    def write(self, command="true", prefix=(), extra=None):
        """Runs `command` in a sandbox that writes, so that all of the tree is looked at in the end."""
        # A sanitizer looks for leaks by tracing itself, which strace does already.
        environment = {**self.world.environment, "LSAN_OPTIONS": "detect_leaks=0" if prefix else "", **(extra or {})}
        done = subprocess.run([*prefix, sandbox.DIRBOX, "run", "-p", "worker", "--", "sh", "-c", f": > w; {command}"],
                              cwd=self.world.project, env=environment, text=True, capture_output=True, timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        return done.stderr

    def directories_read(self):
        """How often the command and all of dirbox reads one."""
        said = self.write(prefix=("strace", "-f", "-qq", "-e", "trace=getdents64"))
        return len(re.findall(r"getdents64\(.* = [1-9]", said))

    def test_they_are_not_read_again(self):
        known = self.directories_read()
        for file in glob.glob(self.files):
            os.unlink(file)
        self.assertGreater(self.directories_read(), known + 2 * DIRECTORIES - 10)
        self.assertLess(self.directories_read(), known + 10)

    def test_what_is_planted_in_them_goes(self):
        """At the end of a short run, and while a longer one lasts."""
        plants = {"d1/.envrc": "echo evil > d1/.envrc",
                  "d2/e/.envrc": "echo evil > d2/e/.envrc",
                  "d3/.vscode/tasks.json": "mkdir d3/.vscode; echo evil > d3/.vscode/tasks.json",
                  "d4/.git/config": "git init -q d4; git -C d4 config core.fsmonitor evil",
                  "moved/.envrc": "mv d5 moved; echo evil > moved/.envrc",
                  "d6/.envrc": "mkdir .new; echo evil > .new/.envrc; mv d6 .old; mv .new d6",
                  "d7/e/sub/.envrc": "mkdir .n; echo evil > .n/.envrc; mv .n d7/e/sub",
                  "d8/e/.envrc": "echo evil > .x; ln .x d8/e/.envrc; rm .x",
                  "d9/HEAD": "cd d9; mkdir objects refs; echo ref: refs/heads/x > HEAD; git config -f config core.fsmonitor evil"}
        for lasts in ("", "; sleep 0.5"):
            for path, plant in plants.items():
                with self.subTest(path=path, lasts=lasts):
                    said = self.write(f"({plant}){lasts}")
                    # While it lasts, some are found where they are made.
                    self.assertIn(os.path.basename(path).replace("HEAD", "config"), said)
                    name = self.project(path.replace("HEAD", "config"))
                    text = open(name, encoding="utf-8").read() if os.path.exists(name) else ""
                    self.assertNotIn("evil", text)
                    subprocess.run(f"rm -rf moved .old d4/.git d7/e/sub {os.path.dirname(path) if 'HEAD' in path else ''}; mkdir -p d5 d6 d9",
                                   shell=True, cwd=self.world.project, check=True)

    def test_what_the_host_has_put_there_comes_back(self):
        self.world.plant(self.project("d10/.envrc"), "good\n")
        self.world.plant(self.project("d39/e/.envrc"), "lost\n")
        # What it held is known once the directory is watched, and those that are deeper come later.
        seen = "echo evil > d39/e/.envrc; while grep -qs evil d39/e/.envrc; do :; done"
        self.assertIn("d10/.envrc", self.write(f"{seen}; echo evil >> d10/.envrc"))
        with open(self.project("d10/.envrc"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "good\n")

    def test_what_the_work_tree_brings_along_is_not_believed(self):
        """Where dirbox's state lies in the project, an earlier sandbox can have written there that a directory is plain."""
        self.world.plant(self.project("d11/.envrc"), "good\n")
        file, = glob.glob(self.files)
        status = os.stat(self.project("d11"))
        for state, believed in ((self.home("elsewhere"), True), (self.project("state"), False)):
            with self.subTest(state=state), open(file, "rb") as old:
                forged = forge(old.read(), status)
                os.makedirs(f"{state}/dirbox/plain")
                with open(f"{state}/dirbox/plain/{os.path.basename(file)}", "wb") as out:
                    out.write(forged)
                said = self.write("echo evil > d11/.envrc", extra={"XDG_STATE_HOME": state})
                # That the forged one is believed at all is the control.
                self.assertEqual("d11/.envrc" not in said, believed, said)
                self.world.plant(self.project("d11/.envrc"), "good\n")
                shutil.rmtree(state)

    def test_a_damaged_file_counts_as_none(self):
        file, = glob.glob(self.files)
        with open(file, "rb") as old:
            whole = old.read()
        known = self.directories_read()
        for damaged in (b"", b"dirboxp1", whole[:-1], whole + b"x", b"x" + whole[1:], whole[:9] + b"x" + whole[10:]):
            with self.subTest(damaged=damaged[:16]):
                with open(file, "wb") as out:
                    out.write(damaged)
                self.assertGreater(self.directories_read(), known + 2 * DIRECTORIES - 10)
                with open(file, "rb") as new:
                    self.assertNotEqual(new.read(), damaged)


if __name__ == "__main__":
    sandbox.main()
