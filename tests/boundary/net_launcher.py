"""The network as `dirbox run` offers it: options, ports of both sides, what is granted while it runs."""
import contextlib
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import threading
import time

import nettest


def dirbox(*arguments, environment=None):
    done = subprocess.run([nettest.DIRBOX, *arguments], capture_output=True, text=True, timeout=60,
                          env=environment or nettest.NetTest.environment({}))
    return nettest.Run(done.returncode, done.stdout, done.stderr, [])


class Launcher(nettest.NetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.web = cls.serve(nettest.Web())
        cls.echo = cls.serve(nettest.Recorder())

    def run_with(self, options, *command, **more):
        argv = [*self.launcher(self.spec()), *options, "--", *command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=self.scratch,
                              env=self.environment({}), **more)
        return nettest.Run(done.returncode, done.stdout, done.stderr, nettest.events_of(done.stderr))

    def python(self, options, code, *arguments):
        return self.run_with(options, nettest.PYTHON, "-c", nettest.PRELUDE + code, *map(str, arguments))


class Options(Launcher):
    GET = 'print(ask(80, b"GET /o HTTP/1.1\\r\\nHost: o.test\\r\\nConnection: close\\r\\n\\r\\n", "o.test")[-9:])'

    def test_allow_and_deny(self):
        where = ["--net-map", f"o.test:80=127.0.0.1:{self.web.port}"]
        run = self.python([*where, "--allow", "o.test"], self.GET)
        self.assertEqual(run.out, "b'hello /o\\n'\n", run)
        self.assertIn("dirbox: test: --net-map o.test:80=", run.err)
        for options in [], ["--allow", "o.test", "--deny", "o.test"], ["--allow", "*.o.test"]:
            seen = len(self.web.requests)
            run = self.python([*where, *options], "print(outcome(lambda: connect('o.test', 80)))")
            self.assertIn("-2", run.out, run)  # EAI_NONAME
            self.assertEqual(len(self.web.requests), seen)
            self.assertEqual({e["host"] for e in run.events if e.get("event") == "dns-denied"}, {"o.test"}, run)

    def test_net_map_is_for_tests(self):
        canary = self.scratch + "/ran"
        environment = {k: v for k, v in self.environment({}).items() if k != "DIRBOX_TEST"}
        done = subprocess.run([*self.launcher(self.spec()), "--net-map", "o.test:80=127.0.0.1:1", "--", "touch", canary],
                              capture_output=True, text=True, env=environment, cwd=self.scratch, timeout=60)
        self.assertEqual(done.returncode, 125, done)
        self.assertIn("only tests may redirect names", done.stderr)
        self.assertFalse(os.path.exists(canary))

    def test_wrong_rules_run_nothing(self):
        canary = self.scratch + "/ran"
        for wrong in ["--allow", "*"], ["--allow", "*.*"], ["--allow", "*.com"], ["--allow", "localhost"], ["--allow", "https://a.test/"], ["--allow", "@nonesuch"], ["--deny", ""], ["--publish", "0x50"], \
                ["--publish", "example.com:80:80"], ["--host-port", "70000"]:
            run = self.run_with(wrong, "touch", canary)
            self.assertEqual(run.code, 125, (wrong, run))
            self.assertFalse(os.path.exists(canary), wrong)

    def test_proxy_variables(self):
        """Set unless the profile says no; loopback is never asked of the proxy."""
        code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if 'PROXY' in k.upper()}))"
        variables = json.loads(self.box(self.spec(["o.test"]), nettest.PYTHON, "-c", code, env=True).out)
        for name in "HTTP_PROXY", "HTTPS_PROXY":
            self.assertEqual({variables[name], variables[name.lower()]}, {"http://127.0.0.1:3128"}, variables)
        self.assertEqual(variables["ALL_PROXY"], variables["all_proxy"])
        self.assertEqual(variables["NODE_USE_ENV_PROXY"], "1")
        for name in "NO_PROXY", "no_proxy":
            self.assertLessEqual({"127.0.0.1", "localhost", "::1"}, {w.strip("[]") for w in variables[name].split(",")}, variables)
        self.assertEqual(self.box(self.spec(["o.test"]), nettest.PYTHON, "-c", code).out, "{}\n")

    def test_nothing_of_ours_runs_inside_but_init(self):
        code = """
print(ask(80, b"GET /o HTTP/1.1\\r\\nHost: o.test\\r\\nConnection: close\\r\\n\\r\\n", "o.test")[-9:])
print(sorted(p for p in os.listdir("/proc") if p.isdigit()) == sorted({"1", str(os.getpid())}))
"""
        run = self.python(["--net-map", f"o.test:80=127.0.0.1:{self.web.port}", "--allow", "o.test"], code)
        self.assertEqual(run.out.splitlines(), ["b'hello /o\\n'", "True"], run)

    def test_the_directors_hosts(self):
        """Those of the Sandboxed Director Guide, what Claude Code logs in with, and nothing else of theirs."""
        for host in "api.anthropic.com", "statsig.anthropic.com", "statsig.com", "sentry.io", "github.com", "api.github.com", \
                "platform.claude.com", "claude.ai", "downloads.claude.ai":
            answer = dirbox("why", "--force-cwd", "-p", "director", "host", host + ":443")
            self.assertEqual((answer.code, answer.out.split(":")[0]), (0, "allowed"), answer)
        for host in "example.com", "evil.github.com", "gist.github.com", "anthropic.com.evil.test":
            self.assertEqual(dirbox("why", "--force-cwd", "-p", "director", "host", host + ":443").code, 1, host)

    def test_host_port(self):
        options = ["--host-port", f"9001:{self.echo.port}", "--host-port", f"81:{self.echo.port}", "--host-port", str(self.echo.port)]
        run = self.python(options, """
for host, port in ("127.0.0.1", 9001), ("::1", 9001), ("127.0.0.1", 81), ("127.0.0.1", int(sys.argv[1])):
    s = connect(host, port); s.sendall(b"ping"); print(s.recv(4)); s.close()
print(outcome(lambda: connect("127.0.0.1", 9002)))
""", self.echo.port)
        self.assertEqual(run.out.splitlines(), ["b'ping'"] * 4 + ["ECONNREFUSED"], run)

    def test_a_host_port_that_listens_by_ipv6_only(self):
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            def greet():
                with server.accept()[0] as visitor:
                    visitor.sendall(b"six")
            threading.Thread(target=greet, daemon=True).start()
            run = self.python(["--host-port", f"9001:{server.getsockname()[1]}"], "print(read_all(connect('127.0.0.1', 9001)))")
        self.assertEqual(run.out, "b'six'\n", run)

    def test_the_ports_of_the_host_stay_closed_without_it(self):
        seen = len(self.echo.seen)
        run = self.python([], "print(outcome(lambda: connect('127.0.0.1', int(sys.argv[1]))))", self.echo.port)
        self.assertEqual((run.out, len(self.echo.seen)), ("ECONNREFUSED\n", seen), run)

    SERVER = """
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
l = socket.create_server((sys.argv[1], 3000), family=family); l.settimeout(20); print("up", flush=True)
while True:
    c, _ = l.accept(); data = c.recv(100)
    if data: break
c.sendall(data.upper()); c.close()
"""

    def visit(self, options, inside, address, port):
        argv = [*self.launcher(self.spec()), *options, "--", nettest.PYTHON, "-c", nettest.PRELUDE + self.SERVER, inside]
        with subprocess.Popen(argv, cwd=self.scratch, env=self.environment({}), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as box:
            self.assertEqual(box.stdout.readline(), "up\n")
            with socket.create_connection((address, port), 20) as s:
                s.sendall(b"from outside")
                answer = s.recv(100)
            self.assertEqual((answer, box.wait(20)), (b"FROM OUTSIDE", 0))
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((address, port), 5)

    def test_publish(self):
        port = nettest.free_port()
        self.visit(["--publish", f"{port}:3000"], "127.0.0.1", "127.0.0.1", port)
        self.visit(["--publish", f"{port}:3000"], "::1", "127.0.0.1", port)
        self.visit(["--publish", f"[::1]:{port}:3000"], "127.0.0.1", "::1", port)

    def test_published_ports_are_loopback_unless_said(self):
        port = nettest.free_port()
        argv = [*self.launcher(self.spec()), "--publish", str(port), "--", "sh", "-c", "echo up; read x"]
        with subprocess.Popen(argv, cwd=self.scratch, env=self.environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as box:
            self.assertEqual(box.stdout.readline(), "up\n")
            with open("/proc/net/tcp", encoding="ascii") as f:
                listening = [line.split()[1] for line in f if line.split()[3] == "0A"]
            box.communicate("\n")
        self.assertIn(f"0100007F:{port:04X}", listening)
        self.assertNotIn(f"00000000:{port:04X}", listening)

    def test_visitors_of_a_published_port_leave_room(self):
        """Who connects from outside and stays takes half of the connections, not those of the command."""
        port = nettest.free_port()
        argv = [*self.launcher(self.spec(["raw.test:9000"], maps={"raw.test:9000": self.echo.port})), "--publish", f"{port}:3000", "--",
                nettest.PYTHON, "-c", nettest.PRELUDE + """
import threading
server = socket.create_server(("127.0.0.1", 3000), backlog=1024); held = []
def serve():
    while True: held.append(server.accept()[0])
threading.Thread(target=serve, daemon=True).start()
print("up", flush=True)
def asked():
    s = connect("raw.test", 9000); s.sendall(b"ping"); return s.recv(4)
for line in sys.stdin: print(outcome(asked), flush=True)
"""]
        box = subprocess.Popen(argv, cwd=self.scratch, env=self.environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1500, 1500)))
        with box:
            self.assertEqual(box.stdout.readline(), "up\n")
            visitors, gone = [], select.poll()  # the server never sends: what can be read was reset
            for _ in range(500):
                try:
                    visitors.append(socket.create_connection(("127.0.0.1", port), 10))
                    gone.register(visitors[-1], select.POLLIN)
                except ConnectionResetError:  # at once
                    pass
            turned_away = lambda: 500 - len(visitors) + len(gone.poll(0))
            self.until(lambda: turned_away() > 250)
            box.stdin.write("ask\n")
            box.stdin.flush()
            self.assertEqual(box.stdout.readline(), "b'ping'\n")
            self.assertLess(turned_away(), 400)
            for visitor in visitors:
                visitor.close()
            _, err = box.communicate(timeout=60)
        self.assertIn("half of them for published ports", err)

    def test_a_taken_port_runs_nothing(self):
        canary = self.scratch + "/ran"
        run = self.run_with(["--publish", f"{self.echo.port}:3000"], "touch", canary)
        self.assertEqual(run.code, 125, run)
        self.assertIn(f"127.0.0.1:{self.echo.port}: EADDRINUSE", run.err)
        self.assertIn("choose another port", run.err)
        with socket.socket(socket.AF_INET6) as held:
            held.bind(("::1", 0))
            held.listen()
            port = held.getsockname()[1]
            run = self.run_with(["--publish", f"[::1]:{port}:3000"], "touch", canary)
            self.assertIn(f"[::1]:{port}: EADDRINUSE", run.err)
        run = self.run_with(["--host-port", f"3128:{self.echo.port}"], "touch", canary)
        self.assertEqual(run.code, 125, run)
        self.assertIn("127.0.0.1:3128: EADDRINUSE", run.err)
        # Of two that share a privileged port, each would get some of the connections.
        for ports in (["53"], [f"81:{self.echo.port}", f"81:{self.echo.port + 1}"]):
            run = self.run_with([f"--host-port={port}" for port in ports], "touch", canary)
            self.assertEqual(run.code, 125, run)
            self.assertIn(f"127.0.0.1:{ports[0].split(':')[0]}: EADDRINUSE", run.err)
        self.assertFalse(os.path.exists(canary))


