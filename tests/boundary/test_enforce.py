"""guard = "enforce": guarded names can be neither made nor changed, and the rest of the tree works as ever.

Every way to a guarded name is tried by a script inside; afterwards the host looks: the name is as it was, not for a moment
anything else, since nothing was quarantined.
"""
import os
import signal
import subprocess

import sandbox

WAYS = r'''
import ctypes, errno, os, sys, threading
libc = ctypes.CDLL(None, use_errno=True)

def renameat2(a, b, flags):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")

def write(path, text="evil\n", flags=os.O_WRONLY | os.O_CREAT):
    fd = os.open(path, flags, 0o755)
    os.write(fd, text.encode())
    os.close(fd)

def say(name, error):
    print(name, errno.errorcode.get(error, error))

def attempt(name, act):
    try:
        act()
        say(name, 0)
    except OSError as error:
        say(name, error.errno)

write("source", "[core]\n\tfsmonitor = evil\n")
os.makedirs("plain", exist_ok=True)
'''


class Enforce(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.strict = self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\n')
        self.canary = self.outside("pwned")

    def tearDown(self):
        for name in set(os.listdir(self.project())) - {".git", "file", "probe"}:
            subprocess.run(["rm", "-rf", self.project(name)], check=True)
        super().tearDown()

    def age(self):
        """Until what was made is older than the next start: the clock of file systems ticks."""
        self.inside("sleep", "0.05")

    def inside(self, *command, code=0):
        done = self.dirbox(*command, options=["-p", self.strict])
        self.assertEqual(done.code, code, done)
        self.assertNotIn("quarantined", done.err, "it was there for a moment")
        return done

    def script(self, text):
        """Runs WAYS and `text`; a dict of attempt: errno name."""
        done = self.inside("python3", "-c", WAYS + text)
        return dict(line.split() for line in done.out.splitlines())

    def refused(self, text, errnos=("EPERM",)):
        for name, verdict in self.script(text).items():
            with self.subTest(way=name):
                self.assertIn(verdict, errnos)

    def test_names_that_are_not_there(self):
        names = (".envrc", ".mcp.json", "sub/.envrc", "plain/.vscode/tasks.json", ".claude/settings.json", ".dirbox.toml",
                 "plain/.git/hooks/post-commit", "plain/.git/commondir", "plain/.git/config.worktree", ".husky/pre-commit")
        self.refused(f"for name in {names!r}:\n" r'''
    top = os.path.dirname(name)
    if top:
        os.makedirs(top, exist_ok=True)
    there = os.open(top or ".", os.O_RDONLY)
    last = os.path.basename(name)
    attempt("open:" + name, lambda: write(name))
    attempt("excl:" + name, lambda: write(name, flags=os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    attempt("dirfd:" + name, lambda: os.open(last, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=there))
    attempt("rename:" + name, lambda: os.rename("source", name))
    attempt("link:" + name, lambda: os.link("source", name))
    attempt("symlink:" + name, lambda: os.symlink("/bin/sh", name))
    attempt("mknod:" + name, lambda: os.mknod(name))
    attempt("mkfifo:" + name, lambda: os.mkfifo(name))
    attempt("noreplace:" + name, lambda: renameat2("source", name, 1))
    here = os.getcwd()
    os.chdir(top or ".")
    attempt("cwd:" + name, lambda: write(last))
    attempt("dots:" + name, lambda: write("../" + os.path.basename(os.getcwd()) + "/./" + last))
    os.chdir(here)
    os.symlink(name, "alias")
    attempt("dangling:" + name, lambda: write("alias"))
    os.unlink("alias")
''')
        for name in names:
            self.assertFalse(os.path.lexists(self.project(name)), name)

    def test_names_on_their_way_to_guarded_ones(self):
        """What another sandbox's writer is about to put in a guarded name's place is not opened or replaced meanwhile."""
        self.inside("sh", "-c", "echo x > .config; mv .config .git/.plain; git config a.b c; test \"$(git config a.b)\" = c")
        temporary = self.project(".git/.config.dirbox-3")
        self.world.plant(temporary, "[core]\n")
        self.addCleanup(os.unlink, temporary)
        for way in ("echo x >> $f", "echo x > x; mv -f x $f", "rm -f $f", "ln $f y", "mv $f z", "truncate -s 0 $f"):
            with self.subTest(way=way):
                done = self.dirbox("sh", "-c", f"f={temporary}; {way}", options=["-p", self.strict])
                self.assertIn("not permitted", done.err)
                with open(temporary, encoding="utf-8") as file:
                    self.assertEqual(file.read(), "[core]\n")

    def test_files_that_are_there(self):
        self.world.plant(self.project(".envrc"), "mine\n")
        self.world.plant(self.project("tools/.vscode/tasks.json"), "mine\n")
        self.world.plant(self.project("tools/.git/hooks/pre-push"), "mine\n")
        names = (".envrc", "tools/.vscode/tasks.json", "tools/.git/hooks/pre-push")
        self.age()
        self.refused(f"for name in {names!r}:\n" r'''
    attempt("write:" + name, lambda: write(name))
    attempt("append:" + name, lambda: write(name, flags=os.O_WRONLY | os.O_APPEND))
    attempt("rdwr:" + name, lambda: write(name, flags=os.O_RDWR))
    attempt("trunc:" + name, lambda: os.open(name, os.O_WRONLY | os.O_TRUNC))
    attempt("truncate:" + name, lambda: os.truncate(name, 0))
    attempt("unlink:" + name, lambda: os.unlink(name))
    attempt("rename:" + name, lambda: os.rename(name, "away"))
    attempt("over:" + name, lambda: os.rename("source", name))
    attempt("exchange:" + name, lambda: renameat2("source", name, 2))
    attempt("exchanged:" + name, lambda: renameat2(name, "source", 2))
    attempt("link:" + name, lambda: os.link(name, "away"))
    attempt("chmod:" + name, lambda: os.chmod(name, 0o755))
    attempt("access:" + name, lambda: None if os.access(name, os.W_OK) else write(name))
''')
        # A descriptor for reading does not become one for writing.
        self.refused(f"for name in {names!r}:\n" r'''
    fd = os.open(name, os.O_RDONLY)
    attempt("fd:" + name, lambda: os.open(f"/proc/self/fd/{fd}", os.O_WRONLY))
    attempt("dev:" + name, lambda: os.open(f"/dev/fd/{fd}", os.O_RDWR))
    attempt("cwd:" + name, lambda: os.open("/proc/self/cwd/" + name, os.O_WRONLY))
    attempt("root:" + name, lambda: os.open("/proc/self/root" + os.path.abspath(name), os.O_WRONLY))
    attempt("task:" + name, lambda: os.unlink("/proc/thread-self/cwd/" + name))
    attempt("fchmod:" + name, lambda: os.fchmod(fd, 0o755))
''', ("EROFS",))
        for name in names:
            with open(self.project(name), encoding="utf-8") as file:
                self.assertEqual(file.read(), "mine\n")
            self.assertEqual(os.stat(self.project(name)).st_mode & 0o111, 0)

    def test_directories_are_not_moved_to_where_they_count(self):
        self.world.plant(self.project("has/.git/config"), "")
        self.refused(r'''
os.makedirs("fake/hooks", exist_ok=True)
write("fake/hooks/pre-commit")
write("fake/tasks.json")
os.makedirs("repo/.git", exist_ok=True)
attempt("git", lambda: os.rename("fake", "plain/.git"))
attempt("hooks", lambda: os.rename("fake/hooks", "repo/.git/hooks"))
attempt("editor", lambda: os.rename("fake", ".vscode"))
attempt("exchange", lambda: renameat2("fake", "has/.git", 2))
attempt("away", lambda: os.rename("has/.git", "plain/git"))
attempt("link", lambda: os.symlink("fake", ".vscode"))
attempt("hooks-link", lambda: os.symlink("../../fake/hooks", "repo/.git/hooks"))
attempt("modules", lambda: os.rename("fake", "repo/.git/modules"))
os.makedirs("repo/.git/objects/aa/.git/hooks", exist_ok=True)
os.symlink("repo/.git/objects/aa", "shown")
attempt("deep-in-git", lambda: write("repo/.git/objects/aa/.envrc"))
attempt("hook-in-git", lambda: write("shown/.git/hooks/pre-commit"))
''')

    def test_a_swapped_parent(self):
        """The name is resolved once: neither a loop of exchanges nor of symlinks gets another directory in its place."""
        self.refused(r'''
os.makedirs("x/.git/hooks", exist_ok=True)
os.makedirs("swap/a", exist_ok=True)
stop = threading.Event()
def exchange():
    os.makedirs("swap/b", exist_ok=True)
    while not stop.is_set():
        renameat2("swap/a", "swap/b", 2)
def relink():
    while not stop.is_set():
        for target in ("/tmp", os.path.abspath("x/.git/hooks")):
            os.symlink(target, "/tmp/new")
            os.rename("/tmp/new", "/tmp/way")
threads = [threading.Thread(target=t) for t in (exchange, relink)]
os.symlink("/tmp", "/tmp/way")
os.symlink("../../x/.git/hooks", "swap/a/h")
for t in threads: t.start()
for i in range(60):
    for path in ("/tmp/way/pre-commit", "swap/a/h/pre-commit", "swap/b/h/pre-commit"):
        try:
            write(path)
        except OSError:
            pass
stop.set()
for t in threads: t.join()
attempt("after", lambda: write("x/.git/hooks/pre-commit"))
''')
        self.assertEqual(os.listdir(self.project("x/.git/hooks")), [])

    def test_a_path_that_changes_in_memory(self):
        """Another thread rewrites the name while the call waits: the copy is what counts."""
        self.refused(r'''
buffer = ctypes.create_string_buffer(b"harmless-1", 64)
stop = threading.Event()
def rewrite():
    while not stop.is_set():
        buffer.raw = b".envrc\0".ljust(64, b"\0")
        buffer.raw = b"harmless-1\0".ljust(64, b"\0")
thread = threading.Thread(target=rewrite)
thread.start()
libc.open.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
for i in range(400):
    fd = libc.open(ctypes.addressof(buffer), os.O_WRONLY | os.O_CREAT, 0o644)
    if fd >= 0:
        os.write(fd, b"evil")
        os.close(fd)
stop.set()
thread.join()
attempt("after", lambda: write(".envrc"))
''')
        self.assertFalse(os.path.lexists(self.project(".envrc")))
        self.assertTrue(os.path.exists(self.project("harmless-1")))

    def test_a_configuration_that_changes_while_it_is_judged(self):
        """Its text is read once: who goes on writing to the lock file writes to nothing."""
        self.script(r'''
good = open(".git/config", "rb").read()
evil = b"[core]\n\tfsmonitor = evil\n".ljust(len(good), b"#")
stop = threading.Event()
current = [-1]
def rewrite():
    while not stop.is_set():
        for text in (evil, good):
            try:
                os.pwrite(current[0], text, 0)
            except OSError:
                pass
thread = threading.Thread(target=rewrite)
thread.start()
for i in range(200):
    fd = os.open(".git/config.lock", os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, good, 0)
    current[0] = fd
    try:
        os.rename(".git/config.lock", ".git/config")
    except OSError:
        pass
    current[0] = -1
    os.close(fd)
stop.set()
thread.join()
if os.path.exists(".git/config.lock"):  # the last one was refused
    os.unlink(".git/config.lock")
''')
        self.assertEqual(self.git("config", "core.fsmonitor", check=False), "")
        self.git("status")

    def test_directories_that_become_a_repository(self):
        """By a gitfile that leads to a directory in which other names are guarded; by a worktree's that loses its commondir."""
        self.git("worktree", "add", "-q", "linked", "-b", "linked")
        self.addCleanup(self.git, "worktree", "prune")
        evil = f"[core]\n\tfsmonitor = touch {self.canary}; false\n"
        self.refused(rf'''
for kind in (".vscode", ".claude", ".cargo", ".git/worktrees"):
    os.makedirs(kind + "/objects", exist_ok=True)
    os.makedirs(kind + "/refs", exist_ok=True)
    attempt("head:" + kind, lambda: write(kind + "/HEAD", "ref: refs/heads/main\n"))
    attempt("rename:" + kind, lambda: os.rename("source", kind + "/HEAD"))
admin = ".git/worktrees/linked"
os.unlink(admin + "/commondir")
os.makedirs(admin + "/objects")
os.makedirs(admin + "/refs", exist_ok=True)
attempt("config", lambda: write(admin + "/config", {evil!r}))
os.makedirs(admin + "/hooks")
attempt("hooks", lambda: write(admin + "/hooks/pre-commit"))
''')
        self.git("status", cwd=self.project("linked"))
        self.assertFalse(os.path.exists(self.canary))
        subprocess.run(["rm", "-rf", self.project(".git/worktrees")], check=True)

    def test_other_spellings(self):
        """Names that a file system which ignores case takes for guarded ones."""
        self.refused(r'''
os.makedirs("plain/.VSCode", exist_ok=True)
for name in (".ENVRC", ".Mcp.json", ".e\u200cnvrc", ".mcp.j\u017fon", ".VSCODE/TASKS.json", ".vscode/ta\u017f\u212as.json", "plain/.VSCode/mcp.json",
             ".GIT/hooks/post-commit", ".G\ufeffit/commondir", ".gi\u00adt/con\ufb01g"):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    attempt(name.encode().hex(), lambda: write(name))
''')
        self.assertEqual(self.script('attempt("other", lambda: write(".envr\u00e7"))')["other"], "0")

    def test_descriptors_of_others(self):
        """A process with a table of its own, a thread that swaps, a caller that is killed, calls that wait in their hundreds."""
        self.refused(r'''
import subprocess
os.makedirs("own/.vscode", exist_ok=True)
here = os.open("own/.vscode", os.O_RDONLY)
waiting, done = os.pipe()
other = os.fork()
if other == 0:
    # Another table with another directory under the same number.
    os.close(done)
    os.dup2(os.open("/tmp", os.O_RDONLY), here)
    os.read(waiting, 1)
    os._exit(0)
attempt("table", lambda: os.open("tasks.json", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here))
os.close(done)
os.waitpid(other, 0)
swap = [os.open("plain", os.O_RDONLY), here]
stop = threading.Event()
number = os.dup(here)
def swapping():
    while not stop.is_set():
        for fd in swap:
            os.dup2(fd, number)
thread = threading.Thread(target=swapping)
thread.start()
for i in range(200):
    try:
        os.close(os.open("tasks.json", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=number))
    except OSError:
        pass
stop.set()
thread.join()
assert not os.path.exists("own/.vscode/tasks.json")
child = "import os\nfor i in range(10**9):\n  os.close(os.open('killed', os.O_WRONLY | os.O_CREAT))\n  os.unlink('killed')\n  i or print(flush=True)"
for i in range(8):
    task = subprocess.Popen(["python3", "-c", child], stdout=subprocess.PIPE)
    task.stdout.readline()
    task.kill()
    task.wait()
def many(i):
    for j in range(5):
        write(f"plain/{i}.{j}")
        os.unlink(f"plain/{i}.{j}")
threads = [threading.Thread(target=many, args=(i,)) for i in range(200)]
for t in threads: t.start()
for t in threads: t.join()
write("plain/after")
attempt("after", lambda: write("own/.vscode/tasks.json"))
''')
        self.assertEqual(os.listdir(self.project("own/.vscode")), [])
        self.assertTrue(os.path.exists(self.project("plain/after")))

    def test_what_is_written_can_be_executed_at_once(self):
        """Nobody else has it open for writing by the time that the caller has closed it."""
        done = self.inside("python3", "-c", r"""
import os, subprocess
for i in range(100):
    fd = os.open("program", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755)
    os.write(fd, b"#!/bin/sh\nexit 0\n")
    os.close(fd)
    pid = os.posix_spawn("program", ["program"], {})
    assert os.waitpid(pid, 0)[1] == 0
print("well")
""")
        self.assertEqual(done.out, "well\n")

    def test_a_file_to_read_is_not_reopened(self):
        """Standard input comes from the host's own mount."""
        self.world.plant(self.project("kept/.envrc"), "mine\n")
        with open(self.project("kept/.envrc"), "rb") as file:
            done = self.dirbox("sh", "-c", "cat; echo x > /proc/self/fd/0; echo x 1<> /dev/stdin; cat kept/.envrc",
                               options=["-p", self.strict], stdin=file)
        self.assertEqual(done.out, "mine\nmine\n")

    def test_patterns_hold_for_what_comes_later(self):
        self.world.plant(self.project("a/one.lock"), "mine\n")
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\nhide = ["${PROJECT}/**/.env"]\n'
                               'protect = ["${PROJECT}/**/*.lock", "${PROJECT}/**/kept/*"]\n', "patterns.toml")
        ways = ("echo x > .env", "mkdir -p n/m; echo x > n/m/.env", "echo x > y; mv y a/two.lock", "echo x > y; ln y a/two.lock",
                "ln -s y two.lock", "echo x > a/one.lock", "mv a/one.lock b", "mkdir n; echo x > n/file; mv n kept",
                "mkdir kept; echo x > kept/file", "mv a c && mkdir a && echo x > a/one.lock")
        for way in ways:
            with self.subTest(way=way):
                done = self.dirbox("sh", "-c", way, options=["-q", "-p", profile])
                self.assertNotEqual(done.code, 0, done)
                self.assertNotIn("quarantined", done.err)
                subprocess.run("test ! -e c || { rm -rf a; mv c a; }; rm -rf n kept y", shell=True, cwd=self.world.project, check=True)
        self.assertEqual(subprocess.run(["find", ".", "-name", "*.env", "-o", "-name", "*.lock"], cwd=self.world.project, text=True,
                                        capture_output=True, check=True).stdout, "./a/one.lock\n")

    def test_what_is_attached_comes_under_it(self):
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\n[[excluded]]\ncommand = "tmux"\nmode = "inside"\n',
                               "inside.toml")
        extra = {"XDG_RUNTIME_DIR": ""}
        child = self.start("sh", "-c", "echo $DIRBOX; exec cat", options=("-q", "-p", profile), env=extra,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            session = child.stdout.readline().decode().strip()
            script = ("echo x > .envrc || echo refused; echo x > fine; cat fine; mkdir .vscode; echo x > .vscode/tasks.json || echo refused; "
                      "sleep 1000 > /dev/null 2>&1 & git config core.pager evil || echo refused")
            done = self.dirbox(launcher=("attach", session, "--", "sh", "-c", script), env=extra)
            self.assertEqual(done.out, "refused\nx\nrefused\nrefused\n", done)
            self.assertFalse(os.path.exists(self.project(".envrc")))
            with open(self.project("file"), "rb") as file:
                done = self.dirbox(launcher=("attach", session, "--", "cat"), env=extra, stdin=file)
            self.assertIn("reopened", done.err)
        finally:
            child.stdin.close()
            self.assertEqual(child.wait(sandbox.PATIENCE), 0)
            child.stdout.close()

    def test_aliases_from_before(self):
        """A file that the host gave two names may be a guarded one."""
        self.world.plant(self.project("deep/.envrc"), "mine\n")
        os.link(self.project("deep/.envrc"), self.project("harmless"))
        os.symlink("tools/run.sh", self.project(".exrc"))
        self.world.plant(self.project("tools/run.sh"), "mine\n")
        self.age()
        self.refused(r'''
attempt("alias", lambda: write("harmless"))
attempt("chmod", lambda: os.chmod("harmless", 0o755))
attempt("target", lambda: write("tools/run.sh"))
attempt("moved", lambda: os.rename("tools", "tools2"))
''')
        done = self.script("write('one')\nos.link('one', 'two')\nattempt('own', lambda: write('two'))\n")
        self.assertEqual(done["own"], "0")

    def test_the_configuration(self):
        self.git("config", "core.pager", "cat")
        self.addCleanup(self.git, "config", "--unset-all", "core.pager", check=False)
        before = self.git("config", "--list", "--local")
        for way in (f"git config core.fsmonitor 'touch {self.canary}'", "git config core.pager evil",
                    "echo '[core]pager=evil' >> .git/config", "echo '[core]pager=evil' > c; mv c .git/config",
                    "cp .git/config c; echo '[core]pager=evil' >> c; ln -f c .git/config", "ln -sf ../c .git/config", "rm -f .git/config; git config -l | grep -q cat; false",
                    "mv .git .g", "echo ../e > .git/commondir", "git config include.path ../c"):
            with self.subTest(way=way):
                done = self.dirbox("sh", "-c", way, options=["-p", self.strict])
                self.assertNotEqual(done.code, 0, done)
                self.assertEqual(self.git("config", "--list", "--local"), before)
                self.git("status")
                self.assertFalse(os.path.exists(self.canary))

    def test_a_descriptor_of_what_becomes_the_configuration(self):
        """It is a copy that git's rename puts there."""
        self.script(r'''
fd = os.open(".git/config.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
os.write(fd, open(".git/config", "rb").read())
os.rename(".git/config.lock", ".git/config")
os.write(fd, b"[core]\n\tfsmonitor = evil\n")
''')
        self.assertEqual(self.git("config", "core.fsmonitor", check=False), "")

    def test_a_bare_repository_by_hand(self):
        evil = f"touch {self.canary}; false"
        self.refused(rf'''
for last in ("HEAD", "objects", "refs"):
    d = "bare-" + last
    os.makedirs(d + "/hooks", exist_ok=True)
    write(d + "/config", "[core]\n\tfsmonitor = {evil}\n\tbare = true\n")
    for name in ("HEAD", "objects", "refs"):
        if name == last: continue
        if name == "HEAD": write(d + "/HEAD", "ref: refs/heads/main\n")
        else: os.mkdir(d + "/" + name)
    if last == "HEAD":
        attempt("open", lambda: write(d + "/HEAD"))
        attempt("rename", lambda: os.rename("source", d + "/HEAD"))
        attempt("link", lambda: os.link("source", d + "/HEAD"))
        attempt("symlink", lambda: os.symlink("x", d + "/HEAD"))
    else:
        attempt("mkdir-" + last, lambda: os.mkdir(d + "/" + last))
        attempt("move-" + last, lambda: os.rename("plain", d + "/" + last))
''')
        done = self.inside("sh", "-c", "git init -q --bare b && git -C b config user.name x && git init -q n && rm -rf n && "
                           "git clone -q . c && rm -rf c b && test ! -e c")
        self.assertEqual(done.err, "")

    def test_git_works(self):
        self.inside("sh", "-ec", """
            git config user.name inside; git config user.email i@example.org
            echo 1 > a; mkdir d; echo 2 > d/b; git add -A; git commit -qm one; git checkout -q -b topic
            echo 3 >> a; git commit -qam two; git branch -u main; git checkout -q main; git merge -q topic
            git mv a d/a; git commit -qm three; git rebase -q HEAD~1; git stash list; git tag v1; git gc -q
            git clone -q --bare . bare.git; git -C bare.git config user.name bare
            git remote add here ./bare.git; git push -q here main; git fetch -q here; git remote remove here
            rm -rf bare.git; git rm -q -r d; git commit -qm four; git status --porcelain
        """)
        self.assertEqual(self.git("log", "-1", "--format=%s %an"), "four inside\n")
        self.git("fsck", "--strict")

    def test_worktrees_and_gitfiles(self):
        self.inside("sh", "-ec", """
            git worktree add -q w -b w; cd w; echo 1 > x; git add x; git -c user.name=t -c user.email=t@x commit -qm x
            git status --porcelain; cd ..; git worktree list; git worktree remove w; test ! -e w; git branch -D w
        """)
        self.git("worktree", "prune")
        done = self.inside("sh", "-c", f"mkdir s; echo 'gitdir: {self.outside('repo')}' > s/.git; echo y > y; cat s/.git; true")
        self.assertFalse(os.path.lexists(self.project("s/.git")))
        self.assertIn("s/.git", done.err)

    def test_hooks_that_are_there_run(self):
        self.world.plant(self.project("r/x"), "")
        self.git("init", "-q", "r")
        self.world.plant(self.project("r/.git/hooks/pre-commit"), "#!/bin/sh\necho ran > hook-ran\n", 0o755)
        self.age()
        self.inside("sh", "-c", "cd r && git add x && git -c user.name=t -c user.email=t@x commit -qm x")
        self.assertTrue(os.path.exists(self.project("r/hook-ran")))

    def test_ordinary_work(self):
        """What programs do all day, with the same results as outside."""
        work = r'''
set -e
umask 027; mkdir w; cd w; echo a > f; mkdir d; mkfifo p; ln -s f l; ln f h; stat -c '%n %a %h %F' *
chmod 600 f; touch -d 2020-01-01 f; cp -p f g; stat -c '%n %a %Y' f g; mv g d/; mv d e; ls e; test -w f; test -w .; test -w e/g
echo x >> l; cat f; cp -a . ../w2; tar cf - . | (mkdir ../w3; cd ../w3; tar xf -); diff -r ../w2 ../w3 2>&1 | sed 's/w[0-9]*//g'
python3 -c "import os; fd = os.open('.', os.O_RDONLY); os.mkdir('m', dir_fd=fd); os.rename('m', 'n', src_dir_fd=fd, dst_dir_fd=fd); os.rmdir('n', dir_fd=fd); os.truncate('f', 1); os.utime('f', ns=(5, 5)); print(os.stat('f').st_mtime_ns); os.chown('f', os.getuid(), os.getgid())"
python3 -c "import tempfile; f = tempfile.TemporaryFile(dir='.'); f.write(b'x'); import mmap; g = open('mm', 'wb+'); g.truncate(4096); m = mmap.mmap(g.fileno(), 0); m[0] = 1; m.flush()"
(echo in > p &); cat p; echo to > /dev/stdout; echo quiet > /dev/null; sed -i s/a/b/ f; cat f; sh -c 'echo $0 > new; cat new' word
cd ..; rm -rf w w2 w3; mkdir -p a/b/c; rmdir -p a/b/c; ! test -e w
'''
        outside = subprocess.run(["sh", "-c", work], cwd=self.world.project, env=self.world.environment, text=True,
                                 capture_output=True)
        self.assertEqual(outside.returncode, 0, outside)
        done = self.inside("sh", "-c", work)
        self.assertEqual((done.out, done.err), (outside.stdout, outside.stderr))

    def test_mounts_hold_for_the_writer(self):
        """What is protected or outside the grants stays as it is."""
        self.world.plant(self.project("kept/file"), "mine\n")
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\nprotect = ["${CWD}/kept"]\n', "kept.toml")
        done = self.dirbox("sh", "-c", "echo x > kept/file; echo x > kept/new; rm -rf kept; mv kept k; ln -s /usr l; echo x > l/new; "
                           f"echo x > {self.home('new')}; rm -f l; echo y > ok", options=["-p", profile])
        self.assertEqual(done.code, 0, done)
        self.assertEqual(os.listdir(self.project("kept")), ["file"])
        with open(self.project("kept/file"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine\n")
        self.assertTrue(os.path.exists(self.project("ok")))

    def test_without_the_writer_nothing_is_written(self):
        """Ended from outside: the tree is read-only, and everything else goes on."""
        child = self.start("sh", "-c", "echo ready; read x; echo x > file; echo x > new; echo y > /tmp/y && cat /tmp/y",
                           options=["-p", self.strict], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "ready\n")
        self.end_writer(child.pid)
        out, err = child.communicate("\n", timeout=sandbox.PATIENCE)
        self.assertEqual(out, "y\n")
        self.assertEqual(err.count("Read-only file system"), 2, err)
        self.assertIn("the guard's writer ended", err)
        self.assertFalse(os.path.exists(self.project("new")))
        with open(self.project("file"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "content of the project\n")

    @staticmethod
    def end_writer(launcher):
        def status(pid):
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                    return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
            except OSError:
                return {}
        def beneath(pid):
            while pid > 1 and pid != launcher:
                pid = int(status(pid).get("PPid", 0))
            return pid == launcher
        found = [int(pid) for pid in os.listdir("/proc")
                 if pid.isdigit() and status(pid).get("Name") == "dirbox-writer" and beneath(int(pid))]
        assert len(found) == 1, found
        os.kill(found[0], signal.SIGKILL)
        sandbox.wait_until(lambda: status(found[0]).get("State", "Z").startswith("Z"), "the writer ends")

    def test_the_writer_is_out_of_reach(self):
        done = self.inside("python3", "-c", """
import os
def tell(act):
    try:
        print(act())
    except OSError as error:
        print(type(error).__name__)
comms = {int(p): open(f"/proc/{p}/comm").read().strip() for p in os.listdir("/proc") if p.isdigit()}
writer = next(p for p, comm in comms.items() if comm == "dirbox-writer")
print(comms[writer])
for act in (lambda: os.readlink(f"/proc/{writer}/fd/3"), lambda: os.listdir(f"/proc/{writer}/root/"), lambda: os.listdir(f"/proc/{writer}/cwd/"),
            lambda: open(f"/proc/{writer}/mem", "rb"), lambda: open(f"/proc/{writer}/maps").read(), lambda: os.kill(writer, 9)):
    tell(act)
""")
        self.assertEqual(done.out.split(), ["dirbox-writer"] + ["PermissionError"] * 6)

    def test_it_ends_with_the_command(self):
        """Also when nothing was asked of it, and when something is left behind."""
        self.inside("true")
        self.inside("sh", "-c", "sleep 1000 & sleep 1000 & true")

    def test_own_landlock_is_refused(self):
        done = self.inside("python3", "-c", "import ctypes; l = ctypes.CDLL(None, use_errno=True); "
                           "print(l.syscall(444, None, 0, 1), ctypes.get_errno())")
        self.assertEqual(done.out, "-1 95\n")

    def test_what_was_refused_is_said(self):
        done = self.dirbox("sh", "-c", "echo x > .envrc", options=["-p", self.strict])
        self.assertIn(".envrc", done.err)
        self.assertIn("direnv executes it", done.err)

    def test_director_strict_enforces(self):
        """Where ~/.swarm inside is another directory than the host's, too."""
        script = ("mkdir -p ~/.swarm/logs && echo w > ~/.swarm/state.json && echo x > fresh && git add fresh;"
                  " echo $?; mkdir .vscode; echo '{}' > .vscode/tasks.json; echo $?; mkdir -p ~/.swarm/.vscode;"
                  " echo '{}' > ~/.swarm/.vscode/tasks.json; echo $?; cat ~/.swarm/state.json")
        done = self.dirbox("sh", "-c", script, options=["-p", "director-strict"])
        self.assertEqual((done.code, done.out.split()), (0, ["0", "2", "2", "w"]), done)
        self.assertNotIn("quarantined", done.err)
        self.assertFalse(os.path.exists(self.project(".vscode/tasks.json")))
        self.assertFalse(os.path.exists(self.home(".swarm/state.json")))
        done = self.dirbox("sh", "-c", "cat ~/.swarm/state.json; echo '{}' > .vscode/tasks.json",
                           options=["-p", self.profile('extends = "director-strict"\n[filesystem]\nguard = "quarantine"\n')])
        self.assertEqual(done.out, "w\n", done)
        self.assertIn("quarantined", done.err)

    def test_nested_namespaces_exclude_it(self):
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\n[process]\nnested_userns = true\n', "nested.toml")
        self.assertRefused(self.dirbox("true", options=["-p", profile]), "nested_userns")


if __name__ == "__main__":
    sandbox.main()
