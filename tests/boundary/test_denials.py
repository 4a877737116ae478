"""Every refusal explains itself: for each layer an event with its rule, file and line, layer and cure; and with the
cure applied the same thing works."""
import contextlib
import ctypes
import fcntl
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

import sandbox


class Denials(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.state = tempfile.mkdtemp(prefix="state", dir=self.world.base)
        self.before = self.world.picture()
        self.addCleanup(subprocess.run, ["rm", "-rf", self.state], check=True)

    def tearDown(self):
        subprocess.run(["rm", "-rf", self.state], check=True)
        os.mkdir(self.state, 0o700)
        super().tearDown()

    def run_logged(self, *command, options=(), **start):
        """What dirbox run did, and the events that it logged, without start and exit."""
        env = {"XDG_STATE_HOME": self.state, **start.pop("env", {})}
        done = self.dirbox(*command, options=options, env=env, **start)
        events = []
        sessions = os.path.join(self.state, "dirbox", "sessions")
        for name in os.listdir(sessions) if os.path.isdir(sessions) else []:
            with open(os.path.join(sessions, name, "events.jsonl"), encoding="utf-8") as file:
                events += [json.loads(line) for line in file]
            subprocess.run(["rm", "-rf", os.path.join(sessions, name)], check=True)
        return done, [event for event in events if event["kind"] not in ("start", "exit")]

    def profile(self, text, extends="director"):
        path = os.path.join(self.state, "mine.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'{text}\nextends = "{extends}"\n')
        return path

    def test_an_engine_that_is_not_there_refuses_nothing(self):
        profile = self.profile('docker.sockets = ["/no/such.sock"]')
        ask = ("import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/dirbox/docker.sock'); "
               "s.sendall(b'%s HTTP/1.1\\r\\nHost: docker\\r\\nConnection: close\\r\\n\\r\\n'); print(s.recv(99))")
        for request, answer, wanted in (("GET /_ping", "503", ("failed", "docker-engine")),
                                        ("GET /v1.41/swarm", "403", ("denied", "docker-policy"))):
            with self.subTest(request=request):
                done, events = self.run_logged("python3", "-c", ask % request, options=("-p", profile))
                self.assertIn(answer, done.out)
                self.assertEqual([(one["kind"], one["cause"]) for one in events if one.get("operation") == "docker"], [wanted])
                self.assertEqual("blocked: docker" in done.err, wanted[0] == "denied", done)

    def denied_then_cured(self, script, expected, options=(), by="cure"):
        """The script fails, with one event that holds `expected`; with its cure or TOML line it succeeds."""
        done, events = self.run_logged("sh", "-c", script, options=options)
        self.assertNotEqual(done.code, 0, done)
        matching = [event for event in events if expected.items() <= event.items()]
        self.assertEqual(len(matching), 1, (expected, events, done))
        event = matching[0]
        self.assertIn("dirbox: blocked: ", done.err)
        cured = [*options]
        if by == "cure":
            cured += shlex.split(event["cure"])
        else:
            cured += ["-p", self.profile(event["toml"])]
        after, events = self.run_logged("sh", "-c", script, options=cured)
        self.assertEqual(after.code, 0, (event, after, events))
        self.assertEqual([e for e in events if e["subject"] == event["subject"]], [])
        return event

    def fresh(self, content=None):
        """A directory of the user's outside every grant, which the picture leaves out."""
        path = tempfile.mkdtemp(prefix="fresh", dir=self.state)
        if content is not None:
            with open(path + "/f", "w", encoding="utf-8") as file:
                file.write(content)
        return path

    # The mount layer.
    def test_create_where_nothing_is_granted(self):
        place = self.fresh()
        event = self.denied_then_cured(f"echo x > {place}/made", {
            "operation": "create", "subject": f"{place}/made", "layer": "mount", "cause": "absent"})
        self.assertEqual(event["cure"], f"--write {place}")
        self.assertTrue(os.path.exists(f"{place}/made"))
        self.assertTrue(event["comm"] and event["exe"].startswith("/") and event["pid"] > 1)

    def test_the_same_by_the_toml_line(self):
        place = self.fresh()
        self.denied_then_cured(f"mkdir {place}/made", {"operation": "create", "subject": f"{place}/made"}, by="toml")

    def test_write_to_what_is_granted_for_reading(self):
        place = self.fresh("old")
        profile = self.profile(f"filesystem.read = [\"{place}\"]")
        event = self.denied_then_cured(f"echo x > {place}/f", {
            "operation": "write", "subject": f"{place}/f", "layer": "mount", "cause": "read-only",
            "origin": f"{profile}:1:20", "errno": 30}, options=["-p", profile])
        self.assertEqual(event["cure"], f"--write {place}/f")

    def test_remove_and_rename(self):
        for verb, operation in (("rm", "remove"), ("mv -t .", "rename")):
            with self.subTest(operation=operation):
                place = self.fresh("old")
                self.denied_then_cured(f"{verb} {place}/f", {"operation": operation, "cause": "read-only",
                                                             "origin": "--read"}, options=["--read", place])
                subprocess.run(["rm", "-f", self.project("f")], check=True)

    def test_through_names(self):
        """Symlinks, dots and descriptors: the event names the file."""
        place = self.fresh("old")
        os.mkdir(f"{place}/deep")
        os.symlink(f"{place}/f", f"{place}/link")
        for script in (f"echo x > {place}/link", f"cd {place}/deep && echo x > ../f",
                       f"python3 -c 'import os; d=os.open(\"{place}\", os.O_RDONLY); os.open(\"f\", os.O_WRONLY, dir_fd=d)'"):
            with self.subTest(script=script):
                _, events = self.run_logged("sh", "-c", script, options=["--read", place])
                self.assertEqual([e["subject"] for e in events], [f"{place}/f"])

    def test_making_directories_is_no_refusal_of_what_the_home_lacks(self):
        """The deepest one is tried first, and then made with what leads to it; .config is on the host."""
        making = 'import pathlib; pathlib.Path.home().joinpath(".config/gh/new/deep").mkdir(parents=True)'
        for options in ((), ("--explain",)):
            done, events = self.run_logged("/usr/bin/python3", "-c", making, options=options)
            self.assertEqual(done.code, 0, done)
            self.assertEqual([e for e in events if ".config" in e["subject"]], [])
        done, events = self.run_logged("sh", "-c", "mkdir -p ~/.config/gh/new && echo x > ~/.config/gh/new/f && echo x > ~/nowhere/f")
        self.assertNotEqual(done.code, 0)
        self.assertEqual(events, [])
        _, events = self.run_logged("sh", "-c", "echo x > ~/other-project/today")
        self.assertEqual([(e["operation"], e["cause"], e["cure"]) for e in events],
                         [("create", "absent", f"--write {self.home('other-project')}")])

    def test_what_is_hidden_in_a_writable_tree(self):
        """There it is covered up: the cover has no name, but the path is the one that is hidden."""
        self.world.plant(self.project(".env"), "secret\n")
        self.world.plant(self.project("keys/old"), "secret\n")
        profile = self.profile('filesystem.hide = ["${CWD}/.env", "${CWD}/keys"]')
        try:
            for script, operation, name, options in (
                    ("echo x >> .env", "write", ".env", ["-p", profile]), ("cat .env", "read", ".env", ["-p", profile, "--explain"]),
                    ("echo x > keys/new", "create", "keys/new", ["-p", profile]), ("rm keys/old", "remove", "keys/old", ["-p", profile])):
                with self.subTest(script=script, options=options):
                    done, events = self.run_logged("sh", "-c", script, options=options)
                    self.assertNotEqual(done.code, 0)
                    self.assertIn("dirbox: blocked: ", done.err)
                    self.assertEqual([(e["operation"], e["subject"], e["cause"]) for e in events],
                                     [(operation, self.project(name), "hidden")])
                    self.assertRegex(events[0]["origin"], rf"^{options[1]}:1:\d+$")
            _, events = self.run_logged("cat", ".env", options=["-p", profile])
            self.assertEqual(events, [])
            _, events = self.run_logged("cat", ".env", options=["--hide", ".env", "--explain"])
            self.assertEqual([(e["subject"], e["origin"]) for e in events], [(self.project(".env"), "--hide")])
        finally:
            subprocess.run(["rm", "-rf", self.project(".env"), self.project("keys")], check=True)

    def test_reads_are_named_when_asked(self):
        place = self.fresh("text")
        script = f"cat {place}/f"
        done, events = self.run_logged("sh", "-c", script)
        self.assertNotEqual(done.code, 0)
        self.assertEqual(events, [])
        event = self.denied_then_cured(script, {"operation": "read", "subject": f"{place}/f", "cause": "absent"},
                                       options=["--explain"])
        self.assertEqual(event["cure"], f"--read {place}/f")

    def test_what_is_hidden_is_never(self):
        _, events = self.run_logged("cat", self.home(".ssh/id_rsa"), options=["--explain"])
        self.assertEqual(len(events), 1, events)
        self.assertEqual((events[0]["cause"], events[0]["rule"]), ("hidden", "~/.ssh"))
        self.assertRegex(events[0]["origin"], r"^base\.toml:\d+:\d+$")
        self.assertIn("hidden", events[0]["never"])
        self.assertNotIn("cure", events[0])

    def test_very_many_are_not_all_listed_at_the_end(self):
        where = self.fresh()
        many = f"for i in $(seq 130); do echo > {where}/made$i; done 2> /dev/null; true"
        run = lambda *options: self.run_ok("sh", "-c", many, options=options, env={"XDG_STATE_HOME": self.state}).err
        lines = run().splitlines()
        self.assertEqual(sum(f"create {where}/made" in line for line in lines), 100, lines)
        more = re.fullmatch(r"dirbox: blocked: 30 more; (dirbox log \w+ --summary)", lines[-1])
        self.assertTrue(more, lines[-1])
        all_of_them = subprocess.run([sandbox.DIRBOX, *more.group(1).split()[1:]], stdout=subprocess.PIPE, text=True,
                                     env={**self.world.environment, "XDG_STATE_HOME": self.state}, check=True, timeout=sandbox.PATIENCE).stdout
        self.assertEqual(all_of_them.count(f"create {where}/made"), 130)
        self.assertEqual(run("-v").count(f"create {where}/made"), 130)
        self.assertNotIn(f"{where}/made", run("-q"))

    def test_what_is_allowed_is_no_event(self):
        done, events = self.run_logged("sh", "-c", "echo x > new && mv new newer && rm newer && mkdir d && rmdir d && "
                                       "echo > /dev/null && echo x > /tmp/t && mkdir -p /tmp/a/b && echo > /tmp/a/b/c && "
                                       "echo > ~/.cache-x && cat file && touch ./file")
        self.assertEqual((done.code, events), (0, []), done)
        self.assertNotIn("dirbox:", done.err)

    def test_a_silent_run_leaves_no_log(self):
        self.run_logged("true")
        self.assertFalse(os.path.exists(os.path.join(self.state, "dirbox")))

    @unittest.skipIf(sandbox.AS_ROOT, "needs an ordinary user")
    def test_what_the_user_cannot_do_is_no_refusal(self):
        done, events = self.run_logged("sh", "-c", "touch /usr/bin/x; rm -f /usr/bin/env; true")
        self.assertEqual((done.code, events), (0, []))
        _, events = self.run_logged("touch", "/usr/bin/x", options=["--explain"])
        self.assertEqual([e["never"] for e in events if e["subject"] == "/usr/bin/x"],
                         ["you could not do it outside either"])

    # Sockets.
    def test_a_socket_of_the_host(self):
        place = self.fresh()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"{place}/s")
            server.listen(8)
            script = f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{place}/s\")'"
            event = self.denied_then_cured(script, {"operation": "connect", "subject": f"{place}/s", "layer": "mount",
                                                    "cause": "absent"})
            self.assertEqual(event["cure"], f"--socket {place}/s")

    # The network namespace and the proxy.
    def test_a_name(self):
        _, events = self.run_logged("getent", "hosts", "denied.test")
        self.assertEqual([(e["operation"], e["subject"], e["layer"], e["cause"], e["cure"]) for e in events],
                         [("resolve", "denied.test", "proxy", "no-rule", "--allow denied.test")])
        done, events = self.run_logged("python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect"
                                       "((socket.gethostbyname('denied.test'), 443))", options=["--allow", "denied.test"])
        self.assertEqual((done.code, events), (0, []), done)

    def test_a_name_that_a_rule_denies(self):
        profile = self.profile('network.deny = ["denied.test"]')
        _, events = self.run_logged("getent", "hosts", "denied.test", options=["-p", profile, "--allow", "denied.test"])
        self.assertEqual([(e["rule"], e["origin"], e["cause"]) for e in events],
                         [("denied.test", f"{profile}:1:17", "deny-rule")])
        self.assertIn("deny rule", events[0]["never"])

    def test_an_address(self):
        script = ("python3 -c 'import socket; s=socket.socket(); s.settimeout(5); s.connect((\"192.0.2.7\", 443))'")
        done, events = self.run_logged("sh", "-c", script)
        self.assertNotEqual(done.code, 0)
        self.assertEqual([(e["operation"], e["subject"], e["layer"], e["cure"]) for e in events],
                         [("connect", "192.0.2.7:443", "netns", "--allow 192.0.2.7:443")])
        done, events = self.run_logged("sh", "-c", script, options=["--allow", "192.0.2.7:443"])
        self.assertFalse([e for e in events if e["layer"] == "netns"], events)

    # The broker.
    def test_arguments_that_no_rule_permits(self):
        place = self.fresh("#!/bin/sh\necho \"$@\" > " + self.state + "/ran\n")
        os.rename(f"{place}/f", f"{place}/hosttool")
        os.chmod(f"{place}/hosttool", 0o755)
        env = {"PATH": f"{place}:/usr/bin:/bin"}
        profile = self.profile('excluded = [{ command = "hosttool", mode = "host", allow = ["list"] }]')
        done, events = self.run_logged("hosttool", "show", "a b", options=["-p", profile], env=env)
        self.assertNotEqual(done.code, 0)
        self.assertFalse(os.path.exists(f"{self.state}/ran"))
        self.assertEqual([(e["kind"], e["operation"], e["layer"], e["subject"], e["origin"].rsplit(":", 2)[0]) for e in events],
                         [("denied", "exec", "broker", "hosttool show 'a b'", profile)])
        done, events = self.run_logged("hosttool", "show", "a b", options=["-p", self.profile(events[0]["toml"])], env=env)
        self.assertEqual((done.code, [e for e in events if e["kind"] == "denied"]), (0, []), done)
        self.assertTrue(os.path.exists(f"{self.state}/ran"))

    # seccomp.
    TRACE = ("import ctypes, os, sys\nl = ctypes.CDLL(None, use_errno=True)\np = os.fork()\nif p == 0:\n"
             "  os._exit(0 if l.ptrace(0, 0, 0, 0) == 0 else 1)\nsys.exit(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))\n")

    def test_a_system_call(self):
        event = self.denied_then_cured(f"python3 -c {shlex.quote(self.TRACE)}", {
            "operation": "syscall", "layer": "seccomp", "cause": "denied-call", "rule": "@ptrace",
            "origin": "built in", "errno": 1}, by="toml")
        self.assertEqual(event["subject"], "ptrace(PTRACE_TRACEME, 0, 0x0, 0x0)")

    def test_a_system_call_that_a_profile_denies(self):
        profile = self.profile('seccomp.deny = ["mkdir", "mkdirat"]')
        done, events = self.run_logged("mkdir", "x", options=["-p", profile])
        self.assertNotEqual(done.code, 0)
        self.assertFalse(os.path.exists(self.project("x")))
        self.assertEqual([(e["rule"], e["origin"]) for e in events],
                         [(e["subject"].partition("(")[0], f"{profile}:1:{17 if e['subject'].startswith('mkdir(') else 26}")
                          for e in events])
        self.assertEqual(len(events), 1)

    def test_what_no_profile_opens(self):
        _, events = self.run_logged("python3", "-c", "import fcntl\ntry: fcntl.ioctl(0, 0x5412, b'x')\nexcept OSError as e: print(e)")
        self.assertEqual([(e["subject"][:14], e["rule"], "never" in e) for e in events],
                         [("ioctl(0, TIOCS", "terminal-input", True)], events)

    # Hostile text, and hostile use.
    def test_hostile_names_reach_no_terminal(self):
        name = "a\x1b[31m\nb\u202e"
        done, events = self.run_logged("python3", "-c", f"import os; os.mkdir({self.state!r} + '/' + {name!r})")
        self.assertEqual([e["subject"] for e in events], [f"{self.state}/{name}"])
        self.assertNotIn("\x1b", done.err)
        self.assertNotIn("\u202e", done.err)
        self.assertEqual(len([line for line in done.err.splitlines() if line.startswith("dirbox: ")]), 1, done.err)

    @contextlib.contextmanager
    def automounter(self, names):
        """A directory of the host, and in `names` what was looked up in it. An automounter asks the network for a server."""
        net = self.fresh()
        asked, daemon = os.pipe()
        options = f"fd={daemon},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect"
        libc = ctypes.CDLL(None, use_errno=True)
        self.assertEqual(libc.mount(b"daemon", net.encode(), b"autofs", 0, options.encode()), 0, os.strerror(ctypes.get_errno()))
        os.close(daemon)

        def fail_requests():
            while packet := os.read(asked, 4096):  # struct autofs_v5_packet
                token, length = struct.unpack_from("I", packet, 8) + struct.unpack_from("I", packet, 40)
                names.append(packet[44:44 + length].decode())
                root = os.open(net, os.O_RDONLY)
                fcntl.ioctl(root, 0x9361, token)  # AUTOFS_IOC_FAIL
                os.close(root)

        failing = threading.Thread(target=fail_requests)
        failing.start()
        try:
            yield net
        finally:
            libc.umount2(net.encode(), 2)
            failing.join(sandbox.PATIENCE)
            os.close(asked)

    @unittest.skipUnless(sandbox.AS_ROOT, "needs root: it mounts")
    def test_a_name_asks_no_automounter_of_the_host(self):
        code = """
import os, socket, sys
net, new = sys.argv[1:]
os.symlink(net + "/by-link", "/tmp/link")
os.symlink(net + "/by-own-link", "link")
for attempt in (lambda: open(net + "/open/f", "w"), lambda: open(net + "/read/f"), lambda: os.mkdir(net + "/mkdir"),
                lambda: os.unlink(net + "/unlink/f"), lambda: os.rename("/tmp/link", net + "/rename/f"),
                lambda: os.execv(net + "/exec/f", ["f"]), lambda: socket.socket(socket.AF_UNIX).connect(net + "/connect/f"),
                lambda: open("/tmp/link/d/f", "w"), lambda: open("link/d/f", "w"), lambda: open(new, "w")):
    try: attempt()
    except OSError: pass
    else: print("worked")
os.unlink("link")
"""
        names, new = [], self.fresh() + "/new"
        with self.automounter(names) as net:
            subprocess.run(["cat", f"{net}/control/x"], start_new_session=True, capture_output=True, check=False)
            self.assertEqual(names, ["control"])
            for observe in ("writes", "reads"):
                with self.subTest(observe=observe):
                    options = ["-p", self.profile(f'log.observe = "{observe}"')]
                    done, events = self.run_logged("/usr/bin/python3", "-c", code, net, new, options=options, start_new_session=True)
                    self.assertEqual((done.code, done.out), (0, ""), done)
                    self.assertIn(new, [event["subject"] for event in events])
                    self.assertEqual(names, ["control"])

    def test_a_race_changes_no_decision(self):
        """What a pointer leads to changes while the call waits: the kernel decides, whatever was seen."""
        place = self.fresh("old")
        script = ("import ctypes, threading, os\nl = ctypes.CDLL(None)\ngood, bad = b'./race\\0', " + repr(place.encode()) +
                  " + b'/f\\0'\nbuf = ctypes.create_string_buffer(max(len(good), len(bad)))\nstop = False\n"
                  "def flip():\n  while not stop:\n    ctypes.memmove(buf, bad, len(bad)); ctypes.memmove(buf, good, len(good))\n"
                  "t = threading.Thread(target=flip); t.start()\n"
                  "for _ in range(300):\n  fd = l.open(buf, os.O_WRONLY | os.O_CREAT, 0o600)\n"
                  "  if fd >= 0: os.write(fd, b'new'); os.close(fd)\nstop = True; t.join()\n")
        self.run_logged("python3", "-c", script, options=["--read", place])
        with open(f"{place}/f", encoding="utf-8") as file:
            self.assertEqual(file.read(), "old")
        subprocess.run(["find", self.world.project, "-maxdepth", "1", "-newer", f"{place}/f", "-name", "race*", "-delete"],
                       check=True)

    def test_background_work_goes_on_while_dirbox_is_stopped(self):
        self.assertFalse(os.path.exists(self.project("ticks")))
        child = self.start("sh", "-c", "echo > ticks; while :; do echo x >> ticks; done", env={"XDG_STATE_HOME": self.state},
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            sandbox.wait_until(lambda: os.path.exists(self.project("ticks")), "the first tick")
            os.kill(child.pid, signal.SIGSTOP)
            size = os.path.getsize(self.project("ticks"))
            sandbox.wait_until(lambda: os.path.getsize(self.project("ticks")) > size + 20, "more ticks")
        finally:
            child.kill()
            child.wait()
            os.unlink(self.project("ticks"))

    def test_the_end_of_the_observer_is_closed_not_open(self):
        """Killed, it takes the calls with it that it answered: they fail, and nothing denied is permitted."""
        child = self.start("sh", "-c", "echo > /tmp/x; echo up; read line; echo y > made; unshare -Ur true; echo $?; "
                           "echo z > made && echo open; exit 0", env={"XDG_STATE_HOME": self.state},
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "up\n")
        children = subprocess.run(["pgrep", "-P", str(child.pid), "-x", "dirbox-observer"], capture_output=True,
                                  text=True, check=False).stdout.split()
        self.assertEqual(len(children), 1)
        os.kill(int(children[0]), signal.SIGKILL)
        out, err = child.communicate("go\n", timeout=sandbox.PATIENCE)
        self.assertNotIn("open", out)
        self.assertNotEqual(out.split(), ["0"])
        self.assertFalse(os.path.exists(self.project("made")))
        self.assertIn("the observer ended", err)

    def test_off(self):
        profile = self.profile('log.observe = "none"')
        done, events = self.run_logged("sh", "-c", f"echo > {self.state}/x; unshare -Ur true; true", options=["-p", profile])
        self.assertEqual((done.code, events), (0, []))

    def test_the_policy_of_a_nested_sandbox_asks_nobody(self):
        profile = self.profile("process.nested_userns = true")
        done, events = self.run_logged("sh", "-c", "echo > /nonexistent/x; unshare -U true", options=["-p", profile])
        self.assertEqual((done.code, events), (0, []), done)


if __name__ == "__main__":
    sandbox.main()
