"""What the guide excludes from its sandbox, by Claude Code's Bash tool: tmux and swarm work wherever a command may call
them, nothing around them leaves the sandbox, and in the default profile neither do they."""
import json
import os
import shutil
import subprocess

import claude
import sandbox
from messages_api import run, say

DRIVER = os.path.join(os.path.dirname(os.path.abspath(sandbox.__file__)), "swarm_driver.py")
GRANDCHILD = "python3 -c 'import subprocess; print(subprocess.run([\"sh\", \"-c\", \"tmux ls\"], text=True, " \
             "capture_output=True).stdout)'"


class WithWorker(claude.ClaudeTest):
    """On the host the worker w1 runs, in a window that swarm opened."""

    @classmethod
    def setUpClass(cls):
        if shutil.which("tmux") is None:
            raise sandbox.unittest.SkipTest("this machine has no tmux")
        super().setUpClass()
        shutil.copy2(DRIVER, cls.world.home + "/.local/bin/swarm")
        cls.world.plant(cls.world.home + "/.local/bin/docker", '#!/bin/sh\necho "docker of the host: $*"\n', 0o755)
        for name in ("docker", "swarm"):
            os.chmod(cls.world.home + "/.local/bin/" + name, 0o755)
        cls.swarm("spawn", "--name", "w1", "--tmux", "--", "cat")
        cls.session = cls.swarm("ls") and subprocess.run(
            ["tmux", "list-windows", "-a", "-F", "#{session_name}:#{window_name}"], text=True, check=True,
            env=cls.world.environment, capture_output=True).stdout
        cls.session = next(line for line in cls.session.split() if line.endswith(":w1")).removesuffix(":w1")
        cls.addClassCleanup(subprocess.run, ["tmux", "kill-session", "-t", cls.session], env=cls.world.environment)

    @classmethod
    def swarm(cls, *words):
        return subprocess.run(["swarm", *words], cwd=cls.world.project, env=cls.world.environment, text=True,
                              capture_output=True, check=True, timeout=sandbox.PATIENCE).stdout


class ByTheGuide(WithWorker):
    """In the profile director-guide they run on the host, without rules."""

    def inside(self, *turns):
        return self.play(*turns, say("done"), options=("-p", "director-guide"))

    def test_wherever_they_are_called(self):
        ways = ["tmux ls", "tmux ls | cat", "cd .git && tmux ls; cd ..", "true && tmux ls || false", "FOO=1 tmux ls",
                "/usr/bin/tmux ls", "$(command -v tmux) ls", "sh -c 'tmux ls'", "printf 'tmux ls\\n' > s && sh s; rm s",
                "(tmux ls) 2>&1 | tail -n +1", GRANDCHILD, "env -i PATH=$PATH tmux ls", "echo ls | xargs tmux"]
        day = self.inside(*(run(way) for way in ways))
        for way in ways:
            with self.subTest(way=way):
                self.assertIn(self.session, day.api.result(way).text)
        self.assertRegex(day.err, "(?m)^dirbox: .*tmux", "it is announced")

    def test_swarm_reports_a_running_worker_as_running(self):
        day = self.inside(run("swarm ls"), run("swarm status w1"), run("swarm ls | grep w1", label="piped"),
                          run("swarm send w1 'hello from inside'", label="send"), run("swarm logs w1"),
                          run("docker ps -a | cat", label="docker"))
        for label in ("swarm ls", "swarm status w1", "piped"):
            with self.subTest(call=label):
                self.assertRegex(day.api.result(label).text, r"w1:?\s+running")
        self.assertFalse(day.api.result("send").failed, day.api.result("send"))
        self.assertIn("docker of the host: ps -a", day.api.result("docker").text)
        sandbox.wait_until(lambda: "hello from inside" in self.swarm("logs", "w1"), "the worker gets the text")

    def test_a_swarm_inside_sees_the_tmux_of_the_host(self):
        """swarm calls tmux itself, so it is a grandchild of the shell that tmux is called from."""
        shutil.copy2(DRIVER, self.project("manage.py"))
        self.addCleanup(os.remove, self.project("manage.py"))
        day = self.inside(run("python3 manage.py ls", label="ls"), run("python3 manage.py status w1", label="status"))
        self.assertRegex(day.api.result("ls").text, r"w1\s+running")
        self.assertFalse(day.api.result("status").failed)

    def test_nothing_else_leaves_the_sandbox(self):
        day = self.inside(run("tmux ls; cat ~/.ssh/id_rsa", label="read"),
                          run("echo x > ~/outside; tmux ls; swarm ls", label="write"),
                          run("docker ps && curl -sS -m 10 https://example.com", label="net"))
        self.assertIn(self.session, day.api.result("read").text)
        self.assertIn("No such file", day.api.result("read").text)
        self.assertFalse(os.path.exists(self.home("outside")))
        self.assertTrue(day.api.result("net").failed)


