"""The commands of dirbox-director(7), typed as they stand there.

A comment before a display says what is to come of its commands: `.\\" test: status N`, `fails`, `claude` (interactive),
`running` (ID stands for a sandbox that runs), `swarm` (needs it: DIRBOX_SWARM); without one they end with status 0.
"""
import json
import os
import re
import shutil
import subprocess

import claude
import messages_api
import sandbox
import tmux

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(sandbox.__file__))), "..", "man",
                    "dirbox-director.7")


def commands():
    """(expectation, command) of each line of a display that begins with "$ "."""
    expectation, shown, waiting = "", False, ""
    with open(PAGE, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith('.\\" test: '):
                waiting = line.removeprefix('.\\" test: ')
            elif line.startswith(".Bd"):
                expectation, waiting, shown, command = waiting, "", True, ""
            elif line.startswith(".Ed"):
                shown = False
            elif shown and (line.startswith("$ ") or command):
                command += line.removeprefix("$ ").strip().removesuffix("\\e") + " "
                if not line.endswith("\\e"):
                    yield expectation, command.strip()
                    command = ""


class Manual(claude.ClaudeTest):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(PAGE):
            raise sandbox.unittest.SkipTest("this machine has no manual beside the tests")
        super().setUpClass()
        state = {"hasCompletedOnboarding": True, "lastOnboardingVersion": claude.VERSION,
                 "customApiKeyResponses": {"approved": [messages_api.KEY[-20:]], "rejected": []}}
        cls.world.plant(cls.world.home + "/.claude.json", json.dumps(state), 0o600)
        cls.world.plant(cls.world.home + "/.claude/settings.json",
                        json.dumps({"theme": "dark", "skipDangerousModePermissionPrompt": True}))
        # The name in the manual, with the stand-in for the API where Claude Code is started.
        cls.bin = cls.world.base + "/bin"
        cls.world.plant(cls.bin + "/dirbox", f'#!/bin/sh\nexec {sandbox.DIRBOX} "$@"\n', 0o755)
        cls.world.environment["PATH"] = cls.bin + ":" + cls.world.environment["PATH"]
        cls.world.environment["DIRBOX_TEST"] = "1"

    def shell(self, command):
        return subprocess.run(["bash", "-c", command], cwd=self.world.project, env=self.world.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=sandbox.PATIENCE, check=False)

    def interactively(self, command):
        api = self.api(messages_api.say("the answer"))
        options = " ".join(self.options(api))
        window = tmux.Tmux(self.world.project, self.world.environment)
        self.addCleanup(window.close)
        window.type(command.replace("dirbox run", f"dirbox run {options}"), "Enter")
        window.wait_for("bypass permissions on")
        window.type("hello")
        window.wait_for("❯.hello")
        window.type("", "Enter")
        window.wait_for("the answer|nothing more to do")
        window.type("/exit")
        window.wait_for("❯./exit")
        window.type("", "Enter")
        window.wait_for_end()

    def test_commands(self):
        seen = 0
        for expectation, command in commands():
            seen += 1
            with self.subTest(command=command):
                if expectation == "swarm":
                    if not os.environ.get("DIRBOX_SWARM"):
                        print(f"SKIP: {command}: this machine has no swarm.py that DIRBOX_SWARM names")
                    continue
                if expectation == "claude":
                    self.interactively(command)
                    continue
                if expectation == "running":
                    running = self.start("sh", "-c", "echo $DIRBOX; cat", stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
                    done = self.shell(command.replace("ID", running.stdout.readline().strip()))
                    running.communicate()
                else:
                    done = self.shell(command)
                self.assertNotIn(self.world.marker, done.stdout + done.stderr)
                if expectation == "fails":
                    self.assertNotIn(done.returncode, (0, 125), done)
                else:
                    self.assertEqual(done.returncode, int(expectation.removeprefix("status ") or 0)
                                     if expectation.startswith("status") else 0, done)
        self.assertGreater(seen, 20)

    def test_messages(self):
        """What TROUBLESHOOTING quotes is what is said."""
        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        quoted = re.findall(r'^\.It Li "(dirbox: [^"]+)"', page, re.MULTILINE)
        said = self.shell("dirbox run -- curl -sS https://registry.npmjs.org").stderr
        said += self.shell("cd && dirbox run -- true").stderr.replace(self.world.home, "/home/me")
        said += self.shell("PATH=/usr/bin; " + sandbox.DIRBOX + " run -- claude").stderr
        self.settings({"sandbox": {"enabled": True}})
        said += self.shell("dirbox run -- claude --version").stderr
        for message in quoted:
            if "make namespaces" in message:  # needs a machine that forbids them: boundary.launcher
                continue
            with self.subTest(message=message):
                parts = [re.escape(part) for part in message.split("...")]
                self.assertRegex(said, ".*".join(parts))
        self.settings({"theme": "dark", "skipDangerousModePermissionPrompt": True})


if __name__ == "__main__":
    sandbox.main()
