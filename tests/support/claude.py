"""Claude Code from the npm registry, in a World, against a stand-in for its API."""
import collections
import glob
import json
import os
import subprocess

import messages_api
import npm
import sandbox

VERSION = os.environ.get("DIRBOX_CLAUDE_VERSION", "2.1.197")
API = "api.anthropic.com"

Ended = collections.namedtuple("Ended", "code out err api")


def install():
    """The prefix that it is installed in."""
    return npm.install("@anthropic-ai/claude-code@" + VERSION)


def certificate(folder, *names):
    """A self-signed certificate for `names`: (certificate, key) paths."""
    pair = os.path.join(folder, names[0] + ".pem"), os.path.join(folder, names[0] + ".key")
    alternatives = ",".join("DNS:" + name for name in names)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", "/CN=" + names[0], "-addext", "subjectAltName=" + alternatives,
                    "-keyout", pair[1], "-out", pair[0]], check=True, capture_output=True)
    return pair


class ClaudeTest(sandbox.WithTerminal):
    """A World whose home has Claude Code installed as its users have it: ~/.local/bin/claude leads to the program."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.world.close)
        home = cls.world.home
        subprocess.run(["cp", "-al", install(), os.path.join(home, ".npm-global")], check=True)
        os.makedirs(os.path.join(home, ".local/bin"), exist_ok=True)
        os.symlink("../../.npm-global/bin/claude", os.path.join(home, ".local/bin/claude"))
        cls.world.environment["PATH"] = os.path.join(home, ".local/bin") + ":/usr/local/bin:/usr/bin:/bin"
        cls.world.environment["ANTHROPIC_API_KEY"] = messages_api.KEY
        cls.certificate = certificate(cls.world.base, API, "example.com", "github.com", "platform.claude.com")

    def api(self, *turns, tls=True):
        """A stand-in that plays `turns`."""
        api = messages_api.MessagesApi(list(turns), self.certificate if tls else None)
        self.addCleanup(api.close)
        return api

    def options(self, api, *more):
        """Of dirbox: the API's name leads to the stand-in, whose certificate can be read."""
        return ("--net-map", f"{API}:443=127.0.0.1:{api.port}", "--read", self.certificate[0],
                "--env", "NODE_EXTRA_CA_CERTS=" + self.certificate[0], *more)

    def claude(self, api, *arguments, options=(), env=None, prompt="go on", leaks=False):
        """Claude Code in print mode with prompts off, inside."""
        done = self.dirbox("claude", "--dangerously-skip-permissions", *arguments, "-p", prompt, leaks=leaks,
                           options=self.options(api, *options), env={"DIRBOX_TEST": "1", **(env or {})})
        return Ended(*done, api)

    def claude_outside(self, api, *arguments, prompt="go on"):
        """The control: the same without dirbox. `api` is one without TLS."""
        environment = {**self.world.environment, "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{api.port}",
                       "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        done = subprocess.run(["claude", "--dangerously-skip-permissions", *arguments, "-p", prompt],
                              cwd=self.world.project, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=sandbox.PATIENCE)
        return Ended(done.returncode, done.stdout, done.stderr, api)

    def play(self, *turns, **start):
        """Plays the turns in print mode; fails where one of their calls gets no result."""
        api = self.api(*turns)
        ended = self.claude(api, **start)
        wanted = [block.label for turn in turns for block in turn.blocks if not isinstance(block, str)]
        self.assertEqual(api.labels(), wanted, f"calls without a result: {ended}")
        self.assertEqual(ended.code, 0, ended)
        return ended

    def sessions(self):
        """The identifiers of the sessions that the host has of the project."""
        found = glob.glob(os.path.join(glob.escape(self.home(".claude/projects")), "*", "*.jsonl"))
        return sorted(os.path.basename(path).removesuffix(".jsonl") for path in found)

    def settings(self, value, name=".claude/settings.json"):
        """The user's settings, as a host that has used Claude Code before has them."""
        self.world.plant(self.home(name), json.dumps(value))
