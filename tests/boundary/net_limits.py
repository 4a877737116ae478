"""Many, slow, long and cut connections; the proxy's own confinement, end and death."""
import os
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time

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
        self.assertIn("too-many-connections", run.causes())

    def test_few_descriptors(self):
        """Listeners that names ask for leave room for connections."""
        maps = {"allowed.test:80": self.web.port, "n1.wild.test:8000": self.echo.port, "n29.wild.test:8000": self.echo.port}
        spec = self.spec(["allowed.test", "*.wild.test:8000-8063"], maps=maps)
        code = """
for i in range(30): socket.gethostbyname("n%d.wild.test" % i)
def raw(name): s = connect(name, 8000); s.sendall(b"x"); return s.recv(1)
print(outcome(lambda: raw("n1.wild.test")), outcome(lambda: raw("n29.wild.test")),
      ask(80, b"GET /f HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test")[-9:])
"""
        for limit, far in (None, "b'x'"), (1500, "ECONNREFUSED"):
            prefix = ["prlimit", f"--nofile={limit}:{limit}"] if limit else []
            done = subprocess.run([*prefix, *self.launcher(spec), "--", nettest.PYTHON, "-c", nettest.PRELUDE + code], capture_output=True, text=True,
                                  timeout=60, env=self.environment(spec), cwd=self.scratch)
            self.assertEqual(done.stdout, f"b'x' {far} b'hello /f\\n'\n", done)
            self.assertEqual("no listener for a port above 1023 beyond" in done.stderr, bool(limit), done)

    def test_header_and_idle_timeouts(self):
        run = self.inside(self.policy(limits={"header_timeout": 1, "idle_timeout": 1}), """
s = connect("127.0.0.1", 3128); s.sendall(b"GET"); print(read_all(s))
s = connect("raw.test", 9000); s.sendall(b"x"); print(s.recv(1), read_all(s))
""")
        self.assertEqual(run.out.splitlines(), ["b''", "b'x' b'<RST>'"], run)

    def test_urgent_data(self):
        """An urgent byte is passed on in line, in both directions, and what follows it."""
        def server(s):
            s.sendall(s.recv(1))
            s.send(b"U", socket.MSG_OOB)
            s.sendall(b"after")
            taken.append(b"")
            while data := s.recv(100):
                taken[-1] += data

        taken = []
        both = self.serve(nettest.Recorder(on_connection=server))
        code = """
s = connect(sys.argv[1], int(sys.argv[2])); s.sendall(b"a"); got = b""
while not got.endswith(b"after"): got += s.recv(100)
s.send(b"V", socket.MSG_OOB); s.sendall(b"more"); s.shutdown(socket.SHUT_WR)
print(got, read_all(s))
"""
        direct = subprocess.run([nettest.PYTHON, "-c", nettest.PRELUDE + code, "127.0.0.1", str(both.port)], capture_output=True, text=True, timeout=60)
        self.assertEqual(direct.stdout, "b'aafter' b''\n", direct)
        run = self.inside(self.spec(["both.test:9000"], maps={"both.test:9000": both.port}), code, "both.test", 9000)
        self.assertEqual(run.out, "b'aUafter' b''\n", run)
        self.assertEqual(taken, [b"more", b"Vmore"])

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
print(read_all(s)[-9:])
cut = ask(80, b"GET /big500000 HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test"); print(len(cut) < 60000, cut[-5:])
""")
        first, second = run.out.splitlines()
        self.assertIn("<RST>'", first, run)
        self.assertEqual(second, "True b'<RST>'", run)
        self.assertLessEqual(max(map(len, self.echo.seen), default=0), 100000)  # maybe not yet accepted
        self.assertEqual(run.count("raw.test")["uploaded"], 100000)
        self.assertLess(run.count("allowed.test")["downloaded"], 60000)
        self.assertIn("byte-limit", run.causes(), run)
        self.assertIn("dirbox: limit: raw.test (byte-limit", run.err, run)

    def test_byte_limits_hold_for_heads_hellos_and_names(self):
        """Bytes that are read before a verdict count too, and one more name is not one more limit."""
        sink = self.serve(nettest.Recorder(echo=False))
        web = self.serve(nettest.Recorder(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", echo=False))
        names = [f"n{i}.wild.test" for i in range(5)]
        maps = {"tls.test:443": sink.port, "web.test:80": web.port, **{name + ":9000": sink.port for name in names}}
        limits = [{"name": name, "max_upload": 100000} for name in ("tls.test", "web.test", "*.wild.test")]
        code = """