class Session:
    """`dirbox run` around a Python loop that evaluates the lines it gets."""
    CODE = """
print(os.environ["DIRBOX"], flush=True)
def status(host, port=80):
    head = b"GET http://%s:%d/ HTTP/1.1\\r\\nHost: %s:%d\\r\\nConnection: close\\r\\n\\r\\n" % (host.encode(), port, host.encode(), port)
    return proxy(head)[9:12].decode()
for line in sys.stdin:
    print(outcome(lambda: eval(line)), flush=True)
"""

    def __init__(self, test, spec, environment=None, code=CODE):
        self.environment = environment or test.environment(spec)
        argv = [*test.launcher(spec), "--", nettest.PYTHON, "-c", nettest.PRELUDE + code]
        self.box = subprocess.Popen(argv, cwd=test.scratch, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
        for stream in self.box.stdin, self.box.stdout, self.box.stderr:
            test.addCleanup(stream.close)
        test.addCleanup(self.box.wait)
        test.addCleanup(self.box.kill)
        self.id = self.box.stdout.readline().strip()
        # Its directory is made once the command has lived for a moment.
        deadline = time.monotonic() + 20
        while self.id not in self.dirbox("ps").out and time.monotonic() < deadline:
            pass

    def ask(self, expression):
        self.box.stdin.write(expression + "\n")
        self.box.stdin.flush()
        return self.box.stdout.readline().strip()

    def dirbox(self, *arguments):
        return dirbox(*arguments, environment=self.environment)

    def end(self):
        """What it says at its end."""
        self.box.stdin.close()
        text = self.box.stderr.read()
        self.box.wait()
        return text


HELLOS = """
def hello(host):
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); t = ssl.create_default_context().wrap_bio(i, o, server_hostname=host)
    try: t.do_handshake()
    except ssl.SSLWantReadError: pass
    return o.read()
HELD = {}
def begin(host):
    direct, tunnel = connect(host, 443), connect("127.0.0.1", 3128)
    tunnel.sendall(b"CONNECT %s:443 HTTP/1.1\\r\\nHost: %s:443\\r\\n\\r\\n" % ((host.encode(),) * 2)); assert tunnel.recv(100)[9:12] == b"200"
    HELD[host] = direct, tunnel
    for s in HELD[host]: s.sendall(hello(host)[:40])
    return len(HELD[host])
def passes(s, rest):
    s.sendall(rest)
    try: return s.recv(1) == b"\\x16"  # the echo; not an alert
    except ConnectionResetError: return False
def finish(host): return sum(passes(s, hello(host)[40:]) for s in HELD[host])
for line in"""


class Grants(Launcher):
    def session(self, allow=(), deny=(), **more):
        maps = {"g.test:80": self.web.port, "h.test:80": self.web.port, "raw.test:9000": self.echo.port, "low.test:25": self.echo.port}
        return Session(self, self.spec(allow, deny, maps=maps), **more)

    def test_grant_and_revoke(self):
        """Before the proxy runs, and while it does."""
        for warm in False, True:
            with self.subTest(proxy_runs=warm):
                box = self.session(["h.test"])
                if warm:
                    self.assertEqual(box.ask('status("g.test")'), "403")
                seen = len(self.web.requests)
                done = box.dirbox("grant", box.id, "g.test:80")
                self.assertEqual(done.code, 0, done)
                self.assertRegex(done.out, r"(?m)^allow +h\.test +\S+\.toml:\d+:\d+$")
                self.assertRegex(done.out, r"(?m)^allow +g\.test:80 +dirbox grant$")
                self.assertEqual(box.ask('status("g.test")'), "200")
                self.assertEqual(box.ask('bool(socket.gethostbyname("g.test"))'), "True")
                self.assertEqual(len(self.web.requests), seen + 1)
                for rule in "g.test", "h.test":
                    self.assertEqual(box.dirbox("revoke", box.id, rule).code, 0)
                self.assertEqual(box.ask('status("g.test"), status("h.test")'), "('403', '403')")
                self.assertEqual(len(self.web.requests), seen + 1)
                end = box.end()
                self.assertIn("dirbox: rules: granted g.test:80\n", end)
                self.assertIn("dirbox: rules: revoked h.test\n", end)
                log = box.dirbox("log", box.id)
                self.assertRegex(log.out, r"(?s)granted g\.test:80.*revoked g\.test.*revoked h\.test", log)

    def test_revoke_holds_for_what_waits_for_its_verdict(self):
        """A ClientHello that is half there when its name is revoked reaches nobody, however it came."""
        taken = self.serve(nettest.Recorder())
        spec = self.spec(["tls.test", "other.test"], maps={"tls.test:443": taken.port, "other.test:443": taken.port})
        box = Session(self, spec, code=Session.CODE.replace("for line in", HELLOS, 1))
        self.assertEqual(box.ask("begin('tls.test'), begin('other.test')"), "(2, 2)")
        self.assertEqual(box.dirbox("revoke", box.id, "tls.test").code, 0)
        self.assertEqual(box.ask("finish('other.test')"), "2")
        self.assertEqual(taken.received.count(b"other.test"), 2)
        self.assertEqual(box.ask("finish('tls.test')"), "0")
        self.assertNotIn(b"tls.test", taken.received)
        self.assertIn("tls.test:443 (deny-rule", box.end())

    def kept_alive(self, allow):
        """A session with three connections to g.test:80 that stay open: direct, by URL and through a tunnel."""
        code = Session.CODE.replace("for line in", """
def head(url): return b"GET %s/k HTTP/1.1\\r\\nHost: g.test\\r\\n\\r\\n" % url
def opened():
    tunnel = connect("127.0.0.1", 3128); tunnel.sendall(b"CONNECT g.test:80 HTTP/1.1\\r\\nHost: g.test:80\\r\\n\\r\\n"); assert tunnel.recv(100)[9:12] == b"200"
    return [(connect("g.test", 80), b""), (connect("127.0.0.1", 3128), b"http://g.test"), (tunnel, b"")]
def again(s, url):
    s.sendall(head(url)); answer = b""
    while not answer.endswith(b"hello /k\\n") and (piece := s.recv(65536)): answer += piece
    return answer[9:12].decode()
KEPT = []
def all_again():
    KEPT[:] = KEPT or opened()
    return [again(*c) for c in KEPT]
for line in""", 1)
        return self.session(allow, code=code)

    def test_revoke_between_two_requests_of_one_connection(self):
        box = self.kept_alive(["g.test", "h.test"])
        for _ in range(2):
            self.assertEqual(box.ask("all_again()"), "['200', '200', '200']")
        kept = {request[3] for request in self.web.requests[-6:]}
        self.assertEqual(len(kept), 3, "each connection of the client's has one to the server")
        # Rules that leave the name alone: the request passes, by a connection that the rules in force allow.
        self.assertEqual(box.dirbox("revoke", box.id, "h.test").code, 0)
        self.assertEqual(box.ask("all_again()"), "['200', '200', '200']")
        self.assertFalse(kept & {request[3] for request in self.web.requests[-3:]}, "an address that was judged by older rules")
        seen = len(self.web.requests)
        self.assertEqual(box.dirbox("revoke", box.id, "g.test").code, 0)
        self.assertEqual(box.ask("all_again()"), "['403', '403', '403']")
        self.assertEqual(len(self.web.requests), seen)

    def test_revoke_when_the_sandbox_has_used_up_descriptors_on_their_way(self):
        """The kernel counts them for all processes of a user, and lets none be sent beyond the sender's RLIMIT_NOFILE."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        box = self.kept_alive(["g.test"])
        self.assertEqual(box.ask("all_again()"), "['200', '200', '200']")
        box.ask("(r := __import__('resource')).setrlimit(r.RLIMIT_NOFILE, (r.getrlimit(r.RLIMIT_NOFILE)[1],) * 2)")
        fill = "(p := socket.socketpair())[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('250i', *[0] * 250))])"
        self.assertEqual(box.ask(f"globals().setdefault('kept', [(({fill}), p) for _ in range(8)]) and 'filled'"), "filled")
        self.assertEqual(box.dirbox("revoke", box.id, "g.test").code, 0)
        self.assertEqual(box.ask("all_again()"), "['403', '403', '403']")

    def test_a_grant_that_ends_between_two_requests(self):
        box = self.kept_alive([])
        self.assertEqual(box.dirbox("grant", "--for", "2s", box.id, "g.test").code, 0)
        answers = [box.ask("all_again()")]
        deadline = time.monotonic() + 30
        while answers[-1] == "['200', '200', '200']":
            self.assertLess(time.monotonic(), deadline)
            answers.append(box.ask("all_again()"))
        self.assertGreater(len(answers), 1, answers)
        self.assertRegex(answers[-1], r"^\['(200|403)', '(200|403)', '403'\]$")

    def test_revoke_while_the_server_is_dialled(self):
        """A server that takes the connection only after its name was revoked gets not a byte of it."""
        deaf = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(deaf.close)
        port, held = deaf.getsockname()[1], []
        for _ in range(4):  # until its queue is full
            s = socket.socket()
            self.addCleanup(s.close)
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            held.append(s)
        maps = {f"deaf.test:{p}": port for p in (80, 9000)}
        code = Session.CODE.replace("for line in", """
WAITING = []
def begin():
    raw, web = connect("deaf.test", 9000), connect("127.0.0.1", 3128)
    raw.sendall(b"secret"); web.sendall(b"GET http://deaf.test/secret HTTP/1.1\\r\\nHost: deaf.test\\r\\n\\r\\n")
    WAITING.extend((raw, web)); return len(WAITING)
for line in""", 1)
        box = Session(self, self.spec(["deaf.test", "deaf.test:9000"], maps=maps), code=code)
        self.assertEqual(box.ask("begin()"), "2")
        self.assertEqual(box.dirbox("revoke", box.id, "deaf.test").code, 0)
        for s in held:
            s.close()
        taken = []

        def take():
            with contextlib.suppress(OSError):
                while True:
                    client = deaf.accept()[0]
                    client.settimeout(20)
                    with client, contextlib.suppress(ConnectionResetError):
                        taken.append(client.recv(100))

        threading.Thread(target=take, daemon=True).start()
        self.assertEqual(box.ask("[outcome(lambda: s.recv(12)) for s in WAITING]"), """['ECONNRESET', "b'HTTP/1.1 403'"]""")
        self.assertEqual(set(taken) - {b""}, set())
        self.assertEqual(len(re.findall("deny-rule", box.end())), 2)

    def test_a_high_port_is_transparent_after_a_grant(self):
        box = self.session()
        self.assertNotEqual(box.ask('connect("raw.test", 9000)'), "")
        self.assertEqual(box.dirbox("grant", box.id, "raw.test:9000").code, 0)
        self.assertEqual(box.ask('(lambda s: (s.sendall(b"ping"), s.recv(4)))(connect("raw.test", 9000))'), "(None, b'ping')")

    def test_a_privileged_port_needs_a_restart(self):
        box = self.session()
        done = box.dirbox("grant", box.id, "low.test:25")
        self.assertEqual(done.code, 0, done)
        self.assertIn("nothing listens on port 25 inside", done.err)
        self.assertIn("restart", done.err)
        self.assertEqual(box.ask('connect("low.test", 25)'), "ECONNREFUSED")
        self.assertEqual(box.ask('(lambda s: (s.sendall(b"CONNECT low.test:25 HTTP/1.1\\r\\nHost: low.test:25\\r\\n\\r\\n"), s.recv(12))[1])'
                                 '(connect("127.0.0.1", 3128))'), "b'HTTP/1.1 200'")

    def test_a_grant_ends_by_itself(self):
        box = self.session()
        done = box.dirbox("grant", "--for", "1s", "--json", box.id, "g.test")
        rules = json.loads(done.out)["rules"]
        self.assertEqual([(r["rule"], r["deny"], r["seconds"]) for r in rules], [("g.test", False, 1)], done)
        self.assertEqual(box.ask('status("g.test")'), "200")
        deadline = time.monotonic() + 30
        while box.ask('status("g.test")') != "403":
            self.assertLess(time.monotonic(), deadline)
        self.assertIn("dirbox: rules: over: g.test\n", box.end())

    def test_what_is_wrong_changes_nothing(self):
        box = self.session(["h.test"], ["no.test"])
        for rule, words in {"*": "every name", "no.test": "refuses it", "https://g.test/": "not a URL", "@nonesuch": "no such bundle"}.items():
            done = box.dirbox("grant", box.id, rule)
            self.assertEqual(done.code, 125, done)
            self.assertIn(words, done.err)
        for arguments in ["grant", "--for", "soon", box.id, "g.test"], ["grant", box.id], ["grant"], ["grant", "0" * 12, "g.test"], \
                ["grant", "../" + box.id, "g.test"], ["revoke", "", "g.test"]:
            self.assertEqual(box.dirbox(*arguments).code, 125, arguments)
        self.assertEqual(box.ask('status("g.test"), status("h.test"), status("no.test")'), "('403', '200', '403')")

    def test_a_closed_network_stays_closed(self):
        box = self.session()
        self.assertEqual(box.ask('status("g.test")'), "403")
        with open(f"/proc/{box.box.pid}/task/{box.box.pid}/children", encoding="ascii") as f:
            proxy = next(p for p in f.read().split() if b"__proxy" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes())
        end = os.pidfd_open(int(proxy))
        self.addCleanup(os.close, end)
        os.kill(int(proxy), 9)
        select.select([end], [], [])
        deadline = time.monotonic() + 30
        while (done := box.dirbox("grant", box.id, "g.test")).code == 0:
            self.assertLess(time.monotonic(), deadline)
        self.assertIn("the network is closed", done.err)
        self.assertEqual(box.ask('status("g.test")'), "ECONNREFUSED")

    def test_many_grants_at_once(self):
        box = self.session()
        self.assertEqual(box.ask('status("g.test")'), "403")
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(box.dirbox("grant", box.id, f"n{i}.test").code)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [0] * 12)
        done = box.dirbox("grant", box.id, "g.test")
        self.assertEqual(len(re.findall(r"(?m)^allow +n\d+\.test ", done.out)), 12, done)

    def test_ps(self):
        box = self.session()
        rows = json.loads(box.dirbox("ps", "--json").out)
        row = next(r for r in rows if r["session"] == box.id)
        self.assertEqual((row["pid"], row["cwd"]), (box.box.pid, self.scratch))
        self.assertIn(f"{box.id}  {box.box.pid}", box.dirbox("ps").out)
        box.end()
        self.assertNotIn(box.id, box.dirbox("ps").out)

    def test_a_session_that_is_stopped(self):
        """As by Ctrl-Z: it is listed, and nobody waits for it."""
        box = self.session()
        os.kill(box.box.pid, signal.SIGSTOP)
        try:
            rows = json.loads(box.dirbox("ps", "--json").out)
            self.assertIn({"session": box.id, "pid": box.box.pid, "stopped": True}, rows)
            self.assertRegex(box.dirbox("ps").out, f"{box.id} +{box.box.pid} +- +- +stopped")
            done = box.dirbox("grant", box.id, "a.test")
            self.assertEqual(done.code, 125, done)
            self.assertIn(f"it is stopped\nhint: kill -CONT {box.box.pid}", done.err)
        finally:
            os.kill(box.box.pid, signal.SIGCONT)
        self.assertEqual(box.dirbox("grant", box.id, "a.test").code, 0)

    def test_no_control_socket_inside(self):
        copy = os.path.join(self.scratch, "dirbox")
        subprocess.run(["cp", nettest.DIRBOX, copy], check=True)
        run = self.run_with([], "sh", "-c", './dirbox ps; ./dirbox grant "$DIRBOX" g.test; echo $?; ls -A /tmp /run/*; '
                            'grep -c dirbox /proc/net/unix')
        self.assertIn("no control socket: this is inside a sandbox", run.err, run)
        self.assertEqual(run.out.splitlines()[1:], ["125", "/run/dirbox:", "policy.json", "policy.txt", "", "/tmp:", "0"], run)

    def test_its_directory(self):
        """In the runtime directory of the user's own, else in /run or /tmp; nothing stays, not even after SIGKILL."""
        runtime = os.path.join(self.scratch, "runtime")
        os.mkdir(runtime, 0o700)
        environment = {**self.environment({}), "XDG_RUNTIME_DIR": runtime}
        box = self.session(environment=environment)
        folder = os.path.join(runtime, "dirbox", box.id)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(folder)).st_mode), 0o700)
        self.assertTrue(stat.S_ISSOCK(os.stat(folder + "/control").st_mode))
        box.box.kill()
        box.box.wait()
        second = self.session(environment=environment)
        self.assertEqual(os.listdir(runtime + "/dirbox"), [second.id])
        second.end()
        self.assertEqual(os.listdir(runtime), [])
        # One that others may write is passed over.
        os.chmod(runtime, 0o777)
        third = self.session(environment=environment)
        fallback = self.run_root("")
        self.assertTrue(os.path.exists(f"{fallback}/{third.id}/control"))
        third.end()
        self.assertFalse(os.path.exists(f"{fallback}/{third.id}"))

    def test_a_session_without_a_control_socket_still_runs(self):
        runtime = os.path.join(self.scratch, "blocked")
        os.mkdir(runtime, 0o700)
        with open(runtime + "/dirbox", "w", encoding="ascii"):
            pass
        environment = {**self.environment({}), "XDG_RUNTIME_DIR": runtime}
        # The directory is for commands that live for a moment.
        done = subprocess.run([*self.launcher(self.spec()), "--", "sh", "-c", "sleep 0.1; echo ran"], capture_output=True, text=True,
                              env=environment, cwd=self.scratch, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "ran\n"), done)
        self.assertIn("dirbox ps and grant cannot see this session", done.stderr)

    def test_only_the_user_outside_is_heard(self):
        """Another user namespace of the same user, as a sandbox is one, gets no answer."""
        box = self.session()
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        root = self.run_root(base)
        code = f"""
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect({os.path.join(root, box.id, 'control')!r})
s.sendall(b'{{"verb": "info"}}'); print(len(s.recv(1)))
"""
        outside = subprocess.run([nettest.PYTHON, "-c", code], capture_output=True, text=True, timeout=60)
        self.assertEqual(outside.stdout, "1\n", outside)
        within = subprocess.run(["unshare", "-Ur", nettest.PYTHON, "-c", code], capture_output=True, text=True, timeout=60)
        self.assertNotIn("1", within.stdout, within)

    @staticmethod
    def run_root(runtime):
        if runtime and os.stat(runtime).st_uid == os.geteuid() and stat.S_IMODE(os.stat(runtime).st_mode) & 0o77 == 0:
            return runtime + "/dirbox"
        namespace = os.stat("/proc/self/ns/user").st_ino
        if namespace != 0xeffffffd:
            return f"/tmp/dirbox-{os.geteuid()}-{namespace}"
        login = f"/run/user/{os.geteuid()}"
        if os.path.isdir(login) and os.stat(login).st_uid == os.geteuid():
            return login + "/dirbox"
        return f"/tmp/dirbox-{os.geteuid()}" if os.geteuid() != 0 else "/run/dirbox"


if __name__ == "__main__":
    nettest.suite.run(verbosity=2)
