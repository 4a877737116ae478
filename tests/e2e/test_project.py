"""Which profile a directory gets, and what a project file may say."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

DIRBOX = os.environ["DIRBOX"]


class Project(unittest.TestCase):
    def setUp(self):
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="dirbox-project-"))
        self.addCleanup(shutil.rmtree, self.base)
        self.home = os.path.join(self.base, "home")
        self.project = os.path.join(self.home, "work/p")
        self.config = os.path.join(self.home, ".config/dirbox")
        for folder in (self.project, self.config):
            os.makedirs(folder)
        self.selections = os.path.join(self.config, "projects.toml")
        self.environment = {"HOME": self.home, "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8",
                            "GIT_CONFIG_NOSYSTEM": "1"}

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def text(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def dirbox(self, *words, cwd=None, answer=None):
        return subprocess.run([DIRBOX, *words], cwd=cwd or self.project, env=self.environment, text=True,
                              capture_output=True, timeout=60, input=answer or "")

    def ok(self, *words, **how):
        done = self.dirbox(*words, **how)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def refused(self, *words, **how):
        done = self.dirbox(*words, **how)
        self.assertEqual((done.returncode, done.stdout), (125, ""), done)
        return done.stderr

    def git(self, *words, cwd=None):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main",
                        *words], cwd=cwd or self.project, env=self.environment, check=True, capture_output=True)

    def chosen(self, cwd=None):
        """The profile that a start in `cwd` takes, and the reason, from run -v."""
        done = self.dirbox("run", "-v", "--", "true", cwd=cwd)
        self.assertEqual(done.returncode, 0, done)
        line = next(line for line in done.stderr.splitlines() if line.startswith("dirbox: note: profile "))
        return line.removeprefix("dirbox: note: profile ").split(": ", 1)


class Selection(Project):
    def test_default(self):
        self.assertEqual(self.chosen(), ["director", "the default"])
        self.assertEqual(self.dirbox("run", "--", "true").stderr, "")

    def test_set_list_unset(self):
        self.assertEqual(self.ok("project", "set", "worker"), f"worker {self.project}\n")
        self.assertEqual(self.ok("project", "set", "offline", "..", cwd=self.project), f"offline {self.home}/work\n")
        self.assertEqual(self.ok("project", "list"), f"offline  {self.home}/work\nworker   {self.project}\n")
        listed = json.loads(self.ok("project", "list", "--json"))
        self.assertEqual([one["profile"] for one in listed], ["offline", "worker"])
        self.assertEqual(self.chosen(), ["worker", f"{self.selections}:2:1: {self.project}"])
        os.makedirs(self.home + "/work/pp/sub")
        self.assertEqual(self.chosen(self.home + "/work/pp/sub")[0], "offline")
        self.assertEqual(self.dirbox("run", "-v", "-p", "build", "--", "true").stderr.splitlines()[0],
                         "dirbox: note: profile build: asked for")
        self.assertTrue(self.ok("profile", "show").startswith("worker: " + self.selections))
        self.ok("project", "unset")
        self.assertEqual(self.chosen()[0], "offline")
        self.assertIn("no profile of its own", self.refused("project", "unset"))
        shutil.rmtree(self.home + "/work/pp")
        self.ok("project", "set", "build", self.project)
        shutil.rmtree(self.project)
        self.ok("project", "unset", self.project, cwd=self.home)

    def test_comments_stay(self):
        self.write(self.selections, f'# mine\n[projects]\n"{self.project}" = "worker" # because\n# end\n')
        self.ok("project", "set", "build")
        self.ok("project", "set", "worker", self.home)
        self.assertEqual(self.text(self.selections),
                         f'# mine\n[projects]\n"{self.project}" = "build" # because\n"{self.home}" = "worker"\n# end\n')
        self.assertEqual(os.listdir(self.config), ["projects.toml"])

    def test_behind_a_symlink(self):
        real = self.home + "/dotfiles/projects.toml"
        self.write(real, "# real\n")
        os.symlink(real, self.selections)
        self.ok("project", "set", "worker")
        self.assertTrue(os.path.islink(self.selections))
        self.assertIn("worker", self.text(real))

    def test_many_at_once(self):
        folders = [f"{self.home}/work/{i}" for i in range(16)]
        for folder in folders:
            os.makedirs(folder)
        running = [subprocess.Popen([DIRBOX, "project", "set", "worker", folder], env=self.environment,
                                    stdout=subprocess.DEVNULL) for folder in folders]
        self.assertEqual([one.wait() for one in running], [0] * 16)
        self.assertEqual(len(self.ok("project", "list").splitlines()), 16)

    def test_mistakes(self):
        self.assertIn("did you mean", self.refused("project", "set", "wroker"))
        self.assertIn("ENOENT", self.refused("project", "set", "worker", "nowhere"))
        self.assertIn("not a profile's name", self.refused("project", "set", "projects"))
        self.assertEqual(os.listdir(self.config), [])
        self.write(self.selections, '[projects]\n"/x" = 3\n')
        self.assertIn("projects.toml:2:8", self.refused("run", "--", "true"))
        os.unlink(self.selections)
        os.mkfifo(self.selections)
        self.assertIn("not a regular file", self.refused("run", "--", "true"))

    def test_worktrees_inherit(self):
        self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        self.git("worktree", "add", "-q", self.home + "/elsewhere/wt")
        self.ok("project", "set", "worker")
        profile, why = self.chosen(self.home + "/elsewhere/wt")
        self.assertEqual(profile, "worker")
        self.assertIn("the main work tree of this one", why)
        self.ok("project", "set", "build", self.home + "/elsewhere")
        self.assertEqual(self.chosen(self.home + "/elsewhere/wt")[0], "worker")
        self.ok("project", "set", "offline", self.home + "/elsewhere/wt")
        self.assertEqual(self.chosen(self.home + "/elsewhere/wt")[0], "offline")

    def test_a_forged_gitfile_inherits_nothing(self):
        self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        self.git("worktree", "add", "-q", self.home + "/wt")
        self.ok("project", "set", "build")
        forged = self.home + "/forged"
        os.makedirs(forged)
        self.write(forged + "/.git", f"gitdir: {self.project}/.git/worktrees/wt\n")
        shown = self.ok("profile", "show", cwd=forged)
        self.assertTrue(shown.startswith("director: the default"), shown[:200])


if __name__ == "__main__":
    unittest.main()
