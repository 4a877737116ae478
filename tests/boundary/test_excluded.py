"""Excluded commands through the launcher: one argv reaches the host, and nothing else does.

The host's side are scripts in a directory of PATH that the sandbox neither sees nor can write; they record what they
were called with.
"""
import os
import shutil
import signal
import socket
import subprocess
import unittest

import sandbox

RECORD = """#!/bin/sh
{ printf '%s\\n' "$(basename "$0")" "$@"; echo END; } >> "$(dirname "$0")/../record"
env > "$(dirname "$0")/../environment"
pwd > "$(dirname "$0")/../cwd"
case "$1" in
  --version) echo "host version";;
  fail) exit 7;;
  die) kill -9 $$;;
  sleep) echo $$ > "$(dirname "$0")/../pid"; echo sleeping; exec sleep 1000;;
  stay) trap '' TERM HUP; echo $$ > "$(dirname "$0")/../pid"; echo staying; exec sleep 1000;;
  cat) exec cat;;
  both) echo out; echo err >&2;;
  namespaces) readlink /proc/self/ns/mnt;;
  last) trap '' TERM; trap "printf '[core]\n\tfsmonitor = planted\n'; exit" HUP; echo up >&2; sleep 1000 & wait;;
esac
"""

RULES = """
extends = "worker"
[[excluded]]
command = "docker"
mode = "host"
allow = ["ps [-*]", "--version", "run --rm [-it] [-v=@PROJECT@/**:**] [-e] busybox ...", "logs <container>",
         "cp <from> <to>"]
deny = [{rule = "ps --all", reason = "other people's containers are not yours to see"}, "cp *"]
env = ["MY_FORMAT"]
max_concurrent = 2
timeout = 100
"""


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def programs_below(root, name):
    """Those of that name below the launcher `root`: (number, its monitor's number outside or 0 inside)."""
    found = []
    for pid in subprocess.run(["pgrep", "-x", name], capture_output=True, text=True, check=True).stdout.split():
        line = [int(pid)]
        while line[-1] not in (0, 1, root):
            line.append(int(status_of(line[-1])["PPid"]))
        if line[-1] == root:
            inside = any(status_of(above)["Name"] == "dirbox-init" for above in line[1:-1])
            found.append((line[0], 0 if inside else line[1]))
    return found


