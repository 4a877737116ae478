"""The guard under load: more directories than watches, more events than are handled, what leads in circles."""
import os
import signal
import subprocess

import sandbox

# Without an event: a store through a mapping, of the size that the file has, which stays open.
STORE = """
import mmap, os
file = open(".git/config", "r+b")
size = os.fstat(file.fileno()).st_size
kept = globals().get("kept", []) + [file]
mmap.mmap(file.fileno(), size)[:] = (b"[core]\\nfsmonitor = evil\\n" + b"#" * size)[:size]
"""


class Load(sandbox.Boundary):
    def python(self, script, options=("-p", "worker")):
        done = self.dirbox("python3", "-c", script, options=options)
        self.assertEqual(done.code, 0, done.err[-2000:])
        return done

    def setUp(self):
        super().setUp()
        with open(self.project(".git/config"), "a", encoding="utf-8") as file:
            file.write("# " + "x" * 100 + "\n")
        self.addCleanup(subprocess.run, "rm -rf a b d* z big*", shell=True, cwd=self.world.project, check=True)

    def config(self):
        with open(self.project(".git/config"), encoding="utf-8") as file:
            return file.read()

    def test_gitfiles_that_lead_in_circles(self):
        """Whoever followed them would not return, and what else was planted would stay."""
        for way in ("mkdir a; printf 'gitdir: .\\n' > a/.git",
                    "mkdir a b; printf 'gitdir: ../b\\n' > a/.git; printf 'gitdir: ../a\\n' > b/.git",
                    "mkdir -p a/b; printf 'gitdir: ..\\n' > a/b/.git"):
            for options in (("-p", "worker"), ("-p", self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\n'))):
                with self.subTest(way=way, options=options[1]):
                    script = f"import os\nos.system({way!r})\nfor i in range(40):\n  os.system('echo > c')\n"
                    if options[1] == "worker":
                        done = self.python(STORE + script)
                        self.assertIn("core.fsmonitor = evil", done.err)
                    else:
                        self.python(script, options)
                    self.assertNotIn("evil", self.config())
                    subprocess.run(["rm", "-rf", "a", "b", "c"], cwd=self.world.project, check=True)

    def test_more_directories_than_watches(self):
        """Made inside, so that none is left for those from before: what is planted there is found all the same."""
        os.makedirs(self.project("d/deep/old"))
        done = self.python("""
import os
os.mkdir("z")
for i in range(4200):
    os.mkdir(f"z/{i}")
def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
for path in ("d/deep/old/.envrc", "d/deep/old/.vscode/tasks.json", "z/4100/n/.envrc", "z/b/hooks/post-checkout"):
    put(path, "evil")
for path in ("z/b/HEAD", "z/b/objects/x", "z/b/refs/x", "d/deep/plain"):
    put(path, "ref: refs/heads/main")
put("z/b/config", "[core]\\nfsmonitor = evil\\n")
""")
        for path in ("d/deep/old/.envrc", "d/deep/old/.vscode/tasks.json", "z/4100/n/.envrc", "z/b/hooks/post-checkout"):
            self.assertIn(path, done.err)
            self.assertFalse(os.path.exists(self.project(path)), path)
        self.assertTrue(os.path.exists(self.project("d/deep/plain")))
        with open(self.project("z/b/config"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "[core]\n")

    def test_a_command_that_ends_before_all_is_watched(self):
        for i in range(1500):
            os.makedirs(self.project(f"d{i}/e"))
        done = self.dirbox("sh", "-c", "echo x > d1499/e/.envrc; echo x > d1499/e/plain", options=("-p", "worker"))
        self.assertIn("d1499/e/.envrc", done.err)
        self.assertFalse(os.path.exists(self.project("d1499/e/.envrc")))
        self.assertTrue(os.path.exists(self.project("d1499/e/plain")))

    def test_a_run_that_writes_nothing_costs_nothing_for_the_tree(self):
        """The supervisor's own calls, counted: none for each directory unless something was opened for writing."""
        def opened(script):
            trace = self.outside("trace")
            done = self.dirbox("sh", "-c", script, options=("-p", "worker"), env={"ASAN_OPTIONS": "detect_leaks=0"},
                               wrapper=("strace", "-qq", "-e", "trace=openat2", "-o", trace))
            self.assertEqual(done.code, 0, done)
            with open(trace, encoding="utf-8") as file:
                count = len(file.readlines())
            os.remove(trace)
            return count

        few = opened("cat file")
        for i in range(300):
            os.makedirs(self.project(f"d{i}/e"))
        # A run that a busy machine makes longer than 20 ms has its directories watched: one of many is short.
        self.assertLess(min(opened("cat file") for _ in range(20)), few + 100)
        self.assertGreater(opened("echo x > d1/f; cat file"), few + 600)

    def test_signals_are_served_under_a_flood(self):
        child = self.start("python3", "-c", """
import os
for i in range(40):
    for j in range(100):
        os.makedirs(f"big/{i}/{j}")
for i in range(1 << 30):
    os.rename("big", "big2")
    os.rename("big2", "big")
    if i == 2000:
        print("flood", flush=True)
""", options=("-p", "worker"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(child.stdout.readline(), b"flood\n")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(sandbox.PATIENCE), 128 + signal.SIGTERM)
        child.stdout.close()

    def test_a_file_that_takes_long_to_free(self):
        """Whoever removes a file of very many extents frees them, which can take seconds: the guard does not wait for it."""
        make = """
import ctypes, os, time
def make(name):
    with open(name, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 8192 * 10000)
        for i in range(10000):  # a hole after each block
            ctypes.CDLL(None).fallocate(file.fileno(), 3, ctypes.c_long(i * 8192), ctypes.c_long(4096))
    return name
def wait_for(condition):
    begun = time.monotonic()
    while not condition():
        os.sched_yield()
    print(time.monotonic() - begun)
"""
        control = subprocess.run(["python3", "-c", make + "os.chdir('..'); make('f'); wait_for(lambda: os.unlink('f') is None)"],
                                 cwd=self.world.project, capture_output=True, text=True, timeout=sandbox.PATIENCE, check=True)
        done = self.python(make + """
os.rename(make("big"), ".envrc")
open(".pdbrc", "w").write("evil")
wait_for(lambda: not os.path.exists(".envrc") and not os.path.exists(".pdbrc"))
""")
        self.assertIn("undone and not kept: " + self.project(".envrc"), done.err)
        self.assertLess(float(done.out), max(0.5, float(control.stdout) / 2), done)

    def test_directories_without_rights(self):
        """What can be entered can be executed, readable and writable or not."""
        self.control("stat", self.project("file"))
        for mode in ("311", "555", "111", "000"):
            for first in ("", "seq 2000 >/dev/null; for i in $(seq 60); do touch D/t; done; "):
                with self.subTest(mode=mode, first=first):
                    done = self.sh(f"mkdir -p D/.git/objects D/.git/refs; {first}echo x > D/.envrc; echo x > D/plain; "
                                   f"printf '[core]\nfsmonitor = evil\n' > D/.git/config; chmod {mode} D/.git D",
                                   options=("-p", "worker"))
                    self.assertEqual(done.code, 0, done)
                    for path in (self.project("D"), self.project("D/.git")):
                        os.chmod(path, 0o755)
                    self.assertIn("D/.envrc", done.err)
                    self.assertFalse(os.path.exists(self.project("D/.envrc")))
                    self.assertTrue(os.path.exists(self.project("D/plain")))
                    with open(self.project("D/.git/config"), encoding="utf-8") as file:
                        self.assertEqual(file.read(), "[core]\n")
                    subprocess.run(["rm", "-rf", "D"], cwd=self.world.project, check=True)

    def test_what_another_sandbox_planted_is_no_state_to_go_back_to(self):
        """One plants without an event; another begins; the first ends, and its guard undoes; the other plants again."""
        self.world.plant(self.project(".envrc"), "mine\n" + "#" * 100 + "\n")
        self.addCleanup(os.unlink, self.project(".envrc"))
        envrc = STORE.replace(".git/config", ".envrc")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        wait = "\nprint('ready', flush=True)\ninput()\n"
        # The guard's first walk, which has no end that can be seen, would find it: then all begins again.
        armed = "import os\nopen('.exrc', 'w').write('x')\nwhile os.path.exists('.exrc'): pass\n"
        again = """
for name in (".git/config", ".envrc"):
    with open("/tmp/" + name[1:5].rstrip("/"), "rb") as file, open(name, "wb") as to:
        to.write(file.read())
"""
        copy = """
import shutil
shutil.copy(".git/config", "/tmp/git")
shutil.copy(".envrc", "/tmp/envr")
print(all("evil" in open(name).read() for name in ("/tmp/git", "/tmp/envr")), flush=True)
input()
"""
        before = self.config()
        for _ in range(50):
            first = self.start("python3", "-c", armed + STORE + envrc + wait, options=("-p", "worker"), **pipes)
            self.assertEqual(first.stdout.readline(), "ready\n")
            second = self.start("python3", "-c", copy + again, options=("-p", "worker"), **pipes)
            planted = second.stdout.readline() == "True\n"
            ends = [child.communicate("\n", timeout=sandbox.PATIENCE)[1] for child in (first, second)]
            self.assertNotIn("evil", self.config())
            with open(self.project(".envrc"), encoding="utf-8") as file:
                self.assertEqual(file.read()[:5], "mine\n", ends)
            if planted:
                break
            with open(self.project(".git/config"), "w", encoding="utf-8") as file:
                file.write(before)
        self.assertTrue(planted)
        self.assertIn("core.fsmonitor = evil", ends[0])
        self.assertIn("core.fsmonitor = evil", ends[1])

    def test_the_quarantine_is_bounded(self):
        done = self.python("""
for i in range(400):
    try:
        with open(".envrc", "w") as file:
            file.write("x" * (1 << 20))
    except OSError:
        pass
""")
        self.assertIn(".envrc", done.err)
        store = self.home(".local/state/dirbox/quarantine")
        sizes = [sum(os.path.getsize(os.path.join(folder, name)) for name in names) for folder, _, names in os.walk(store)]
        self.assertLess(max(sizes), 80 << 20)


if __name__ == "__main__":
    sandbox.main()
