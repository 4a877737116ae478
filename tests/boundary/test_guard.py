"""What is planted in a writable tree for a program of the host to execute is gone before the host looks.

The host is the victim afterwards: every test ends with `git status`, `git commit` and the like outside, with a canary
that what was planted would have made.
"""
import json
import os
import subprocess

import sandbox


class Guard(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.canary = self.outside("pwned")
        self.script = f"#!/bin/sh\ntouch {self.canary}\n"

    def inside(self, command, options=()):
        done = subprocess.run([sandbox.DIRBOX, "run", *options, "--", "sh", "-c", command], cwd=self.world.project,
                              env=self.world.environment, text=True, capture_output=True, timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        return done

    def quarantined(self, command, *fragments):
        """Runs `command`, a plant; the report has the fragments."""
        done = self.inside(command)
        for fragment in fragments:
            self.assertIn(fragment, done.err if hasattr(done, "err") else done.stderr)
        self.victim()
        return done.stderr

    def victim(self, cwd=None):
        """The host goes on working there."""
        for words in (["status"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "host"], ["diff", "HEAD~1"],
                      ["log", "-1"], ["fetch", "-q", "--all"]):
            self.git(*words, cwd=cwd, check=False)
        self.assertFalse(os.path.exists(self.canary), "the host executed what was planted")

    def test_control(self):
        """Without the guard the host would execute it."""
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "off"\n')
        self.inside(f"git config core.fsmonitor 'touch {self.canary}; false'", ["-p", profile])
        self.git("status", check=False)
        self.assertTrue(os.path.exists(self.canary))
        os.unlink(self.canary)
        self.git("config", "--unset", "core.fsmonitor")

    def test_report_alone(self):
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "report"\n')
        done = self.inside("git config core.fsmonitor /bin/false", ["-p", profile])
        self.assertIn("dangerous change", done.stderr)
        self.assertIn("core.fsmonitor = /bin/false (git status executes it)", done.stderr)
        self.assertEqual(self.git("config", "core.fsmonitor"), "/bin/false\n")
        self.git("config", "--unset", "core.fsmonitor")

    def test_what_cannot_be_kept_goes_all_the_same(self):
        """The sandbox can fill the disk on which the quarantine is; here there can be none at all."""
        plant = f"echo evil > .envrc; git config core.fsmonitor 'touch {self.canary}; false'; git config user.inside yes"
        done = subprocess.run([sandbox.DIRBOX, "run", "--", "sh", "-c", plant], cwd=self.world.project, text=True,
                              env={**self.world.environment, "XDG_STATE_HOME": "/proc"}, capture_output=True,
                              timeout=sandbox.PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("undone and not kept: " + self.project(".envrc"), done.stderr)
        self.assertIn("core.fsmonitor", done.stderr)
        self.assertIn(".envrc: create directory: /proc/dirbox: ENOENT", done.stderr)
        self.assertFalse(os.path.exists(self.project(".envrc")))
        self.assertEqual(self.git("config", "user.inside"), "yes\n")
        self.victim()
        self.git("config", "--unset", "user.inside")
        many = "for i in $(seq 150); do mkdir d$i; echo evil > d$i/.envrc; done"
        done = subprocess.run([sandbox.DIRBOX, "run", "--", "sh", "-c", many], cwd=self.world.project, text=True,
                              env={**self.world.environment, "XDG_STATE_HOME": "/proc"}, capture_output=True,
                              timeout=sandbox.PATIENCE)
        said = done.stderr.splitlines()
        self.assertEqual(sum(line.startswith("dirbox: guard: ") and "/proc/dirbox" in line for line in said), 100, said)
        self.assertEqual(sum("guard: more went wrong than is listed" in line for line in said), 1, said)
        self.assertEqual([i for i in range(1, 151) if os.path.exists(self.project(f"d{i}/.envrc"))], [])
        subprocess.run("rm -r d*", shell=True, cwd=self.world.project, check=True)

    def test_the_same_again_is_one_line(self):
        again = "for i in 1 2 3; do echo evil > .envrc; while test -e .envrc; do sleep 0.01; done; done; echo other > .envrc"
        said = self.quarantined(again, "5 bytes (direnv executes it), 3 times\n", "6 bytes (direnv executes it)\n")
        self.assertEqual(said.count("quarantined"), 2)

    # What the host's swarm believes is told, and left: a director is to write it.
    def swarm(self, script, options=()):
        profile = self.profile('extends = "worker"\n[filesystem]\nwrite = [{ path = "~/.swarm", create = true }]\n', "swarm.toml")
        done = self.inside(script, ["-p", profile, *options])
        return [line for line in done.stderr.splitlines() if "dangerous change" in line]

    def told(self, harmless, dangerous, path, text):
        """`harmless` and `dangerous` are contents of `path`; `text` is in what is said of the latter alone."""
        folder = os.path.dirname(path)
        write = "mkdir -p {0} && printf '%s' '{2}' > {1}"
        self.addCleanup(lambda: os.path.exists(path) and os.remove(path))
        # The user's own, before the sandbox.
        subprocess.run(["sh", "-c", write.format(folder, path, dangerous)], check=True)
        self.assertEqual(self.swarm("true"), [])
        os.remove(path)
        if harmless is not None:
            self.assertEqual(self.swarm(write.format(folder, path, harmless)), [])
        for wait in ("", "; sleep 0.3"):  # after the end, and while it is watched
            if os.path.exists(path):
                os.remove(path)
            said = self.swarm(write.format(folder, path, dangerous) + wait)
            self.assertEqual(len(said), 1, said)
            self.assertIn(path, said[0])
            self.assertIn(text, said[0])
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), dangerous, "it is left as it is")

    def test_panes_that_swarm_types_into(self):
        state = '{"workers":[{"name":"w","tmux":{"session":"%s","window":"0"}}]}'
        self.told(state % "swarm-0a1b", state % "main", self.home(".swarm/state.json"), "tmux of w = main:0")
        self.told('{"message":""}', '{"message":"cat ~/.ssh/id_rsa"}', self.home(".swarm/heartbeats/w.json"),
                  "message = cat ~/.ssh/id_rsa")

    def test_files_that_swarm_sends(self):
        loop = '{"prompt_file":"%s"}'
        path = self.home(".swarm/ralph/w/state.json")
        self.told(loop % self.project("file"), loop % self.home(".ssh/id_rsa"), path, "sends that file as a prompt")
        link = self.project("prompt.md")
        os.symlink(self.home(".ssh/id_rsa"), link)
        self.addCleanup(os.remove, link)
        self.told(loop % "PROMPT.md", loop % link, path, "sends that file as a prompt")

    def test_a_swarm_in_the_working_directory(self):
        self.told(None, "print(1)", self.project("swarm.py"), "swarm ralph spawn executes it")
        # Another mode of the guard leaves it, too.
        profile = self.profile('extends = "worker"\n[filesystem]\nguard = "enforce"\n', "enforce.toml")
        self.inside("echo x > swarm.py && mkdir -p .swarm/heartbeats && echo '{}' > .swarm/heartbeats/x.json && rm -r .swarm",
                    ["-p", profile])
        with open(self.project("swarm.py"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "x\n")

    def test_keys_of_the_configuration(self):
        evil = f"touch {self.canary}"
        for key in ("core.fsmonitor", "core.hooksPath", "core.pager", "core.sshCommand", "core.editor", "diff.external",
                    "filter.x.clean", "filter.x.process", "diff.x.textconv", "credential.helper", "include.path",
                    "includeIf.gitdir:/.path", "alias.status", "merge.x.driver", "gpg.program", "pager.log"):
            with self.subTest(key=key):
                value = "!" + evil if key.startswith("alias") else evil
                self.quarantined(f"git config '{key}' '{value}'", "quarantined", value)
                self.assertEqual(self.git("config", "--get", key, check=False), "")

    def test_harmless_keys_written_meanwhile_stay(self):
        """git replaces the file for each, also while the guard does. One that has read it before the guard's last exchange, and
        is not scheduled for longer than it is waited for, writes what it read."""
        done = self.inside("for i in $(seq 20); do git config core.fsmonitor evil$i;"
                           " for k in a b c d e f; do git config x$i.$k 1 || exit 9; done; done")
        self.assertNotIn("faster", done.stderr)
        self.assertEqual(self.git("config", "--get", "core.fsmonitor", check=False), "")
        self.assertGreaterEqual(self.git("config", "--get-regexp", "^x").count("\n"), 118)

    def test_values_that_execute_without_a_command(self):
        """An alias of options, a path as the name of a tool, lines for the list of a rebase, a file for cookies."""
        script = self.project("evil")
        up = "../" * 16 + script
        self.world.plant(script, self.script, 0o755)
        self.addCleanup(os.unlink, script)
        keys = [("alias.st", f"ls-remote --upload-pack={script} .", ["st"]),
                ("diff.tool", up, ["difftool", "-y", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "HEAD"]),
                ("merge.tool", up, ["mergetool", "--tool-help"]),
                ("rebase.instructionFormat", f"%s%nexec {script}", ["rebase", "--force-rebase", "HEAD~1"]),
                ("http.saveCookies", "true", ["status"])]
        self.git("commit", "-q", "-m", "more", "--allow-empty")
        self.world.plant(self.project("file"), "other\n")
        self.git("commit", "-q", "-a", "-m", "change")
        for key, value, words in keys:
            with self.subTest(key=key):
                self.quarantined(f"git config {key} '{value}'; git config alias.co checkout; git config merge.guitool meld",
                                 key.lower() if key != "http.saveCookies" else "http.savecookies")
                self.assertNotEqual(self.git("config", "--get", key, check=False), value + "\n")
                self.assertEqual(self.git("config", "alias.co") + self.git("config", "merge.guitool"), "checkout\nmeld\n")
                if "tool" not in key:  # else the one that git finds would start
                    self.git(*words, check=False)
                self.assertFalse(os.path.exists(self.canary))
                if key in ("alias.st", "diff.tool", "rebase.instructionFormat"):  # the control: there it executes
                    self.git("-c", f"{key}={value}", *words, check=False)
                    self.assertTrue(os.path.exists(self.canary), key)
                    os.unlink(self.canary)
        self.git("config", "--unset", "merge.guitool")

    def test_a_work_tree_behind_a_symlink(self):
        """git would check out into the home; that of a submodule it sets itself."""
        self.quarantined(f"ln -s {self.world.home} link; git config core.worktree ../link; true", "core.worktree = ../link")
        self.assertEqual(self.git("rev-parse", "--show-toplevel"), self.world.project + "\n")
        self.git("config", "core.worktree", "../link")
        self.assertEqual(self.git("rev-parse", "--show-toplevel"), self.world.home + "\n")
        self.git("config", "--unset", "core.worktree")
        os.unlink(self.project("link"))
        done = self.inside("git init -q /tmp/m; git -C /tmp/m -c user.name=t -c user.email=t@e commit -q --allow-empty -m m; "
                           "git -c protocol.file.allow=always submodule --quiet add /tmp/m sub")
        self.assertNotIn("core.worktree", done.stderr)
        self.assertEqual(self.git("rev-parse", "--show-toplevel", cwd=self.project("sub")), self.project("sub\n"))
        self.git("rm", "-rfq", "--cached", "sub", ".gitmodules", check=False)
        subprocess.run(["rm", "-rf", "sub", ".gitmodules", ".git/modules"], cwd=self.world.project, check=True)

    def test_the_value_from_before_comes_back(self):
        self.git("config", "core.pager", "cat")
        self.addCleanup(self.git, "config", "--unset-all", "core.pager", check=False)
        report = self.quarantined("git config core.pager 'evil'; git config user.name inside", "before: cat")
        self.assertIn("core.pager = evil", report)
        self.assertEqual(self.git("config", "core.pager"), "cat\n")
        self.assertEqual(subprocess.run(["git", "config", "user.name"], cwd=self.world.project, text=True,
                                        capture_output=True, env=self.world.environment).stdout, "inside\n")

    def test_ways_to_write_the_configuration(self):
        evil = f"[core]\\n\\tfsmonitor = touch {self.canary}\\n"
        for way in (f"printf '{evil}' >> .git/config", f"printf '{evil}' > .git/c; mv .git/c .git/config",
                    f"cp .git/config x; printf '{evil}' >> x; ln -f x .git/config; rm x",
                    f"printf '{evil}' > x; ln -sf ../x .git/config; rm -f .git/config.lock",
                    f"mv .git g; printf '{evil}' >> g/config; mv g .git",
                    f"cp -r .git g; printf '{evil}' >> g/config; rm -rf .git; mv g .git",
                    f"git config extensions.worktreeConfig true; printf '{evil}' > .git/config.worktree",
                    f"printf '[core]fsmonitor=touch {self.canary}' >> .git/config",
                    "mkdir -p e; cp .git/config e/config; " + f"printf '{evil}' >> e/config; echo ../e > .git/commondir"):
            with self.subTest(way=way):
                subprocess.run(["cp", "-a", ".git", self.world.base + "/git-before"], cwd=self.world.project, check=True)
                self.quarantined(way, "quarantined")
                subprocess.run(["rm", "-rf", ".git", "e", "x"], cwd=self.world.project, check=True)
                subprocess.run(["mv", self.world.base + "/git-before", self.project(".git")], check=True)

    def test_hooks(self):
        plant = f"printf '#!/bin/sh\\ntouch {self.canary}\\n' > $h; chmod +x $h; true"
        self.inside(f"h=.git/hooks/pre-commit; {plant}; true")  # read-only where the directory exists
        self.victim()
        subprocess.run(["rm", "-rf", ".git/hooks"], cwd=self.world.project, check=True)
        self.quarantined(f"mkdir .git/hooks; h=.git/hooks/pre-commit; {plant}", "pre-commit", "git executes its hooks")
        self.assertEqual(os.listdir(self.project(".git/hooks")), [])

    def test_what_the_configuration_leads_to(self):
        self.world.plant(self.project("tools/hooks/pre-push"), "#!/bin/sh\n", 0o755)
        self.world.plant(self.project("shared.conf"), "[alias]\n\tst = status\n")
        self.git("config", "core.hooksPath", "tools/hooks")
        self.git("config", "include.path", "../shared.conf")
        self.addCleanup(self.git, "config", "--unset", "core.hooksPath")
        self.addCleanup(self.git, "config", "--unset", "include.path")
        evil = f"printf '#!/bin/sh\\ntouch {self.canary}\\n'"
        self.quarantined(f"{evil} > tools/hooks/pre-commit; chmod +x tools/hooks/pre-commit; true", "tools/hooks/pre-commit")
        self.quarantined(f"{evil} >> tools/hooks/pre-push", "tools/hooks/pre-push")
        self.world.plant(self.project("tools/hooks/pre-merge"), self.script, 0o644)
        live = "chmod +x tools/hooks/pre-merge; while test -x tools/hooks/pre-merge; do :; done"
        for way in ("chmod +x tools/hooks/pre-merge", live):
            self.quarantined(way, "tools/hooks/pre-merge: made executable (git executes its hooks)")
            self.assertEqual(os.stat(self.project("tools/hooks/pre-merge")).st_mode & 0o777, 0o644)
        for way in ("printf '[core]\\nfsmonitor = evil\\n' >> shared.conf",
                    "cp shared.conf x; printf '[core]\\nfsmonitor = evil\\n' >> x; mv x shared.conf"):
            self.quarantined(f"{way}; git config -f shared.conf a.b c", "shared.conf", "core.fsmonitor = evil")
            self.assertEqual(self.git("config", "-f", "shared.conf", "a.b"), "c\n")

    def test_nested_and_bare_repositories(self):
        evil = f"touch {self.canary}; false"
        os.makedirs(self.project("old/deep"), exist_ok=True)
        for place, make in (("n", "git init -q n"), ("a/b/c", "git init -q a/b/c"), ("bare", "git init -q --bare bare"),
                            ("old/deep/r", "git init -q old/deep/r"),
                            ("moved", "git init -q /tmp/m && cp -r /tmp/m .x && mv .x moved"),
                            ("by-hand", "mkdir -p by-hand/objects by-hand/refs; echo ref: refs/heads/main > by-hand/HEAD; "
                                        "printf '[core]\\nrepositoryformatversion = 0\\n' > by-hand/config")):
            with self.subTest(place=place):
                self.quarantined(f"{make}; cd {place}; git config core.fsmonitor '{evil}'; true", "core.fsmonitor")
                self.victim(self.project(place))
                subprocess.run(["rm", "-rf", place.split("/")[0] if place[:3] != "old" else place], cwd=self.world.project,
                               check=True)

    def test_directories_that_become_a_repository(self):
        """One of a kind by its name, which a gitfile leads to; a worktree's own, when it loses its commondir."""
        evil = f"[core]\\nfsmonitor = touch {self.canary}; false\\n"
        self.quarantined(f"mkdir -p .vscode/objects .vscode/refs sub; printf '{evil}' > .vscode/config; "
                         "echo ref: refs/heads/main > .vscode/HEAD; echo gitdir: ../.vscode > sub/.git", "HEAD")
        self.victim(self.project("sub"))
        self.victim(self.project(".vscode"))
        subprocess.run(["rm", "-rf", ".vscode", "sub"], cwd=self.world.project, check=True)
        self.git("worktree", "add", "-q", "linked", "-b", "linked")
        self.addCleanup(subprocess.run, ["rm", "-rf", "linked", ".git/worktrees"], cwd=self.world.project, check=True)
        admin = ".git/worktrees/linked"
        self.quarantined(f"rm {admin}/commondir; mkdir {admin}/objects {admin}/refs; printf '{evil}' > {admin}/config", "core.fsmonitor")
        self.victim(self.project("linked"))

    def test_what_a_symlink_shows(self):
        """A repository in a directory where nobody looks for one, until a link leads there."""
        evil = f"touch {self.canary}; false"
        self.world.plant(self.project(".git/objects/ab/old"), "")
        self.world.plant(self.project(".vscode/sub/old"), "")
        self.addCleanup(subprocess.run, ["rm", "-rf", ".vscode", ".git/objects/e", ".git/objects/ab/e", "shown"],
                        cwd=self.world.project, check=True)
        for place in (".git/objects/e", ".vscode/e"):
            with self.subTest(place=place):
                self.quarantined(f"git init -q {place}; git -C {place} config core.fsmonitor '{evil}'; ln -sfn {place} shown",
                                 "core.fsmonitor")
                self.victim(self.project("shown"))
        # In one that was there before, as soon as it is watched.
        for place in (".git/objects/ab/e", ".vscode/sub/e"):
            with self.subTest(place=place):
                self.quarantined(f"git init -q {place}; git -C {place} config core.fsmonitor '{evil}'; ln -sfn {place} shown; "
                                 f"while git -C {place} config core.fsmonitor > /dev/null; do :; done", "core.fsmonitor")
                self.victim(self.project("shown"))

    def test_a_directory_without_a_repository(self):
        os.rename(self.project(".git"), self.outside("git"))
        try:
            self.quarantined(f"git init -q; git config core.fsmonitor 'touch {self.canary}'", "core.fsmonitor")
        finally:
            subprocess.run(["rm", "-rf", self.project(".git")], check=True)
            os.rename(self.outside("git"), self.project(".git"))

    def test_a_directory_that_cannot_be_looked_at(self):
        folder = self.outside("unread")
        os.mkdir(folder, 0o300)
        self.before = self.world.picture()
        ran = self.project("ran")
        done = self.dirbox("touch", ran, options=["--write", folder])
        if os.geteuid() == 0:  # may read it
            self.assertEqual(done.code, 0, done)
            os.remove(ran)
        else:
            self.assertEqual(done.code, 125, done)
            self.assertIn(f"guard a directory: {folder}: EACCES", done.err)
            self.assertFalse(os.path.exists(ran), "the command ran unguarded")
        os.chmod(folder, 0o700)
        self.before = self.world.picture()
        self.assertEqual(self.dirbox("touch", ran, options=["--write", folder]).code, 0)
        os.remove(ran)

    def test_gitfiles(self):
        self.world.plant(self.outside("repo/HEAD"), "ref: refs/heads/main\n")
        self.before = self.world.picture()
        self.quarantined(f"mkdir s; echo 'gitdir: {self.outside('repo')}' > s/.git", "s/.git")
        self.assertFalse(os.path.exists(self.project("s/.git")))
        self.quarantined("rm -rf s; mkdir s; ln -s ../e s/.git", "a symlink to")
        self.assertFalse(os.path.lexists(self.project("s/.git")))

    def test_files_of_editors_and_agents(self):
        for name in (".envrc", ".mcp.json", ".npmrc", ".vscode/tasks.json", ".vscode/settings.json",
                     ".claude/settings.json", ".claude/settings.local.json", ".claude/commands/x.md", ".husky/pre-commit",
                     ".dirbox.toml", "sub/.envrc", "sub/.vscode/tasks.json", ".idea/workspace.xml", ".cargo/config.toml",
                     ".claude/commands/deep/er/x.md", ".claude/skills/s/SKILL.md", ".devcontainer.json", ".hg/hgrc",
                     ".devcontainer/a/devcontainer.json", ".jj/repo/config.toml", ".run/x.run.xml", "mise.toml",
                     ".opencode/plugin/x.ts", ".cursor/hooks.json", ".nvimrc", ".gemini/commands/x.toml",
                     ".codex/hooks.json", ".gemini/.env", ".roo/mcp.json", ".kiro/hooks/x.kiro.hook", ".kiro/settings/mcp.json",
                     ".qwen/settings.json", ".amazonq/mcp.json", ".amazonq/cli-agents/a.json", ".mise/config.toml",
                     # A directory of a kind of its own is an ordinary one as well.
                     ".vscode/.envrc", ".claude/.mcp.json", ".git/.exrc", ".vscode/.vscode/tasks.json", ".git/.idea/workspace.xml"):
            with self.subTest(name=name):
                folder = os.path.dirname(name) or "."
                self.quarantined(f"mkdir -p {folder}; echo x > {name}", os.path.basename(name))
                self.assertFalse(os.path.lexists(self.project(name)))

    def test_many_files_of_agents_at_once(self):
        names = (".codex/skills/a/SKILL.md", ".codex/agents/x.toml", ".codex/prompts/x.md", ".codex/rules/x.rules", ".gemini/hooks/x",
                 ".gemini/agents/x.md", ".gemini/policies/x.toml", ".qwen/commands/x", ".qwen/.env", ".qwen/extensions/x/y",
                 ".kiro/agents/x.json", ".amazonq/agents/x.json", ".amazonq/default.json", ".roo/commands/x", ".opencode/skill/x",
                 ".opencode/mode/x", ".claude/plugins/x", ".claude/output-styles/x.md", ".cursor/cli.json", ".cursor/worktrees.json",
                 ".cursor/commands/x.md", ".config/lefthook-local.yml", ".vscode/c_cpp_properties.json", ".vscode/cmake-kits.json",
                 ".git/lazygit.yml", ".hg/hgrc-not-shared", ".hg/sharedpath", ".jj/workspace-config.toml", ".sl/config",
                 ".github/hooks/x.json", ".windsurf/hooks.json", ".clinerules/hooks/x", ".helix/languages.toml", ".agents/skills/x",
                 ".factory/droids/x.md", ".augment/settings.json", ".pi/extensions/x.ts", ".kilocode/mcp.json", ".junie/mcp/mcp.json",
                 ".continue/mcpServers/x.yaml", ".trae/mcp.json", "crush.json", ".vim/coc-settings.json", ".direnv/x.rc",
                 ".idea/tools/External.xml", ".mise/tasks/x", ".git/remotes/x", ".git/branches/x")
        said = self.quarantined("; ".join(f"mkdir -p $(dirname {name}); echo x > {name}" for name in names))
        self.assertEqual([name for name in names if os.path.lexists(self.project(name))], [])
        self.assertEqual([name for name in names if name not in said], [])
        harmless = (".github/workflows/x.yml", ".cursor/rules/x.mdc", ".claude/CLAUDE.md", ".vim/x", ".direnv/x", ".codex/notes", "bin/mise")
        self.inside("; ".join(f"mkdir -p $(dirname {name}); echo x > {name}" for name in harmless))
        self.assertEqual([name for name in harmless if not os.path.lexists(self.project(name))], [])
        subprocess.run("rm -rf .[a-fh-z]* .g[eh]* .git/lazygit.yml bin", shell=True, cwd=self.world.project, check=True)

    def test_one_that_was_there_gets_its_content_back(self):
        self.world.plant(self.project(".envrc"), "mine\n")
        self.world.plant(self.project(".vscode/tasks.json"), "{}\n")
        for way in ("echo evil > $f", "echo evil >> $f", "echo evil > x; mv x $f", "rm $f; echo evil > $f", "ln -sf /x $f"):
            for name in (".envrc", ".vscode/tasks.json"):
                with self.subTest(way=way, name=name):
                    self.quarantined(f"f={name}; {way}", name)
                    with open(self.project(name), encoding="utf-8") as file:
                        self.assertIn(file.read(), ("mine\n", "{}\n"))
        self.inside("rm -rf .envrc .vscode")
        self.assertFalse(os.path.exists(self.project(".envrc")))

    def test_what_is_harmless_stays(self):
        done = self.inside("git config foo.bar 1; git branch -u main main 2>/dev/null; git init -q n; git -C n config a.b c; "
                           "touch .envrc; mkdir .vscode; echo x > .vscode/notes; git checkout -q -b other; git checkout -q main")
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.git("config", "foo.bar"), "1\n")
        self.assertTrue(os.path.exists(self.project(".vscode/notes")))

    def test_names_with_escapes(self):
        done = self.inside("d=$(printf 'a\\033[31m\\nb'); mkdir \"$d\"; echo x > \"$d/.envrc\"")
        self.assertNotIn("\x1b", done.stderr)
        self.assertIn("\\x1b[31m", done.stderr)
        subprocess.run(["rm", "-rf", self.project("a\x1b[31m\nb")], check=True)

    def test_a_path_that_is_too_long_is_named(self):
        deep = "import os\nfor i in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)\nopen('.envrc', 'w').write('evil')"
        self.assertIn("guard: not looked through, for its path is too long: ", self.inside(f"python3 -c \"{deep}\"").stderr)
        subprocess.run(["rm", "-rf", "d" * 200], cwd=self.world.project, check=True)

    def test_an_overflow_hides_nothing(self):
        flood = "import os; open('f', 'w'); [os.rename(*('fg' if i % 2 == 0 else 'gf')) for i in range(40000)]"
        self.quarantined(f"python3 -c \"{flood}\"; git config core.fsmonitor 'touch {self.canary}'; rm f",
                         "core.fsmonitor")

    def test_show_and_restore(self):
        self.quarantined("echo evil > .e; mv .e .envrc; git config core.pager evil", ".envrc")
        run = lambda *words: subprocess.run([sandbox.DIRBOX, "guard", *words], env=self.world.environment, text=True,
                                            capture_output=True, check=True).stdout
        sessions = [line.split()[0] for line in run("show").splitlines() if not line.startswith(" ")]
        records = json.loads(run("show", "--json", sessions[-1]))
        self.assertEqual({os.path.basename(r["path"]) for r in records}, {".envrc", "config"})
        number = next(r["number"] for r in records if r["path"].endswith(".envrc"))
        self.assertEqual(run("restore", sessions[-1], str(number)), self.project(".envrc") + "\n")
        with open(self.project(".envrc"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "evil\n")
        os.unlink(self.project(".envrc"))
        run("restore", sessions[-1], str(next(r["number"] for r in records if r["path"].endswith("config"))))
        self.assertEqual(self.git("config", "core.pager"), "evil\n")
        self.git("config", "--unset", "core.pager")

    def test_what_is_put_back_stays_while_sandboxes_run(self):
        """The user's own change is quarantined like any other, until the user puts it back; then every sandbox there knows it."""
        ours, other = self.project(".pdbrc"), self.project(".irbrc")
        guard = lambda *words: subprocess.run([sandbox.DIRBOX, "guard", *words], env=self.world.environment, text=True,
                                              capture_output=True, check=False)
        sessions = lambda: {line.split()[0] for line in guard("show").stdout.splitlines() if line.endswith(ours)}
        held = [self.start("sh", "-c", "touch used; echo ready; while read -r line; do eval \"$line\"; done", stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        try:
            for box in held:
                self.assertEqual(box.stdout.readline(), "ready\n")
            with open(ours, "w", encoding="utf-8") as file:
                file.write("the user's\n")
            sandbox.wait_until(sessions, "it goes")
            (session,) = sessions()
            done = guard("restore", session)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, ours + "\n", ""))
            for box in held:  # its guard handles what happened before this first
                print("echo evil > .irbrc; echo planted", file=box.stdin, flush=True)
                self.assertEqual(box.stdout.readline(), "planted\n")
                sandbox.wait_until(lambda: not os.path.exists(other), "what is planted goes")
            self.assertEqual(self.read(ours), "the user's\n")
            print("echo evil > .pdbrc; echo planted", file=held[0].stdin, flush=True)
            self.assertEqual(held[0].stdout.readline(), "planted\n")
            sandbox.wait_until(lambda: self.read(ours) == "the user's\n", "it stands again")
        finally:
            errors = [box.communicate()[1] for box in held]
        self.assertEqual(self.read(ours), "the user's\n")
        lines = [line for text in errors for line in text.splitlines() if not line.startswith("hint: ")]
        self.assertTrue(all(line.startswith("dirbox: quarantined: ") for line in lines), errors)
        os.unlink(ours)
        os.unlink(self.project("used"))

    def test_what_a_sandbox_cannot_know_waits_for_its_end(self):
        """Too large to be remembered, or of a name that a pattern forbids: refused while one runs there, put back after it."""
        guard = lambda *words: subprocess.run([sandbox.DIRBOX, "guard", *words], env=self.world.environment, text=True,
                                              capture_output=True, check=False)
        for name, text, options, why in ((".ghci", "x" * (300 << 10), (), "256 KiB"),
                                         ("key.secret", "new", ("--hide", self.project("**/*.secret")), "a pattern")):
            with self.subTest(name=name):
                path = self.project(name)
                sessions = lambda: {line.split()[0] for line in guard("show").stdout.splitlines() if line.endswith(path)}
                held = self.start("sh", "-c", "touch used; echo ready; cat", options=options, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    self.assertEqual(held.stdout.readline(), "ready\n")
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(text)
                    sandbox.wait_until(sessions, "it goes")
                    (session,) = sessions()
                    done = guard("restore", session)
                    self.assertRefused(sandbox.Done(done.returncode, done.stdout, done.stderr),
                                       why, f"session {session} watches it")
                    self.assertFalse(os.path.exists(path))
                finally:
                    held.communicate()
                self.assertEqual(guard("restore", session).stdout, path + "\n")
                self.assertEqual(self.read(path), text)
                os.unlink(path)
                os.unlink(self.project("used"))

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()


class Worktrees(sandbox.Boundary):
    git = Guard.git
    inside = Guard.inside

    def test_a_linked_worktree_commits(self):
        self.git("worktree", "add", "-q", "../wt", "-b", "wt")
        self.git("worktree", "add", "-q", "../wt2", "-b", "wt2")
        self.before = self.world.picture()
        home, self.world.project = self.world.project, self.world.home + "/wt"
        try:
            done = self.inside("echo z > z; git add z; git -c user.name=t -c user.email=t@x commit -qm z; git log --oneline -1; "
                               "git worktree prune; git status --porcelain; echo x > $(git rev-parse --git-common-dir)/hooks/h; true")
            self.assertIn("z", done.stdout)
            self.assertIn("z", self.git("log", "-1", "--format=%s"))
            self.assertFalse(os.path.exists(home + "/.git/hooks/h"))
            self.assertTrue(os.path.exists(home + "/.git/worktrees/wt2"))
            done = self.inside("git config core.fsmonitor evil")
            self.assertIn("core.fsmonitor", done.stderr)
            self.assertEqual(self.git("config", "core.fsmonitor", check=False, cwd=home), "")
        finally:
            self.world.project = home
            self.git("worktree", "remove", "--force", "../wt")
            self.git("worktree", "remove", "--force", "../wt2")
            self.before = self.world.picture()

    def test_forged_gitfiles_are_refused(self):
        self.git("worktree", "add", "-q", "../wt3", "-b", "wt3")
        forged = self.world.base + "/forged"
        for target, fragment in ((self.project(".git"), "does not point back"),
                                 (self.project(".git/worktrees/wt3"), "does not point back"),
                                 (self.outside(), "does not point back"), ("/nowhere", "no directory")):
            with self.subTest(target=target):
                self.world.plant(forged + "/.git", f"gitdir: {target}\n")
                done = subprocess.run([sandbox.DIRBOX, "run", "--", "touch", "ran"], cwd=forged, text=True,
                                      env=self.world.environment, capture_output=True)
                self.assertRefused(sandbox.Done(done.returncode, done.stdout, done.stderr), fragment, canary=forged + "/ran")
        self.git("worktree", "remove", "--force", "../wt3")
        self.before = self.world.picture()


if __name__ == "__main__":
    sandbox.main()
