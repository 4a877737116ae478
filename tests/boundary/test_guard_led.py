"""What git's configuration and symlinks lead to in a writable tree is guarded, however they say it.

Each row is a repository of the user's in which something inside changes what the host executes at its next `git commit` or
`git status`; without the guard the host does, so that no row is about nothing.
"""
import os
import shutil
import subprocess

import sandbox

HELPERS = """set -e
git() { command git -c user.name=t -c user.email=t@e -c protocol.file.allow=always "$@"; }
hook() { mkdir -p "$(dirname "$1")"; printf '#!/bin/sh\\ntrue\\n' > "$1"; chmod +x "$1"; }
"""
REPOSITORY = "git init -q .; hook .githooks/pre-commit; git add -A; git commit -q -m first; "
HOOK = ".githooks/pre-commit"
WAIT = "touch w; sleep 0.4; "  # until the tree has been looked through

# Name, what the host has in an empty directory, the directory of the sandbox in it, the file that is changed there, and where
# the host's git works; HERE is that directory as git may call it.
ROWS = [
    ("relative", REPOSITORY + "git config core.hooksPath .githooks", "", HOOK, ""),
    ("absolute", REPOSITORY + "git config core.hooksPath $PWD/.githooks", "", HOOK, ""),
    ("home", REPOSITORY + "git config core.hooksPath '~/HERE/.githooks'", "", HOOK, ""),
    ("global", REPOSITORY + "git config --global core.hooksPath .githooks", "", HOOK, ""),
    ("global of a nested one", "git init -q .; git init -q a; cd a; " + REPOSITORY + "git config --global core.hooksPath .githooks",
     "", "a/" + HOOK, "a"),
    ("global of XDG", REPOSITORY + "mkdir -p ~/.config/git; git config -f ~/.config/git/config core.hooksPath .githooks",
     "", HOOK, ""),
    ("included by a global one", REPOSITORY + "git config --global include.path more; git config -f ~/more core.hooksPath .githooks",
     "", HOOK, ""),
    ("worktree's configuration", REPOSITORY + "git config extensions.worktreeConfig true; "
     "git config --worktree core.hooksPath .githooks", "", HOOK, ""),
    ("linked worktree", f"mkdir a; cd a; {REPOSITORY} git config core.hooksPath .githooks; git worktree add -q ../b", "b", HOOK, "b"),
    ("linked worktree within", REPOSITORY + "git config core.hooksPath .githooks; git worktree add -q sub/b", "", "sub/b/" + HOOK,
     "sub/b"),
    ("submodule", f"mkdir a b; cd a; {REPOSITORY} cd ../b; git init -q .; git submodule --quiet add ../a sub; git commit -q -m s; "
     "git -C sub config core.hooksPath .githooks", "b", "sub/" + HOOK, "b/sub"),
    ("nested", f"git init -q .; mkdir -p a/b; cd a/b; {REPOSITORY} git config core.hooksPath .githooks", "", "a/b/" + HOOK, "a/b"),
    ("beneath the top", "git init -q .; hook tools/hooks/pre-commit; git config core.hooksPath tools/hooks", "tools",
     "hooks/pre-commit", ""),
    ("hooks themselves", "git init -q .; hook tools/hooks/pre-commit; git config core.hooksPath tools/hooks", "tools/hooks",
     "pre-commit", ""),
    ("behind a symlink", "git init -q .; hook real/hooks/pre-commit; ln -s real link; git config core.hooksPath link/hooks", "",
     "real/hooks/pre-commit", ""),
    ("by a symlink to it", f"mkdir a; ln -s a b; cd a; {REPOSITORY} git config core.hooksPath ~/HERE/b/.githooks", "a", HOOK, "a"),
    ("behind a name and ..", "git init -q .; hook real/hooks/pre-commit; mkdir real/x; ln -s real/x link; "
     "git config core.hooksPath link/../hooks", "", "real/hooks/pre-commit", ""),
    ("a hook that is a symlink", "git init -q .; hook scripts/run.sh; mkdir -p .git/hooks; "
     "ln -s ../../scripts/run.sh .git/hooks/pre-commit", "", "scripts/run.sh", ""),
    ("a hook behind symlinks", "git init -q .; hook a/run.sh; mkdir .h; ln -s ../a/run.sh .h/x; ln -s x .h/pre-commit; "
     "git config core.hooksPath .h", "", "a/run.sh", ""),
    ("template", "hook t/hooks/pre-commit; git config --global init.templateDir '~/HERE/t'; git init -q .", "",
     "t/hooks/pre-commit", "new"),
    ("include", "git init -q .; echo > inc; git config include.path '~/HERE/inc'", "", "inc", ""),
    ("global include", "git init -q .; echo > inc; git config --global include.path '~/HERE/inc'", "", "inc", ""),
    ("include on a condition", "git init -q .; echo > inc; git config --global includeIf.gitdir:~/.path '~/HERE/inc'", "", "inc", ""),
    ("include in an include", "git init -q .; git config -f one include.path two; echo > two; git config include.path ../one", "",
     "two", ""),
]


