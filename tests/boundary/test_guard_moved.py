"""What was prepared where nobody looks, and comes to where the host executes it: by renaming a directory, by what makes a
git directory of it, by a link, or while more happens than can be followed. Each plant goes, and what the user had stays."""
import os
import shutil
import signal
import subprocess

import sandbox


class Moved(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.canary = self.outside("pwned")
        self.hook = f"#!/bin/sh\ntouch {self.canary}\n"
        self.names = set(os.listdir(self.world.project))

    def tearDown(self):
        for name in set(os.listdir(self.world.project)) - self.names:
            path = self.project(name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        super().tearDown()

    def inside(self, command, *options):
        done = subprocess.run([sandbox.DIRBOX, "run", *options, "--", "sh", "-c", command], cwd=self.world.project,
                              env=self.world.environment, text=True, capture_output=True, timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        return done.stderr

    def plant(self, name, text, mode=0o644):
        self.world.plant(self.project(name), text, mode)

    def read(self, name):
        with open(self.project(name), encoding="utf-8") as file:
            return file.read()

    def gone(self, *names):
        for name in names:
            self.assertFalse(os.path.lexists(self.project(name)), name)

    def age(self):
        """Until files that are made from here on are younger than those that are there."""
        self.inside("sleep 0.05")  # for the clock of file systems, which ticks

    def test_a_directory_gets_another_name(self):
        """Prepared by one run, or by whoever wrote the clone; renamed by the next, at once and later."""
        for wait in ("", "touch w; sleep 0.5; "):
            with self.subTest(wait=wait):
                self.inside("mkdir -p code cl/agents sub/.claude; echo evil > code/tasks.json; echo evil > cl/settings.json; "
                            "echo evil > cl/agents/a.md")
                self.age()
                said = self.inside(wait + "mv code .vscode; mv sub/.claude old; mv cl sub/.claude")
                self.gone(".vscode/tasks.json", "sub/.claude/settings.json", "sub/.claude/agents/a.md")
                for name in (".vscode/tasks.json", "sub/.claude/settings.json", "sub/.claude/agents/a.md"):
                    self.assertIn(f"quarantined: {self.project(name)}", said)
                for name in (".vscode", "sub", "old"):
                    shutil.rmtree(self.project(name))

    def test_a_directory_becomes_a_repository(self):
        self.inside(f"mkdir -p sub/g/objects sub/g/refs sub/g/hooks; echo 'ref: refs/heads/main' > H; git -C sub init -q x; "
                    f"git config -f sub/g/config core.fsmonitor 'touch {self.canary}; false'; "
                    f"git config -f sub/g/config core.bare false; mv sub/x/.git sub/y")
        self.plant("sub/y/hooks/pre-commit", self.hook, 0o755)  # the author of the clone
        self.age()
        said = self.inside("mv H sub/g/HEAD; mv sub/g sub/.git; mv sub/y sub/x/.git")
        self.assertIn("core.fsmonitor", said)
        self.assertIn("pre-commit", said)
        self.git("status", cwd=self.project("sub"), check=False)
        self.git("commit", "-q", "--allow-empty", "-m", "x", cwd=self.project("sub/x"), check=False)
        self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")

    def test_a_directory_is_made_again_while_somebody_holds_the_old_one(self):
        """The kernel ends the watch of the old one when that is closed; the new one is still watched then."""
        said = self.inside(f"""python3 -c '
import os
def until_looked_at():
    open("x/.envrc", "w").write("evil")
    while os.path.exists("x/.envrc"):
        pass
os.mkdir("x")
until_looked_at()
held = os.open("x", os.O_RDONLY)
os.rmdir("x")
os.mkdir("x")
for name in "objects", "refs":
    os.mkdir("x/" + name)
open("x/HEAD", "w").write("ref: refs/heads/main")
until_looked_at()
os.close(held)
until_looked_at()
os.mkdir("x/hooks")
with open("x/hooks/pre-commit", "w", opener=lambda name, flags: os.open(name, flags, 0o755)) as hook:
    hook.write("#!/bin/sh")
'""")
        self.gone("x/hooks/pre-commit")
        self.assertIn("quarantined: " + self.project("x/hooks/pre-commit"), said)

    def test_another_directory_of_hooks(self):
        self.git("config", "core.hooksPath", "hooks.d")
        self.plant("hooks.d/pre-commit", "#!/bin/sh\n", 0o755)
        self.plant("new/pre-commit", self.hook, 0o755)
        self.plant("new/post-commit", self.hook, 0o755)
        self.age()
        try:
            self.inside("mv hooks.d old; mv new hooks.d")
            self.git("commit", "-q", "--allow-empty", "-m", "x", check=False)
            self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")
        finally:
            self.git("config", "--unset", "core.hooksPath")

    def test_what_the_user_has_stays(self):
        """Where it was; also where its directory changes, and from the second run on whenever that is."""
        self.git("init", "-q", self.project("sub"))
        self.git("config", "alias.x", "!true", cwd=self.project("sub"))
        self.plant("sub/.git/hooks/pre-commit", "#!/bin/sh\n", 0o755)
        self.plant("sub/.vscode/tasks.json", "the user's\n")
        self.plant("lib/.claude/commands/c.md", "the user's\n")
        self.age()
        work = "echo x > sub/new; echo y > sub/.vscode/new; git -C sub add new; git -C sub -c user.name=t -c user.email=t@x commit -qm x"
        for command in ("echo w > w; sleep 0.3; " + work, work.replace("x", "z"), "mv lib library"):
            with self.subTest(command=command):
                self.assertEqual(self.inside(command), "")
        self.assertEqual(self.git("config", "alias.x", cwd=self.project("sub")), "!true\n")
        self.assertEqual(self.read("sub/.git/hooks/pre-commit"), "#!/bin/sh\n")
        self.assertEqual(self.read("sub/.vscode/tasks.json"), "the user's\n")
        self.assertEqual(self.read("library/.claude/commands/c.md"), "the user's\n")

    def test_a_large_file_of_the_user_stays(self):
        large = 300_000 * "u"
        for name in (".idea/workspace.xml", ".mcp.json", "sub/.mcp.json"):
            self.plant(name, large)
        self.age()
        self.assertEqual(self.inside("echo x > x"), "")
        for name in (".idea/workspace.xml", ".mcp.json", "sub/.mcp.json"):
            self.assertEqual(self.read(name), large)
        self.assertIn("sub/.mcp.json", self.inside("echo evil >> sub/.mcp.json"))
        self.gone("sub/.mcp.json")

    def test_more_happens_than_can_be_followed(self):
        """The queue of events overflows; what is made meanwhile goes, also long before the end."""
        script = """
import os, select, signal, time
pause = lambda seconds: select.select([], [], [], seconds)
children = []
for i in range(2):
    pid = os.fork()
    if pid == 0:
        files = [os.open(f".git/f{i}{c}", os.O_WRONLY | os.O_CREAT) for c in "ab"]
        while True:
            for file in files: os.pwrite(file, b"x", 0)
    children.append(pid)
pause(1)
for i in range(40):
    os.makedirs(f"d{i}/.vscode")
    open(f"d{i}/.envrc", "w").write("evil")
    open(f"d{i}/.vscode/tasks.json", "w").write("evil")
    pause(0.01)
for pid in children: os.kill(pid, signal.SIGKILL)
for pid in children: os.wait()
left = lambda: [i for i in range(40) if os.path.exists(f"d{i}/.envrc") or os.path.exists(f"d{i}/.vscode/tasks.json")]
end = time.monotonic() + 20
while left() and time.monotonic() < end: pause(0.05)
print("left:", left())
"""
        self.plant("flood.py", script)
        done = subprocess.run([sandbox.DIRBOX, "run", "-q", "--", "/usr/bin/python3", "-c", "import select; select.select([], [], [], 0.5); "
                               "open('w', 'w'); select.select([], [], [], 0.5); exec(open('flood.py').read())"], cwd=self.world.project,
                              env=self.world.environment, text=True, capture_output=True, timeout=sandbox.PATIENCE)
        self.assertEqual(done.stdout, "left: []\n", done)
        for i in range(40):
            self.gone(f"d{i}/.envrc", f"d{i}/.vscode/tasks.json")
        for name in ("f0a", "f0b", "f1a", "f1b"):
            os.unlink(self.project(".git/" + name))

    def test_a_directory_of_very_many(self):
        """Directories that are beyond the first thousands of their entries."""
        os.mkdir(self.project("big"))
        for i in range(5000):
            self.plant(f"big/f{i}", "")
        for i in range(60):
            os.mkdir(self.project(f"big/d{i}"))
        self.age()
        self.inside("for i in big/d*; do echo evil > $i/.envrc; done")
        self.gone(*(f"big/d{i}/.envrc" for i in range(60)))

    def test_modes(self):
        """A run that only changes modes, and what such a one hides from the next."""
        self.inside("mkdir -p z/sub")
        self.age()
        self.inside("chmod 0300 z")
        self.inside("echo evil > z/sub/.envrc; mkdir z/sub/.vscode; echo evil > z/sub/.vscode/tasks.json")
        os.chmod(self.project("z"), 0o700)
        self.gone("z/sub/.envrc", "z/sub/.vscode/tasks.json")
        self.git("init", "-q", self.project("sub"))
        self.plant("sub/.git/hooks/pre-commit", self.hook, 0o644)
        self.age()
        self.inside("chmod +x sub/.git/hooks/pre-commit")
        self.assertFalse(os.access(self.project("sub/.git/hooks/pre-commit"), os.X_OK))

    def test_gitfiles_that_lead_out(self):
        """By a symlink that is there or comes later, by what is after the end of a string, by a way up out of a name."""
        evil = self.outside("evil")
        self.git("init", "-q", evil)
        self.git("config", "core.fsmonitor", f"touch {self.canary}; false", cwd=evil)
        self.before = self.world.picture()
        git = f"{self.world.base}/outside"
        plants = (f"ln -s {git} l; printf 'gitdir: ../l/evil/.git\\n' > s/.git",
                  f"printf 'gitdir: ../l/evil/.git\\n' > s/.git; sleep 0.4; ln -s {git} l",
                  f"mkdir l; printf 'gitdir: ../l/evil/.git\\n' > s/.git; sleep 0.4; rmdir l; ln -s {git} l",
                  f"ln -s {git}/evil/objects l; printf 'gitdir: ../l/../.git\\n' > s/.git",
                  f"printf 'gitdir: {evil}/.git\\000/../../../{self.world.project}/zz\\n' > s/.git")
        for plant in plants:
            with self.subTest(plant=plant):
                self.inside("mkdir s; " + plant)
                self.git("status", cwd=self.project("s"), check=False)
                self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")
                self.gone("s/.git")
                shutil.rmtree(self.project("s"))
                if os.path.lexists(self.project("l")):
                    os.unlink(self.project("l"))

    def test_what_a_nested_configuration_leads_to(self):
        self.git("init", "-q", self.project("sub"))
        self.plant("sub/hooks.d/pre-commit", "#!/bin/sh\n", 0o755)
        self.plant("sub/inc", "[foo]\n\tbar = 1\n")
        self.git("config", "core.hooksPath", "hooks.d", cwd=self.project("sub"))
        self.git("config", "include.path", "../inc", cwd=self.project("sub"))
        self.age()
        for wait in ("touch w; sleep 0.5; ", ""):
            with self.subTest(wait=wait):
                said = self.inside(wait + f"echo 'touch {self.canary}' >> sub/hooks.d/pre-commit; echo evil > sub/hooks.d/post-commit; "
                                   f"git config -f sub/inc core.fsmonitor 'touch {self.canary}; false'")
                self.assertIn("core.fsmonitor", said)
                if wait:  # else nobody has seen what it was
                    self.assertEqual(self.read("sub/hooks.d/pre-commit"), "#!/bin/sh\n")
                self.gone("sub/hooks.d/post-commit")
                self.git("status", cwd=self.project("sub"))
                self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")

    def test_a_change_by_another_name_of_the_file(self):
        """Written through a hard link, it is undone at once."""
        box = self.start("sh", "-c", "mkdir a b .vscode; : > a/.envrc; ln a/.envrc b/.envrc; : > .vscode/tasks.json; "
                         "ln .vscode/tasks.json x; ln .git/config y; sleep 0.5; rm a/.envrc; echo evil > b/.envrc; echo evil > x; "
                         "git config -f y core.pager evil; printf '[core]\\n\\tfsmonitor = evil\\n' >> y; echo planted; cat",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.assertEqual(box.stdout.readline(), b"planted\n")
            sandbox.wait_until(lambda: not os.path.exists(self.project("b/.envrc")), "b/.envrc goes")
            sandbox.wait_until(lambda: not os.path.exists(self.project(".vscode/tasks.json")), ".vscode/tasks.json goes")
            sandbox.wait_until(lambda: self.git("config", "core.fsmonitor", check=False) == "", "core.fsmonitor goes")
        finally:
            box.communicate()

    def test_the_sandbox_is_killed_where_nobody_listens(self):
        """What there is to be said comes after what there is to be done."""
        listening, stderr = os.pipe()
        box = self.start("sh", "-c", ": > w; echo started; until test -e go; do :; done; echo evil > .envrc; echo planted; exec cat",
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        os.close(listening)
        os.close(stderr)
        try:
            self.assertEqual(box.stdout.readline(), b"started\n")
            init = [pid for pid, (_, name) in below(box.pid).items() if name == "dirbox-init"]
            os.kill(box.pid, signal.SIGSTOP)
            self.plant("go", "")
            self.assertEqual(box.stdout.readline(), b"planted\n")
            os.kill(init[0], signal.SIGKILL)
        finally:
            os.kill(box.pid, signal.SIGCONT)
            box.communicate()
        self.gone(".envrc")

    def test_what_goes_on_while_the_launcher_is_stopped(self):
        """With the command, as by Ctrl-Z: the guard stops too, and so does everything inside, until they go on."""
        box = self.start("sh", "-c", f"(sleep 0.5; git config core.fsmonitor 'touch {self.canary}; false'; touch late) "
                         "< /dev/null > /dev/null 2>&1 & kill -STOP $$; wait", stdin=subprocess.DEVNULL, process_group=0)
        try:
            sandbox.wait_until(lambda: below(os.getpid())[box.pid][0] == "T", "the launcher is stopped")
            states = {state for state, name in below(box.pid).values() if not name.startswith("dirbox")}
            self.assertIn("T", states)
            self.assertLessEqual(states, {"T", "D", "Z"})  # D: its vfork(2) waits for a child that is stopped
        finally:
            os.kill(box.pid, signal.SIGCONT)
        self.assertEqual(box.wait(sandbox.PATIENCE), 0)
        self.assertTrue(os.path.exists(self.project("late")))
        self.git("status")
        self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")


def below(root):
    """State and name of every process below `root`, by number."""
    rows = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, rest = file.read().split("(", 1)[1].rsplit(") ", 1)
        except OSError:
            continue
        rows[int(pid)] = rest.split()[0], name, int(rest.split()[1])
    found, new = {}, {root}
    while new:
        new = {pid for pid, row in rows.items() if row[2] in new and pid not in found}
        found.update({pid: rows[pid][:2] for pid in new})
    return found


if __name__ == "__main__":
    sandbox.main()
