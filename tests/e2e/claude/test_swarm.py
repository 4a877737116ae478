"""A director under swarm: dirbox in a tmux window that swarm opened, nudged, watched and ended by it.

DIRBOX_SWARM names a swarm.py to test with; tests/support/swarm_driver.py, which makes the same tmux calls, is always.
"""
import json
import os
import shutil
import subprocess
import tempfile

import claude
import messages_api
import sandbox
from messages_api import run, say

DRIVER = os.path.join(os.path.dirname(os.path.abspath(sandbox.__file__)), "swarm_driver.py")
READY = "bypass permissions on"


def processes_of(pattern):
    return subprocess.run(["pgrep", "-f", pattern], capture_output=True, check=False).returncode == 0


def works_in(directory):
    """Whether a process of this user does."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == directory:
                return True
        except OSError:
            continue  # it ended, or is another's
    return False


class Steps:
    """What swarm does with a director. `swarm`: the program."""
    swarm = DRIVER

    @classmethod
    def setUpClass(cls):
        if shutil.which("tmux") is None:
            raise sandbox.unittest.SkipTest("this machine has no tmux")
        super().setUpClass()
        state = {"hasCompletedOnboarding": True, "lastOnboardingVersion": claude.VERSION,
                 "customApiKeyResponses": {"approved": [messages_api.KEY[-20:]], "rejected": []}}
        cls.world.plant(cls.world.home + "/.claude.json", json.dumps(state), 0o600)
        cls.world.plant(cls.world.home + "/.claude/settings.json",
                        json.dumps({"theme": "dark", "skipDangerousModePermissionPrompt": True}))
        # tmux's own environment is what its windows get.
        cls.folder = tempfile.mkdtemp(prefix="dirbox-swarm-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.world.environment.update(TMUX_TMPDIR=cls.folder, DIRBOX_TEST="1", HISTFILE="")

    def tearDown(self):
        subprocess.run(["tmux", "kill-server"], env=self.world.environment, capture_output=True, check=False)
        # A launcher whose terminal is gone still brings back what its command has changed.
        sandbox.wait_until(lambda: not works_in(self.world.project), "all of it has ended")
        shutil.rmtree(self.home(".swarm"), ignore_errors=True)
        super().tearDown()

    def call(self, *words, check=True):
        done = subprocess.run(["/usr/bin/python3", self.swarm, *words], cwd=self.world.project, text=True,
                              env=self.world.environment, capture_output=True, timeout=sandbox.PATIENCE)
        if check:
            self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def spawn(self, api, name="director"):
        self.call("spawn", "--name", name, "--tmux", "--cwd", self.world.project, "--", sandbox.DIRBOX, "run", "-q",
                  *self.options(api), "--", "claude", "--dangerously-skip-permissions")
        self.see(name, READY)

    def screen(self, name):
        return subprocess.run(["tmux", "capture-pane", "-p", "-t", f"{self.session()}:{name}"], text=True,
                              env=self.world.environment, capture_output=True, check=False).stdout

    def session(self):
        with open(self.home(".swarm/state.json"), encoding="utf-8") as file:
            return json.load(file)["workers"][0]["tmux"]["session"]

    def see(self, name, text):
        try:
            sandbox.wait_until(lambda: text in self.screen(name), text)
        except AssertionError as error:
            raise AssertionError(f"{name} never showed {text!r}:\n{self.screen(name)}") from error

    def test_a_director_is_nudged_and_watched(self):
        api = self.api(run("git log --oneline | head -1; echo note > ~/.swarm/note; cat ~/.ssh/id_rsa", label="look"),
                       say("I have begun"), say("I go on"))
        self.spawn(api)
        self.assertRegex(self.call("ls"), r"(?m)^director\s+running")
        self.call("send", "director", "begin\nwith the plan")
        self.see("director", "I have begun")
        self.assertRegex(api.result("look").text, "first\n.*No such file")
        self.call("send", "director", "go on")
        self.see("director", "I go on")
        self.assertTrue(any("with the plan" in prompt for prompt in api.prompts), api.prompts)
        self.assertEqual(open(self.home(".swarm/note"), encoding="ascii").read(), "note\n")

    def test_attaching_shows_it_and_detaching_leaves_it(self):
        self.spawn(self.api())
        terminal = self.raw_terminal("/usr/bin/python3", self.swarm, "attach", "director")
        terminal.expect("bypass")
        subprocess.run(["tmux", "detach-client", "-s", self.session()], env=self.world.environment, check=True)
        terminal.expect("detached")
        self.assertEqual(terminal.wait(), 0)
        self.assertIn("running", self.call("status", "director"))

    def test_killing_it_ends_everything_inside(self):
        api = self.api(run("exec sleep 6543", label="sleep"), say("slept"))
        self.spawn(api)
        self.call("send", "director", "sleep")
        sandbox.wait_until(lambda: processes_of("^sleep 6543"), "the command runs")
        self.call("kill", "director")
        sandbox.wait_until(lambda: not processes_of("^sleep 6543"), "the command is gone")
        sandbox.wait_until(lambda: not processes_of(self.world.base + ".*claude"), "so is Claude Code")
        self.assertRegex(self.call("ls"), r"(?m)^director\s+stopped|^$")

    def test_a_new_one_takes_its_place(self):
        """What ralph does at each iteration and when a director is silent for too long."""
        for iteration in range(3):
            name = f"director-{iteration}"
            api = self.api(run(f"echo {iteration} >> ~/.swarm/iterations", label="note"), say("done for now"))
            self.spawn(api, name)
            self.call("send", name, "read the prompt")
            self.see(name, "done for now")
            self.call("kill", name)
        with open(self.home(".swarm/iterations"), encoding="ascii") as file:
            self.assertEqual(file.read(), "0\n1\n2\n")


class WithDriver(Steps, claude.ClaudeTest):
    pass


class WithSwarm(Steps, claude.ClaudeTest):
    @classmethod
    def setUpClass(cls):
        cls.swarm = os.environ.get("DIRBOX_SWARM", "")
        if not cls.swarm:
            raise sandbox.unittest.SkipTest("this machine has no swarm.py that DIRBOX_SWARM names")
        super().setUpClass()


if __name__ == "__main__":
    sandbox.main()
