"""Claude Code's interactive mode in a terminal (tmux): dialogs, job control, resize, and every way to end it."""
import itertools
import json
import os
import shutil
import subprocess

import claude
import messages_api
import sandbox
import tmux
from messages_api import run, say

READY = "bypass permissions on"
FIRST_RUN_HOSTS = ("platform.claude.com",)


def processes_of(marker):
    """Whether a process of the host has `marker` in its command line."""
    return subprocess.run(["pgrep", "-f", marker], capture_output=True, check=False).returncode == 0


class Interactive(claude.ClaudeTest):
    @classmethod
    def setUpClass(cls):
        if shutil.which("tmux") is None:
            raise sandbox.unittest.SkipTest("this machine has no tmux")
        super().setUpClass()

    def window(self):
        window = tmux.Tmux(self.world.project, {**self.world.environment, "DIRBOX_TEST": "1"})
        self.addCleanup(window.close)
        return window

    def open(self, window, api, *arguments):
        hosts = [word for host in FIRST_RUN_HOSTS for word in ("--net-map", f"{host}:443=127.0.0.1:{api.port}")]
        window.command(sandbox.DIRBOX, "run", "-q", *self.options(api, *hosts), "--", "claude",
                       "--dangerously-skip-permissions", *arguments)

    def used_before(self):
        """The state of somebody who has answered the questions of the first run."""
        state = {"hasCompletedOnboarding": True, "lastOnboardingVersion": claude.VERSION,
                 "customApiKeyResponses": {"approved": [messages_api.KEY[-20:]], "rejected": []}}
        self.world.plant(self.home(".claude.json"), json.dumps(state), 0o600)
        self.settings({"theme": "dark", "skipDangerousModePermissionPrompt": True})
        self.addCleanup(os.remove, self.home(".claude/settings.json"))
        self.addCleanup(os.remove, self.home(".claude.json"))

    def end(self, window):
        window.type("/exit")
        window.wait_for(r"/exit")
        window.type("", "Enter")
        window.wait_for_end()

    def test_first_run(self):
        """Theme, key, notes, bypass warning, and no question whether the directory is trusted."""
        window = self.window()
        api = self.api(say("the first answer"))
        self.open(window, api)
        window.answer("text style", "Enter")
        window.wait_for("custom API key")
        window.answer(r"❯ (2\. )?No", "Up")
        window.answer("custom API key", "Enter")
        window.answer("Press Enter to continue", "Enter")
        window.wait_for("Yes, I accept")
        self.assertNotIn("trust", window.screen(lines=200))
        window.answer(r"❯ (1\. )?No", "Down")
        window.answer("Yes, I accept", "Enter")
        window.wait_for(READY)
        window.type("hello")
        window.wait_for("❯.hello")
        window.type("", "Enter")
        window.wait_for("the first answer")
        self.end(window)
        self.assertIn("hello", api.prompts)
        with open(self.home(".claude.json"), encoding="utf-8") as file:
            state = json.load(file)
        self.addCleanup(os.remove, self.home(".claude.json"))
        self.assertTrue(state["hasCompletedOnboarding"])
        self.assertEqual(state["customApiKeyResponses"]["approved"], [messages_api.KEY[-20:]])
        # The second time nothing of it is asked but what lets it do all without a question.
        again = self.window()
        self.open(again, self.api(say("the second answer")))
        again.wait_for("Yes, I accept")
        self.assertNotRegex(again.screen(lines=200), "text style|custom API key")
        again.answer(r"❯ (1\. )?No", "Down")
        again.answer("Yes, I accept", "Enter")
        again.wait_for(READY)
        self.end(again)
        # Nor is that, where the answer is given with the command.
        third = self.window()
        self.open(third, self.api(), "--settings", '{"skipDangerousModePermissionPrompt": true}')
        third.wait_for(READY)
        self.assertNotIn("Yes, I accept", third.screen(lines=200))
        self.end(third)

    def test_declining_the_warning_ends_it(self):
        self.used_before()
        self.settings({"theme": "dark"})
        window = self.window()
        self.open(window, self.api())
        window.answer(r"Yes, I accept(?![\s\S]*status)", "Enter")
        window.wait_for_end(status=1)

    def test_what_the_host_edits_beside_its_prompt_stays(self):
        if not sandbox.guard_can_believe(self.world.base):
            self.skipTest("the home directory is on a file system on which no change is the host's for sure")
        self.used_before()
        window = self.window()
        api = self.api(run("echo evil > .envrc", label="plant"), say("the first answer"))
        self.open(window, api)
        window.wait_for(READY)
        tries = itertools.count()

        def stays():
            # Each in a directory where there was nothing before.
            folder = os.path.join(self.world.project, f"s{next(tries)}")
            os.mkdir(folder)
            return sandbox.stays(os.path.join(folder, ".envrc"), "the host's\n")
        sandbox.wait_until(stays, "it is the host's")
        path = os.path.join(self.world.project, ".envrc")
        self.assertTrue(sandbox.stays(path, "the host's\n"))
        window.type("plant it", "Enter")
        window.wait_for("the first answer")
        self.assertFalse(api.result("plant").failed)
        sandbox.wait_until(stays, "it is the host's")
        self.end(window)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "the host's\n")
        os.unlink(path)

    def test_a_session(self):
        """Nothing is asked; a command is interrupted and the session goes on; size and job control reach it."""
        self.used_before()
        window = self.window()
        api = self.api(run("echo said; tty", label="echo"), say("the first answer"),
                       run("exec sleep 4321", label="sleep"), say("the second answer"),
                       say("the third answer"))
        self.open(window, api)
        window.wait_for(READY)
        window.type("do it", "Enter")
        window.wait_for("the first answer")
        self.assertIn("said", api.result("echo").text)

        window.resize(70, 30)
        window.wait_for(r"(?m)^─{70}$")
        window.resize(110, 40)
        window.wait_for(r"(?m)^─{110}$")

        window.type("now sleep", "Enter")
        sandbox.wait_until(lambda: processes_of("^sleep 4321"), "the command runs")
        window.type("", "C-c")
        window.wait_for("Interrupted")
        sandbox.wait_until(lambda: not processes_of("^sleep 4321"), "the command is gone")

        window.type("", "C-z")
        window.wait_for("Stopped")
        window.type("echo in the shell", "Enter")
        window.wait_for("(?m)^in the shell")
        window.type("clear; fg", "Enter")
        window.wait_for(READY)
        window.type("go on", "Enter")
        window.wait_for("the (second|third) answer")
        self.end(window)

    def test_ctrl_c_twice(self):
        self.used_before()
        window = self.window()
        self.open(window, self.api(say("an answer")))
        window.wait_for(READY)
        window.type("", "C-c")
        window.wait_for("Press Ctrl-C again")
        window.answer(r"(bypass permissions|Press Ctrl-C again)(?![\s\S]*ready>)", "C-c", "C-c")
        window.wait_for_end()

    def test_the_end_of_the_pane_is_the_end_of_everything(self):
        """Outside, Claude Code leaves the command that runs behind when its terminal goes away."""
        self.used_before()
        for number, kill in enumerate((lambda w: w.run("kill-pane", "-t", "test"),
                                       lambda w: os.kill(w.pane_process(), 1),
                                       lambda w: w.run("kill-server"))):
            with self.subTest(way=number):
                window = self.window()
                self.open(window, self.api(run("exec sleep 5432", label="sleep"), say("an answer")))
                window.wait_for(READY)
                window.type("sleep", "Enter")
                sandbox.wait_until(lambda: processes_of("^sleep 5432"), "the command runs")
                kill(window)
                sandbox.wait_until(lambda: not processes_of("^sleep 5432"), "the command is gone")
                sandbox.wait_until(lambda: not processes_of(self.world.base + ".*claude"), "so is Claude Code")
                window.close()

    def test_resuming(self):
        self.used_before()
        api = self.api(say("the first answer"), say("the second answer"))
        before = self.sessions()
        self.assertEqual(self.claude(api, prompt="remember me").out.strip(), "the first answer")
        session, = set(self.sessions()) - set(before)
        window = self.window()
        self.open(window, api, "--resume", session)
        window.wait_for("the first answer")
        window.type("and on", "Enter")
        window.wait_for("the second answer")
        self.end(window)


if __name__ == "__main__":
    sandbox.main()
