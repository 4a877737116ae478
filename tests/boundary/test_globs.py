"""Wildcards in hide and protect: what they name is gone or read-only, under every name, and they say what they found."""
import os
import shutil
import subprocess

import sandbox


class Globs(sandbox.Boundary):
    def options(self, text):
        return ["-p", self.profile(f'extends = ["director"]\n[filesystem]\n{text}\n', "globs.toml")]

    def setUp(self):
        super().setUp()
        for name in ("tree/.env", "tree/a/.env", "tree/a/b/.env", "tree/a/b/.env.local"):
            self.world.plant(self.project(name), self.world.marker)
        self.world.plant(self.project("tree/a/b/env"), "open\n")
        self.world.plant(self.project("tree/keys/one.lock"), "locked\n")

    def tearDown(self):
        shutil.rmtree(self.project("tree"))
        super().tearDown()

    def test_hidden_wherever_they_are(self):
        options = self.options('hide = ["${PROJECT}/**/.env", "${CWD}/tree/a/*/.env.*"]')
        names = ("tree/.env", "tree/a/.env", "tree/a/b/.env", "tree/a/b/.env.local")
        for name in names:
            self.control("read", self.project(name))
        os.symlink("a/b", self.project("tree/way"))
        self.all_denied([("read", self.project(name)) for name in (*names, "tree/way/.env")], "ENOENT|EACCES", options=options)
        self.allowed("read", self.project("tree/a/b/env"), options=options)
        self.allowed("create", self.project("tree/a/made"), options=options)

    def test_protected(self):
        options = self.options('protect = ["${PROJECT}/**/*.lock"]')
        self.control("write", self.project("tree/keys/one.lock"))
        self.denied("write", self.project("tree/keys/one.lock"), "EROFS|EACCES", options=options)
        self.allowed("write", self.project("tree/a/b/env"), options=options)

    def test_counts_and_a_warning_with_its_line(self):
        options = self.options('hide = ["${PROJECT}/**/.env",\n  "${PROJECT}/**/nothing.*"]')
        done = self.dirbox(options=["--plan", options[1]], launcher=("profile", "show"))
        self.assertRegex(done.out, r"\$\{PROJECT\}/\*\*/\.env: 3 matches, \d+ directories looked through +\S*globs\.toml:3:")
        done = self.run_ok("true", options=options)
        self.assertRegex(done.err, r"nothing\.\* matches nothing.*globs\.toml:4:3|globs\.toml:4:3.*nothing\.\* matches nothing")

    def test_by_option(self):
        self.denied("read", self.project("tree/a/.env"), "ENOENT|EACCES", options=["--hide", "tree/**/.env"])

    def test_other_wildcards_are_refused(self):
        """They are names: one that is there is hidden, with another one nothing runs."""
        for options in (self.options('hide = ["${PROJECT}/tree/{a,b}/.env"]'), ["--hide", "tree/[a]/.env"], ["--hide", "tree/?/.env"]):
            self.assertRefused(self.dirbox("cat", "tree/a/.env", options=options), "only * and ** are wildcards")
        self.world.plant(self.project("tree/x[1]"), self.world.marker)
        self.denied("read", self.project("tree/x[1]"), "ENOENT|EACCES", options=["--hide", "./tree/x[1]"])

    def test_too_much_is_refused(self):
        for i in range(1001):
            self.world.plant(self.project(f"tree/many/{i}"), "")
        self.assertRefused(self.dirbox("true", options=self.options('hide = ["${PROJECT}/tree/many/*"]')),
                           "more than 1000 matches", "globs.toml:3:")
        self.assertRefused(self.dirbox("true", options=self.options('read = ["${PROJECT}/*"]')), "wildcard")

    def test_a_grant_that_a_pattern_names(self):
        options = self.options('read = ["${PROJECT}/tree/a/.env"]\nwrite = ["${PROJECT}/tree/keys"]\n'
                               'hide = ["${PROJECT}/**/.env", "${PROJECT}/*/keys"]')
        self.denied("read", self.project("tree/a/.env"), "ENOENT|EACCES", options=options)
        self.denied("read", self.project("tree/keys/one.lock"), "ENOENT|EACCES", options=options)

    def test_a_directory_that_cannot_be_looked_through(self):
        """A sandbox can have taken the right away from its host, to give it back inside, where no guard undoes that."""
        options = self.options('hide = ["${PROJECT}/**/.env"]')
        os.chmod(self.project("tree/a/b"), 0)
        try:
            done = self.dirbox("sh", "-c", "chmod 755 tree/a/b; cat tree/a/b/.env", options=options)
            self.assertNotIn(self.world.marker, done.out)
            if os.geteuid() != 0:  # who reads it all the same
                self.assertRefused(done, "tree/a/b", "EACCES", "globs.toml:3:")
        finally:
            os.chmod(self.project("tree/a/b"), 0o755)

    def test_the_beginning_may_be_a_symlink(self):
        os.symlink(self.world.project, self.home("way"))
        self.addCleanup(os.unlink, self.home("way"))
        self.before = self.world.picture()
        self.denied("read", self.project("tree/a/.env"), "ENOENT|EACCES", options=self.options('hide = ["~/way/**/.env"]'))

    def read(self, name):
        with open(self.project(name), encoding="utf-8") as file:
            return file.read()

    def test_what_appears_later_is_taken_away(self):
        """Made, renamed, linked, in a directory that is made or renamed, at the end or while it runs."""
        options = self.options('hide = ["${PROJECT}/**/.env", "${PROJECT}/**/vault"]\nprotect = ["${PROJECT}/**/moved/*", "${PROJECT}/**/*.lock"]')
        ways = {"tree/new/.env": "mkdir tree/new; echo planted > tree/new/.env",
                "tree/keys/two.lock": "echo planted > tree/keys/x; mv tree/keys/x tree/keys/two.lock",
                "tree/keys/three.lock": "ln -s one.lock tree/keys/three.lock",
                "tree/keys/four.lock": "echo planted > tree/keys/y; ln tree/keys/y tree/keys/four.lock",
                "tree/moved/file": "mkdir tree/n; echo planted > tree/n/file; mv tree/n tree/moved",
                "tree/vault/deep/file": "mkdir -p tree/vault/deep; echo planted > tree/vault/deep/file"}
        for name, script in ways.items():
            for wait in ("", f"; while test -e {name} -o -L {name}; do :; done"):
                with self.subTest(name=name, wait=wait):
                    done = self.sh(script + wait, options=options)
                    self.assertFalse(os.path.lexists(self.project(name)), done)
                    self.assertRegex(done.err, rf"quarantined: \S*{name}.*a pattern that is hidden or protected names it")
                    for left in ("new", "moved", "vault"):
                        shutil.rmtree(self.project("tree/" + left), ignore_errors=True)
        self.assertEqual(self.read("tree/a/.env"), self.world.marker)
        self.assertEqual(self.read("tree/keys/one.lock"), "locked\n")

    def test_what_was_there_comes_back_in_its_place(self):
        """A directory above it can be renamed inside, and another one take its place."""
        options = self.options('protect = ["${PROJECT}/**/*.lock"]')
        done = self.sh("mv tree/keys tree/old && mkdir tree/keys && echo planted > tree/keys/one.lock", options=options)
        self.assertRegex(done.err, r"quarantined: \S*tree/keys/one\.lock")
        self.assertEqual(self.read("tree/keys/one.lock"), "locked\n")
        self.assertEqual(self.read("tree/old/one.lock"), "locked\n")

    def test_what_was_hidden_is_not_put_back(self):
        """It would be another file, which nothing covers: by a pattern, and where the guard knows the name."""
        self.world.plant(self.project("tree/a/.npmrc"), self.world.marker)
        for name, entry in ((".env", "${PROJECT}/**/.env"), (".npmrc", "${CWD}/tree/*/.npmrc")):
            for wait in ("", f"while test -e tree/a/{name}; do :; done; "):
                with self.subTest(name=name, wait=wait):
                    path = f"tree/a/{name}"
                    done = self.sh(f"touch tree/began; mv tree/a tree/old && mkdir tree/a && echo planted > {path}; {wait}"
                                   f"cat {path} tree/old/{name}", options=self.options(f'hide = ["{entry}"]'))
                    self.assertNotIn(self.world.marker, done.out)
                    self.assertRegex(done.err, rf"quarantined: \S*{path}")
                    self.assertFalse(os.path.lexists(self.project(path)))
                    self.assertEqual(self.read(f"tree/old/{name}"), self.world.marker)
                    shutil.rmtree(self.project("tree/a"))
                    os.rename(self.project("tree/old"), self.project("tree/a"))

    def test_the_host_may_write_what_was_there(self):
        """The same file is the host's; another one in its place is not known to be."""
        options = self.options('hide = ["${PROJECT}/**/.env"]\nprotect = ["${PROJECT}/**/*.lock"]')
        child = self.start("sh", "-c", "touch tree/started; while ! test -e tree/go; do :; done", options=options,
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        sandbox.wait_until(lambda: os.path.exists(self.project("tree/started")), "it runs")
        for name in ("tree/a/.env", "tree/keys/one.lock"):
            self.world.plant(self.project(name), "edited\n")
        self.world.plant(self.project("tree/go"), "")
        _, err = child.communicate(timeout=sandbox.PATIENCE)
        self.assertEqual((self.read("tree/a/.env"), self.read("tree/keys/one.lock")), ("edited\n", "edited\n"), err)
        self.assertNotIn(b"quarantined", err)

    def test_git_goes_on_with_its_own_locks(self):
        done = self.sh("git -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m x && git gc -q && git status",
                       options=self.options('protect = ["${PROJECT}/**/*.lock", "${PROJECT}/**/HEAD"]'))
        self.assertEqual(done.code, 0, done)
        self.assertNotIn("quarantined", done.err)

    def test_a_planted_symlink_takes_no_directory_away(self):
        os.symlink("..", self.project("tree/keys/.env"))
        self.run_ok("test", "-e", self.project("tree/a/b/env"), options=self.options('hide = ["${PROJECT}/**/.env"]'))


if __name__ == "__main__":
    sandbox.main()
