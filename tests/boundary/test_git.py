"""git inside does what git outside does: the same commands in two equal trees, one of them in the sandbox."""
import os
import re
import shutil
import subprocess

import sandbox

# One shell, so that the commands follow each other; each prints its status. {} is the top of the tree.
COMMANDS = r"""
git init -q -b main w; cd w
git config user.name t; git config user.email t@example.org
git config commit.gpgsign false; git config foo.bar baz; git config --get foo.bar; git config --unset foo.bar
echo one > a; echo two > b; mkdir d; echo three > d/c
git status --porcelain
git add -A
git commit -q -m first
git log --format=%s
git branch topic; git branch -u main topic; git branch -vv --no-color | sed 's/[0-9a-f]\{7,\}/ID/'
git checkout -q topic; echo more >> a; git commit -qam second
git checkout -q main; echo other > e; git add e; git commit -qm third
git merge -q -m merged topic; git log --format=%s --graph
git tag v1; git tag -a v2 -m annotated; git tag -l
git show --stat --format=%s HEAD~1
git diff v1~1 --stat
git mv b bb; git rm -q d/c; git status --porcelain; git commit -qm moved
git stash list; echo dirt >> a; git stash -q; git stash list --format=%gs; git stash pop -q; git checkout -q -- a
git reset -q --hard HEAD~1; git status --porcelain; git reset -q --hard ORIG_HEAD
git rebase -q --onto main topic topic; git checkout -q topic; git rebase -q main
git cherry-pick --allow-empty -x v1 2>&1 | tail -1 | cut -c1-5; git cherry-pick --abort; git checkout -q main
git revert --no-edit HEAD -q; git log -1 --format=%s
git init -q --bare ../origin.git; git remote add origin ../origin.git; git remote -v
git push -q -u origin main; git fetch -q origin; git branch -a --no-color
git ls-remote origin | sed 's/^[0-9a-f]*//'
git clone -q ../origin.git ../clone; git -C ../clone log --format=%s -2
git -C ../clone config user.name t; git -C ../clone config user.email t@example.org
echo from-clone > ../clone/f; git -C ../clone add f; git -C ../clone commit -qm fourth; git -C ../clone push -q
git pull -q --rebase; git log -1 --format=%s
git worktree add -q ../tree -b tree; git worktree list | wc -l; echo t > ../tree/t; git -C ../tree add t; git -C ../tree commit -qm in-tree
git worktree remove ../tree; git worktree prune; git branch -D tree | sed 's/(.*//'
git -c protocol.file.allow=always submodule -q add ../origin.git sub; git commit -qm submodule; git submodule status | cut -c42-
git -c protocol.file.allow=always submodule -q update --init; git submodule foreach -q 'git log -1 --format=%s'; git -C sub config a.b c
git submodule deinit -q -f sub; git checkout -q HEAD
git gc -q; git fsck 2>&1 | tail -1; git count-objects | cut -d' ' -f2; git reflog --format=%gs | head -5
git blame -s a | cut -c10-; git grep -n one; git ls-files; git ls-tree -r HEAD --name-only
git bisect start -q HEAD HEAD~2 2>&1 | head -1 | cut -c1-9; git bisect reset -q
git archive HEAD | tar t; git bundle create -q ../b main; git bundle verify -q ../b; git notes add -m n; git notes show
git sparse-checkout set d 2>&1; git sparse-checkout disable; git update-index --refresh; git rev-parse --show-prefix --is-inside-work-tree
git format-patch -q -1 --stdout | sed -n 's/^Subject/Subject/p'; git apply --check /dev/null 2>&1 | cut -c1-5; git clean -fdn; git describe
printf '#!/bin/sh\necho hook ran\n' > /dev/null; git commit --allow-empty -qm hooked; git shortlog -s HEAD | wc -l
git for-each-ref --format='%(refname)' | sort; git config --list --local --name-only | sort; git status --porcelain=v2 --branch | grep -v oid
"""


def split(text):
    """One command a line, and between semicolons where no quote is open."""
    out = []
    for line in text.strip().splitlines():
        out += [part.strip() for part in re.split(r";(?=(?:[^']*'[^']*')*[^']*$)", line)]
    return [part for part in out if part]