def hello(extra):
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); t = ssl.create_default_context().wrap_bio(i, o, server_hostname="tls.test")
    try: t.do_handshake()
    except ssl.SSLWantReadError: pass
    body = bytearray(o.read()[5:]); at = 38
    for width in 1, 2, 1: at += width + int.from_bytes(body[at:at+width], "big")  # session, ciphers, compressions
    length = int.from_bytes(body[at:at+2], "big") + 4 + len(extra)
    body[at:at+2] = struct.pack(">H", length); body += struct.pack(">HH", 0xabcd, len(extra)) + extra
    body[1:4] = (len(body) - 4).to_bytes(3, "big")
    return b"".join(b"\\x16\\x03\\x01" + struct.pack(">H", len(p)) + p for p in (bytes(body[k:k+16000]) for k in range(0, len(body), 16000)))
def send(host, port, data):
    s = connect(host, port); s.sendall(data)
    if port != 80: s.shutdown(socket.SHUT_WR)
    return s.recv(12)
for host, port, data in (("tls.test", 443, hello(b"S" * 40000)),
                         ("web.test", 80, b"GET / HTTP/1.1\\r\\nHost: web.test\\r\\nX: " + b"y" * 40000 + b"\\r\\n\\r\\n"), ("wild", 9000, b"z" * 40000)):
    print(host, [outcome(lambda: send("n%d.wild.test" % i if host == "wild" else host, port, data)) for i in range(5)])
"""
        run = self.inside(self.spec(["tls.test", "web.test", "*.wild.test:9000"], maps=maps, name_limits=limits), code)
        for server, most in (web, 100000), (sink, 200000):  # a reset takes what the server had not read
            self.assertLessEqual(len(server.received), most, run)
        self.assertEqual([run.count(name)["uploaded"] for name in ("tls.test", "web.test")], [100000] * 2, run)
        self.assertEqual(sum(run.count(name)["uploaded"] for name in names), 100000, run)
        self.assertIn("HTTP/1.1 403", run.out, run)
        self.assertIn("byte-limit", run.causes(), run)

    def test_rate(self):
        """600 KB in both directions at 200 KB/s, less a bucket of one second: two seconds at least."""
        run = self.inside(self.policy(name_limits=[{"name": "raw.test", "rate": 200000}]), """
