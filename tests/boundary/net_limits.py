"""Many, slow, long and cut connections; the proxy's own confinement, end and death."""
import os
import select
import signal
import subprocess
import threading

import nettest


class Limits(nettest.NetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.web = cls.serve(nettest.Web())
        cls.echo = cls.serve(nettest.Recorder())

    def policy(self, **more):
        maps = {"allowed.test:80": self.web.port, "raw.test:9000": self.echo.port, "raw.test:443": self.echo.port}
        return self.spec(["allowed.test", "raw.test:9000", "raw.test:443"], maps=maps, **more)

    def test_slow_clients_keep_nobody_out(self):
        """1 000 connections that never finish a head, on each kind of listener."""
        run = self.inside(self.policy(), """
import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
slow = []
for i in range(1000):
    host, port, data = [("127.0.0.1", 3128, b"GET http://allowed.test/ HTTP/1.1\\r\\nX: "), ("127.0.0.1", 3128, b"\\x05"),
                        ("allowed.test", 80, b"GET / HT"), ("raw.test", 443, b"\\x16\\x03\\x01\\x02\\x00")][i % 4]
    s = connect(host, port); s.sendall(data); slow.append(s)
start = time.monotonic()
for i in range(20):
    a = ask(80, b"GET /s HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test")
    assert a.endswith(b"hello /s\\n"), a
print(time.monotonic() - start < 5, len(slow))
""", timeout=120)
        self.assertEqual(run.out, "True 1000\n", run)

    def test_pending_limit_evicts_the_oldest(self):
        run = self.inside(self.policy(limits={"max_pending": 10}), """
slow = [connect("127.0.0.1", 3128) for _ in range(30)]
a = ask(80, b"GET /s HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test"); print(a[-9:])
print(read_all(slow[0])); slow[-1].settimeout(0.2); print(read_all(slow[-1]))
""")
        self.assertEqual(run.out.splitlines(), ["b'hello /s\\n'", "b'<RST>'", "b'<TIMEOUT>'"], run)
        self.assertIn("too-many-connections", run.causes())

    def test_connection_limit(self):
        run = self.inside(self.policy(limits={"max_connections": 5}), """
held = []
for _ in range(5):
    s = connect("raw.test", 9000); s.sendall(b"x"); s.recv(1); held.append(s)
def try_once():
    s = connect("raw.test", 9000); s.sendall(b"y"); return s.recv(1)
print(outcome(try_once)); held.pop().close()
while (got := outcome(try_once)) == "ECONNRESET": pass
print(got)
""")
        self.assertEqual(run.out.splitlines(), ["ECONNRESET", "b'y'"], run)

    def test_header_and_idle_timeouts(self):
        run = self.inside(self.policy(limits={"header_timeout": 1, "idle_timeout": 1}), """
s = connect("127.0.0.1", 3128); s.sendall(b"GET"); print(read_all(s))
s = connect("raw.test", 9000); s.sendall(b"x"); print(s.recv(1), read_all(s))
""")
        self.assertEqual(run.out.splitlines(), ["b''", "b'x' b'<RST>'"], run)

    def test_half_close_both_ways(self):
        def server(s):
            data = b""
            while piece := s.recv(65536):
                data += piece
            s.sendall(b"got %d" % len(data))

        upper = nettest.Recorder(on_connection=server)
        self.addCleanup(upper.close)
        first = nettest.Recorder(on_connection=lambda s: (s.sendall(b"bye"), s.shutdown(1), self.late.append(s.recv(100))))
        self.late = []
        self.addCleanup(first.close)
        spec = self.spec(["a.test:9000", "b.test:9000"], maps={"a.test:9000": upper.port, "b.test:9000": first.port})
        run = self.inside(spec, """
s = connect("a.test", 9000); s.sendall(b"z" * 3000000); s.shutdown(socket.SHUT_WR); print(read_all(s))
s = connect("b.test", 9000); print(read_all(s)); s.sendall(b"late"); s.close()
""")
        self.assertEqual(run.out.splitlines(), ["b'got 3000000'", "b'bye'"], run)
        self.assertEqual(self.late, [b"late"])

    def test_back_pressure(self):
        """A server that reads nothing stops the client; the proxy does not buffer for it."""
        go = threading.Event()

        def server(s):
            go.wait(30)
            total = 0
            while piece := s.recv(1 << 20):
                total += len(piece)
            s.sendall(b"%d" % total)

        slow = nettest.Recorder(on_connection=server)
        self.addCleanup(slow.close)
        self.addCleanup(go.set)
        flag = os.path.join(self.scratch, "stalled")
        os.mkfifo(flag)
        spec = self.spec(["slow.test:9000"], maps={"slow.test:9000": slow.port})

        def release():
            open(flag, "rb").close()  # waits for the writer
            go.set()

        threading.Thread(target=release, daemon=True).start()
        run = self.inside(spec, """
s = connect("slow.test", 9000); s.settimeout(1); sent = 0
try:
    while sent < 200 << 20: sent += s.send(b"q" * 65536)
except TimeoutError: pass
print(sent < 64 << 20)
open(sys.argv[1], "w").close()
s.settimeout(30); s.shutdown(socket.SHUT_WR); print(int(read_all(s)) == sent)
""", flag)
        self.assertEqual(run.out.splitlines(), ["True", "True"], run)

    def test_large_transfers_and_counters(self):
        run = self.inside(self.policy(), """
s = connect("raw.test", 9000); block = os.urandom(1 << 20); got = b""
import threading
t = threading.Thread(target=lambda: [s.sendall(block) for _ in range(20)] and s.shutdown(socket.SHUT_WR)); t.start()
got = read_all(s); print(got == block * 20)
a = ask(80, b"GET /big5000000 HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test"); print(len(a) > 5000000)
""")
        self.assertEqual(run.out.split(), ["True", "True"], run)
        count = run.count("raw.test")
        self.assertEqual((count["connections"], count["uploaded"], count["downloaded"]), (1, 20 << 20, 20 << 20), run)
        self.assertGreater(run.count("allowed.test")["downloaded"], 5000000)

    def test_byte_limits(self):
        limits = [{"name": "raw.test", "max_upload": 100000}, {"name": "allowed.test", "max_download": 50000}]
        run = self.inside(self.policy(name_limits=limits), """
s = connect("raw.test", 9000); out = b""
try:
    s.sendall(b"x" * 200000)
except OSError: pass
print(b"<RST>" in read_all(s))
print(len(ask(80, b"GET /big500000 HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test")) < 60000)
""")
        self.assertEqual(run.out.split(), ["True", "True"], run)
        self.assertLessEqual(len(self.echo.seen[-1]), 100000)
        self.assertEqual(run.count("raw.test")["uploaded"], 100000)
        self.assertIn("byte-limit", run.causes(), run)

    def test_rate(self):
        """600 KB in both directions at 200 KB/s, less a bucket of one second: two seconds at least."""
        run = self.inside(self.policy(name_limits=[{"name": "raw.test", "rate": 200000}]), """
start = time.monotonic(); s = connect("raw.test", 9000); s.sendall(b"x" * 300000); s.shutdown(socket.SHUT_WR)
print(len(read_all(s)), time.monotonic() - start > 1.9)
""")
        self.assertEqual(run.out, "300000 True\n", run)

    def test_random_probes_of_denied_hosts(self):
        run = self.inside(self.policy(), """
import random; random.seed(7); passed = 0
for i in range(300):
    h = b"d%d.test" % random.randrange(20)
    a = proxy(random.choice([b"CONNECT %s:443 HTTP/1.1\\r\\nHost: %s:443\\r\\n\\r\\n" % (h, h), b"GET http://%s/ HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (h, h)]))
    passed += a[9:12] != b"403"
print(passed)
""")
        self.assertEqual(run.out, "0\n", run)

    def test_first_connection_does_not_race(self):
        for _ in range(20):
            run = self.inside(self.policy(), 'connect("127.0.0.1", 3128).close(); connect("127.0.0.1", 53).close(); print(1)')
            self.assertEqual(run.out, "1\n", run)


class Process(nettest.NetTest):
    """The proxy's own state. The first connection starts it."""

    def proxy_of(self, launcher):
        with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as f:
            children = f.read().split()
        for pid in children:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if f.read().split(b"\0")[1:2] == [b"__proxy"]:
                    return int(pid)
        return None

    def start(self, code):
        spec = self.spec(["allowed.test"])
        box = subprocess.Popen([*self.launcher(spec), "--", nettest.PYTHON, "-c", nettest.PRELUDE + code], cwd=self.scratch,
                               env=self.environment(spec), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stream in box.stdin, box.stdout, box.stderr:
            self.addCleanup(stream.close)
        self.addCleanup(box.wait)
        self.addCleanup(box.kill)
        self.assertEqual(box.stdout.readline(), "ready\n")
        self.assertIsNone(self.proxy_of(box.pid))
        box.stdin.write("\n")
        box.stdin.flush()
        self.assertEqual(box.stdout.readline(), "up\n")
        return box, self.proxy_of(box.pid)

    CODE = """
print("ready", flush=True); sys.stdin.readline()
proxy(b"GET / HTTP/1.1\\r\\n\\r\\n")
print("up", flush=True); sys.stdin.readline()
print(outcome(lambda: connect("127.0.0.1", 3128).close()), flush=True); print("alive", flush=True)
"""

    def test_confinement(self):
        box, proxy = self.start(self.CODE)
        with open(f"/proc/{proxy}/status", encoding="ascii") as f:
            status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        for capabilities in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
            self.assertEqual(int(status[capabilities], 16), 0, capabilities)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        for task in os.listdir(f"/proc/{proxy}/task"):
            with open(f"/proc/{proxy}/task/{task}/status", encoding="ascii") as f:
                self.assertIn("Seccomp:\t2", f.read())
        if os.geteuid() == 0:  # its /proc files belong to root alone: it is not dumpable
            self.assertNotEqual(os.readlink(f"/proc/{proxy}/ns/user"), os.readlink("/proc/self/ns/user"))
            self.assertEqual(os.readlink(f"/proc/{proxy}/ns/net"), os.readlink("/proc/self/ns/net"))
        else:
            with self.assertRaises(PermissionError):
                os.readlink(f"/proc/{proxy}/ns/user")
        box.stdin.write("\n")
        box.stdin.flush()
        self.assertEqual(box.stdout.read(), "None\nalive\n")

    def test_its_death_closes_the_network(self):
        box, proxy = self.start(self.CODE)
        end = os.pidfd_open(proxy)
        self.addCleanup(os.close, end)
        os.kill(proxy, signal.SIGKILL)
        select.select([end], [], [])
        box.stdin.write("\n")
        box.stdin.flush()
        self.assertEqual(box.stdout.read(), "ECONNREFUSED\nalive\n")
        self.assertIn("dirbox: the proxy ended before the session; the network is closed", box.stderr.read())
        self.assertEqual(box.wait(), 0)

    def test_it_dies_with_its_supervisor(self):
        box, proxy = self.start(self.CODE)
        end = os.pidfd_open(proxy)
        self.addCleanup(os.close, end)
        box.kill()
        self.assertEqual(select.select([end], [], [], 60)[0], [end])


if __name__ == "__main__":
    nettest.unittest.main(verbosity=2)
