"""The explicit proxy port under attack, and the TLS check. Every refusal: no byte reaches a server."""
import re

import nettest

# What a hostile program may write where a host belongs; none may connect anywhere.
HOSTS = ["denied.test", "evilallowed.test", "allowed.test.evil.test", "wild.test", "bad.wild.test", "BAD.WILD.TEST", "bad.wild.test.",
         "bad..wild.test", "allowed.test..", "evil.test\\0.wild.test", "allowed.test\\0", "allowed.test%00", "allowed.test\\t", " allowed.test",
         "user@allowed.test", "allowed.test#", "allowed.test/", "al\\u2024lowed.test", "allowed\\u3002test", "\\uff41llowed.test",
         "\\u212Aild.test", "allo\\u00adwed.test", "xn--.wild.test\\x7f", "1.1.1.1", "127.0.0.1", "127.1", "0x7f000001", "0177.0.0.1",
         "0x7f.0.0.1", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "0", "127.0.0.1.",
         "[::127.0.0.1]", "[::1%25lo]", "[fe80::1]", "[2606:4700::1111]", "169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]",
         "198.18.0.9", "*", "*.wild.test", ".wild.test", "", "a" * 64 + ".wild.test", "[allowed.test]"]

PORTS = ["", "0", "-1", "65979", "443abc", "4 43", "+443", "0443", ":443", "444", "22", "99999999999999999999"]

RAW = {
    "garbage": b"\x00\xff\xfe garbage \r\n\r\n", "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "socks4": b"\x04\x01\x01\xbb\x01\x01\x01\x01\0",
    "socks4a": b"\x04\x01\x01\xbb\0\0\0\x01\0allowed.test\0", "socks5 bind": b"\x05\x01\0\x05\x02\0\x03\x0callowed.test\x01\xbb",
    "socks5 udp": b"\x05\x01\0\x05\x03\0\x03\x0callowed.test\x01\xbb", "socks5 empty name": b"\x05\x01\0\x05\x01\0\x03\0\x01\xbb",
    "socks5 bad type": b"\x05\x01\0\x05\x01\0\x07\x0callowed.test\x01\xbb", "socks5 no methods": b"\x05\0", "socks5 password only": b"\x05\x01\x02",
    "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http09": b"GET http://allowed.test/\r\n", "bad version": b"GET http://allowed.test/ HTTP/7.1\r\n\r\n",
    "ftp": b"GET ftp://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "https absolute": b"GET https://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
    "file": b"GET file:///etc/passwd HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "gopher": b"GET gopher://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
    "ws": b"GET ws://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "http10 origin": b"GET / HTTP/1.0\r\n\r\n",
    "bad method": b"G(T http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "no method": b" http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
    "origin form": b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "origin form evil": b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "authority in path": b"GET //evil.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "options": b"OPTIONS * HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "line evil, host allowed": b"GET http://evil.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
    "host differs": b"GET http://allowed.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "two hosts": b"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nHost: evil.test\r\n\r\n",
    "no host": b"GET http://allowed.test/ HTTP/1.1\r\n\r\n",
    "cl.te": b"POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://evil.test/ HTTP/1.1\r\n\r\n",
    "two lengths": b"POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    "te list": b"POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nX: a\r\n b\r\n\r\n",
    "bare lf": b"GET http://allowed.test/ HTTP/1.1\nHost: allowed.test\n\n", "space before colon": b"GET http://allowed.test/ HTTP/1.1\r\nHost : allowed.test\r\n\r\n",
    "crlf in authority": b"CONNECT allowed.test:443\r\nX: HTTP/1.1\r\n\r\n", "userinfo": b"GET http://a@evil.test:80@allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
    "loop": b"CONNECT 127.0.0.1:3128 HTTP/1.1\r\nHost: 127.0.0.1:3128\r\n\r\n",
}