start = time.monotonic(); s = connect("raw.test", 9000); s.sendall(b"x" * 300000); s.shutdown(socket.SHUT_WR)
print(len(read_all(s)), time.monotonic() - start > 1.9)
""")
        self.assertEqual(run.out, "300000 True\n", run)

    def test_rate_of_what_came_before_the_verdict(self):
        """To a server that has little room: waiting for the rate is not cut short by room, and nothing is lost."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 100)  # a small send buffer at the other end
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        pieces = []

        def server():
            s = listener.accept()[0]
            with s:
                while piece := s.recv(1 << 16):
                    pieces.append(len(piece))

        thread = threading.Thread(target=server)
        thread.start()
        self.addCleanup(thread.join)
        spec = self.spec(["slow.test:9000"], maps={"slow.test:9000": listener.getsockname()[1]}, name_limits=[{"name": "slow.test", "rate": 40000}])
        run = self.inside(spec, """
s = connect("127.0.0.1", 3128); s.sendall(b"CONNECT slow.test:9000 HTTP/1.1\\r\\nHost: slow.test:9000\\r\\n\\r\\n" + b"e" * 60000)
print(s.recv(12)); s.shutdown(socket.SHUT_WR); read_all(s)
""")
        thread.join(60)
        self.assertEqual((run.out, sum(pieces)), ("b'HTTP/1.1 200'\n", 60000), run)
        self.assertLess(len(pieces), 1500, "it came byte by byte")

    def test_an_answer_before_the_end_of_a_request(self):
        """A server that refuses a body (413) and closes has said so, however much of the body is left."""
        def server(s):
            nettest.read_head(s)
            s.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")

        rude = self.serve(nettest.Recorder(on_connection=server))
        run = self.inside(self.spec(["early.test"], maps={"early.test:80": rude.port}), """
answers = set()
for _ in range(100):
    s = connect("early.test", 80); s.sendall(b"POST / HTTP/1.1\\r\\nHost: early.test\\r\\nConnection: close\\r\\nContent-Length: 900000\\r\\n\\r\\n")
    try:
        for _ in range(15): s.sendall(b"x" * 60000)
    except OSError: pass
    answers.add(read_all(s)[:12])
print(answers)
""")
        self.assertEqual(run.out, "{b'HTTP/1.1 413'}\n", run)

    def test_a_kept_connection_that_ends_as_the_next_request_comes(self):
        """The client sees what it would see without a proxy, and tries again; an error of the proxy's own it would keep."""
        def server(s):
            nettest.read_head(s)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            s.recv(1024)

        once = self.serve(nettest.Recorder(on_connection=server))
        run = self.inside(self.spec(["once.test"], maps={"once.test:80": once.port}), """
def twice(s, url):
    for _ in range(2):
        s.sendall(b"GET %s/ HTTP/1.1\\r\\nHost: once.test\\r\\n\\r\\n" % url); answer = outcome(lambda: s.recv(1000)[-2:])
    return answer
print(twice(connect("once.test", 80), b""), twice(connect("127.0.0.1", 3128), b"http://once.test"))
""")
        self.assertEqual((run.out, run.causes()), ("ECONNRESET ECONNRESET\n", []), run)
        done = self.box(self.spec(["once.test"], maps={"once.test:80": once.port}), "curl", "-sS", "http://once.test/1", "http://once.test/2")
        self.assertEqual((done.code, done.out), (0, "okok"), done)

    def test_rate_of_heads(self):
        """Ten requests with heads of 30 KB at 100 KB/s, less a bucket of one second: two seconds at least."""
        run = self.inside(self.policy(name_limits=[{"name": "allowed.test", "rate": 100000}]), """
start = time.monotonic(); a = []
for i in range(10): a.append(ask(80, b"GET /s HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\nX: " + b"y" * 30000 + b"\\r\\n\\r\\n", "allowed.test")[-9:])
print(set(a), time.monotonic() - start > 1.9)
""")
        self.assertEqual(run.out, "{b'hello /s\\n'} True\n", run)

    def test_random_probes_of_denied_hosts(self):
        run = self.inside(self.policy(), """
import random; random.seed(7); passed = 0
for i in range(1000):
    h = b"d%d.test" % random.randrange(20)
    a = proxy(random.choice([b"CONNECT %s:443 HTTP/1.1\\r\\nHost: %s:443\\r\\n\\r\\n" % (h, h), b"GET http://%s/ HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (h, h)]))
    passed += a[9:12] != b"403"
print(passed)
""")
        self.assertEqual(run.out, "0\n", run)

    def test_a_client_that_leaves_in_the_middle(self):
        """Half-closed, then gone with bytes unread: a write to such a socket is EPIPE, and SIGPIPE for who lets it be."""
        def endless(s):
            try:
                while True:
                    s.sendall(b"x" * 65536)
            except OSError:
                pass

        server = nettest.Recorder(on_connection=endless)
        self.addCleanup(server.close)
        maps = {"stream.test:9000": server.port, "allowed.test:80": self.web.port}
        run = self.inside(self.spec(["stream.test:9000", "allowed.test"], maps=maps), """
for _ in range(50):
    s = connect("stream.test", 9000); s.shutdown(socket.SHUT_WR); s.recv(1); s.close()
print(ask(80, b"GET /e HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n", "allowed.test")[-9:])
""")
        self.assertEqual(run.out, "b'hello /e\\n'\n", run)

    def test_the_last_bytes_arrive(self):
        """What a command has sent when it ends is passed on, also when it ends at once."""
        taken = self.serve(nettest.Recorder(echo=False))
        maps = {"raw.test:9000": taken.port, "allowed.test:80": self.web.port}
        for i in range(30):
            run = self.box(self.spec(["raw.test:9000"], maps=maps), "bash", "-c", f"printf last{i} > /dev/tcp/raw.test/9000")
            self.assertEqual((run.code, run.count("raw.test")["uploaded"]), (0, len(f"last{i}")), run)
        self.until(lambda: sorted(taken.seen) == sorted(b"last%d" % i for i in range(30)))
        request = "POST /last HTTP/1.1\\r\\nHost: allowed.test\\r\\nContent-Length: 4\\r\\n\\r\\nbody"
        run = self.box(self.spec(["allowed.test"], maps=maps), "bash", "-c", f"printf '{request}' > /dev/tcp/allowed.test/80")
        self.until(lambda: self.web.requests[-1:] and self.web.requests[-1][1:] == ("/last", "allowed.test", b"body"))

    def test_a_large_rest_arrives_at_a_server_that_reads_late(self):
        ended, got = os.path.join(self.scratch, "ended"), []

        def server(s):
            while not os.path.exists(ended):
                threading.Event().wait(0.01)
            total = 0
            while piece := s.recv(65536):
                total += len(piece)
            got.append(total)

        late = self.serve(nettest.Recorder(on_connection=server))
        run = self.inside(self.spec(["raw.test:9000"], maps={"raw.test:9000": late.port}), """
s = connect("raw.test", 9000); s.setblocking(False); sent = 0
try:
    while sent < 8 << 20: sent += s.send(b"r" * 65536)
except BlockingIOError: pass
print(sent); open(sys.argv[1], "w").close()
""", ended)
        self.assertGreater(int(run.out), 1 << 20, run)
        self.assertEqual(run.count("raw.test")["uploaded"], int(run.out), run)
        self.until(lambda: got == [int(run.out)])

    def test_connect_timeout(self):
        """A server that never takes the connection: the client is told, and it is counted."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
            port, held = deaf.getsockname()[1], []
            for _ in range(4):  # until its queue is full
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", port))
                held.append(s)
            spec = self.spec(["deaf.test", "deaf.test:9000"], maps={f"deaf.test:{p}": port for p in (80, 443, 9000)}, limits={"connect_timeout": 1})
            run = self.inside(spec, """
