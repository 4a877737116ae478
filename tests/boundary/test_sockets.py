"""Unix sockets and addresses of the host are out of reach; those inside work."""
import glob
import os
import socket
import struct
import subprocess
import sys
import tempfile

import sandbox


def peers(server):
    """How many connections wait on a listening socket."""
    server.setblocking(False)
    count = 0
    while True:
        try:
            server.accept()[0].close()
            count += 1
        except BlockingIOError:
            return count


class Unix(sandbox.Boundary):
    def listen(self, address, kind=socket.SOCK_STREAM):
        server = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(server.close)
        os.makedirs(os.path.dirname(address) or ".", exist_ok=True) if not address.startswith("\0") else None
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen(8)
        if not address.startswith("\0"):
            self.addCleanup(os.unlink, address)
        return server

    def test_host_sockets_by_path(self):
        """Agents, buses, engines and editors, wherever their sockets live."""
        runtime = os.path.join(self.world.base, "run")
        agents = tempfile.mkdtemp(prefix="ssh-", dir="/tmp")
        self.addCleanup(os.rmdir, agents)
        places = [runtime + "/bus", runtime + "/gnupg/S.gpg-agent", runtime + "/docker.sock", runtime + "/podman/podman.sock",
                  self.home(".docker/run/docker.sock"), self.home(".gnupg/S.gpg-agent"), self.home(".ssh/control"),
                  self.outside("vscode-ipc.sock"), agents + "/agent.1"]
        variables = {"XDG_RUNTIME_DIR": runtime, "SSH_AUTH_SOCK": places[-1], "DBUS_SESSION_BUS_ADDRESS": "unix:path=" + places[0],
                     "DOCKER_HOST": "unix://" + places[2], "GPG_AGENT_INFO": places[1]}
        servers = [self.listen(place) for place in places]
        for place in places:
            self.control("connect-unix", place)
        self.assertEqual([peers(server) for server in servers], [1] * len(places))
        self.before = self.world.picture()
        self.all_denied([("connect-unix", place) for place in places], "ENOENT|ECONNREFUSED|EACCES|EPERM", env=variables)
        self.assertEqual([peers(server) for server in servers], [0] * len(places))
        inside = self.run_ok("env", env=variables).out
        for name in ("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"):
            self.assertNotIn(name + "=", inside)
        self.assertNotIn(variables["DOCKER_HOST"], inside)  # the filter's own may be there

    def test_daemon_sockets_of_the_system(self):
        paths = ["/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket",
                 "/run/systemd/private", "/run/snapd.socket", "/run/podman/podman.sock", "/run/libvirt/libvirt-sock",
                 "/var/lib/lxd/unix.socket", "/run/crio/crio.sock", "/run/WSL/interop", "/tmp/.X11-unix/X0"]
        self.all_denied([("connect-unix", path) for path in paths], "ENOENT|ENOTDIR|EACCES|ECONNREFUSED")

    def test_sockets_of_the_sessions(self):
        """Where a profile grants the runtime directory, what governs this session and the others stays out of reach."""
        runtime = os.path.join(self.world.base, "runtime")
        os.mkdir(runtime, 0o700)
        options, variables = ("--write", runtime), {"XDG_RUNTIME_DIR": runtime}
        own = runtime + "/dirbox"
        ask = ("import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); "
               "s.sendall(b'{\"verb\": \"info\"}'); print(len(s.recv(1)))")
        held = self.start("sh", "-c", "echo ready; cat", options=options, env=variables, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)
        try:
            held.stdout.readline()
            sandbox.wait_until(lambda: glob.glob(own + "/*/control"), "the session can be asked")
            (control,) = glob.glob(own + "/*/control")
            session = os.path.basename(os.path.dirname(control))
            self.assertEqual(subprocess.check_output([sys.executable, "-c", ask, control], timeout=sandbox.PATIENCE), b"1\n")
            within = self.dirbox("/usr/bin/python3", "-c", ask, control, options=options, env=variables)
            self.assertEqual((within.code, within.out), (1, ""), within)
            self.assertIn("PermissionError", within.err)
            self.allowed("create", runtime + "/new", options=options, env=variables)
            self.all_denied([("list", own), ("stat", control), ("mkdir", own + "/new"), ("rmdir", own), ("rename", own, own + "2"),
                             ("rename", runtime, runtime + "2")], "EACCES|EBUSY|EXDEV|EROFS|EPERM", options=options, env=variables)
            self.assertEqual(os.listdir(own), [session])
        finally:
            held.communicate()
        self.assertEqual(os.listdir(runtime), ["new"])
        os.unlink(runtime + "/new")
        os.rmdir(runtime)

    def test_socket_inside_the_project(self):
        """A development server's socket in a writable grant: connecting to it is denied, or at least reaches nobody."""
        server = self.listen(self.project("dev.sock"))
        self.control("connect-unix", self.project("dev.sock"))
        self.assertEqual(peers(server), 1)
        self.probe("connect-unix", self.project("dev.sock"))

    def test_abstract_sockets(self):
        for kind, verb in ((socket.SOCK_STREAM, "connect-unix"), (socket.SOCK_DGRAM, "send-unix")):
            name = f"dirbox-test-{kind}-{self.world.marker}"
            server = self.listen("\0" + name, kind)
            self.control(verb, "@" + name)
            self.denied(verb, "@" + name, "ECONNREFUSED|EPERM")
            if kind == socket.SOCK_STREAM:
                self.assertEqual(peers(server), 1, "only the control's")

    def test_abstract_x11(self):
        self.denied("connect-unix", "@/tmp/.X11-unix/X0", "ECONNREFUSED|EPERM")

    def test_sockets_inside_work(self):
        script = ("import socket, threading; s = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); s.listen(1);"
                  "t = threading.Thread(target=lambda: s.accept()[0].sendall(b'hello')); t.start();"
                  "c = socket.socket(socket.AF_UNIX); c.connect('/tmp/s'); print(c.recv(9).decode())")
        self.assertEqual(self.run_ok("/usr/bin/python3", "-c", script).out, "hello\n")


