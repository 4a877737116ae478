"""Homes as their users have them: behind symlinks, from dotfile managers, with the shims of version managers."""
import os
import shutil

import sandbox

TOOL = "#!/bin/sh\necho tool of $0\n"


class Layouts(sandbox.Boundary):
    def masked(self):
        return ["-p", self.profile('extends = ["director"]\n[filesystem]\nhome = "masked"\n', "masked.toml")]

    def program(self, path, text=TOOL):
        self.world.plant(self.home(path), text, 0o755)

    def with_path(self, *folders):
        return {"PATH": ":".join([*(self.home(folder) for folder in folders), "/usr/local/bin:/usr/bin:/bin"])}

    def remove(self, *names):
        for name in names:
            path = self.home(name)
            if os.path.islink(path) or os.path.isfile(path):
                os.unlink(path)
            else:
                shutil.rmtree(path)

    def test_dotfiles(self):
        """~/.ssh -> ~/dotfiles/ssh hides both; ~/.gitconfig -> dotfiles/gitconfig is read, its neighbours are not."""
        os.mkdir(self.home("dotfiles"))
        os.rename(self.home(".ssh"), self.home("dotfiles/ssh"))
        os.symlink("dotfiles/ssh", self.home(".ssh"))
        self.world.plant(self.home("dotfiles/gitconfig"), "[user]\n\tname = of the dotfiles\n")
        self.world.plant(self.home("dotfiles/secret"), self.world.marker)
        had = os.path.lexists(self.home(".gitconfig"))
        if had:
            os.rename(self.home(".gitconfig"), self.home("gitconfig.kept"))
        os.symlink("dotfiles/gitconfig", self.home(".gitconfig"))
        self.before = self.world.picture()
        try:
            both = (".ssh/id_rsa", "dotfiles/ssh/id_rsa")
            for path in both:
                self.control("read", self.home(path))
            attempts = [("read", self.home(path)) for path in both]
            self.all_denied(attempts + [("read", self.home("dotfiles/secret"))], "ENOENT|EACCES")
            self.all_denied(attempts, "ENOENT|EACCES", options=self.masked())
            self.all_denied(attempts, "ENOENT|EACCES", options=["--read", self.home("dotfiles")])
            self.assertRefused(self.dirbox("true", options=["--read", self.home("dotfiles/ssh")]), "hides")
            done = self.run_ok("git", "config", "--global", "user.name")
            self.assertEqual(done.out.strip(), "of the dotfiles")
        finally:
            os.unlink(self.home(".ssh"))
            os.rename(self.home("dotfiles/ssh"), self.home(".ssh"))
            self.remove(".gitconfig", "dotfiles")
            if had:
                os.rename(self.home("gitconfig.kept"), self.home(".gitconfig"))
            self.before = self.world.picture()

    def test_home_behind_symlinks(self):
        """HOME=/base/way/home, where way leads to the directory above the home: grants and hides hold under both names."""
        way = os.path.join(self.world.base, "way")
        os.symlink(os.path.dirname(self.world.home), way)
        self.before = self.world.picture()
        home = os.path.join(way, os.path.basename(self.world.home))
        env = {"HOME": home}
        try:
            for options in ([], self.masked()):
                for base in (home, self.world.home):
                    with self.subTest(options=options, base=base):
                        self.all_denied([("read", base + "/.ssh/id_rsa"), ("read", base + "/.aws/credentials")],
                                        "ENOENT|EACCES", env=env, options=options)
            project = os.path.join(home, os.path.relpath(self.world.project, self.world.home))
            if os.path.isdir(project):
                self.run_ok("sh", "-c", "echo x > made && test -e made && rm made", env=env, cwd=project)
            self.run_ok("sh", "-c", 'cd && test "$HOME" = "$1" && echo x > ~/mine', "sh", home, env=env)
        finally:
            os.unlink(way)
            self.before = self.world.picture()

    def test_home_itself_is_a_symlink(self):
        link = os.path.join(self.world.base, "link-home")
        os.symlink(self.world.home, link)
        self.before = self.world.picture()
        try:
            self.all_denied([("read", link + "/.ssh/id_rsa"), ("read", self.home(".ssh/id_rsa"))], "ENOENT|EACCES",
                            env={"HOME": link})
            self.run_ok("sh", "-c", "echo '{\"n\":1}' > ~/.swarm/kept && rm ~/.swarm/kept", env={"HOME": link})
        finally:
            os.unlink(link)
            self.before = self.world.picture()

    def check_tool(self, env, expected, secrets=()):
        outside = sandbox.subprocess.run(["tool"], env={**self.world.environment, **env}, capture_output=True, text=True,
                                         check=True, timeout=sandbox.PATIENCE)
        self.before = self.world.picture()
        done = self.run_ok("tool", env=env)
        self.assertEqual(done.out, outside.stdout)
        self.assertIn(expected, done.out)
        self.assertEqual(self.run_ok("sh", "-c", "tool | cat", env=env).out, outside.stdout, "by a grandchild")
        if secrets:
            self.all_denied([("read", self.home(name)) for name in secrets], "ENOENT|EACCES", env=env)

    def test_symlink_to_a_directory_in_path(self):
        """It is no program: what lies around the directory is not what a tool needs."""
        self.program("bin/tool", "#!/bin/sh\necho around-nothing\n")
        self.world.plant(self.home("private/sub/note"), "x")
        self.world.plant(self.home("private/key"), self.world.marker)
        os.symlink(self.home("private/sub"), self.home("bin/sub"))
        self.check_tool(self.with_path("bin"), "around-nothing", ["private/key", "private/sub/note"])

    def test_mise(self):
        """A shim is a symlink to mise itself, which finds the tool by its own name."""
        self.program(".local/bin/mise", '#!/bin/sh\nexec "$HOME/.local/share/mise/installs/tool/1/bin/${0##*/}" "$@"\n')
        self.program(".local/share/mise/installs/tool/1/bin/tool")
        os.makedirs(self.home(".local/share/mise/shims"))
        os.symlink(self.home(".local/bin/mise"), self.home(".local/share/mise/shims/tool"))
        self.world.plant(self.home(".local/share/other/secret"), self.world.marker)
        self.check_tool(self.with_path(".local/share/mise/shims"), "installs/tool/1/bin/tool", [".local/share/other/secret"])
        self.remove(".local/share/mise", ".local/bin/mise", ".local/share/other")
        self.before = self.world.picture()

    def test_asdf(self):
        self.program(".asdf/shims/tool", '#!/usr/bin/env bash\nexec asdf exec tool "$@"\n')
        self.program(".asdf/bin/asdf", '#!/bin/sh\nshift\nexec "$HOME/.asdf/installs/tool/2/bin/$1"\n')
        self.program(".asdf/installs/tool/2/bin/tool")
        self.check_tool(self.with_path(".asdf/shims", ".asdf/bin"), "installs/tool/2/bin/tool")
        self.remove(".asdf")
        self.before = self.world.picture()

    def test_nvm(self):
        self.program(".nvm/versions/node/v3/lib/node_modules/tool/cli.js", "#!/usr/bin/env node\n")
        self.program(".nvm/versions/node/v3/bin/node", '#!/bin/sh\necho node runs "$1"\n')
        os.symlink("../lib/node_modules/tool/cli.js", self.home(".nvm/versions/node/v3/bin/tool"))
        self.world.plant(self.home(".nvm/secret"), self.world.marker)
        self.check_tool(self.with_path(".nvm/versions/node/v3/bin"), "node runs", [".nvm/secret"])
        self.remove(".nvm")
        self.before = self.world.picture()

    def test_pyenv(self):
        self.program(".pyenv/shims/tool", '#!/usr/bin/env bash\nexec "$HOME/.pyenv/libexec/pyenv" exec tool\n')
        self.program(".pyenv/libexec/pyenv", '#!/usr/bin/env bash\nexec "$HOME/.pyenv/versions/4/bin/$2"\n')
        self.program(".pyenv/versions/4/bin/tool")
        self.check_tool(self.with_path(".pyenv/shims"), "versions/4/bin/tool")
        self.remove(".pyenv")
        self.before = self.world.picture()

    def test_profile_of_a_store(self):
        """As Nix has it: ~/.nix-profile leads through a link of links into a store that no rule names."""
        store = os.path.join(self.world.base, "store/hash-tool-5")
        self.world.plant(store + "/bin/tool", TOOL, 0o755)
        os.makedirs(self.home(".local/state/profiles"))
        os.symlink(store, self.home(".local/state/profiles/profile-1"))
        os.symlink("profile-1", self.home(".local/state/profiles/profile"))
        os.symlink(".local/state/profiles/profile", self.home(".nix-profile"))
        self.world.plant(os.path.join(self.world.base, "store/hash-secret/key"), self.world.marker)
        env = self.with_path(".nix-profile/bin")
        self.before = self.world.picture()
        done = self.run_ok("tool", env=env)
        self.assertIn("tool of", done.out)
        self.denied("read", os.path.join(self.world.base, "store/hash-secret/key"), "ENOENT|EACCES", env=env)
        self.remove(".nix-profile", ".local/state/profiles")
        shutil.rmtree(os.path.join(self.world.base, "store"))
        self.before = self.world.picture()


if __name__ == "__main__":
    sandbox.main()