class Git(sandbox.Boundary):
    DATES = "export GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z LC_ALL=C\n"

    def script(self, commands):
        lines = [self.DATES]
        for command in split(commands):
            lines.append(f"echo '$ '{sandbox_quote(command)}; {command} 2>&1; echo \"= $?\"\n")
        return "".join(lines)

    def run_in(self, folder, options=None, commands=COMMANDS):
        os.makedirs(folder)
        words = ["sh", "-c", self.script(commands)]
        if options is not None:
            words = [sandbox.DIRBOX, "run", *options, "--", *words]
        done = subprocess.run(words, cwd=folder, env=self.world.environment, text=True, capture_output=True, timeout=300)
        self.assertEqual(done.stderr, "", done.stderr)
        return done.stdout.replace(folder, "TOP")

    def test_sixty_commands(self):
        self.assertGreaterEqual(sum(c.startswith("git") for c in split(COMMANDS)), 60)
        self.compare(COMMANDS, [])

    def test_where_nothing_guarded_can_be_written(self):
        """git submodule writes anew the .git file that is there."""
        commands = "\n".join(line for line in COMMANDS.splitlines() if "submodule" not in line)
        self.compare(commands, ["-p", self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\n')])

    def compare(self, commands, options):
        outside = self.run_in(self.world.base + "/plain/x", commands=commands)
        within = self.run_in(self.world.base + "/boxed/x", options, commands)
        self.maxDiff = None
        self.assertEqual(within.splitlines(), outside.splitlines())
        # Nearly all succeed: a script that fails everywhere would compare nothing.
        failed = [line for line in outside.splitlines() if re.match(r"= [1-9]", line)]
        self.assertLessEqual(len(failed), 6, outside)
        for folder in ("plain", "boxed"):
            refs = subprocess.run(["git", "-C", f"{self.world.base}/{folder}/x/w", "for-each-ref"], text=True,
                                  env=self.world.environment, capture_output=True, check=True).stdout
            self.assertEqual(refs, locals().setdefault("first", refs))
            shutil.rmtree(f"{self.world.base}/{folder}")
        self.before = self.world.picture()

    def test_other_worktrees_are_not_forgotten(self):
        """Where their directories are not shown, git would prune what it knows of them, and what is staged there goes with it."""
        top = self.world.base + "/trees"
        prune = "git worktree prune && git worktree list --porcelain | grep -c ^worktree"
        for mode in ("quarantine", "enforce"):
            os.makedirs(top)
            self.git("init", "-q", "main", cwd=top)
            for key in ("name", "email"):
                self.git("config", f"user.{key}", "t@x", cwd=top + "/main")
            self.git("commit", "-q", "--allow-empty", "-m", "x", cwd=top + "/main")
            os.makedirs(top + "/real")
            os.symlink("real", top + "/link")
            for name in ("feature", "link/other", "beside"):
                self.git("worktree", "add", "-q", f"{top}/{name}", "-b", name, cwd=top + "/main")
                self.world.plant(f"{top}/{name}/staged", "staged\n")
                self.git("add", "staged", cwd=f"{top}/{name}")
            for place, hide, command in (("main", "", prune + " && git gc -q --prune=now"), ("feature", "", prune),
                                         ("main", f'hide = ["{top}/beside"]', prune)):
                with self.subTest(mode=mode, place=place, hide=hide):
                    profile = self.profile(f'extends = "worker"\n[filesystem]\nguard = "{mode}"\n{hide}\n')
                    done = subprocess.run([sandbox.DIRBOX, "run", "-p", profile, "--", "sh", "-c", command], cwd=f"{top}/{place}",
                                          env=self.world.environment, text=True, capture_output=True)
                    self.assertEqual((done.stdout, done.returncode), ("4\n", 0), done)
                    self.assertEqual("dirbox: blocked" in done.stderr, bool(hide), done.stderr)
                    for name in ("feature", "real/other", "beside"):
                        self.assertEqual(self.git("status", "--porcelain", cwd=f"{top}/{name}"), "A  staged\n")
            shutil.rmtree(top)
        self.before = self.world.picture()

    def test_layouts(self):
        """A clone that shares objects, and a worktree whose gitfile leads through a symlink."""
        top = self.world.base + "/trees"
        os.makedirs(top + "/real")
        os.symlink("real", top + "/link")
        self.git("init", "-q", "main", cwd=top + "/real")
        self.git("-c", "user.name=t", "-c", "user.email=t@x", "commit", "-q", "--allow-empty", "-m", "first", cwd=top + "/real/main")
        self.git("clone", "-q", "--shared", top + "/real/main", top + "/shared")
        self.git("worktree", "add", "-q", top + "/tree", cwd=top + "/real/main")
        self.world.plant(top + "/tree/.git", f"gitdir: {top}/link/main/.git/worktrees/tree\n")

        def log(place, *options):
            return subprocess.run([sandbox.DIRBOX, "run", *options, "--", "git", "log", "--format=%s"], cwd=f"{top}/{place}",
                                  env=self.world.environment, text=True, capture_output=True)
        self.assertEqual(log("tree").stdout, "first\n")
        done = log("shared")
        self.assertEqual(done.returncode, 128)
        self.assertIn(f"git lacks the objects in {top}/real/main/.git/objects, which this repository shares: --read {top}/real/main/", done.stderr)
        done = log("shared", "--read", top + "/real/main/.git/objects")
        self.assertEqual((done.stdout, done.stderr), ("first\n", ""))
        shutil.rmtree(top)
        self.before = self.world.picture()

    def test_hooks_that_exist_run_inside(self):
        hook = self.project(".git/hooks/pre-commit")
        self.world.plant(hook, "#!/bin/sh\necho hook ran >&2\n", 0o755)
        done = subprocess.run([sandbox.DIRBOX, "run", "--", "git", "-c", "user.name=t", "-c", "user.email=t@x", "commit",
                               "-q", "--allow-empty", "-m", "x"], cwd=self.world.project, env=self.world.environment,
                              text=True, capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, "hook ran\n"))
        os.unlink(hook)


def sandbox_quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    sandbox.main()