class ByGrammar(WithWorker):
    """In the profile director, tmux has a closed grammar, and what it opens runs in a sandbox; swarm is inside."""

    def tearDown(self):
        for name in ("w2", "w3"):
            subprocess.run(["tmux", "kill-window", "-t", f"{self.session}:{name}"], env=self.world.environment,
                           capture_output=True, check=False)
        super().tearDown()

    def test_workers_are_seen_and_opened_and_found_again(self):
        worker = "cat ~/.ssh/id_rsa; touch ~/planted /usr/planted; echo the worker runs; exec cat"
        first = self.play(
            run("swarm ls | cat", label="ls"), run("sh -c 'tmux ls' | head -3", label="tmux"),
            run(f"swarm spawn --name w2 --tmux -- sh -c '{worker}'", label="spawn"),
            run("until swarm logs w2 | grep -q 'worker runs'; do sleep 0.1; done; swarm send w2 'typed inside'",
                label="send"),
            run("until swarm logs w2 | grep -q 'typed inside'; do sleep 0.1; done; swarm logs w2", label="logs"),
            say("done"))
        self.assertRegex(first.api.result("ls").text, r"w1\s+running")
        self.assertIn(self.session, first.api.result("tmux").text)
        self.assertIn("spawned w2", first.api.result("spawn").text)
        self.assertRegex(first.api.result("logs").text, "No such file")
        self.assertFalse(os.path.exists(self.home("planted")))
        self.assertIn("typed inside", self.swarm("logs", "w2"), "it is a window of the host's server")

        second = self.play(run("swarm ls", label="ls"), run("swarm send w2 again && swarm kill w2 && swarm ls",
                                                            label="end"), say("done"))
        self.assertRegex(second.api.result("ls").text, r"w2\s+running")
        self.assertRegex(second.api.result("end").text, r"w2\s+stopped")
        self.assertRegex(self.swarm("ls"), r"w1\s+running")

    def test_ways_to_the_host(self):
        canary = self.outside("from-tmux")
        ways = [f"tmux run-shell 'touch {canary}'", f"tmux display-message -p '#(touch {canary})'",
                f"tmux new-window -t {self.session} -n w3 true ';' run-shell 'touch {canary}'",
                f"tmux send-keys -t {self.session}:w1 -l 'x;' run-shell 'touch {canary}'",
                f"tmux if-shell true 'run-shell \"touch {canary}\"'", f"tmux set-hook -g x 'run-shell {canary}'",
                f"tmux pipe-pane -t {self.session}:w1 'touch {canary}'", "tmux show-environment -g",
                "tmux attach-session", "tmux -L other new-session -d", "tmux source-file x", "tmux kill-server",
                f"tmux kill-window -t {self.session}:w1", f"tmux send-keys -t {self.session}:w1 -l hello",
                f"tmux respawn-pane -k -t {self.session}:w1 'touch {canary}'"]
        day = self.play(*(run(way) for way in ways), say("done"))
        for way in ways:
            with self.subTest(way=way):
                self.assertTrue(day.api.result(way).failed, day.api.result(way))
        self.assertFalse(os.path.exists(canary))
        self.assertNotIn("hello", self.swarm("logs", "w1"))
        self.assertRegex(self.swarm("ls"), r"w1\s+running")
        log = self.dirbox(launcher=("log", "--denied", "--json")).out
        self.assertIn("run-shell", log, "each refusal is in the log")
        self.assertGreaterEqual(sum("tmux" in json.dumps(json.loads(line)) for line in log.splitlines()), len(ways) - 2)


if __name__ == "__main__":
    sandbox.main()
