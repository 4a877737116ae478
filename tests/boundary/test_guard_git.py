"""What git itself would be led to read and write: an index with paths out of the work tree, a submodule's work tree that is
none. The host's git is the victim, in both modes that hold something back."""
import os
import shutil
import subprocess

import sandbox

FORGE = r'''
import os, struct, subprocess, sys
def git(*words, text=None):
    return subprocess.run(["git", *words], input=text, text=True, capture_output=True, check=True).stdout.strip()
def forge(path, entries):
    """An index of version 2; entries: path, mode, text of the blob."""
    out = b"DIRC" + struct.pack(">II", 2, len(entries))
    for name, mode, text in sorted(entries):
        name, blob = name.encode(), bytes.fromhex(git("hash-object", "-w", "--stdin", text=text))
        entry = struct.pack(">10I", 0, 0, 0, 0, 0, 0, mode, 0, 0, 0) + blob + struct.pack(">H", min(len(name), 0xfff)) + name
        out += entry + b"\0" * (8 - len(entry) % 8)
    with open(path, "wb") as file:
        file.write(out + bytes(20))
'''


class Index(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.canary = self.outside("pwned")
        self.victim = self.outside("victim")
        os.makedirs(self.victim)
        self.addCleanup(shutil.rmtree, self.victim)
        self.secret = "key-of-the-victim"
        self.world.plant(os.path.join(self.victim, "id_rsa"), self.secret)
        self.before = self.world.picture()
        # Where the tree is deep, the way out is as well.
        self.way = os.path.relpath(self.victim, self.world.project)
        self.head = self.git("rev-parse", "HEAD").strip()
        self.options = {mode: ["-p", self.profile(f'extends = "worker"\n[filesystem]\nguard = "{mode}"\n', f"{mode}.toml")]
                        for mode in ("quarantine", "enforce")}

    def tearDown(self):
        if os.path.exists(self.canary):
            os.unlink(self.canary)
        self.restore()
        super().tearDown()

    def restore(self):
        """The repository as it was."""
        for name in ("index", "index.lock", "config.worktree", "hooks/post-checkout"):
            if os.path.lexists(self.project(".git/" + name)):
                os.unlink(self.project(".git/" + name))
        for key in ("core.untrackedCache", "index.threads", "index.recordEndOfIndexEntries", "extensions.worktreeConfig"):
            self.git("config", "--unset", key, check=False)
        self.git("reset", "-q", "--hard", self.head)
        self.git("clean", "-qfdx")

    def entries(self, *more):
        own = [("file", 0o100644, self.git("show", "HEAD:file"))]
        return repr(own + list(more))

    def read_entry(self):
        return (f"{self.way}/id_rsa", 0o100644, "")

    def write_entries(self):
        hook = f"#!/bin/sh\ntouch {self.canary}\n"
        return [(".git/hooks/post-checkout", 0o100755, hook), (f"{self.way}/.bashrc", 0o100644, "evil")]

    def forged(self, entries, then="os.replace('forged', '.git/index')"):
        return ["python3", "-c", FORGE + f"forge('forged', {entries})\n{then}\n"]

    def has_secret(self):
        """Whether the sandbox could read it from the objects."""
        done = subprocess.run("git cat-file --batch-all-objects --batch", shell=True, cwd=self.world.project, check=True,
                              env=self.world.environment, capture_output=True)
        return self.secret.encode() in done.stdout

    def unharmed(self):
        self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")
        self.assertFalse(os.path.exists(self.project(".git/hooks/post-checkout")))
        self.assertEqual(sorted(os.listdir(self.victim)), ["id_rsa"])
        self.assertFalse(self.has_secret(), "the host stored a file from outside")

    def test_control(self):
        """Without the guard, git does both."""
        loose = self.profile('extends = "worker"\n[filesystem]\nguard = "off"\n')
        done = self.dirbox(*self.forged(self.entries(*self.write_entries())), options=["-p", loose])
        self.assertEqual(done.code, 0, done)
        self.git("checkout", ".")
        self.assertTrue(os.path.exists(os.path.join(self.victim, ".bashrc")))
        self.assertTrue(os.path.exists(self.canary))
        os.unlink(os.path.join(self.victim, ".bashrc"))
        self.restore()
        done = self.dirbox(*self.forged(self.entries(self.read_entry())), options=["-p", loose])
        self.assertEqual(done.code, 0, done)
        self.git("add", "-u")
        self.assertTrue(self.has_secret())
        self.restore()
        self.git("prune", "--expire=now")

    def test_a_forged_index(self):
        self.git("reflog", "expire", "--all", "--expire=now")
        ways = ["os.replace('forged', '.git/index')", "open('.git/index', 'wb').write(open('forged', 'rb').read())",
                "os.unlink('.git/index'); os.link('forged', '.git/index')",
                "os.unlink('.git/index'); os.symlink('../forged', '.git/index')"]
        host = [["add", "-A"], ["add", "-u"], ["commit", "-q", "-a", "-m", "x"], ["checkout", "."], ["restore", "."], ["stash"]]
        for mode, options in self.options.items():
            for number, way in enumerate(ways):
                with self.subTest(mode=mode, way=way):
                    done = self.dirbox(*self.forged(self.entries(self.read_entry(), *self.write_entries()), way), options=options)
                    self.assertEqual(done.code == 0, mode == "quarantine", done)
                    if mode == "quarantine":
                        self.assertIn("quarantined: " + self.project(".git/index"), done.err)
                    else:
                        self.assertIn("PermissionError", done.err)
                    if number == 0 and mode == "quarantine":
                        self.assertIn("the entry ", done.err)
                        self.assertEqual(self.git("ls-files"), "file\n", "the index from before is back")
                    for words in host:
                        self.world.plant(self.project("file"), "other\n")
                        self.git(*words, check=False)
                    self.unharmed()
                    self.restore()

    def test_indexes_elsewhere(self):
        """Of a linked worktree, of a repository that is made inside."""
        for mode, options in self.options.items():
            for tree, index, make in (("w", ".git/worktrees/w/index", "git('worktree', 'add', '-q', 'w')"),
                                      ("n", "n/.git/index", "git('init', '-q', 'n')")):
                with self.subTest(mode=mode, tree=tree):
                    way = os.path.join("..", self.way)
                    evil = self.entries((f"{way}/id_rsa", 0o100644, ""), (f"{way}/.bashrc", 0o100644, "evil"))
                    text = (f"{FORGE}\n{make}\nopen('{tree}/x', 'w').close()\ngit('-C', '{tree}', 'add', 'x')\n"
                            f"os.chdir('{tree}')\nforge('../forged', {evil})\nos.replace('../forged', '../{index}')\n")
                    done = self.dirbox("python3", "-c", text, options=options)
                    self.assertIn(self.project(index), done.err)
                    for words in (["add", "-u"], ["checkout", "."]):
                        self.git(*words, cwd=self.project(tree), check=False)
                    self.unharmed()
                    shutil.rmtree(self.project(tree))
                    self.git("worktree", "prune")
                    self.git("branch", "-D", "w", check=False)
                    self.restore()

    def test_a_descriptor_of_what_becomes_the_index(self):
        """It is a copy that git's rename puts there, and with the time by which git tells what has changed."""
        way = ("fd = os.open('.git/index.lock', os.O_RDWR | os.O_CREAT)\nos.write(fd, open('.git/index', 'rb').read())\n"
               "os.utime('.git/index.lock', (1, 1))\nos.rename('.git/index.lock', '.git/index')\n"
               "os.pwrite(fd, open('forged', 'rb').read(), 0)\nprint(int(os.stat('.git/index').st_mtime))\n")
        done = self.dirbox(*self.forged(self.entries(self.read_entry()), way), options=self.options["enforce"])
        self.assertEqual((done.code, done.out, done.err), (0, "1\n", ""))
        self.assertEqual(self.git("ls-files"), "file\n")

    def test_an_index_too_large_to_put_back(self):
        many = f"[(f'd/{{i:06}}', 0o100644, '') for i in range(1)] + {self.entries(self.read_entry())}"
        for mode, options in self.options.items():
            with self.subTest(mode=mode):
                # The user's, with more than can be kept.
                blob = self.git("rev-parse", "HEAD:file").strip()
                lines = "".join(f"100644 {blob}\tdirectory/{i:06}\n" for i in range(4000))
                subprocess.run(["git", "update-index", "--index-info"], input=lines, text=True, check=True,
                               cwd=self.world.project, env=self.world.environment)
                self.assertGreater(os.path.getsize(self.project(".git/index")), 256 << 10)
                done = self.dirbox("sh", "-ec", "echo x > new; git add new; git ls-files | grep -c .", options=options)
                self.assertEqual((done.code, done.out, done.err), (0, "4002\n", ""))
                done = self.dirbox(*self.forged(many), options=options)
                if mode == "enforce":
                    self.assertEqual(self.git("ls-files").count("\n"), 4002)
                else:
                    self.assertIn("git reset makes a new one", done.err)
                    self.assertFalse(os.path.exists(self.project(".git/index")))
                    self.git("reset", "-q")
                    self.assertEqual(self.git("ls-files"), "file\n")
                self.git("add", "-u")
                self.unharmed()
                self.restore()

    def test_a_split_index(self):
        """The other half is guarded like the first."""
        for mode, options in self.options.items():
            with self.subTest(mode=mode):
                split = "git update-index --split-index; echo 1 > new; git add new; git ls-files"
                done = self.dirbox("sh", "-ec", split, options=options)
                self.assertEqual((done.code, done.out, done.err), (0, "file\nnew\n", ""))
                evil = self.entries(*self.write_entries())
                way = ("import glob\nname = glob.glob('.git/sharedindex.*')[0]\n"
                       "data = open(name, 'rb').read()[-20:]\nevil = open('forged', 'rb').read()\n"
                       "open('forged', 'wb').write(evil[:-20] + data)\nos.replace('forged', name)\n")
                done = self.dirbox(*self.forged(evil, way), options=options)
                self.assertEqual(done.code == 0, mode == "quarantine", done)
                self.git("checkout", ".", check=False)
                self.unharmed()
                for name in os.listdir(self.project(".git")):
                    if name.startswith("sharedindex."):
                        os.unlink(self.project(".git/" + name))
                self.restore()

    def test_another_object_format(self):
        """With it git reads the index in another way."""
        for mode, options in self.options.items():
            with self.subTest(mode=mode):
                done = self.dirbox("sh", "-c", "printf '[core]\\nrepositoryformatversion=1\\n[extensions]\\nobjectFormat=sha256\\n' "
                                   "> .git/c; mv .git/c .git/config", options=options)
                self.assertEqual(done.code == 0, mode == "quarantine", done)
                self.assertIn(".git/config", done.err)
                self.assertEqual(self.git("rev-parse", "--show-object-format"), "sha1\n")
                done = self.dirbox("sh", "-ec", "git init -q --object-format=sha256 n; cd n; echo 1 > a; git add a; git ls-files",
                                   options=options)
                self.assertEqual((done.code, done.out, done.err), (0, "a\n", ""))
                subprocess.run(["rm", "-rf", self.project("n")], check=True)

    def test_git_goes_on(self):
        """Every way in which git writes an index."""
        work = """
            git config user.name t; git config user.email t@example.org
            for v in 4 3 2; do git update-index --index-version $v; done
            echo 1 > a; echo 2 > b; git add a b; printf '1\\n2\\n3\\n' > b; echo y | git add -p b > /dev/null; git commit -qm one
            echo 3 >> a; git commit -qm partial a; echo 4 >> a; git stash -q; git stash pop -q
            GIT_INDEX_FILE=.git/other git read-tree HEAD; rm .git/other
            git worktree add -q w -b w; echo 5 > w/x; git -C w add x; git -C w commit -qm x; git worktree remove w
            git branch -q -D w; git rm -q --cached b; git reset -q; git mv a c; git reset -q --hard; rm .git/index; git reset -q
            git sparse-checkout set --cone --sparse-index d; git sparse-checkout disable; git config core.untrackedCache true
            git config index.threads 4; git config index.recordEndOfIndexEntries true; git update-index --force-write-index
            git status --porcelain -uno; git fsck --no-dangling; git ls-files
        """
        for mode, options in self.options.items():
            with self.subTest(mode=mode):
                done = self.dirbox("sh", "-ec", work, options=options)
                self.assertEqual((done.code, done.out, done.err), (0, "a\nb\nfile\n", ""))
                self.assertEqual(self.git("status", "--porcelain"), "")
                self.restore()

    def test_a_path_through_a_symlink(self):
        """git looks itself."""
        entry = ("link/.bashrc", 0o100644, "evil")
        for mode, options in self.options.items():
            with self.subTest(mode=mode):
                done = self.dirbox(*self.forged(self.entries(entry, ("link/id_rsa", 0o100644, "")),
                                                f"os.symlink({self.victim!r}, 'link'); os.replace('forged', '.git/index')"),
                                   options=options)
                self.assertEqual(done.code, 0, done)
                for words in (["add", "-u"], ["checkout", "."], ["restore", "."], ["stash"]):
                    self.git(*words, check=False)
                self.unharmed()
                self.restore()
                # It is another matter as an entry.
                both = self.entries(("link", 0o120000, self.victim), entry)
                done = self.dirbox(*self.forged(both), options=options)
                self.assertIn("link/.bashrc", done.err)
                self.restore()

    def test_a_submodule_that_is_none(self):
        """Its work tree may be where a submodule can be, and not the hooks."""
        module = self.outside("module")
        self.git("init", "-q", module)
        self.git("commit", "-q", "--allow-empty", "-m", "1", cwd=module)
        self.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", module, "sub")
        for mode, options in self.options.items():
            for tree in ("../../hooks", "../../../.git", "../../..", "../../../.vscode"):
                with self.subTest(mode=mode, tree=tree):
                    done = self.dirbox("git", "config", "-f", ".git/modules/sub/config", "core.worktree", tree, options=options)
                    self.assertIn("core.worktree", done.err)
                    self.assertEqual(self.git("rev-parse", "--show-toplevel", cwd=self.project("sub")), self.project("sub\n"))
                    self.git("config", "-f", ".git/modules/sub/config", "core.worktree", "../../../sub")
            with self.subTest(mode=mode):
                done = self.dirbox("sh", "-ec", "git submodule --quiet deinit -f sub; git submodule --quiet update --init; "
                                   "git -C sub rev-parse --show-toplevel", options=options)
                self.assertEqual((done.code, done.out, done.err), (0, self.project("sub\n"), ""))
        self.git("rm", "-rfq", "--cached", "sub", ".gitmodules", check=False)
        self.git("config", "--remove-section", "submodule.sub", check=False)
        subprocess.run(["rm", "-rf", "sub", ".gitmodules", ".git/modules", module], cwd=self.world.project, check=True)


if __name__ == "__main__":
    sandbox.main()