print(proxy(b"CONNECT deaf.test:443 HTTP/1.1\\r\\nHost: deaf.test:443\\r\\n\\r\\n")[9:12], proxy(b"GET http://deaf.test/ HTTP/1.1\\r\\nHost: deaf.test\\r\\n\\r\\n")[9:12])
print(ask(9000, b"x", "deaf.test"))
""")
            for s in held:
                s.close()
        self.assertEqual(run.out.splitlines(), ["b'504' b'504'", "b'<RST>'"], run)
        self.assertEqual((run.causes(), run.count("deaf.test")["failed"]), (["timeout"] * 3, 3), run)

    def test_first_connection_does_not_race(self):
        argv = [*self.launcher(self.policy()), "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3128 4<>/dev/tcp/127.0.0.1/53; echo 1"]
        for _ in range(200):
            done = subprocess.run(argv, capture_output=True, text=True, env=self.environment({}), cwd=self.scratch, timeout=60)
            self.assertEqual(done.stdout, "1\n", done)


class Mix(nettest.NetTest):
    """Peers of both sides that break every habit, at once. Nothing is left of them."""
    CLIENT = """
import random, threading
seed, count = int(sys.argv[1]), int(sys.argv[2])
HELLO = bytes.fromhex("16030100510100004d0303") + bytes(32) + bytes.fromhex("0000021301010000220000001000" "0e00000b" "6d69782e74657374") + bytes(9)
SEEDS = [b"GET http://mix.test/a HTTP/1.1\\r\\nHost: mix.test\\r\\n\\r\\n", b"POST http://mix.test/ HTTP/1.1\\r\\nHost: mix.test\\r\\nContent-Length: 70000\\r\\n\\r\\n" + b"b" * 70000,
         b"POST http://mix.test/ HTTP/1.1\\r\\nHost: mix.test\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nabcde\\r\\n0\\r\\nT: x\\r\\n\\r\\n",
         b"CONNECT mix.test:443 HTTP/1.1\\r\\nHost: mix.test:443\\r\\n\\r\\n" + HELLO, b"CONNECT mix.test:9000 HTTP/1.1\\r\\nHost: mix.test:9000\\r\\n\\r\\n" + b"raw" * 50000,
         b"\\x05\\x01\\0\\x05\\x01\\0\\x03\\x08mix.test\\x23\\x28more", b"GET / HTTP/1.1\\r\\nHost: mix.test\\r\\n\\r\\n" * 20, b"GET / HTTP/1.0\\r\\n\\r\\n", HELLO, b"z" * 200000, b""]
