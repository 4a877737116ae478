"""git writes to files of its own, and to where a symlink there leads: inside nobody can make it lead anywhere.

The host's git is the victim, with what is the user's beside the project.
"""
import os
import subprocess

import sandbox

# Where, and what git does there; each leads to a file of the user's, or to a directory with one.
FILES = {"logs/HEAD": "commit", "COMMIT_EDITMSG": "commit", "FETCH_HEAD": "fetch", "logs/refs/heads/{branch}": "commit",
         "rr-cache/x/preimage": "commit", "info/refs": "update-server-info", "rebase-merge/done": "commit",
         "worktrees/w/logs/HEAD": "commit"}
FOLDERS = {"worktrees/x": "worktree prune", "logs/refs/heads": "commit", "refs/tags": "tag made", "rebase-merge": "rebase --quit",
           "refs/heads/deep": "branch deep/made", "sequencer": "cherry-pick --quit", "info": "commit", "modules/x": "commit",
           "objects/pack": "repack -a -d -q"}


class Links(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.victim = self.outside("victim")
        self.world.plant(os.path.join(self.victim, "file"), "the user's\n")
        self.branch = self.git("symbolic-ref", "--short", "HEAD").strip()

    def tearDown(self):
        super().tearDown()
        subprocess.run(["rm", "-rf", self.victim], check=True)

    def profile_of(self, mode):
        return self.profile(f'extends = "worker"\n[filesystem]\nguard = "{mode}"\n')

    def inside(self, mode, script, check=True):
        done = subprocess.run([sandbox.DIRBOX, "run", "-p", self.profile_of(mode), "--", "sh", "-c", script], cwd=self.world.project,
                              env=self.world.environment, text=True, capture_output=True, timeout=sandbox.PATIENCE)
        if check:
            self.assertEqual(done.returncode, 0, done)
        return done

    def host(self, words):
        for name in words.split(" && "):
            name = "commit -q --allow-empty -m host" if name == "commit" else name
            self.git(*name.split(), check=False)
        left = {name: open(os.path.join(self.victim, name), encoding="utf-8").read() for name in os.listdir(self.victim)}
        self.assertEqual(left, {"file": "the user's\n"}, words)

    def test_where_git_makes_none(self):
        for mode in ("quarantine", "enforce"):
            for lasts in ("", "sleep 0.3; ") if mode == "quarantine" else ("",):
                for target, rows in ((self.victim + "/file", FILES), (self.victim, FOLDERS)):
                    for name, words in rows.items():
                        name = ".git/" + name.format(branch=self.branch)
                        with self.subTest(mode=mode, lasts=lasts, name=name):
                            script = (f"{lasts}mkdir -p $(dirname {name}); mv {name} {name}.old 2>/dev/null; "
                                      f"ln -s {target} {name}; {lasts}true")
                            done = self.inside(mode, script)
                            self.assertFalse(os.path.islink(self.project(name)), done)
                            if mode == "enforce":
                                self.assertIn("Operation not permitted", done.stderr)
                                self.assertNotIn("quarantined", done.stderr)
                            else:
                                self.assertIn("a symlink to " + target, done.stderr)
                            self.host(words)
                            subprocess.run(f"test ! -e {name}.old || {{ rm -rf {name}; mv {name}.old {name}; }}; "
                                           "rm -rf .git/worktrees .git/rr-cache .git/rebase-merge .git/sequencer .git/modules",
                                           shell=True, cwd=self.world.project, check=True)

    def test_control(self):
        """Without the guard git writes there."""
        self.inside("off", f"ln -s {self.victim}/file .git/COMMIT_EDITMSG.x; mv .git/COMMIT_EDITMSG.x .git/COMMIT_EDITMSG")
        self.git("commit", "-q", "--allow-empty", "-m", "host")
        with open(os.path.join(self.victim, "file"), encoding="utf-8") as file:
            self.assertNotEqual(file.read(), "the user's\n")
        self.world.plant(os.path.join(self.victim, "file"), "the user's\n")
        os.unlink(self.project(".git/COMMIT_EDITMSG"))

    def test_ways_in_enforce(self):
        """By rename, by a second name, in a directory that comes along, in one that becomes a git directory."""
        script = f"""
import os
os.symlink("{self.victim}/file", "link")
os.makedirs("prepared")
os.symlink("{self.victim}/file", "prepared/HEAD")
os.makedirs("bare/logs")
os.symlink("{self.victim}/file", "bare/logs/HEAD")
os.makedirs("bare/objects")
os.makedirs("bare/refs")
def attempt(act):
    try:
        act()
        print("done")
    except PermissionError:
        print("EPERM")
attempt(lambda: os.rename("link", ".git/COMMIT_EDITMSG"))
attempt(lambda: os.link("link", ".git/logs/x", follow_symlinks=False))
attempt(lambda: os.rename("prepared", ".git/rebase-merge"))
attempt(lambda: open("bare/HEAD", "w").write("ref: refs/heads/x"))
"""
        done = subprocess.run([sandbox.DIRBOX, "run", "-p", self.profile_of("enforce"), "--", "python3", "-c", script],
                              cwd=self.world.project, env=self.world.environment, text=True, capture_output=True, check=True)
        self.assertEqual(done.stdout.split(), ["EPERM"] * 4, done)
        subprocess.run(["rm", "-rf", "link", "prepared", "bare"], cwd=self.world.project, check=True)

    def test_what_was_prepared_by_an_earlier_run(self):
        """A directory keeps its files' times where it is moved."""
        self.inside("quarantine", f"mkdir prepared; ln -s {self.victim}/file prepared/HEAD; echo x/y > prepared/strategy")
        self.inside("quarantine", "mv .git/logs .git/old; mv prepared .git/logs; mkdir next")
        self.assertFalse(os.path.islink(self.project(".git/logs/HEAD")))
        self.host("commit")
        subprocess.run("rm -rf next .git/logs; mv .git/old .git/logs", shell=True, cwd=self.world.project, check=True)

    def test_git_finds_out_whether_there_are_symlinks(self):
        for mode in ("quarantine", "enforce"):
            with self.subTest(mode=mode):
                self.inside(mode, "for i in 1 2 3 4 5 6 7 8; do git init -q made$i; done; sleep 0.1")
                for i in range(1, 9):
                    self.assertEqual(self.git("config", "core.symlinks", cwd=self.project(f"made{i}"), check=False), "")
                subprocess.run("rm -rf made*", shell=True, cwd=self.world.project, check=True)

    def test_strategies_that_are_programs(self):
        """A half-done rebase or cherry-pick goes on with the strategy that it names, a program by path."""
        canary = self.outside("pwned")
        conflict = """
git checkout -q -b side && echo side > file && git commit -qam side && echo more > more && git add more && git commit -qm more
git checkout -q - && echo main > file && git commit -qam main
mkdir git-merge-x; printf '#!/bin/sh\\ntouch %s; exit 2\\n' {canary} > git-merge-x/y; chmod +x git-merge-x/y
"""
        for mode in ("off", "quarantine", "enforce"):  # the first is the control
            for name, begin, plant, go_on in (
                    ("rebase", "git checkout -q side; git rebase -q -", "echo x/y > .git/rebase-merge/strategy", "rebase"),
                    ("cherry-pick", "git cherry-pick side~1 side", "printf '[options]\\n\\tstrategy = x/y\\n' > .git/sequencer/opts",
                     "cherry-pick")):
                with self.subTest(mode=mode, name=name):
                    self.git("clone", "-q", "-c", "user.name=x", "-c", "user.email=x@y", ".", "clone")
                    script = (f"cd clone; {conflict.format(canary=canary)} {begin} >/dev/null 2>&1; mkdir -p .git/sequencer; {plant}; "
                              "echo both > file; git add file; sleep 0.2; true")
                    done = self.inside(mode, script)
                    self.git("-c", "core.editor=true", go_on, "--continue", cwd=self.project("clone"), check=False)
                    self.assertEqual(os.path.exists(canary), mode == "off", done)
                    subprocess.run(["rm", "-rf", "clone", canary], cwd=self.world.project, check=True)


if __name__ == "__main__":
    sandbox.main()