class Attacks(nettest.NetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.canary = cls.serve(nettest.Recorder())
        cls.web = cls.serve(nettest.Web())

    def policy(self, **more):
        port = self.canary.port
        names = ["denied.test", "evil.test", "bad.wild.test", "wild.test", "localhost", "127.0.0.1", "169.254.169.254"]
        maps = {f"{name}:{p}": port for name in names for p in (80, 443, 22)}
        maps.update({"allowed.test:443": port, "allowed.test:80": self.web.port, "a.wild.test:443": port})
        return self.spec(["allowed.test", "*.wild.test"], ["bad.wild.test"], maps=maps, **more)

    def setUp(self):
        self.canary.seen.clear()
        self.web.requests.clear()

    def assert_untouched(self, run):
        self.assertEqual(self.canary.seen, [], run)
        self.assertEqual(self.web.requests, [], run)

    def test_controls(self):
        run = self.inside(self.policy(), """
head = b"CONNECT allowed.test:443 HTTP/1.1\\r\\nHost: allowed.test:443\\r\\n\\r\\n"
s = connect("127.0.0.1", 3128); s.sendall(head); print(s.recv(100).split(b"\\r\\n")[0]); s.close()
print(proxy(b"GET http://allowed.test/x HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n").split(b"\\r\\n")[0])
s = connect("127.0.0.1", 3128); s.sendall(b"\\x05\\x01\\0"); s.recv(2)
s.sendall(b"\\x05\\x01\\0\\x03\\x0callowed.test\\x01\\xbb"); print(s.recv(10)[1])
""")
        self.assertEqual(run.out.splitlines(), ["b'HTTP/1.1 200 Connection established'", "b'HTTP/1.1 200 OK'", "0"], run)

    def test_hosts(self):
        run = self.inside(self.policy(), """
bad = []
for text in eval(sys.argv[1]):
    for port in "443", "80", sys.argv[2]:
        host = text.encode()
        answer = proxy(b"CONNECT " + host + b":" + port.encode() + b" HTTP/1.1\\r\\nHost: " + host + b"\\r\\n\\r\\n")
        if answer[9:12] not in (b"403", b"400"): bad.append((text, "connect", answer))
    answer = proxy(b"GET http://" + host + b"/ HTTP/1.1\\r\\nHost: " + host + b"\\r\\n\\r\\n")
    if answer[9:12] not in (b"403", b"400"): bad.append((text, "get", answer))
    if len(host) < 256:
        s = connect("127.0.0.1", 3128); s.sendall(b"\\x05\\x01\\0"); s.recv(2)
        s.sendall(b"\\x05\\x01\\0\\x03" + bytes([len(host)]) + host + b"\\x01\\xbb"); answer = s.recv(10)
        if answer[:1] == b"\\x05" and answer[1] == 0: bad.append((text, "socks", answer))
print(bad)
""", "[" + ",".join('"' + h + '"' for h in HOSTS) + "]", self.canary.port)
        self.assertEqual(run.out, "[]\n", run)
        self.assert_untouched(run)

    def test_socks_addresses(self):
        run = self.inside(self.policy(), """
for kind, address in ((1, "127.0.0.1"), (1, "169.254.169.254"), (1, "1.1.1.1"), (1, "198.18.9.9"), (4, "::1"), (4, "::ffff:127.0.0.1"), (4, "64:ff9b::7f00:1")):
    raw = socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, address)
    s = connect("127.0.0.1", 3128); s.sendall(b"\\x05\\x01\\0"); s.recv(2)
    s.sendall(b"\\x05\\x01\\0" + bytes([kind]) + raw + b"\\x01\\xbb"); print(s.recv(10)[1])
""")
        self.assertEqual(run.out.split(), ["2"] * 7, run)
        self.assert_untouched(run)

    def test_ports(self):
        run = self.inside(self.policy(), """
for port in eval(sys.argv[1]):
    a = b"allowed.test:" + port.encode()
    print(proxy(b"CONNECT " + a + b" HTTP/1.1\\r\\nHost: " + a + b"\\r\\n\\r\\n")[9:12].decode())
""", repr(nettest.json.loads(nettest.json.dumps(PORTS))))
        self.assertTrue(set(run.out.split()) <= {"400", "403"}, run)
        self.assertEqual(len(run.out.split()), len(PORTS), run)
        self.assert_untouched(run)

    def test_raw(self):
        run = self.inside(self.policy(), """
for name, data in eval(sys.argv[1]).items():
    s = connect("127.0.0.1", 3128, 5); s.sendall(data); outcome(lambda: s.shutdown(socket.SHUT_WR))
    print(name, "|", read_all(s)[:14])
print("then", proxy(b"GET http://allowed.test/x HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n").split(b"\\r\\n")[0])
""", repr(RAW))
        lines = run.out.splitlines()
        self.assertEqual(lines.pop(), "then b'HTTP/1.1 200 OK'", run)
        self.assertEqual(len(lines), len(RAW), run)
        for line in lines:
            self.assertNotIn("HTTP/1.1 2", line)
            self.assertNotIn("b'\\x05\\x00\\x05\\x00", line)
            self.assertNotIn("TIMEOUT", line)
        self.assertEqual(len(self.web.requests), 1, run)
        self.assertEqual(self.canary.received, b"", run)

    def test_smuggled_second_request(self):
        """What follows a request's body is a request of its own, with its own verdict."""
        body = "5\\r\\nGET /\\r\\n0\\r\\n\\r\\n"
        run = self.inside(self.policy(), f"""
first = b"POST http://allowed.test/1 HTTP/1.1\\r\\nHost: allowed.test\\r\\nContent-Length: 5\\r\\n\\r\\nabcde"
second = b"GET http://evil.test/2 HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\n"
a = proxy(first + second)
print(a.count(b"HTTP/1.1 200"), a.count(b"HTTP/1.1 403"), b"abcde" in a)
a = ask(80, first.replace(b"http://allowed.test", b"") + b"GET /2 HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\n", "allowed.test")
print(a.count(b"HTTP/1.1 200"), a.count(b"HTTP/1.1 403"), b"host-mismatch" in a)
""")
        self.assertEqual(run.out.splitlines(), ["1 1 True", "1 1 True"], run)
        self.assertEqual([r[1] for r in self.web.requests], ["/1", "/1"], run)
        self.assertEqual(self.canary.seen, [])

    def test_big_heads(self):
        run = self.inside(self.policy(), """
for data in (b"GET http://allowed.test/" + b"a" * (2 << 20), b"GET http://allowed.test/ HTTP/1.1\\r\\nHost: allowed.test\\r\\nX: " + b"b" * (2 << 20),
             b"GET http://allowed.test/ HTTP/1.1\\r\\nHost: allowed.test\\r\\n" + b"X: y\\r\\n" * 100000):
    s = connect("127.0.0.1", 3128)
    try: s.sendall(data)
    except OSError: pass
    print(read_all(s)[9:12].decode())
""")
        self.assertTrue(set(run.out.split()) <= {"414", "431", "400", ""}, run)
        self.assert_untouched(run)

    def test_explains_itself(self):
        run = self.box(self.policy(), "curl", "-sv", "https://denied.test/", env=True)
        self.assertIn("X-Dirbox-Reason: no-rule", run.err)
        self.assertIn("X-Dirbox-Fix: --allow denied.test:443", run.err)
        run = self.box(self.policy(), "curl", "-s", "http://bad.wild.test/", env=True)
        self.assertIn("not a fault", run.out, run)
        self.assertRegex(run.out, r"bad\.wild\.test \(\S+\.toml:\d+:\d+\)")
        run = self.box(self.policy(), "sh", "-c", "echo $DIRBOX; curl -s http://denied.test/", env=True)
        self.assertIn(f"dirbox grant {run.out.splitlines()[0]} denied.test:80", run.out, run)

    def test_what_would_allow_an_address(self):
        """What the end of a session proposes can be pasted, and is no rule that would be refused."""
        run = self.inside(self.policy(), """
for host in b"[2606:4700::1111]:443", b"127.0.0.1:5432", b"[::1]:5433", b"localhost:5434", b"169.254.169.254:80":
    print(proxy(b"CONNECT " + host + b" HTTP/1.1\\r\\nHost: " + host + b"\\r\\n\\r\\n")[9:12])
""")
        self.assertEqual(run.out, "b'403'\n" * 5, run)
        lines = dict(re.findall(r"(?m)^dirbox: blocked: (\S+) \(no-rule.*?\)(?:; (.*))?$", run.err))
        self.assertEqual(lines, {"[2606:4700::1111]:443": "--allow '[2606:4700::1111]:443'", "127.0.0.1:5432": "--host-port 5432",
                                 "[::1]:5433": "--host-port 5433", "localhost:5434": "--host-port 5434", "169.254.169.254:80": ""}, run)

    def test_names_with_escapes_stay_out_of_the_log(self):
        run = self.inside(self.policy(), """
proxy(b"CONNECT a\\x1b[31mb:443 HTTP/1.1\\r\\n\\r\\n"); proxy(b"GET http://a\\x1b]0;x\\x07/ HTTP/1.1\\r\\n\\r\\n")
""")
        self.assertNotIn("\x1b", "".join(str(e.values()) for e in run.events), run)

    def test_upgrade_needs_a_rule(self):
        def server(s):
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            if b"pgrade: websocket" in head:
                s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                while data := s.recv(4096):
                    s.sendall(data.upper())
            else:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        socket = nettest.Recorder(on_connection=server)
        self.addCleanup(socket.close)
        code = """
s = connect("ws.test", 80)
s.sendall(b"GET / HTTP/1.1\\r\\nHost: ws.test\\r\\nConnection: Upgrade\\r\\nUpgrade: " + sys.argv[1].encode() + b"\\r\\n\\r\\n")
answer = s.recv(4096); print(answer[9:12].decode())
if answer[9:12] == b"101":
    s.sendall(b"frame"); print(s.recv(100)); s.shutdown(socket.SHUT_WR); print(s.recv(10))
"""
        maps = {"ws.test:80": socket.port}
        run = self.inside(self.spec(["ws.test"], maps=maps), code, "websocket")
        self.assertEqual((run.out, run.causes()), ("403\n", ["upgrade"]), run)
        run = self.inside(self.spec(["ws.test"], maps=maps), code, "h2c")
        self.assertEqual(run.out, "200\n", run)
        run = self.inside(self.spec(["ws.test"], maps=maps, upgrade=[{"text": "ws.test:80"}]), code, "websocket")
        self.assertEqual(run.out.splitlines(), ["101", "b'FRAME'", "b''"], run)


class Tls(nettest.NetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pair = cls.certificate("allowed.test", "front.test")
        cls.web = cls.serve(nettest.Web(cls.pair))
        cls.canary = cls.serve(nettest.Recorder())

    def setUp(self):
        self.canary.seen.clear()

    def curl(self, spec, *arguments, env=False):
        return self.box(spec, "curl", "-sS", "--max-time", "20", "--cacert", self.pair[0], *arguments, env=env)

    def test_matching_name(self):
        spec = self.spec(["allowed.test"], maps={"allowed.test:443": self.web.port})
        for env in False, True:
            run = self.curl(spec, "https://allowed.test/t", env=env)
            self.assertEqual((run.code, run.out), (0, "hello /t\n"), run)
        run = self.curl(spec, "--socks5-hostname", "127.0.0.1:3128", "https://allowed.test/t")
        self.assertEqual(run.out, "hello /t\n", run)

    def test_other_server_name(self):
        """Domain fronting: an allowed connection, another name in the hello."""
        spec = self.spec(["allowed.test"], maps={"allowed.test:443": self.canary.port})
        for way in (["--connect-to", "front.test:443:allowed.test:443"],
                    ["-p", "-x", "http://127.0.0.1:3128", "--connect-to", "front.test:443:allowed.test:443"]):
            run = self.curl(spec, *way, "https://front.test/")
            self.assertEqual(run.code, 35, run)
            self.assertEqual(run.causes(), ["sni-mismatch"], run)
        self.assertEqual(self.canary.received, b"")

    def test_denied_name_at_an_allowed_address(self):
        spec = self.spec(["allowed.test"], maps={"allowed.test:443": self.canary.port})
        run = self.box(spec, "sh", "-c", "a=$(getent hosts allowed.test | cut -d' ' -f1); "
                          "curl -sS --resolve denied.test:443:$a https://denied.test/; echo $?")
        self.assertEqual((run.out, run.causes()), ("35\n", ["sni-mismatch"]), run)
        self.assertEqual(self.canary.received, b"")

    def test_no_server_name(self):
        maps = {"allowed.test:443": self.web.port}
        code = """
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
try:
    s = c.wrap_socket(connect("allowed.test", 443)); s.sendall(b"GET /n HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n"); print(read_all(s)[-9:])
except OSError as e: print(e.reason if hasattr(e, "reason") else e)
"""
        run = self.inside(self.spec(["allowed.test"], maps=maps), code)
        self.assertEqual((run.out, run.causes()), ("TLSV1_UNRECOGNIZED_NAME\n", ["no-sni"]), run)
        run = self.inside(self.spec(["allowed.test"], maps=maps, tls="allow-no-sni"), code)
        self.assertEqual(run.out, "b'hello /n\\n'\n", run)

    def test_encrypted_client_hello(self):
        """A hello that may hide another name, by CONNECT and transparently; by the profile's switch it passes."""
        code = """
import ssl
def hello():
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = ssl.create_default_context().wrap_bio(i, o, server_hostname="allowed.test")
    try: t.do_handshake()
    except ssl.SSLWantReadError: pass
    return o.read()
def with_ech(record):
    body = record[9:]  # behind the heads of record and message: version, random, session id, suites, compressions
    at = 34 + 1 + body[34]; at += 2 + struct.unpack(">H", body[at:at + 2])[0]; at += 1 + body[at]
    payload = b"\\0\\0\\x01\\0\\x01\\x07\\0\\x20" + os.urandom(32) + b"\\0\\x90" + os.urandom(144)
    extensions = body[at + 2:] + struct.pack(">HH", 0xfe0d, len(payload)) + payload
    body = body[:at] + struct.pack(">H", len(extensions)) + extensions
    return b"\\x16\\x03\\x01" + struct.pack(">H", len(body) + 4) + b"\\x01" + struct.pack(">I", len(body))[1:] + body
for data in with_ech(hello()), hello():
    s = connect("allowed.test", 443); s.sendall(data); print(s.recv(1))
    s = connect("127.0.0.1", 3128); s.sendall(b"CONNECT allowed.test:443 HTTP/1.1\\r\\nHost: allowed.test:443\\r\\n\\r\\n"); s.recv(1000)
    s.sendall(data); print(s.recv(1))
"""
        maps = {"allowed.test:443": self.canary.port}
        run = self.inside(self.spec(["allowed.test"], maps=maps), code)
        answers, plain = run.out.splitlines()[:2], run.out.splitlines()[2:]
        self.assertEqual((plain, run.causes()), (["b'\\x16'"] * 2, ["ech"] * 2), run)  # the canary echoes
        self.assertNotIn("b'\\x16'", answers, run)
        self.assertEqual(len(self.canary.seen[-1]), len(self.canary.seen[-2]))
        self.assertNotIn(b"\xfe\x0d", self.canary.received)
        run = self.inside(self.spec(["allowed.test"], maps=maps, allow_ech=True), code)
        self.assertEqual(run.out.splitlines(), ["b'\\x16'"] * 4, run)

    def test_not_tls_on_443(self):
        code = """
for data in b"SSH-2.0-x\\r\\n", b"GET / HTTP/1.1\\r\\nHost: allowed.test\\r\\n\\r\\n", b"\\x80\\x2e\\x01\\x03\\x01":
    print(ask(443, data, "allowed.test"))
    s = connect("127.0.0.1", 3128); s.sendall(b"CONNECT allowed.test:443 HTTP/1.1\\r\\nHost: allowed.test:443\\r\\n\\r\\n"); s.recv(1000)
    s.sendall(data); print(read_all(s))
"""
        maps = {"allowed.test:443": self.canary.port}
        run = self.inside(self.spec(["allowed.test"], maps=maps), code)
        self.assertEqual(run.out.splitlines(), ["b'<RST>'"] * 6, run)
        self.assertEqual(run.causes(), ["not-tls"] * 6, run)
        self.assertEqual(self.canary.received, b"")
        for switch in {"tls": "off"}, {"allow_non_tls": True}:
            run = self.inside(self.spec(["allowed.test"], maps=maps, **switch), """
s = connect("allowed.test", 443); s.sendall(b"SSH-2.0-x"); print(s.recv(100))""")
            self.assertEqual(run.out, "b'SSH-2.0-x'\n", run)

    def test_plain_http_to_a_tls_port(self):
        """The explicit proxy speaks plain HTTP to servers; not on a port where TLS is checked."""
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        plain = self.serve(nettest.Recorder(answer, echo=False))
        maps = {f"allowed.test:{port}": plain.port for port in (80, 443, 8080)}
        code = """
for port in 443, 80, 8080:
    host = b"allowed.test:%d" % port
    s = connect("127.0.0.1", 3128); s.sendall(b"GET http://" + host + b"/p%d HTTP/1.1\\r\\nHost: " % port + host + b"\\r\\n\\r\\n"); print(s.recv(4096)[9:12])
"""
        allow = ["allowed.test", "allowed.test:8080"]
        run = self.inside(self.spec(allow, maps=maps), code)
        self.assertEqual((run.out.split(), run.causes()), (["b'403'", "b'200'", "b'200'"], ["not-tls"]), run)
        self.assertEqual([bytes(seen).split()[1] for seen in plain.seen], [b"/p80", b"/p8080"])
        run = self.inside(self.spec(allow, maps=maps, tls_ports=[443, 80]), code)
        self.assertEqual(run.out.split(), ["b'403'", "b'403'", "b'200'"], run)
        run = self.inside(self.spec(allow, maps=maps, allow_non_tls=True), code)
        self.assertEqual(run.out.split(), ["b'200'"] * 3, run)

    def test_non_tls_switch_leaves_tls_checked(self):
        run = self.inside(self.spec(["allowed.test"], maps={"allowed.test:443": self.web.port}, allow_non_tls=True), """
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
try: c.wrap_socket(connect("allowed.test", 443), server_hostname="other.test"); print("passed")
except OSError as e: print("refused")""")
        self.assertEqual((run.out, run.causes()), ("refused\n", ["sni-mismatch"]), run)

    def test_hello_in_pieces(self):
        """A byte per segment, a record per few bytes, a hello of 15 KiB."""
        run = self.inside(self.spec(["allowed.test"], maps={"allowed.test:443": self.web.port}), """
c = ssl.create_default_context(cafile=sys.argv[1])
def fetch(split, protocols=()):
    if protocols: c.set_alpn_protocols(protocols)
    raw = connect("allowed.test", 443); raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO(); t = c.wrap_bio(i, o, server_hostname="allowed.test")
    try: t.do_handshake()
    except ssl.SSLWantReadError: pass
    hello = o.read()
    for piece in split(hello): raw.sendall(piece)
    while True:
        try: t.do_handshake(); break
        except ssl.SSLWantReadError:
            if data := o.read(): raw.sendall(data)
            i.write(raw.recv(65536))
    raw.sendall(o.read()); t.write(b"GET /p HTTP/1.1\\r\\nHost: allowed.test\\r\\nConnection: close\\r\\n\\r\\n"); raw.sendall(o.read())
    out = b""
    while data := raw.recv(65536):
        i.write(data)
        try:
            while piece := t.read(65536): out += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError): pass
    return out[-9:]
def records(hello, n):
    body = hello[5:]
    return b"".join(b"\\x16\\x03\\x01" + struct.pack(">H", len(body[i:i+n])) + body[i:i+n] for i in range(0, len(body), n))
print(fetch(lambda h: [h[i:i+1] for i in range(len(h))]))
print(fetch(lambda h: [records(h, 40)]))
sizes = []
fetch(lambda h: sizes.append(len(h)) or [h])  # without them: 0.5 KiB, and 1.2 more where keys are post-quantum
many = ["p%03d" % i + "x" * 246 for i in range((15900 - sizes[0]) // 251)]
print(fetch(lambda h: sizes.append(len(h)) or [h], many), 15000 < sizes[1] < 16400)
""", self.pair[0])
        self.assertEqual(run.out.splitlines(), ["b'hello /p\\n'"] * 2 + ["b'hello /p\\n' True"], run)

    def test_unchecked_port_and_extra_checked_port(self):
        maps = {"allowed.test:8443": self.canary.port}
        run = self.inside(self.spec(["allowed.test:8443"], maps=maps), """
s = connect("allowed.test", 8443); s.sendall(b"raw"); print(s.recv(3))""")
        self.assertEqual(run.out, "b'raw'\n", run)
        run = self.inside(self.spec(["allowed.test:8443"], maps=maps, tls_ports=[443, 8443]), """
print(ask(8443, b"raw-bytes", "allowed.test"))""")
        self.assertEqual((run.out, run.causes()), ("b'<RST>'\n", ["not-tls"]), run)


if __name__ == "__main__":
    nettest.suite.run(verbosity=2)