def one(r):
    host, port = r.choice([("127.0.0.1", 3128)] * 3 + [("mix.test", 80), ("mix.test", 443), ("mix.test", 9000), ("127.0.0.1", 53)])
    data = bytearray(r.choice(SEEDS))
    for _ in range(r.choice((0, 0, 1, 3))):
        if data: data[r.randrange(min(len(data), 200))] = r.randrange(256)
    s = connect(host, port); s.settimeout(r.choice((0.01, 0.2)))
    if r.random() < 0.3: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    while data:
        step = r.choice((1, 7, 100, 65536)) if len(data) < 3000 else 65536
        s.send(data[:step]); del data[:step]
        if r.random() < 0.01: break
    if r.random() < 0.4: s.shutdown(socket.SHUT_WR)
    while r.random() < 0.8 and s.recv(65536): pass
    s.close()
def many(number):
    r = random.Random(seed * 100 + number)
    for _ in range(count): outcome(lambda: one(r))
threads = [threading.Thread(target=many, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print("over", flush=True)
deadline = time.monotonic() + 60
def room():
    held = [connect("echo.test", 9000) for _ in range(80)]
    for s in held: s.sendall(b"x")
    return [s.recv(1) for s in held] == [b"x"] * 80
while outcome(room) != "True" and time.monotonic() < deadline: pass
print(outcome(room), ask(80, b"GET /end HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: close\\r\\n\\r\\n", "good.test")[-11:])
"""

    def test_peers_without_manners(self):
        seed = random.randrange(1 << 30)
        r = random.Random(seed)
        answers = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 200 OK\r\n\r\n" + b"u" * 300000, b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
                   b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"HTTP/1.1 101 No\r\n\r\n", b"\0\xff garbage", b"\x16\x03\x03\0\2\2\x28"]

        def server(s):
            s.settimeout(0.2)
            try:
                if r.random() < 0.7:
                    s.recv(r.choice((1, 4096)))
                answer = r.choice(answers)
                s.sendall(answer[:r.choice((len(answer), len(answer) // 2))])
                if r.random() < 0.3:
                    s.shutdown(socket.SHUT_WR)
                while r.random() < 0.7 and s.recv(65536):
                    pass
                if r.random() < 0.3:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass

        rude, echo, web = self.serve(nettest.Recorder(on_connection=server)), self.serve(nettest.Recorder()), self.serve(nettest.Web())
        maps = {f"mix.test:{port}": rude.port for port in (80, 443, 9000)}
        spec = self.spec(["mix.test", "mix.test:9000", "echo.test:9000", "good.test"], maps={**maps, "echo.test:9000": echo.port, "good.test:80": web.port},
                         limits={"max_connections": 200})
        run = self.inside(spec, self.CLIENT, seed, 60, timeout=180)
        self.assertEqual(run.out.splitlines(), ["over", "True b'hello /end\\n'"], (seed, run.out, run.err))


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
        filtered = "0" if "DIRBOX_SANITIZED" in os.environ else "2"  # the sanitizer's calls are its own
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", filtered))
        for task in os.listdir(f"/proc/{proxy}/task"):
            with open(f"/proc/{proxy}/task/{task}/status", encoding="ascii") as f:
                self.assertIn(f"Seccomp:\t{filtered}", f.read())
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
    nettest.suite.run(verbosity=2)
