"""Names, addresses and ports: what resolves, what connects, what the program is told."""
import os
import socket
import threading

import nettest

HOST_ADDRESSES = """
for target in sys.argv[1:]:
    host, port = target.rsplit(":", 1)
    print(target, outcome(lambda: connect(host, int(port), 3).close()))
"""


class Names(nettest.NetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.echo = cls.serve(nettest.Recorder())
        cls.web = cls.serve(nettest.Web())

    def test_allowed_name_resolves_and_connects(self):
        spec = self.spec(["allowed.test"], maps={"allowed.test:80": self.web.port})
        run = self.box(spec, "curl", "-sS", "http://allowed.test/a")
        self.assertEqual((run.code, run.out), (0, "hello /a\n"), run)
        self.assertEqual(run.count("allowed.test")["connections"], 1)

    def test_denied_names_do_not_resolve(self):
        """And nothing is asked outside: the proxy has no resolver event but its own refusal."""
        names = ["denied.test", "notallowed.test", "allowed.test.evil.test", "evilallowed.test", "wild.test", "bad.wild.test",
                 "BAD.wild.test.", "x.bad.wild.test", "secret-data.evil.test"]
        spec = self.spec(["allowed.test", "*.wild.test"], ["bad.wild.test", "*.bad.wild.test"])
        run = self.inside(spec, """
for name in sys.argv[1:]:
    try:
        print(name, socket.getaddrinfo(name, 443)[0][4][0])
    except socket.gaierror as e:
        print(name, e.errno == socket.EAI_NONAME)
""", "allowed.test", "ALLOWED.test", "a.wild.test", *names)
        lines = dict(line.split() for line in run.out.splitlines())
        self.assertEqual(lines.pop("allowed.test"), lines.pop("ALLOWED.test"), run)
        self.assertTrue(lines.pop("a.wild.test").startswith("198.18."), run)
        self.assertEqual(lines, {name: "True" for name in names}, run)
        self.assertEqual({e["host"] for e in run.events if e.get("event") == "dns-denied"},
                         {n.lower().rstrip(".") for n in names}, run)

    def test_other_types_have_no_data_and_denied_ones_an_extended_error(self):
        run = self.inside(self.spec(["allowed.test"]), """
def query(name, kind, transport):
    q = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 1)
    q += b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0" + struct.pack(">HH", kind, 1)
    q += b"\\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
    if transport == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
        s.sendto(q, ("127.0.0.1", 53)); a = s.recv(4096)
    else:
        s = connect("127.0.0.1", 53); s.sendall(struct.pack(">H", len(q)) + q)
        n = struct.unpack(">H", s.recv(2))[0]; a = s.recv(n)
    flags, _, answers = struct.unpack(">HHH", a[2:8])
    # The option of an extended error: code 15, its length, then info code 15, "Blocked" (RFC 8914).
    at = a.find(b"\\0\\x0f", 12 + len(q) - 12 - 11)
    return flags & 15, answers, at > 0 and a[at + 4:at + 6] == b"\\0\\x0f"
for transport in "udp", "tcp":
    print(query("allowed.test", 1, transport)[:2], query("allowed.test", 28, transport)[:2],
          query("allowed.test", 65, transport)[:2], query("allowed.test", 64, transport)[:2], query("denied.test", 1, transport))
""")
        self.assertEqual(run.out.splitlines(), ["(0, 1) (0, 0) (0, 0) (0, 0) (3, 0, True)"] * 2, run)

    def test_addresses_are_unreachable_at_once(self):
        """Loopback of the host too: 127.0.0.1 inside is the sandbox's own."""
        run = self.inside(self.spec(["allowed.test"]), HOST_ADDRESSES, "1.1.1.1:443", "169.254.169.254:80", "10.0.0.1:80",
                          "192.168.0.1:22", "2606:4700::1111:443", "8.8.8.8:53", f"127.0.0.1:{self.echo.port}", f"::1:{self.echo.port}")
        outcomes = [line.split()[-1] for line in run.out.splitlines()]
        self.assertEqual(outcomes, ["ENETUNREACH"] * 6 + ["ECONNREFUSED"] * 2, run)
        self.assertEqual(self.echo.seen, [])

    def test_datagrams_go_nowhere(self):
        """Other resolvers, mDNS, broadcast, ICMP; and QUIC to an allowed name."""
        run = self.inside(self.spec(["allowed.test"]), """
fake = socket.gethostbyname("allowed.test")
UDP, PING, PING6 = (socket.SOCK_DGRAM, 0), (socket.SOCK_DGRAM, socket.IPPROTO_ICMP), (socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
for (kind, protocol), host, port in [
        (UDP, "1.1.1.1", 53), (UDP, "2001:4860:4860::8888", 53), (UDP, "224.0.0.251", 5353), (UDP, "ff0e::fb", 5353),
        (UDP, "255.255.255.255", 67), (UDP, "169.254.169.254", 53), (PING, "1.1.1.1", 0), (PING6, "2606:4700::1111", 0), (UDP, fake, 443)]:
    def send():
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind, protocol); s.settimeout(3)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.connect((host, port)); s.send(b"\\x08" + b"\\0" * 15); return s.recv(1)
    print(outcome(send))
""")
        outcomes = run.out.split()
        self.assertEqual(outcomes[:6] + outcomes[8:], ["ENETUNREACH"] * 6 + ["ECONNREFUSED"], run)
        self.assertTrue(set(outcomes[6:8]) <= {"EACCES", "EPERM", "ENETUNREACH", "EPROTONOSUPPORT"}, run)

    def test_other_transports_lead_nowhere(self):
        """MPTCP, SCTP, DCCP, UDP-Lite: to an address they have no route, and to a name only what TCP has."""
        run = self.inside(self.spec(["allowed.test"]), """
fake = socket.gethostbyname("allowed.test")
for kind, protocol in (1, 262), (1, 132), (5, 132), (6, 33), (2, 136):
    for host in "1.1.1.1", fake:
        def reach():
            s = socket.socket(socket.AF_INET, kind, protocol); s.settimeout(3); s.connect((host, 25)); s.send(b"x"); return s.recv(1)
        print(outcome(reach))
""")
        refusals = {"EPERM", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EINVAL"}
        outcomes = run.out.split()
        self.assertEqual(len(outcomes), 10, run)
        self.assertTrue(set(outcomes[0::2]) <= refusals | {"ENETUNREACH"}, run)
        self.assertTrue(set(outcomes[1::2]) <= refusals | {"ECONNREFUSED"}, run)

    def test_addresses_have_names(self):
        """PTR, for programs that ask who they talk to; for addresses of this sandbox only."""
        run = self.inside(self.spec(["allowed.test"]), """
a = socket.gethostbyname("allowed.test")
print(socket.gethostbyaddr(a)[0])
for other in "198.18.99.99", "1.1.1.1":
    try: print(socket.gethostbyaddr(other))
    except socket.herror as e: print(e.errno)
""")
        self.assertEqual(run.out.splitlines(), ["allowed.test", "1", "1"], run)

    def test_high_port_of_a_name(self):
        """A local server on the same port inside keeps working."""
        spec = self.spec(["db.test:5432", "*.dbs.test:5000-5003"],
                         maps={"db.test:5432": self.echo.port, "a.dbs.test:5003": self.echo.port})
        run = self.inside(spec, """
local = socket.create_server(("127.0.0.1", 5432))
for host, port in ("db.test", 5432), ("a.dbs.test", 5003):
    s = connect(host, port); s.sendall(b"ping"); print(s.recv(4)); s.close()
c = connect("127.0.0.1", 5432); l, _ = local.accept(); l.sendall(b"local"); print(c.recv(5))
print(outcome(lambda: connect("db.test", 5433)), outcome(lambda: connect("a.dbs.test", 5004)))
""")
        self.assertEqual(run.out.splitlines(), ["b'ping'", "b'ping'", "b'local'", "ECONNREFUSED ECONNREFUSED"], run)

    def test_every_answer_comes_after_the_listener(self):
        """Questions for one name in a burst: the first answer, to whichever of them, can be connected to."""
        spec = self.spec(["*.dbs.test:5000-5003"], maps={f"n{i}.dbs.test:5003": self.echo.port for i in range(20)})
        run = self.inside(spec, """
def question(number, name):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack(">HH", 1, 1)
for i in range(20):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10); u.connect(("127.0.0.1", 53))
    for number in range(8): u.send(question(number, f"n{i}.dbs.test"))
    answer = u.recv(1000)
    s = connect(socket.inet_ntoa(answer[-4:]), 5003); s.sendall(b"x"); assert s.recv(1) == b"x"; s.close()
    assert {answer[1]} | {u.recv(1000)[1] for _ in range(7)} == set(range(8))
print("done")
""")
        self.assertEqual(run.out, "done\n", run)

    def test_listeners_of_one_port_beside_each_other(self):
        """An address, a network too large for one listener each, a name, a port of the host's and the explicit proxy."""
        inner, host = self.serve(nettest.Recorder(greeting=b"rule")), self.serve(nettest.Recorder(greeting=b"host"))
        maps = {f"{name}:{port}": inner.port for name in ("10.9.8.7", "10.9.8.8", "name.test") for port in (7000, 3128)}
        rules = ["10.9.8.7:7000", "name.test:7000", "10.0.0.0/8:7000", "10.0.0.0/8:3128"]
        for allow, more in (rules, {}), (rules[::-1], {}), (rules, {"limits": {"max_pending": 100}}):  # netbox tells of faults
            run = self.inside(self.spec(allow, maps=maps, host_ports=[{"inside": 7000, "outside": host.port}], **more), """
for at in ("name.test", 7000), ("10.9.8.7", 7000), ("10.9.8.8", 7000), ("10.9.8.8", 3128), ("127.0.0.1", 7000):
    print({outcome(lambda: connect(*at).recv(10)) for _ in range(5)})
print(proxy(b"GET http://no.test/ HTTP/1.1\\r\\nHost: no.test\\r\\n\\r\\n")[9:12])
""")
            self.assertEqual([e for e in run.events if e.get("event") == "fault"], [])
            self.assertEqual(run.out.splitlines(), ['{"b\'rule\'"}'] * 4 + ['{"b\'host\'"}', "b'403'"], run)

    def test_more_names_than_addresses(self):
        """The names that were first keep their addresses, and the session's events say why others get none."""
        web = self.serve(nettest.Web())
        spec = self.spec(["*.many.test"], maps={"n0.many.test:80": web.port, "n16384.many.test:80": web.port}, limits={"max_pending": 100})
        run = self.inside(spec, """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); codes = []
for i in range(16387):
    name = b"n%d" % i
    s.sendto(b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + bytes([len(name)]) + name + b"\\4many\\4test\\0\\0\\1\\0\\1", ("127.0.0.1", 53))
    codes.append(s.recv(600)[3] & 15)
print(codes == [0] * 16384 + [2] * 3)
print(ask(80, b"GET /0 HTTP/1.1\\r\\nHost: n0.many.test\\r\\nConnection: close\\r\\n\\r\\n", "n0.many.test")[-9:])
print(proxy(b"GET http://n16384.many.test/x HTTP/1.1\\r\\nHost: n16384.many.test\\r\\nConnection: close\\r\\n\\r\\n")[-9:])
""")
        self.assertEqual(run.out.splitlines(), ["True", "b'hello /0\\n'", "b'hello /x\\n'"], run)
        self.assertEqual(["16384" in e["detail"] for e in run.events if e.get("event") == "limit"], [True], run.events)

    def test_network_rules(self):
        """An address rule gets a route and a listener; its neighbours stay unreachable."""
        maps = {"203.0.113.7:80": self.web.port, "203.0.113.7:5432": self.echo.port, "2001:db8::7:8443": self.echo.port}
        spec = self.spec(["203.0.113.0/29", "203.0.113.7:5432", "[2001:db8::/64]:8443"], maps=maps)
        spec["net_map"][2]["name"] = "[2001:db8::7]"
        run = self.inside(spec, """
print(ask(80, b"GET /n HTTP/1.1\\r\\nHost: 203.0.113.7\\r\\nConnection: close\\r\\n\\r\\n", "203.0.113.7")[-9:])
for host, port in ("203.0.113.7", 5432), ("2001:db8::7", 8443):
    s = connect(host, port); s.sendall(b"ping"); print(s.recv(4)); s.close()
print(outcome(lambda: connect("203.0.113.9", 80)))
""")
        self.assertEqual(run.out.splitlines(), ["b'hello /n\\n'", "b'ping'", "b'ping'", "ENETUNREACH"], run)

    def test_unassigned_fake_address(self):
        run = self.inside(self.spec(["allowed.test"]), """
print(ask(443, b"\\x16\\x03\\x01\\0\\x05hello", "198.18.77.7")[:2])
""")
        self.assertIn("unknown-address", run.causes(), run)

    def test_resolver_of_the_host_is_asked_for_allowed_names_only(self):
        """Names without net_map: the host's own resolver fails them, after the verdict."""
        run = self.inside(self.spec(["allowed.invalid"]), """
print(proxy(b"CONNECT allowed.invalid:443 HTTP/1.1\\r\\nHost: allowed.invalid:443\\r\\n\\r\\n").split(b"\\r\\n")[0])
""")
        self.assertIn(b"502".decode(), run.out, run)
        self.assertIn("resolve-failed", run.causes(), run)

    def test_the_hosts_loopback_is_no_rule(self):
        canary = os.path.join(self.scratch, "ran")
        for rule in "localhost", f"localhost:{self.echo.port}", "x.localhost", "ip6-localhost", "127.0.0.1", f"[::1]:{self.echo.port}", "169.254.169.254":
            run = self.box(self.spec([rule]), "touch", canary)
            self.assertEqual((run.code, os.path.exists(canary)), (125, False), (rule, run))
            self.assertIn(f'"{rule}"', run.err)

    def test_host_ports_and_publish(self):
        outside = nettest.free_port()
        spec = self.spec([], host_ports=[{"inside": 9001, "outside": self.echo.port}, {"inside": 81, "outside": self.echo.port}],
                         publish=[{"address": "127.0.0.1", "outside": outside, "inside": 3000}])
        run = self.inside(spec, """
for host, port in ("127.0.0.1", 9001), ("::1", 9001), ("127.0.0.1", 81):
    s = connect(host, port); s.sendall(b"ping"); print(s.recv(4)); s.close()
print(outcome(lambda: connect("127.0.0.1", 9002)))
for host in "127.0.0.1", "::1":
    for port in 9001, 9002:
        thief = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET); thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        print(outcome(lambda: thief.bind((host, port))))
""")
        self.assertEqual(run.out.splitlines(), ["b'ping'"] * 3 + ["ECONNREFUSED"] + ["EADDRINUSE", "None"] * 2, run)

        def visit():
            """Until one of the sandbox has answered: before that, nobody may listen inside."""
            while not over.is_set() and not any(answers):
                try:
                    with socket.create_connection(("127.0.0.1", outside), 20) as s:
                        s.sendall(b"from outside")
                        answers.append(s.recv(100))
                except OSError:
                    over.wait(0.01)

        for address in "127.0.0.1", "::1":
            answers, over = [], threading.Event()
            visitor = threading.Thread(target=visit, daemon=True)
            visitor.start()
            run = self.inside(spec, """
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
l = socket.create_server((sys.argv[1], 3000), family=family); l.settimeout(20)
while True:
    c, _ = l.accept(); data = c.recv(100)
    if data: break
c.sendall(data.upper()); c.close(); print(data)
""", address)
            over.set()
            visitor.join(30)
            self.assertEqual((run.out, answers[-1:]), ("b'from outside'\n", [b"FROM OUTSIDE"]), run)


if __name__ == "__main__":
    nettest.suite.run(verbosity=2)
