"""A director's working day: what Claude Code's tools and the commands that it runs need, in print mode."""
import glob
import json
import os
import subprocess

import claude
import sandbox
from messages_api import call, edit, read, run, say, together, write

UNIT_TEST = """import unittest, calc


class Test(unittest.TestCase):
    def test_add(self):
        self.assertEqual(calc.add(2, 3), 5)


unittest.main()
"""


class Day(claude.ClaudeTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.plant(cls.world.home + "/.gitconfig", "[user]\nname = t\nemail = t@example.org\n")

    def setUp(self):
        super().setUp()
        self.world.plant(self.project("PLAN.md"), "- [x] task one\n- [ ] task two\n")
        self.before = self.world.picture()

    def test_a_task_from_plan_to_commit(self):
        self.do_a_task()

    def test_a_task_under_director_strict(self):
        self.do_a_task(options=("-p", "director-strict"))

    def do_a_task(self, **start):
        plan = self.project("PLAN.md")
        day = self.play(
            read(plan),
            edit(plan, "- [ ] task two", "- [x] task two"),
            together(write(self.project("calc.py"), "def add(a, b):\n    return a + b\n", "code"),
                     write(self.project("check.py"), UNIT_TEST, "test")),
            run("python3 check.py 2>&1 | tail -1", label="tests"),
            run("git add -A && git commit -q -m 'task two' && git status --short | wc -l && git log -1 --format=%s",
                label="commit"),
            run("mkdir -p sub && cd sub && pwd", label="cd"),
            run("pwd; cd ..", label="still there"),
            together(run("echo one", label="one"), read(self.project("calc.py"), label="two")),
            say("task two is done"), **start)
        for label, pattern in (("read", "task two"), ("edit", "updated successfully"), ("code", "created successfully"),
                               ("test", "created successfully"), ("tests", "^OK$"), ("commit", r"^0\ntask two$"),
                               ("cd", "/sub$"), ("still there", "/sub"), ("one", "^one"), ("two", "def add")):
            with self.subTest(call=label):
                result = day.api.result(label)
                self.assertFalse(result.failed, result)
                self.assertRegex(result.text, f"(?m){pattern}")
        self.assertEqual(day.out.strip(), "task two is done")
        subject = subprocess.run(["git", "log", "-1", "--format=%s"], cwd=self.world.project, capture_output=True,
                                 text=True, check=True).stdout
        self.assertEqual(subject, "task two\n", "the host sees the commit")
        self.git("reset", "-q", "--hard", "HEAD~1")

    def test_what_shells_do(self):
        day = self.play(
            run("f=$(mktemp) && echo data > $f && cat $f && rm $f", label="mktemp"),
            run("cat > doc <<'X'\nline 1\n$HOME stays\nX\ncat doc; rm doc", label="heredoc"),
            run("(echo from the background > bg) & wait; cat bg; rm bg", label="background"),
            run("diff <(echo a) <(echo b); echo status $?", label="process substitution"),
            run("python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, -2]))'",
                label="multiprocessing"),
            run("mkdir -p ~/.swarm && echo s > ~/.swarm/of-the-day && cat ~/.swarm/of-the-day", label="swarm's state"),
            run("ps -e | wc -l && pgrep -f claude | wc -l", label="processes"),
            run("mkdir -p ~/.cache/x ~/.config/y && touch ~/z && ls ~/z", label="private home"),
            run("echo needle | grep -o needle && ls | head -1", label="grep"),
            run("git worktree add -q ../tree 2>&1; git stash list; git branch side && git branch -d side", label="git"),
            say("done"))
        for label, text in (("mktemp", "data"), ("heredoc", "line 1\n$HOME stays"),
                            ("background", "from the background"), ("process substitution", "status 1"),
                            ("multiprocessing", "[1, 2]"), ("swarm's state", "s"), ("private home", "/z"),
                            ("grep", "needle"), ("git", "Deleted branch side")):
            with self.subTest(call=label):
                self.assertIn(text, day.api.result(label).text)
        self.assertEqual(open(self.home(".swarm/of-the-day"), encoding="ascii").read(), "s\n")
        self.assertFalse(os.path.exists(self.home("z")), "the home inside is private")

    def test_a_command_that_takes_too_long(self):
        # Later versions leave it in the background, and wait for it before they end.
        day = self.play(run("echo begun; sleep 300", label="long", timeout=1000),
                        run("pkill -x sleep; true", label="end it"), say("done"))
        self.assertRegex(day.api.result("long").text, "begun|timed out|background")

    def test_a_command_in_the_background(self):
        day = self.play(run("echo $$ > pid; sleep 300", label="start", run_in_background=True),
                        run("until test -s pid; do sleep 0.1; done; kill $(cat pid) && echo ended; rm pid",
                            label="look"),
                        say("done"))
        self.assertRegex(day.api.result("start").text, "(?i)background")
        self.assertIn("ended", day.api.result("look").text)

    def test_sessions_go_on_when_the_sandbox_is_gone(self):
        before = self.sessions()
        api = self.api(run("echo first > memory", label="first"), say("the first answer"),
                       run("cat memory", label="second"), say("the second answer"), say("the third answer"))
        self.assertEqual(self.claude(api).out.strip(), "the first answer")
        session, = set(self.sessions()) - set(before)
        self.assertEqual(self.claude(api, "--continue", prompt="and on").out.strip(), "the second answer")
        self.assertEqual(api.result("second").text.strip(), "first")
        self.assertEqual(self.claude(api, "--resume", session, prompt="and on").out.strip(), "the third answer")
        # On the host as well, from which the session is not hidden.
        outside = self.api(*api.turns, say("the answer outside"), tls=False)
        self.assertEqual(self.claude_outside(outside, "--resume", session).out.strip(), "the answer outside")

    def test_sessions_of_other_directories_are_absent(self):
        other = self.home(".claude/projects/-srv-other/1.jsonl")
        self.world.plant(other, self.world.marker)
        self.addCleanup(os.remove, other)
        day = self.play(run("ls ~/.claude/projects; cat ~/.claude/projects/*/1.jsonl", label="look"), say("done"))
        self.assertRegex(day.api.result("look").text, "No such file")
        self.assertNotIn("-srv-other", day.api.result("look").text)

    def state(self):
        with open(self.home(".claude.json"), encoding="utf-8") as file:
            return json.load(file)

    def forget_state(self):
        if os.path.exists(self.home(".claude.json")):
            os.remove(self.home(".claude.json"))

    def test_state_comes_back_without_what_the_host_would_execute(self):
        """~/.claude.json is replaced by rename, beside a lock directory. The host starts the servers that it names."""
        state = {"numStartups": 41, "kept": "of the host"}
        self.world.plant(self.home(".claude.json"), json.dumps(state), 0o600)
        self.addCleanup(self.forget_state)
        add_server = ("import json, os; path = os.path.expanduser('~/.claude.json'); state = json.load(open(path)); "
                      "state['mcpServers'] = {'x': {'command': 'evil'}}; json.dump(state, open(path + '.tmp', 'w')); "
                      "os.rename(path + '.tmp', path); print(state['kept'])")
        day = self.play(run("mkdir ~/.claude.json.lock && rmdir ~/.claude.json.lock && echo locked", label="lock"),
                        run("grep -c firstStartTime ~/.claude.json", label="saved"),
                        run(f'python3 -c "{add_server}"', label="plant"), say("done"))
        self.assertEqual(day.api.result("lock").text.strip(), "locked")
        self.assertEqual(day.api.result("saved").text.strip(), "1", "Claude Code's own save")
        self.assertEqual(day.api.result("plant").text.strip(), "of the host")
        after = self.state()
        self.assertIn("firstStartTime", after, "Claude Code's own save")
        self.assertEqual(after["kept"], "of the host")
        self.assertNotIn("mcpServers", after)
        self.assertRegex(day.err, r"quarantined: .*\.claude\.json: mcpServers = .*evil")

    def test_state_is_kept_from_one_run_to_the_next(self):
        """Of a first run nothing is on the host yet. The second one finds who this is, and says so of its session."""
        self.forget_state()
        self.addCleanup(self.forget_state)
        self.play(say("done"))
        first = self.state()
        day = self.play(run("cat ~/.claude.json", label="state"), say("done"))
        inside = json.loads(day.api.result("state").text)
        for key in ("userID", "firstStartTime", "machineID"):
            self.assertEqual(inside.get(key), first.get(key), key)
        self.assertIn("userID", first)
        self.assertEqual(self.state()["userID"], first["userID"])
        self.assertNotIn("quarantined", day.err)

    def test_its_login_is_the_hosts(self):
        """Read, and written in place, as it is where a rename is refused, so that a token that was renewed is kept."""
        login = self.home(".claude/.credentials.json")
        self.world.plant(login, "{}", 0o600)
        self.addCleanup(os.remove, login)
        turns = [run("cat ~/.claude/.credentials.json && echo '{\"renewed\": 1}' > ~/.claude/.credentials.json",
                     label="login"), say("done")]
        day = self.play(*turns, options=("-p", "claude"))
        self.assertEqual(day.api.result("login").text.strip(), "{}")
        with open(login, encoding="utf-8") as file:
            self.assertEqual(json.load(file), {"renewed": 1})
        for profile in ("worker", "agent"):
            done = self.dirbox("cat", login, options=("-p", profile))
            self.assertRegex(done.err, "No such file")

    def test_settings_work_and_cannot_be_changed(self):
        log = self.project("hook.log")
        hook = {"hooks": [{"type": "command", "command": f"echo ran >> {log}"}], "matcher": "Bash"}
        self.settings({"hooks": {"PreToolUse": [hook]}})
        self.world.plant(self.home(".claude/hooks/hook.sh"), "#!/bin/sh\n")
        self.world.plant(self.home(".claude/commands/shout.md"), "Say $ARGUMENTS\n")
        planted = [".claude/settings.json", ".claude/hooks/hook.sh", ".claude/hooks/another.sh",
                   ".claude/commands/shout.md"]
        day = self.play(
            run("echo a command", label="a command"),
            *(run(f"echo x >> ~/{name}", label=f"append {name}") for name in planted),
            *(run(f"echo x > ~/new && mv ~/new ~/{name}", label=f"replace {name}") for name in planted),
            read(self.home(".claude/settings.json")),
            write(self.home(".claude/settings.json"), "{}", label="write"),
            run("cat ~/.claude/commands/shout.md", label="cat"), say("done"))
        with open(log, encoding="ascii") as file:
            self.assertIn("ran", file.read())
        os.remove(log)
        self.assertTrue(day.api.result("write").failed)
        self.assertEqual(day.api.result("cat").text.strip(), "Say $ARGUMENTS")
        for name in planted:
            for verb in ("append", "replace"):
                with self.subTest(name=name, verb=verb):
                    self.assertRegex(day.api.result(f"{verb} {name}").text, "Read-only|Device or resource busy")
        with open(self.home(".claude/settings.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["hooks"]["PreToolUse"], [hook])
        self.assertFalse(os.path.exists(self.home(".claude/hooks/another.sh")))

    def test_what_the_host_would_execute_of_its_own_state_is_private(self):
        snapshots = self.home(".claude/shell-snapshots/of-the-host.sh")
        self.world.plant(snapshots, "true\n")
        day = self.play(
            run("for d in shell-snapshots session-env; do mkdir -p ~/.claude/$d; for f in ~/.claude/$d/*; do "
                "echo 'touch /evil' >> $f; done; echo 'touch /evil' > ~/.claude/$d/planted; done; "
                "ls ~/.claude/shell-snapshots", label="plant"), say("done"))
        self.assertNotIn("of-the-host", day.api.result("plant").text)
        with open(snapshots, encoding="ascii") as file:
            self.assertEqual(file.read(), "true\n")
        self.assertEqual(glob.glob(self.home(".claude/s*/planted")), [])

    def test_its_own_sandbox_is_off_inside_and_that_is_said(self):
        self.settings({"sandbox": {"enabled": True, "failIfUnavailable": True}})
        day = self.play(run("echo ran; cat ~/.ssh/id_rsa", label="run"), say("done"))
        self.assertRegex(day.api.result("run").text, "ran\n.*No such file")
        self.assertRegex(day.err, r"settings\.json turns Claude Code's own sandbox on: it is off inside")
        self.settings({})
        self.assertNotIn("own sandbox", self.play(say("done")).err)

    def test_the_environment(self):
        secrets = {"ANTHROPIC_ADMIN_KEY": self.world.marker, "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE": self.world.marker}
        day = self.play(run("env", label="env"), say("done"), env=secrets)
        variables = dict(line.split("=", 1) for line in day.api.result("env").text.splitlines() if "=" in line)
        for name in ("IS_SANDBOX", "CLAUDE_CODE_SANDBOXED", "DISABLE_AUTOUPDATER"):
            self.assertEqual(variables.get(name), "1", name)
        for name in secrets:
            self.assertNotIn(name, variables)

    def test_the_agent_profile_runs_programs_of_ones_own(self):
        script = self.project("agent.py")
        self.world.plant(script, "import os\nprint('key' if os.environ.get('OPENAI_API_KEY') else 'none')\n")
        self.assertEqual(self.run_ok("python3", script, options=("-p", "agent")).out, "key\n")
        self.assertEqual(self.run_ok("python3", script).out, "none\n")
        if sandbox.shutil.which("node"):
            self.assertEqual(self.run_ok("node", "-e", "console.log(6 * 7)", options=("-p", "agent")).out, "42\n")

    def test_the_claude_profile_has_no_swarm(self):
        day = self.play(run("ls -d ~/.swarm; echo x > in-the-project", label="look"), say("done"),
                        options=("-p", "claude"))
        self.assertIn("No such file", day.api.result("look").text)
        self.assertTrue(os.path.exists(self.project("in-the-project")))


if __name__ == "__main__":
    sandbox.main()