class Excluded(sandbox.WithTerminal):
    def setUp(self):
        super().setUp()
        # Beside the world, which must not change: what the host's commands record is their effect.
        self.host = self.world.base + "-host"
        self.addCleanup(shutil.rmtree, self.host, True)
        self.world.plant(self.host + "/bin/tool", RECORD, 0o755)
        self.world.plant(self.host + "/bin/docker", RECORD, 0o755)
        self.world.plant(self.host + "/record", "")
        self.path = {"PATH": f"{self.host}/bin:/usr/local/bin:/usr/bin:/bin"}

    def calls(self):
        with open(self.host + "/record", encoding="utf-8") as file:
            return [call.splitlines() for call in file.read().split("END\n") if call]

    def recorded(self, name):
        with open(f"{self.host}/{name}", encoding="utf-8") as file:
            return file.read()

    def exclude(self, *command, options=("--exclude", "tool"), **start):
        return self.dirbox(*command, options=options, env={**self.path, **start.pop("env", {})}, **start)

    def ruled(self, *command, **start):
        profile = self.profile(RULES.replace("@PROJECT@", self.world.project), "ruled.toml")
        return self.exclude(*command, options=("-p", profile), **start)

    # One argv, and nothing else.
    def test_only_the_command_itself_leaves(self):
        done = self.exclude("sh", "-c", "tool --version && cat ~/.ssh/id_rsa")
        self.assertIn("host version", done.out)
        self.assertEqual(done.code, 1)
        self.assertIn("No such file", done.err)

    def test_it_is_announced(self):
        self.assertRegex(self.exclude("true").err, r"weaker: tool runs on the host.*no sandbox \(--exclude\)")

    def test_pipes_compounds_and_absolute_paths(self):
        done = self.exclude("sh", "-c", "cd . && X=1 tool both 2>&1 | sort | tr '\\n' ' '; command -v tool; /.dirbox/bin/tool namespaces")
        mine = os.readlink("/proc/self/ns/mnt")
        self.assertEqual(done.out, f"err out /.dirbox/bin/tool\n{mine}\n")
        done = self.dirbox("sh", "-c", "/usr/bin/id -u; readlink /proc/self/ns/mnt", options=("--exclude", "readlink"))
        self.assertIn(mine, done.out)

    def test_the_command_itself_may_be_excluded(self):
        self.assertEqual(self.exclude("tool", "--version").out, "host version\n")

    def test_status_and_streams(self):
        self.assertEqual(self.exclude("tool", "fail").code, 7)
        self.assertEqual(self.exclude("tool", "die").code, 137)
        self.assertEqual(self.exclude("tool", "cat", stdin="through\n").out, "through\n")
        done = self.exclude("sh", "-c", "tool both > o 2> e; cat e o; rm e o")
        self.assertEqual(done.out, "err\nout\n")

    def test_without_exclusion_nothing_is_there(self):
        done = self.sh("ls -d /.dirbox /run/dirbox/broker; tool --version", env=self.path, options=("-p", "worker"))
        self.assertEqual(done.code, 127)
        self.assertEqual(done.out, "")
        self.assertEqual(self.calls(), [])

    def test_a_missing_command(self):
        self.assertRefused(self.dirbox("true", options=("--exclude", "no-such-program")), "no-such-program", "PATH")
        self.assertRefused(self.dirbox("true", options=("--exclude", "/bin/sh")), "without a path")

    # The rows of the broker's group.
    def refused(self, *arguments, **start):
        count = len(self.calls())
        done = self.ruled("docker", *arguments, **start)
        self.assertEqual(done.code, 126, f"{arguments}: {done}")
        self.assertIn("refused: ", done.err)
        self.assertEqual(len(self.calls()), count, f"{arguments} reached the host")
        return done

    def test_allowed_by_rules(self):
        for arguments in (["ps"], ["ps", "-q", "--no-trunc"], ["--version"], ["container", "ls"],
                          ["run", "--rm", "-it", "-v", f"{self.world.project}/a:/a", "busybox", "sh", "-c", "--privileged"]):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.ruled("docker", *arguments).code, 0)
                self.assertEqual(self.calls()[-1], ["docker", *arguments])

    def test_forms_of_volume(self):
        for form in (["-v", "/:/x"], ["-v/:/x"], ["-v=/:/x"], ["-itv", "/:/x"], ["-itv/:/x"], ["--volume", "/:/x"],
                     ["--volume=/:/x"], ["-v", f"{self.world.project}/../../x:/x"], ["--mount", "type=bind,src=/,dst=/x"]):
            with self.subTest(form=form):
                self.refused("run", "--rm", *form, "busybox")

    def test_privileges_devices_namespaces_secrets(self):
        for form in ("--privileged", "--privileged=true", "--cap-add=ALL", "--device=/dev/sda", "--pid=host",
                     "--security-opt=seccomp=unconfined", "--env-file=/etc/passwd", "--network=host",
                     "--volumes-from=x", "--unknown-option", "--label-file=/etc/passwd"):
            with self.subTest(form=form):
                self.refused("run", "--rm", form, "busybox")
        self.refused("run", "--rm", "-v", "/var/run/docker.sock:/s", "busybox")

    def test_global_options_and_other_subcommands(self):
        for arguments in (["--config", "evil", "ps"], ["--config=evil", "ps"], ["-H", "tcp://x", "ps"],
                          ["-Htcp://x", "ps"], ["--context", "x", "ps"], ["-c", "x", "ps"],
                          ["build", "--secret", "id=x", "."], ["buildx", "build", "."], ["compose", "up"], ["plugin", "ls"],
                          ["swarm", "init"], ["rm", "-f", "x"], ["exec", "x", "sh"], [], ["p\ns"], ["docker ps; id"]):
            with self.subTest(arguments=arguments):
                self.refused(*arguments)

    def test_the_reason_reaches_the_caller_and_the_log(self):
        done = self.refused("ps", "-a")
        self.assertIn("docker: refused: other people's containers are not yours to see", done.err)
        self.assertRegex(done.err, r'rule "ps --all", .*ruled\.toml:\d+')
        self.assertRegex(done.err, r"(?m)^dirbox: blocked: exec docker ps -a \(excluded-rule")
        self.assertIn("no allow rule", self.refused("images").err)

    def test_no_variable_is_injected(self):
        names = ["LD_PRELOAD", "DOCKER_HOST", "DOCKER_CONFIG", "BASH_ENV", "ENV", "GIT_SSH_COMMAND", "TMUX", "HOME",
                 "PYTHONPATH", "PATH", "IFS", "OTHER"]
        setting = " ".join(f"{name}=evil-value" for name in names)
        # LD_PRELOAD of a file that is not there is only a warning to the shim's callers.
        self.ruled("sh", "-c", f"env {setting} MY_FORMAT=mine TERM=vt100 /.dirbox/bin/docker ps")
        environment = self.recorded("environment")
        self.assertNotIn("evil-value", environment)
        self.assertIn("MY_FORMAT=mine\n", environment)
        self.assertIn("TERM=vt100\n", environment)
        self.assertIn(f"HOME={self.world.home}\n", environment)
        self.assertIn(f"PATH={self.host}/bin:", environment)
        self.assertNotIn("OPENAI_API_KEY", environment)

    def test_the_shim_is_one_command_under_every_name(self):
        self.ruled("sh", "-c", "ln -s /.dirbox/bin/docker bash; ./bash ps; cp /.dirbox/bin/docker sh2; ./sh2 ps; rm bash sh2;"
                   "(exec -a ../../bin/sh /.dirbox/bin/docker ps) 2>/dev/null; env -a x true 2>/dev/null; true")
        for call in self.calls():
            self.assertEqual(call, ["docker", "ps"])
        self.assertGreaterEqual(len(self.calls()), 2)

    def test_nothing_planted_is_executed(self):
        self.world.plant(self.world.project + "/planted/tool", "#!/bin/sh\necho planted\n", 0o755)
        self.before = self.world.picture()
        path = f"{self.world.project}/planted:.:{self.path['PATH']}"
        done = self.dirbox("tool", "--version", options=("--exclude", "tool"), env={"PATH": path})
        self.assertEqual(done.out, "host version\n")
        os.remove(self.world.project + "/planted/tool")
        os.rmdir(self.world.project + "/planted")
        self.before = self.world.picture()
        only = f"{self.world.project}:/usr/bin:/bin"
        self.assertRefused(self.dirbox("true", options=("--exclude", "probe"), env={"PATH": only}), "probe")

    def test_the_shim_cannot_be_replaced(self):
        done = self.exclude("sh", "-c", "for f in /.dirbox/bin/tool /.dirbox/bin/x; do (echo x > $f); done; rm -f /.dirbox/bin/tool;"
                            "mv /.dirbox /.d; tool --version")
        self.assertIn("host version", done.out)
        self.assertEqual(done.err.count("Read-only file system"), 4)

    def test_the_working_directory_must_be_shared(self):
        os.makedirs(self.world.project + "/sub/deep", exist_ok=True)
        self.before = self.world.picture()
        self.exclude("sh", "-c", "cd sub/deep && tool ok")
        self.assertEqual(self.recorded("cwd").strip(), self.world.project + "/sub/deep")
        done = self.exclude("sh", "-c", "cd /tmp && tool ok")
        self.assertEqual(done.code, 126)
        self.assertIn("/tmp is the sandbox's own", done.err)
        # A directory of that name that the sandbox made in a mount of its own is another one.
        done = self.exclude("sh", "-c", "mkdir -p /tmp/x && cd /tmp/x && tool ok")
        self.assertEqual(done.code, 126)

    def test_strangers_are_refused(self):
        """A process of the same user outside the sandbox that gets hold of the socket."""
        child = self.start("sh", "-c", "echo up; cat", options=("--exclude", "tool"), env=self.path,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(child.stdout.readline(), b"up\n")
        inside = []
        sandbox.wait_until(lambda: inside.extend(
            int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.is_cat_of(int(pid), child.pid)) or inside,
            "cat runs inside")
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(link.close)
        try:
            link.connect(f"/proc/{inside[0]}/root/run/dirbox/broker/tool.sock")
            answer = link.recv(4096)
            self.assertIn(b"a process outside this sandbox", answer)
        finally:
            child.stdin.close()
            child.wait(timeout=sandbox.PATIENCE)
            child.stdout.close()
        self.assertEqual(self.calls(), [])

    def test_no_descriptor_holds_the_launcher_up(self):
        """Whoever closes a lingering socket last waits until its data is taken: nobody reads it here."""
        script = r'''
import array, os, socket, struct, sys, time
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
peer, _ = listener.accept()
client.setblocking(False)
try:
    while True:
        client.send(bytes(65536))
except BlockingIOError:
    pass
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3))
print(struct.unpack("ii", client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)), flush=True)
begun = time.monotonic()
if len(sys.argv) > 1:
    os.close(client.detach())
else:
    for count in (1, 20):  # taken, and thrown away by the kernel
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect("/run/dirbox/broker/tool.sock")
        link.sendmsg([b"junk"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()] * count))])
        if count == 20:
            os.close(client.detach())
        link.recv(1000)
    os.system("tool ok")
print(time.monotonic() - begun >= 3)
'''
        control = subprocess.run(["/usr/bin/python3", "-c", script, "close"], capture_output=True, text=True,
                                 timeout=sandbox.PATIENCE, check=True).stdout
        self.assertEqual(control, "(1, 3)\nTrue\n")
        done = self.exclude("/usr/bin/python3", "-c", script)
        self.assertEqual((done.code, done.out.splitlines()[0], done.out.splitlines()[-1]), (0, "(0, 0)", "False"), done)
        self.assertEqual(len(self.calls()), 1)

    @staticmethod
    def is_cat_of(pid, launcher):
        try:
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read() != "cat\n":
                    return False
            while pid > 1 and pid != launcher:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    pid = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
        return pid == launcher

    # Life and death.
    def pid_of_sleeper(self):
        sandbox.wait_until(lambda: os.path.exists(self.host + "/pid") and self.recorded("pid").endswith("\n"), "it sleeps")
        return int(self.recorded("pid"))

    def assertGone(self, pid):
        sandbox.wait_until(lambda: not sandbox.lives(pid), f"{pid} is gone")

    def test_killing_the_shim_kills_the_command(self):
        done = self.exclude("sh", "-c", "tool sleep | { read x; echo $x; pkill -KILL -x tool; }; echo done")
        self.assertEqual(done.out, "sleeping\ndone\n")
        self.assertGone(self.pid_of_sleeper())

    def test_the_last_words_of_a_command(self):
        """What one writes when it is told to end, the guard sees as well."""
        done = self.exclude("sh", "-c", "tool last >> .git/config 2> up & until test -s up; do :; done; rm up")
        self.assertEqual(done.code, 0, done)
        with open(self.world.project + "/.git/config", encoding="utf-8") as config:
            self.assertNotIn("fsmonitor", config.read())
        self.assertIn("core.fsmonitor", done.err)

    def test_the_end_of_the_sandbox_ends_the_command(self):
        done = self.exclude("sh", "-c", "tool sleep > o & until test -s o; do :; done; rm o")
        self.assertEqual(done.code, 0)
        self.assertGone(self.pid_of_sleeper())

    def test_signals_at_the_end_change_no_status(self):
        """While a host command that does not end is given its time."""
        child = self.start("sh", "-c", "tool stay > o & until test -s o; do :; done; rm o; exit 3",
                           options=("--exclude", "tool"), env=self.path, stdin=subprocess.DEVNULL)
        def has_ended():
            child.send_signal(signal.SIGWINCH)
            return child.poll() is not None
        sandbox.wait_until(has_ended, "dirbox ends")
        self.assertEqual(child.returncode, 3)
        self.assertGone(self.pid_of_sleeper())

    def test_killing_dirbox_kills_the_command(self):
        child = self.start("tool", "sleep", options=("--exclude", "tool"), env=self.path, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(child.stdout.readline(), b"sleeping\n")
        pid = self.pid_of_sleeper()
        child.kill()
        child.wait()
        child.stdout.close()
        self.assertGone(pid)

    def test_signals_are_forwarded(self):
        child = self.start("tool", "sleep", options=("--exclude", "tool"), env=self.path, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.assertEqual(child.stdout.readline(), b"sleeping\n")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(timeout=sandbox.PATIENCE), 143)
        child.stdout.close()
        self.assertGone(self.pid_of_sleeper())

    def test_no_pager_on_the_host(self):
        """In a pager whoever types runs what he likes: `less` has the key "!"."""
        mark = self.host + "/paged"
        self.world.plant(self.host + "/pager", f"#!/bin/sh\ntouch {mark}\nexec cat\n", 0o755)
        kept = self.world.home + "/.gitconfig"
        with open(kept, encoding="utf-8") as file:
            self.addCleanup(self.world.plant, kept, file.read())
        self.world.plant(kept, f"[core]\n\tpager = {self.host}/pager\n")
        profile = self.profile('extends = "worker"\n[[excluded]]\ncommand = "git"\nmode = "host"\nallow = ["log [-*]"]\n', "pager.toml")
        control = sandbox.Terminal(["git", "log"], self.world.project, self.world.environment)
        self.addCleanup(control.close)
        self.assertEqual(control.wait(), 0)
        self.assertTrue(os.path.exists(mark))
        os.remove(mark)
        terminal = self.terminal("git", "log", "--oneline", options=("-p", profile))
        terminal.expect(r" first\r\n")
        self.assertEqual(terminal.wait(), 0)
        self.assertFalse(os.path.exists(mark), "git started a pager")

    # Job control, with bash inside and programs of the host.
    def inner_shell(self):
        terminal = self.terminal("bash", "--norc", "--noprofile", "-i",
                                 options=("--exclude", "sed", "--exclude", "stty", "--exclude", "vi"))
        terminal.send("PS1='inside''> '\n")
        terminal.expect("inside> ")
        return terminal

    def test_terminal_interrupt_stop_and_foreground(self):
        terminal = self.inner_shell()
        terminal.send("sed -u s/question/answer/\n")
        # What it answers is no echo: it has the terminal. Keys before that are the shell's.
        terminal.send("question\n")
        terminal.expect("answer\r\n")
        terminal.send("\x1a")
        terminal.expect("Stopped.*sed")
        terminal.expect("inside> ")
        terminal.send("fg\n")
        terminal.expect("sed")
        terminal.send("question\n")
        terminal.expect("answer\r\n")
        terminal.send("\x03")
        terminal.expect("inside> ")
        terminal.send("echo status $?\n")
        terminal.expect("status 130")
        terminal.send("exit\n")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(terminal.modes(), terminal.before)

    def test_terminal_resize_as_the_command_ends(self):
        """The shim still hears how it ended."""
        terminal = self.inner_shell()
        terminal.send("sed -u s/question/answer/\n")
        terminal.send("question\n")
        terminal.expect("answer\r\n")
        (shim, _), (command, monitor) = sorted(programs_below(terminal.child.pid, "sed"), key=lambda found: found[1] == 0, reverse=True)
        os.kill(terminal.child.pid, signal.SIGSTOP)
        try:
            os.kill(shim, signal.SIGWINCH)
            sandbox.wait_until(lambda: status_of(shim)["ShdPnd"] == "0" * 16, "the shim has told it")
            os.kill(command, signal.SIGTERM)
            sandbox.wait_until(lambda: status_of(monitor)["State"].startswith("Z"), "the monitor has ended")
        finally:
            os.kill(terminal.child.pid, signal.SIGCONT)
        terminal.expect("inside> ")
        terminal.send("echo status $?\n")
        terminal.expect("status 143")

    def test_terminal_size_and_resize(self):
        terminal = self.inner_shell()
        terminal.send("stty size\n")
        terminal.expect("24 80")
        terminal.expect("inside> ")  # until then, keys belong to the command
        terminal.resize(30, 100)
        terminal.send("until [ \"$(stty size)\" = '30 100' ]; do :; done; stty size\n")
        terminal.expect("done; stty size\r\n")
        terminal.expect("30 100")

    @unittest.skipUnless(os.path.exists("/usr/bin/vi"), "this machine has no vi")
    def test_terminal_editor(self):
        terminal = self.inner_shell()
        terminal.send("vi -i NONE written\n")
        terminal.expect("written")
        terminal.send("ihello\x1b:wq\n")
        terminal.expect("inside> ")
        with open(self.world.project + "/written", encoding="ascii") as file:
            self.assertEqual(file.read(), "hello\n")
        os.remove(self.world.project + "/written")


if __name__ == "__main__":
    sandbox.main()
