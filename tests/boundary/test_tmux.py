"""tmux by its grammar, against a real server of the host: what swarm and a director do works, and nothing else does.

The server is the test's own (TMUX_TMPDIR), with sessions of "the user" beside the project's.
"""
import filecmp
import os
import shutil
import subprocess
import tempfile
import unittest

import sandbox

PROFILE = """
extends = "worker"
[[excluded]]
command = "tmux"
mode = "grammar"
"""


@unittest.skipUnless(shutil.which("tmux"), "this machine has no tmux")
class Tmux(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.profile_file = self.profile(PROFILE, "grammar.toml")
        self.sockets = tempfile.mkdtemp(prefix="t", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.sockets, True)
        self.extra = {"TMUX_TMPDIR": self.sockets, "SHELL": "/bin/sh"}
        self.addCleanup(self.tmux, "kill-server", check=False)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-s", "main", "-n", "mine", "-x", "80", "-y", "24", "sh")
        self.tmux("new-session", "-d", "-s", "swarm-human", "-n", "mine", "sh")
        self.mark = os.path.join(self.sockets, "executed")

    def tmux(self, *words, check=True):
        """As the user, outside."""
        done = subprocess.run(["tmux", *words], env={**self.world.environment, **self.extra}, cwd=self.world.project,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=sandbox.PATIENCE, check=False)
        if check:
            self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
        return done.stdout

    def inside(self, script, **start):
        return self.sh(script, options=("-q", "-p", start.pop("profile", self.profile_file)), env=self.extra, **start)

    def screen(self, target):
        return self.tmux("capture-pane", "-p", "-t", target, check=False)

    def spawn(self, command="exec cat", session="swarm-t", window="w1"):
        done = self.inside(f"tmux has-session -t {session} 2>/dev/null || tmux new-session -d -s {session};"
                           f"tmux new-window -a -t {session} -n {window} -c \"$PWD\" '{command}'")
        self.assertEqual((done.code, done.err), (0, ""))

    # What swarm does: spawn --tmux, ls, status, send, logs/peek, kill.
    def test_the_operations_of_swarm(self):
        self.assertEqual(self.inside("tmux has-session -t swarm-t").code, 1)
        self.spawn("echo started; readlink /proc/self/ns/mnt; cat ~/.ssh/id_rsa; exec cat")
        sandbox.wait_until(lambda: "No such file" in self.screen("swarm-t:w1"), "the worker starts")
        text = self.screen("swarm-t:w1")
        self.assertIn("started", text)
        self.assertNotIn(os.readlink("/proc/self/ns/mnt"), text, "the pane is in a sandbox")
        self.assertNotIn(self.world.marker, text)
        done = self.inside("tmux has-session -t swarm-t:w1; echo $?; tmux list-windows -t swarm-t -F '#{window_name}';"
                           "tmux send-keys -t swarm-t:w1 -l 'two\nlines; of $(text) #S'; tmux send-keys -t swarm-t:w1 Enter")
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertEqual(done.out.splitlines()[0], "0")
        self.assertEqual(done.out.splitlines()[-1], "w1")
        sandbox.wait_until(lambda: self.screen("swarm-t:w1").count("lines; of $(text) #S") == 2, "cat echoes")
        peek = self.inside("tmux capture-pane -t swarm-t:w1 -p -S -50")
        self.assertIn("lines; of $(text) #S", peek.out)
        self.assertEqual(self.inside("tmux display-message -p -t swarm-t:w1 '#{window_name} #S'").out, "w1 swarm-t\n")
        self.assertEqual(self.inside("tmux select-window -t swarm-t:w1 && tmux kill-window -t swarm-t:w1").code, 0)
        self.assertNotIn("w1", self.tmux("list-windows", "-t", "swarm-t"))
        self.assertEqual(self.inside("tmux kill-session -t swarm-t").code, 0)
        self.assertNotIn("swarm-t", self.tmux("list-sessions"))

    def test_panes_are_processes_of_sandboxes(self):
        self.spawn()
        for pid in self.tmux("list-panes", "-s", "-t", "swarm-t", "-F", "#{pane_pid}").split():
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                self.assertIn(b"dirbox\0run\0", file.read())
        # The shell with which the session began as well.
        self.assertEqual(len(self.tmux("list-panes", "-s", "-t", "swarm-t", "-F", "#{pane_pid}").split()), 2)

    def test_a_restarted_director_finds_its_workers(self):
        self.spawn()
        self.assertEqual(self.inside("tmux send-keys -t swarm-t:w1 -l still-mine").code, 0)
        sandbox.wait_until(lambda: "still-mine" in self.screen("swarm-t:w1"), "the text arrives")

    def test_another_project_is_a_stranger(self):
        self.spawn(session="private-t")
        other = os.path.join(self.world.home, "other-project")
        for command in ("send-keys -t private-t:w1 x", "kill-window -t private-t:w1", "kill-session -t private-t",
                        "capture-pane -p -t private-t:w1"):
            done = self.inside("tmux " + command, cwd=other)
            self.assertIn(done.code, (1, 126), f"{command}: {done}")
        self.assertEqual(self.screen("private-t:w1").strip(), "")
        self.assertEqual(self.inside("tmux has-session -t private-t", cwd=other).code, 1)
        self.assertNotIn("private-t", self.inside("tmux ls", cwd=other).out)
        self.assertIn("private-t", self.inside("tmux ls").out)
        self.assertIn("w1", self.tmux("list-windows", "-t", "private-t"))

    # The human's own panes.
    def test_the_users_windows_are_out_of_reach(self):
        before = self.tmux("list-panes", "-a", "-F", "#{pane_id} #{pane_pid}")
        for command in ("send-keys -t main:mine -l id", "send-keys -t swarm-human:mine id Enter", "kill-window -t main:mine",
                        "kill-pane -t swarm-human:mine", "kill-session -t main", "kill-session -t swarm-human",
                        "capture-pane -p -t main", "display-message -p -t main '#{pane_current_command}'",
                        "select-window -t swarm-human:mine", "new-window -t main true"):
            with self.subTest(command=command):
                self.assertIn(self.inside("tmux " + command).code, (1, 126))
        self.assertEqual(self.tmux("list-panes", "-a", "-F", "#{pane_id} #{pane_pid}"), before)
        self.assertNotIn("id", self.screen("main:mine").replace("sandbox", ""))
        self.assertNotIn("main", self.inside("tmux ls").out)

    def test_a_pane_that_the_user_opened_in_an_owned_window(self):
        self.spawn()
        self.tmux("split-window", "-t", "swarm-t:w1", "cat")
        done = self.inside("tmux send-keys -t swarm-t:w1 -l secret-command")
        self.assertEqual(done.code, 126)
        self.assertIn("not in a sandbox of this project", done.err)
        self.tmux("respawn-pane", "-k", "-t", "swarm-t:w1.0", "cat")
        self.assertEqual(self.inside("tmux send-keys -t swarm-t:w1.0 -l secret-command").code, 126)
        for pane in (0, 1):
            self.assertNotIn("secret-command", self.screen(f"swarm-t:w1.{pane}"))

    def test_keys_are_not_copied_to_the_users_panes(self):
        """With synchronize-panes tmux types what it is told to type into the other panes of the window as well."""
        self.spawn()
        self.tmux("split-window", "-d", "-t", "swarm-t:w1", "cat")
        self.tmux("set-option", "-w", "-t", "swarm-t:w1", "synchronize-panes", "on")
        done = self.inside("tmux send-keys -t swarm-t:w1.0 -l secret-command")
        self.assertEqual(done.code, 126, done)
        self.assertIn("synchronize-panes", done.err)
        self.tmux("send-keys", "-t", "swarm-t:w1.0", "-l", "last")
        sandbox.wait_until(lambda: "last" in self.screen("swarm-t:w1.1"), "the user's pane gets what is typed for it")
        self.assertNotIn("secret-command", self.screen("swarm-t:w1.1"))
        # Off for the one pane: there it goes, and nowhere else.
        self.tmux("set-option", "-p", "-t", "swarm-t:w1.0", "synchronize-panes", "off")
        self.assertEqual(self.inside("tmux send-keys -t swarm-t:w1.0 -l alone").code, 0)
        sandbox.wait_until(lambda: "alone" in self.screen("swarm-t:w1.0"), "the text arrives")
        self.assertNotIn("alone", self.screen("swarm-t:w1.1"))

    def test_the_number_of_windows_has_a_bound(self):
        """Each is a sandbox with limits of its own, and has a terminal of the host."""
        self.spawn()
        done = self.inside("i=2; while tmux new-window -d -t swarm-t -n n$i 'exec cat' && test $i -lt 99; do i=$((i + 1)); done; echo made $i")
        self.assertEqual((done.code, done.out), (0, "made 64\n"), done)
        self.assertIn("this project has 64 windows already", done.err)
        self.assertEqual(self.inside("tmux kill-window -t swarm-t:n9 && tmux new-window -d -t swarm-t -n again 'exec cat'").code, 0)

    def test_a_missing_window_is_not_another_one(self):
        self.spawn()
        self.assertEqual(self.inside("tmux send-keys -t swarm-t:nothing -l lost").code, 1)
        self.assertNotIn("lost", self.screen("swarm-t:w1") + self.screen("swarm-t:0"))

    # What would execute on the host.
    def test_nothing_executes_on_the_host(self):
        self.spawn()
        mark = self.mark
        attempts = [
            f"run-shell 'touch {mark}'", f"run -b 'touch {mark}'", f"if-shell true 'run-shell \"touch {mark}\"'",
            f"display-message -p '#(touch {mark})'", f"display-message -p -t swarm-t '#(touch {mark})'",
            f"new-window -t swarm-t -c '#(touch {mark})' true", f"new-window -t swarm-t -n '#(touch {mark})' true",
            f"new-session -d -s swarm-u -c '#(touch {mark})'", f"pipe-pane -t swarm-t:w1 'touch {mark}'",
            f"pipe-pane -I -t swarm-t:w1 'echo; touch {mark}'", "source-file /dev/stdin",
            f"set-hook -g after-new-window 'run-shell \"touch {mark}\"'", f"set-option -g default-command 'touch {mark}'",
            f"set-option -g default-shell {mark}", f"-c 'touch {mark}'", f"-f {mark} new-session -d", f"-L x run-shell 'touch {mark}'",
            f"send-keys -t swarm-t:w1 -l 'abc;' run-shell 'touch {mark}'", f"send-keys -t swarm-t:w1 x \\; run-shell 'touch {mark}'",
            f"send-keys -t swarm-t:w1 -X copy-pipe 'touch {mark}'", f"respawn-pane -k -t swarm-t:w1 'touch {mark}'",
            f"split-window -t swarm-t:w1 'touch {mark}'", f"choose-tree 'run-shell \"touch {mark}\"'",
            f"confirm-before 'run-shell \"touch {mark}\"'", f"bind-key x run-shell 'touch {mark}'", "show-environment -g",
            "show-buffer", "paste-buffer -t main", "link-window -s main:mine -t swarm-t", "swap-window -s main:mine -t swarm-t:w1",
            "join-pane -s main:mine -t swarm-t:w1", "move-window -s main:mine -t swarm-t:9", "attach-session -t main", "kill-server",
            "set-option -w -t main:mine @dirbox x", "rename-session -t main x", "detach-client", "start-server", "",
            "list-windows -a", "list-sessions -f '#{E:x}'", "list-windows -t swarm-t -F '#{E:@x}'",
        ]
        script = "\n".join(f"tmux {attempt} </dev/null; echo $?" for attempt in attempts)
        done = self.inside(script)
        codes = [line for line in done.out.splitlines() if line]
        self.assertEqual(codes, ["126"] * len(attempts), list(zip(attempts, codes)))
        self.assertEqual(done.err.count("refused: "), len(attempts))
        # A command of a window does run, inside.
        self.spawn(f"touch {mark}; echo status $?; exec cat", window="w2")
        sandbox.wait_until(lambda: "status" in self.screen("swarm-t:w2"), "the window's command runs")
        self.assertFalse(os.path.exists(mark), "something ran on the host")

    def test_windows_grant_no_more_than_the_director_has(self):
        self.spawn("touch ../beside ~/.bashrc2 2>&1; ls ..; exec cat")
        # The directory of a window is one that the sandbox shows; what is granted stays the project.
        self.inside(f"mkdir -p sub; tmux new-window -t swarm-t -n sub -c \"$PWD/sub\" 'pwd; echo x > ../made; exec cat';"
                    f"tmux new-window -t swarm-t -n elsewhere -c {self.world.outside} 'echo escaped > x; exec cat'")
        sandbox.wait_until(lambda: os.path.exists(self.world.project + "/made"), "the window in sub writes the project")
        sandbox.wait_until(lambda: self.world.project + "/sub" in self.screen("swarm-t:sub"), "the window in sub shows where it is")
        sandbox.wait_until(lambda: "elsewhere" not in self.tmux("list-windows", "-t", "swarm-t"), "the window outside ends at once")
        os.remove(self.world.project + "/made")
        os.rmdir(self.world.project + "/sub")

    def test_a_profile_that_the_sandbox_can_change_opens_no_panes(self):
        own = self.world.project + "/own.toml"
        self.world.plant(own, PROFILE)
        self.addCleanup(os.remove, own)
        before = self.tmux("list-windows", "-a")
        for words in ("new-session -d -s swarm-own true", "new-window -t swarm-own true"):
            done = self.inside(f"tmux {words}", profile=own)
            self.assertEqual(done.code, 126, done)
            self.assertIn("can change the profile", done.err)
        self.assertEqual(self.tmux("list-windows", "-a"), before)
        self.assertEqual(self.inside("tmux list-sessions", profile=own).code, 0)

    def test_what_is_hidden_stays_so_in_a_pane(self):
        """A pane has a plan of its own, made when the sandbox may have moved what lies above a hidden file."""
        self.world.plant(self.world.project + "/sub/key", "planted-text\n")
        self.world.plant(self.world.project + "/key", "planted-text\n")
        self.addCleanup(shutil.rmtree, self.world.project + "/sub", True)
        self.addCleanup(os.remove, self.world.project + "/key")
        show = "cat key sub/key moved/key; echo shown; exec cat"
        move = "cat key sub/key; mv sub moved; mv key other && mv other key; "
        for hidden, opens in (('"${CWD}/key"', True), ('"${CWD}/sub"', True), ('"${CWD}/sub/key"', True),
                              ('"${CWD}/key", "${CWD}/**/key"', False)):
            profile = self.profile(PROFILE + f"[filesystem]\nhide = [{hidden}]\n", "hidden.toml")
            done = self.inside(f"{move} tmux new-session -d -s swarm-hid && tmux new-window -t swarm-hid -n w '{show}'", profile=profile)
            self.assertEqual(done.code, 0 if opens else 126, done)
            if opens:
                sandbox.wait_until(lambda: "shown" in self.screen("swarm-hid:w"), "the window has shown what it sees")
                self.assertEqual(self.screen("swarm-hid:w").count("planted-text"), 1, "the one that is not hidden")
                self.tmux("kill-session", "-t", "swarm-hid")
            else:
                self.assertIn("deep in what can be written", done.err)
                self.assertNotIn("swarm-hid", self.tmux("list-sessions"))
            if os.path.exists(self.world.project + "/moved"):
                os.rename(self.world.project + "/moved", self.world.project + "/sub")

    def test_keys_to_a_pane_in_modes(self):
        """One mode is left first; a menu upon another one stays, and has no keys."""
        self.spawn()
        self.tmux("copy-mode", "-t", "swarm-t:w1")
        self.assertEqual(self.inside("tmux send-keys -t swarm-t:w1 -l one").code, 0)
        sandbox.wait_until(lambda: "one" in self.screen("swarm-t:w1"), "the text arrives")
        self.tmux("clock-mode", "-t", "swarm-t:w1")
        self.tmux("copy-mode", "-t", "swarm-t:w1")
        self.assertEqual(self.tmux("display-message", "-p", "-t", "swarm-t:w1", "#{pane_in_mode}"), "2\n")
        done = self.inside("tmux send-keys -t swarm-t:w1 -l two")
        self.assertEqual(done.code, 126, done)
        self.assertIn("menu of tmux", done.err)
        self.assertEqual(self.tmux("display-message", "-p", "-t", "swarm-t:w1", "#{pane_in_mode}"), "2\n")
        self.assertNotIn("two", self.screen("swarm-t:w1"))

    def test_dirbox_where_the_sandbox_can_write(self):
        """As right after a build: it runs, is not changed from inside, and tmux, which it would ask, is refused."""
        folder = self.world.project + "/build"
        own = folder + "/release/dirbox"
        os.makedirs(folder + "/release")
        self.addCleanup(shutil.rmtree, folder)
        shutil.copy2(sandbox.DIRBOX, own)
        done = subprocess.run([own, "run", "-p", self.profile_file, "--", "sh", "-c",
                               "tmux ls; echo tmux=$?; echo x > build/release/made;"
                               "for c in 'rm -f build/release/dirbox' 'mv build/release/dirbox build/release/x' 'mv build b2'"
                               "         'mv build/release build/r2' 'truncate -s 0 build/release/dirbox'; do $c 2>/dev/null; echo $?; done"],
                              cwd=self.world.project, env=self.world.environment, text=True, capture_output=True,
                              timeout=sandbox.PATIENCE)
        self.assertEqual(done.stdout.split(), ["tmux=126", "1", "1", "1", "1", "1"], done)
        self.assertIn("lies in a directory that the sandbox can write", done.stderr)
        self.assertTrue(os.path.exists(folder + "/release/made"), "beside it, the sandbox writes")
        self.assertTrue(filecmp.cmp(own, sandbox.DIRBOX, shallow=False))
        attacked = subprocess.run([own, "verify", "-p", self.profile_file, "--only", "broker", "--only", "files.readonly"],
                                  cwd=self.world.project, env=self.world.environment, text=True, capture_output=True,
                                  timeout=sandbox.PATIENCE)
        self.assertEqual(attacked.returncode, 0, attacked)

    def test_sessions_that_the_profile_opens(self):
        opened = self.profile(PROFILE + 'sessions = ["main"]\n', "opened.toml")
        self.tmux("send-keys", "-t", "main:mine", "-l", "shown-text")
        sandbox.wait_until(lambda: "shown-text" in self.screen("main:mine"), "the text is there")
        self.assertIn("shown-text", self.inside("tmux capture-pane -p -t main:mine", profile=opened).out)
        self.assertEqual(self.inside("tmux send-keys -t main:mine x", profile=opened).code, 126)
        self.assertEqual(self.inside("tmux ls -F '#{session_name}'", profile=opened).out, "main\n")


if __name__ == "__main__":
    sandbox.main()