class Led(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.canary = self.outside("pwned")
        self.tree = self.project("row")
        with open(self.home(".gitconfig"), encoding="utf-8") as file:
            self.gitconfig = file.read()
        self.profiles = {mode: self.profile(f'extends = "worker"\n[filesystem]\nguard = "{mode}"\n', f"{mode}.toml")
                         for mode in ("off", "quarantine", "enforce")}

    def tearDown(self):
        self.reset()
        super().tearDown()

    def reset(self):
        for path in (self.tree, self.home(".config/git"), self.project("w")):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.home("more"), self.home(".gitconfig"), self.canary):
            if os.path.lexists(path):
                os.unlink(path)
        self.world.plant(self.home(".gitconfig"), self.gitconfig)

    def make(self, layout):
        self.reset()
        os.mkdir(self.tree)
        script = HELPERS + layout.replace("HERE", os.path.relpath(self.tree, self.world.home))
        subprocess.run(["sh", "-c", script], cwd=self.tree, env=self.world.environment, check=True, capture_output=True)
        # Until what was made is older than the next start: the clock of file systems ticks.
        subprocess.run([sandbox.DIRBOX, "run", "--", "sleep", "0.05"], cwd=self.world.project, env=self.world.environment, check=True)

    def inside(self, mode, script, cwd):
        done = self.sh(script, options=["-p", self.profiles[mode]], cwd=os.path.join(self.tree, cwd))
        self.assertEqual(done.code, 0, done)
        return done.err

    def victim(self, place):
        cwd = os.path.join(self.tree, place)
        if not os.path.exists(cwd):
            self.git("init", "-q", cwd, cwd=self.tree)
        self.git("status", cwd=cwd, check=False)
        self.git("commit", "-q", "--allow-empty", "-m", "host", cwd=cwd, check=False)
        return os.path.exists(self.canary)

    def plant(self, path):
        if path.endswith(("pre-commit", ".sh")):
            return f"echo 'touch {self.canary}' >> {path}"
        return f"git config -f {path} core.fsmonitor 'touch {self.canary}; false'"

    def rows(self, mode, waits):
        for name, layout, cwd, path, place in ROWS:
            for wait in waits:
                with self.subTest(row=name, wait=wait):
                    self.make(layout)
                    full = os.path.join(self.tree, cwd, path)
                    before = self.read(full)
                    said = self.inside(mode, f"{wait}{self.plant(path)} 2> /dev/null || true", cwd)
                    executed = self.victim(place)
                    self.assertEqual(executed, mode == "off", said)
                    if mode != "off" and wait:
                        # Of a configuration, the key goes.
                        self.assertEqual(self.read(full).strip().replace("[core]", ""), before.strip())
                        self.assertEqual("quarantined: " + full in said, mode == "quarantine", said)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_control(self):
        self.rows("off", [""])

    def test_what_is_led_to(self):
        self.rows("quarantine", [WAIT, ""])

    def test_what_is_led_to_is_refused(self):
        self.rows("enforce", [WAIT])

    def test_another_way(self):
        """What leads there is taken away, and something else is put there: a symlink, a directory, a file."""
        layout = "git init -q .; hook real/hooks/pre-commit; ln -s real link; git config core.hooksPath link/hooks"
        evil = f"printf '#!/bin/sh\\ntouch {self.canary}\\n' > %s/pre-commit; chmod +x %s/pre-commit"
        ways = ["mkdir -p e/hooks; %s; rm link; ln -s e link" % evil.replace("%s", "e/hooks"),
                "mkdir -p e/hooks; %s; mv real r; ln -s e real" % evil.replace("%s", "e/hooks"),
                "mkdir e; %s; mv real/hooks r; ln -s ../e real/hooks" % evil.replace("%s", "e"),
                "rm link; mkdir -p link/hooks; %s" % evil.replace("%s", "link/hooks"),
                "mkdir -p e/hooks; %s; rm link; mv e link" % evil.replace("%s", "e/hooks"),
                "mkdir e; %s; mv real/hooks r; mv e real/hooks" % evil.replace("%s", "e")]
        for mode in ("quarantine", "enforce"):
            for way in ways:
                for wait in (WAIT, ""):
                    with self.subTest(mode=mode, way=way, wait=wait):
                        self.make(layout)
                        said = self.inside(mode, f"{wait}({way}) 2> /dev/null; true", "")
                        self.assertFalse(self.victim(""), said)

    def test_work_trees_that_are_made_inside(self):
        """The configuration was there before, the repository that it is for was not."""
        plant = f"mkdir -p new/.githooks; printf '#!/bin/sh\ntouch {self.canary}\n' > new/{HOOK}; chmod +x new/{HOOK} || true"
        for mode, executed in (("off", True), ("quarantine", False)):
            for wait in (WAIT, ""):
                with self.subTest(mode=mode, wait=wait):
                    self.make(REPOSITORY + "git config core.hooksPath .githooks")
                    self.inside(mode, f"{wait}git worktree add -q new && {plant}", "")
                    self.assertEqual(self.victim("new"), executed)
                    self.make("git init -q .; git config --global core.hooksPath .githooks")
                    self.inside(mode, f"{wait}git init -q new && {plant}", "")
                    self.assertEqual(self.victim("new"), executed)

    def test_files_that_are_symlinks(self):
        """Editors and agents read these; what stood there comes back, and what was nowhere goes."""
        layout = """git init -q .; mkdir -p c/vscode pkg skills/one; echo '{}' > c/vscode/tasks.json; ln -s c/vscode .vscode
echo '{}' > c/m.json; ln -s c/m.json .mcp.json; mkdir pkg/c; echo '{}' > pkg/c/tasks.json; ln -s c pkg/.vscode
echo '{}' > pkg/m.json; ln -s m.json pkg/.mcp.json; mkdir .claude; ln -s ../skills .claude/skills; echo '{}' > skills/one/SKILL.md
ln -s made/envrc .envrc; ln -s .. .claude/commands; echo '{}' > work"""
        led = ["c/vscode/tasks.json", "c/m.json", "pkg/c/tasks.json", "pkg/m.json", "skills/one/SKILL.md"]
        evil = "mkdir -p made; for f in " + " ".join(led) + " made/envrc c/other work; do echo evil > $f; done 2> /dev/null; true"
        for mode in ("quarantine", "enforce"):
            with self.subTest(mode=mode):
                self.make(layout)
                said = self.inside(mode, WAIT + evil, "")
                self.assertEqual({path: self.read(os.path.join(self.tree, path)) for path in led}, {path: "{}\n" for path in led}, said)
                self.assertFalse(os.path.exists(os.path.join(self.tree, "made/envrc")), said)
                # The work goes on beside them, also where a symlink leads to what it is in itself.
                self.assertEqual(self.read(os.path.join(self.tree, "c/other")), "evil\n")
                self.assertEqual(self.read(os.path.join(self.tree, "work")), "evil\n")
                for path in led if mode == "quarantine" else []:
                    self.assertIn("quarantined: " + os.path.join(self.tree, path), said)
        # Replaced by rename(2), which is no event of the file itself.
        self.make(layout)
        said = self.inside("quarantine", WAIT + "".join(f"echo evil > n; mv n {path}; " for path in led), "")
        self.assertEqual({path: self.read(os.path.join(self.tree, path)) for path in led}, {path: "{}\n" for path in led}, said)


if __name__ == "__main__":
    sandbox.main()