class Addresses(sandbox.Boundary):
    def test_loopback_of_the_host(self):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with self.subTest(address=address), socket.socket(family) as server:
                server.bind((address, 0))
                server.listen(4)
                port = server.getsockname()[1]
                self.control("connect-tcp", address, port)
                self.assertEqual(peers(server), 1)
                self.denied("connect-tcp", address, port, "ECONNREFUSED|ENETUNREACH|EADDRNOTAVAIL|EACCES")
                self.assertEqual(peers(server), 0)

    def test_no_route_outside(self):
        addresses = ["192.0.2.1", "10.0.0.1", "172.17.0.1", "192.168.1.1", "169.254.169.254", "8.8.8.8", "224.0.0.251",
                     "255.255.255.255", "100.64.0.1"]
        v6 = ["2001:db8::1", "fe80::1", "ff02::fb", "fd00:ec2::254", "::ffff:192.0.2.1", "64:ff9b::808:808"]
        attempts = [("connect-tcp", address, port) for address in addresses[:6] + v6 for port in (53, 80, 443)]
        attempts += [("send-udp", address, 53) for address in addresses + v6]
        attempts += [("sendto-udp", address, 5353) for address in addresses]
        self.all_denied(attempts, "ENETUNREACH|EHOSTUNREACH|EPERM|EACCES|EINVAL|EADDRNOTAVAIL|ENETDOWN")

    def test_addresses_of_the_host_interfaces(self):
        names = os.listdir("/sys/class/net")
        found = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            import fcntl
            for name in names:
                try:
                    answer = fcntl.ioctl(asker, 0x8915, struct.pack("256s", name.encode()))
                except OSError:
                    continue
                found.append(socket.inet_ntoa(answer[20:24]))
        found = [address for address in found if not address.startswith("127.")]
        if not found:
            self.skipTest("this machine has no address but loopback")
        with socket.socket() as server:
            server.bind(("0.0.0.0", 0))
            server.listen(4)
            port = server.getsockname()[1]
            for address in found:
                self.control("connect-tcp", address, port)
                self.denied("connect-tcp", address, port, "ENETUNREACH|EHOSTUNREACH|ECONNREFUSED|EACCES")
            self.assertEqual(peers(server), len(found))

    def test_loopback_inside_works(self):
        for address in ("127.0.0.1", "::1"):
            self.allowed("listen-tcp", address, 0)

    def test_vsock(self):
        self.all_denied([("connect-vsock", cid, 1024) for cid in (0, 1, 2)], "EPERM|EACCES|EAFNOSUPPORT")

    def test_only_loopback_is_there(self):
        self.assertEqual(self.run_ok("sh", "-c", "ls /sys/class/net 2>/dev/null || cut -d: -f1 /proc/net/dev | tail -n +3").out.split(), ["lo"])


if __name__ == "__main__":
    sandbox.main()
