#!/usr/bin/python3
"""The docker filter before an engine that records every byte: nothing forbidden reaches it.

    recorded.py DOCKER_HOST_PROGRAM

The engine is a stand-in, so a request that got through would be seen whatever a real engine made of it. It answers the
filter's own questions, and has two containers: "mine", of the project, and "foreign", which is somebody else's.
"""
import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest

import suite

PROGRAM = os.path.abspath(sys.argv.pop(1))
MINE, FOREIGN, OLD = "a" * 64, "b" * 64, "c" * 64
# What the filter asks on its own account: it names nothing that the caller wrote but an object's name.
QUESTION = re.compile(rb"GET (/version|/info|/containers/json\?all=1&filters=[%.\w]*|/containers/[\w.-]+/json|/exec/[\w.-]+/json) HTTP/1\.1\r\n"
                      rb"Host: docker\r\nConnection: close\r\n\r\n")


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path):
        self.recorded = []  # one bytearray for each connection
        super().__init__(path, Handler)

    def taken(self):
        """What came beside the filter's own questions."""
        return [bytes(one) for one in self.recorded if one and not QUESTION.fullmatch(bytes(one))]


class Handler(socketserver.BaseRequestHandler):
    containers = {name: (number, [], {}) for names, number in ((("mine", MINE), MINE), (("foreign", FOREIGN), FOREIGN)) for name in names}

    def handle(self):
        data = bytearray()
        self.server.recorded.append(data)
        while b"\r\n\r\n" not in data:
            got = self.request.recv(65536)
            if not got:
                return
            data += got
        head, _, rest = bytes(data).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while (length and len(rest) < int(length.group(1))) or (b"chunked" in head.lower() and not rest.endswith(b"0\r\n\r\n")):
            got = self.request.recv(65536)
            if not got:
                return
            data += got
            rest += got
        method, target = head.split(b" ")[:2]
        if b"upgrade" in head.lower():
            self.request.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            while got := self.request.recv(65536):
                data += got
                self.request.sendall(got)
            return
        status, body = self.answer(method.decode(), target.decode())
        self.request.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    @staticmethod
    def answer(method, target):
        path = re.sub(r"^/v[\d.]+", "", target).split("?")[0]
        found = re.fullmatch(r"/containers/([\w.-]+)/json", path)
        exec_found = re.fullmatch(r"/exec/([\w.-]+)/json", path)
        if path == "/version":
            value = {"Components": [{"Name": "Engine"}], "ApiVersion": "1.41"}
        elif path == "/info":
            value = {"SecurityOptions": ["name=seccomp,profile=default"], "CgroupVersion": "2"}
        elif path in ("/containers/json", "/images/json", "/networks"):
            value = []
        elif found and found.group(1) in Handler.containers:
            number, mounts, tmpfs = Handler.containers[found.group(1)]
            value = {"Id": number, "Config": {"Labels": {} if number == FOREIGN else {"dirbox.project": "p1"}}, "Mounts": mounts,
                     "HostConfig": {"PidsLimit": 32, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "NetworkMode": "none",
                                    "Tmpfs": tmpfs}}
        elif exec_found and exec_found.group(1) in ("e1", "e2"):
            value = {"ContainerID": MINE if exec_found.group(1) == "e1" else FOREIGN}
        elif found or exec_found:
            return 404, b'{"message":"no such thing"}'
        elif path == "/containers/create":
            return 201, json.dumps({"Id": MINE}).encode()
        else:
            value = {}
        return 200, json.dumps(value).encode()


def request(method, target, body=b"", headers=()):
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    body = body.encode() if isinstance(body, str) else body
    lines = [f"{method} {target} HTTP/1.1", "Host: docker", *headers]
    if body and not any(h.lower().startswith(("content-length", "transfer-encoding")) for h in headers):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def create(host=None, **top):
    return request("POST", "/v1.41/containers/create", {"Image": "bb:1", "HostConfig": host or {}, **top})


class Recorded(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="dirbox-recorded-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.directory, True)
        cls.work = cls.directory + "/work"
        os.mkdir(cls.work)
        os.symlink("/etc", cls.work + "/link")
        found = os.stat(cls.work)
        amount = lambda value, rule: {"value": value, "rule": rule}
        names = lambda values, rule: {"values": values, "rule": rule}
        root = {"path": cls.work, "writable": True, "directory": True, "device": found.st_dev, "inode": found.st_ino,
                "masks": [{"path": ".env", "directory": False, "hidden": True}, {"path": "keys", "directory": True, "hidden": True},
                          {"path": "make.sh", "directory": False, "hidden": False}], "refusal": ""}
        spec = {"sockets": [cls.directory + "/engine"], "project": "p1", "uid": os.geteuid(), "gid": os.getegid(),
                "memory": amount(8 << 30, "memory"), "cpus": amount(4 * 10 ** 9, "cpus"), "pids": amount(512, "pids"),
                "shm": amount(64 << 20, "shm"), "containers": amount(8, "containers"), "networks": names(["none", "sandbox-net"], "networks"),
                "images": names(["bb:*"], "images"), "capabilities": names([], "capabilities"), "binds": [root], "binds_rule": "binds"}
        with open(cls.directory + "/spec", "w", encoding="utf-8") as file:
            json.dump(spec, file)
        cls.engine = Engine(cls.directory + "/engine")
        threading.Thread(target=cls.engine.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.engine.server_close)
        cls.addClassCleanup(cls.engine.shutdown)
        cls.filter = subprocess.Popen([PROGRAM, cls.directory + "/spec", cls.directory + "/filter"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
        assert cls.filter.stdout.readline() == b"ready\n"
        threading.Thread(target=cls.filter.stdout.read, daemon=True).start()
        cls.addClassCleanup(cls.filter.wait)
        cls.addClassCleanup(cls.filter.stdin.close)

    def setUp(self):
        self.engine.recorded.clear()

    def send(self, data, more=b"", until_end=False):
        """The filter's whole answer to raw bytes."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(self.directory + "/filter")
            client.sendall(data)
            if more:
                client.sendall(more)
            if until_end:
                client.shutdown(socket.SHUT_WR)
            got = b""
            while True:
                try:
                    piece = client.recv(65536)
                except ConnectionResetError:
                    break
                got += piece
                length = re.search(rb"(?i)content-length: (\d+)", got)
                if not piece or (not until_end and length and b"\r\n\r\n" in got and
                                 len(got.partition(b"\r\n\r\n")[2]) >= int(length.group(1))):
                    break
            return got

    def refused(self, data, **more):
        """4xx or 5xx from the filter, and nothing at the engine but questions."""
        self.engine.recorded.clear()
        answer = self.send(data, **more)
        self.assertRegex(answer, rb"\AHTTP/1\.1 [45]\d\d ", data[:200])
        self.assertEqual(self.engine.taken(), [], data[:200])
        return answer

    def passed(self, data, **more):
        """The one request that the engine got, as (head, body)."""
        self.engine.recorded.clear()
        answer = self.send(data, **more)
        self.assertRegex(answer, rb"\AHTTP/1\.1 (2\d\d|101) ", answer)
        taken = self.engine.taken()
        self.assertEqual(len(taken), 1, taken)
        head, _, body = taken[0].partition(b"\r\n\r\n")
        return head.decode(), body

    def all_refused(self, attempts):
        for attempt in attempts:
            with self.subTest(attempt=attempt[:160]):
                self.refused(attempt)

    # Controls: what is allowed arrives, rebuilt.
    def test_control(self):
        head, body = self.passed(create({"Memory": 1 << 20}, Labels={"a": "b"}))
        self.assertTrue(head.startswith("POST /v1.41/containers/create HTTP/1.1\r\nHost: "), head)
        made = json.loads(body)
        self.assertEqual(made["Labels"], {"a": "b", "dirbox.project": "p1"})
        host = made["HostConfig"]
        self.assertEqual((host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]), (1 << 20, 1 << 20, 4 * 10 ** 9, 512))
        self.assertEqual((host["CapDrop"], host["SecurityOpt"], host["Privileged"], host["NetworkMode"]),
                         (["ALL"], ["no-new-privileges"], False, "none"))
        # "No limit" is the profile's, and what only a client reads goes no further.
        _, body = self.passed(create({"PidsLimit": -1, "ContainerIDFile": "/etc/cron.d/x", "Memory": 0}))
        host = json.loads(body)["HostConfig"]
        self.assertEqual((host["Memory"], host["PidsLimit"]), (8 << 30, 512))
        self.assertNotIn(b"cron.d", body)
        head, _ = self.passed(request("POST", "/v1.41/containers/mine/stop?t=1"))
        self.assertIn(f"POST /v1.41/containers/{MINE}/stop?t=1 ", head)

    def test_lists_and_events_are_asked_for_the_project_alone(self):
        for target in ("/v1.41/containers/json?all=1", "/v1.41/events", '/v1.41/containers/json?filters={"label":["x"]}'.replace('"', "%22"),
                       "/v1.41/events?filters=%7B%22type%22%3A%5B%22image%22%5D%7D"):
            head, _ = self.passed(request("GET", target))
            self.assertIn("dirbox.project%3Dp1", head)
            self.assertNotIn("image", head)

    # JSON.
    def test_keys_that_go_reads_otherwise(self):
        privileged = '{"Privileged":true}'
        bodies = [f'{{"Image":"bb:1","hostconfig":{privileged}}}', f'{{"Image":"bb:1","HOSTCONFIG":{privileged}}}',
                  f'{{"Image":"bb:1","Ho\u017ftConfig":{privileged}}}', f'{{"Image":"bb:1","HostConfig":{{}},"hostConfig":{privileged}}}',
                  f'{{"Image":"bb:1","HostConfig":{{}},"HostConfig":{privileged}}}', f'{{"Image":"bb:1","Ho\\u017ftConfig":{privileged}}}',
                  f'{{"Image":"bb:1","HostConfig":{privileged}}}', '{"Image":"bb:1","HostConfig":{"privileged":true}}',
                  f'{{"Image":"bb:1"}}{{"HostConfig":{privileged}}}', f'{{"Image":"bb:1"}} {privileged}', f'[{privileged}]',
                  f'{{"Image":"bb:1","\\u0048ostConfig":{privileged}}}', '{"Image":"bb:1",}', "{'Image':'bb:1'}", '\ufeff{"Image":"bb:1"}',
                  '{"Image":"bb:1","HostConfig":{"Binds":["/etc:/e"],"binds":null}}', '{"Image":"bb:1"}\x00', "[" * 100000, '{"a":' * 5000]
        self.all_refused([request("POST", "/v1.41/containers/create", body) for body in bodies])

    def test_what_a_container_must_not_have(self):
        link, work = self.work + "/link", self.work
        options = [
            {"Privileged": True}, {"CapAdd": ["SYS_ADMIN"]}, {"CapAdd": ["ALL"]}, {"CapAdd": ["cap_sys_admin"]}, {"CapDrop": ["NONE"], "CapAdd": ["CHOWN"]},
            {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]},
            {"DeviceRequests": [{"Driver": "nvidia", "Count": -1}]}, {"DeviceCgroupRules": ["a *:* rwm"]},
            {"SecurityOpt": ["seccomp=unconfined"]}, {"SecurityOpt": ["apparmor=unconfined"]}, {"SecurityOpt": ["label=disable"]},
            {"SecurityOpt": ["no-new-privileges=false"]}, {"SecurityOpt": ["no-new-privileges:false"]}, {"SecurityOpt": ["systempaths=unconfined"]},
            {"MaskedPaths": []}, {"ReadonlyPaths": []}, {"MaskedPaths": ["/x"]},
            {"PidMode": "host"}, {"PidMode": "container:foreign"}, {"UTSMode": "host"}, {"IpcMode": "host"}, {"IpcMode": "container:foreign"},
            {"IpcMode": "shareable"}, {"UsernsMode": "host"}, {"CgroupnsMode": "host"}, {"NetworkMode": "host"}, {"NetworkMode": "bridge"},
            {"NetworkMode": "default", "PublishAllPorts": True}, {"NetworkMode": "container:foreign"}, {"NetworkMode": "HOST"}, {"NetworkMode": "ns:/proc/1/ns/net"},
            {"CgroupParent": "/"}, {"Runtime": "runc-insecure"}, {"VolumesFrom": ["foreign"]}, {"VolumeDriver": "local"}, {"Links": ["foreign:x"]},
            {"GroupAdd": ["docker"]}, {"Sysctls": {"kernel.core_pattern": "|/x"}}, {"ExtraHosts": ["metadata:169.254.169.254"]}, {"Dns": ["8.8.8.8"]},
            {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://1.2.3.4:514"}}},
            {"LogConfig": {"Type": "json-file", "Config": {"env": "x", "path": "/etc/x"}}}, {"StorageOpt": {"size": "1T"}}, {"OomScoreAdj": -1000},
            {"OomKillDisable": True}, {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1 << 30}]}, {"Annotations": {"run.oci.handler": "krun"}},
            {"RestartPolicy": {"Name": "always"}}, {"AutoRemove": "yes"}, {"CpusetCpus": "0-3"},
            {"Memory": 9 << 30}, {"Memory": -1}, {"MemorySwap": -1}, {"NanoCpus": 5 * 10 ** 9}, {"CpuQuota": 10 ** 9}, {"PidsLimit": 513},
            {"ShmSize": 1 << 40}, {"Memory": 1e30}, {"Memory": "8g"}, {"Memory": 2 ** 63}, {"PidsLimit": 0.5}, {"NoSuchKey": 1},
            {"Binds": ["/etc:/e"]}, {"Binds": ["/:/host"]}, {"Binds": [link + ":/e"]}, {"Binds": [work + "/..:/e"]}, {"Binds": [work + "/./../x:/e"]},
            {"Binds": [work + "/:/e:rw,z"]}, {"Binds": [work + ":/e:rshared"]}, {"Binds": ["named:/e"]}, {"Binds": ["../x:/e"]}, {"Binds": [work + "//link:/e"]},
            {"Binds": ["/var/run/docker.sock:/s"]}, {"Binds": [work + "\u0000/etc:/e"]}, {"Binds": [work + "/.env:/e"]}, {"Binds": {"0": "/etc:/e"}},
            {"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/e"}]}, {"Mounts": [{"Type": "bind", "Source": link, "Target": "/e"}]},
            {"Mounts": [{"Type": "BIND", "Source": "/etc", "Target": "/e"}]},
            {"Mounts": [{"Type": "bind", "Source": work, "Target": "/e", "BindOptions": {"Propagation": "rshared"}}]},
            {"Mounts": [{"Type": "volume", "Source": "v", "Target": "/e", "VolumeOptions": {"DriverConfig": {
                "Name": "local", "Options": {"type": "none", "o": "bind", "device": "/etc"}}}}]},
            {"Mounts": [{"Type": "volume", "Source": "v", "Target": "/e"}]}, {"Mounts": [{"Type": "npipe", "Source": "/etc", "Target": "/e"}]},
            {"Mounts": [{"Type": "cluster", "Source": "/etc", "Target": "/e"}]}, {"Mounts": [{"Type": "image", "Source": "bb:1", "Target": "/e"}]},
        ]
        self.all_refused([create(host) for host in options])
        self.all_refused([create(**top) for top in (
            {"Image": "secret:1"}, {"Labels": {"dirbox.project": "p2"}}, {"NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}},
            {"NetworkingConfig": {"EndpointsConfig": {"host": None}}}, {"MacAddress": "x"}, {"OnBuild": ["RUN x"]}, {"Privileged": True},
            {"Labels": {"DIRBOX.project": "x", "dirbox.project": "y"}})])

    def test_the_place_of_a_bind_was_swapped(self):
        aside = self.directory + "/aside"
        os.rename(self.work, aside)
        self.addCleanup(os.rename, aside, self.work)
        os.symlink("/etc", self.work)
        self.addCleanup(os.unlink, self.work)
        self.refused(create({"Binds": [self.work + ":/e"]}))

    # Paths and framing.
    def test_paths_that_a_server_reads_otherwise(self):
        body = {"Image": "bb:1", "HostConfig": {"Privileged": True}}
        targets = ["/containers/%63reate", "/v1.41/containers/./create", "/v1.41//containers/create", "//containers/create", "/v1.41/../containers/create",
                   "/v1.41/containers/x/../create", "http://docker/containers/create", "/v1.12/containers/create", "/v1.23/containers/create",
                   "/v2.0/containers/create", "/v1.041/containers/create", "/v1.41/v1.12/containers/create", "/containers/create/", "/containers/create%00",
                   "/containers/create?name=x;y", "/containers/create#x", "/Containers/create", "/containers/create\t", "/v1.41/containers/create?name=%0a",
                   "*", "containers/create"]
        self.all_refused([request("POST", target, body) for target in targets])

    def test_start_of_old_versions_changes_no_container(self):
        change = {"Binds": ["/:/host"], "Privileged": True}
        for target in ("/v1.23/containers/mine/start", "/v1.18/containers/mine/start"):
            self.refused(request("POST", target, change))
        head, body = self.passed(request("POST", "/v1.41/containers/mine/start", change))
        self.assertNotIn("Content-Length: 4", head)
        self.assertEqual(body, b"")

    def test_two_framings(self):
        inner = request("POST", "/v1.41/containers/create", {"Image": "bb:1", "HostConfig": {"Privileged": True}})
        chunk = b"%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n"
        for headers in (["Content-Length: 5", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 5"],
                        ["Content-Length: 5", "Content-Length: 500"], ["Content-Length: +5"], ["Content-Length: 5, 5"], ["Content-Length : 5"],
                        ["Transfer-Encoding: xchunked"], ["Transfer-Encoding: chunked, identity"], ["Transfer-Encoding: identity"],
                        ["Transfer-Encoding:\x0bchunked"], ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], ["Content-Length: -1"],
                        ["Content-Length: 0x5"], ["Content-Length: 5\r\n folded: x"], ["Host: other"], ["Expect: 100-continue"]):
            with self.subTest(headers=headers):
                self.refused(request("POST", "/v1.41/containers/mine/stop", b"", headers) + chunk)
        for data in (b"POST /v1.41/containers/mine/stop HTTP/1.1\nHost: x\n\n", b"POST  /v1.41/containers/mine/stop HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"POST /v1.41/containers/mine/stop HTTP/2.0\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                     b"POST /v1.41/containers/mine/stop HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", b"\x16\x03\x01\x00\x05hello\r\n\r\n"):
            self.refused(data)

    def test_a_body_is_no_second_request(self):
        """What follows a request in the same bytes is judged by itself."""
        second = create({"Privileged": True})
        self.engine.recorded.clear()
        answer = self.send(request("POST", "/v1.41/containers/mine/stop") + second, until_end=True)
        self.assertIn(b"HTTP/1.1 200", answer)
        self.assertIn(b"HTTP/1.1 403", answer)
        taken = self.engine.taken()
        self.assertEqual(len(taken), 1)
        self.assertNotIn(b"Privileged", taken[0])

    # Upgrades.
    def test_upgrades(self):
        upgrade = ["Connection: Upgrade", "Upgrade: tcp"]
        for target in ("/v1.41/containers/create", "/v1.41/containers/mine/start", "/v1.41/containers/json", "/v1.41/build", "/v1.41/containers/foreign/attach"):
            self.engine.recorded.clear()
            self.send(request("POST", target, {"Image": "bb:1"}, upgrade))
            self.assertNotIn(b"pgrade", b"".join(self.engine.taken()), target)
        self.all_refused([request("POST", target, b"", ["Connection: Upgrade", "Upgrade: h2c"]) for target in
                          ("/v1.41/session", "/grpc", "/session", "/v1.41/containers/mine/attach?stream=1")])
        self.all_refused([request("POST", "/v1.41/containers/mine/attach?stream=1", b"", ["Connection: Upgrade", "Upgrade: " + to])
                          for to in ("websocket", "h2c", "tcp, h2c", "TLS/1.0")])
        # The one that is relayed, both ways, with its end.
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(self.directory + "/filter")
            client.sendall(request("POST", "/v1.41/containers/mine/attach?stream=1&stdin=1", b"", upgrade))
            got = b""
            while b"\r\n\r\n" not in got:
                got += client.recv(65536)
            self.assertTrue(got.startswith(b"HTTP/1.1 101 "), got)
            client.sendall(b"typed")
            client.shutdown(socket.SHUT_WR)
            rest = got.partition(b"\r\n\r\n")[2]
            while piece := client.recv(65536):
                rest += piece
            self.assertEqual(rest, b"typed")

    # Objects of others, and what is closed.
    def test_what_is_of_others(self):
        for verb, path in (("POST", "start"), ("POST", "stop"), ("POST", "kill"), ("POST", "attach?stream=1"), ("GET", "logs?stdout=1"), ("GET", "json"),
                           ("GET", "stats"), ("GET", "top"), ("GET", "archive?path=/"), ("PUT", "archive?path=/"), ("POST", "exec"), ("POST", "rename?name=x"),
                           ("POST", "resize?h=1&w=1"), ("POST", "wait"), ("POST", "pause"), ("GET", "changes"), ("POST", "restart")):
            body = b'{"Cmd":["id"]}' if path == "exec" else b""
            for name in ("foreign", FOREIGN, FOREIGN[:12], "nothing"):
                answer = self.refused(request(verb, f"/v1.41/containers/{name}/{path}", body))
                self.assertIn(b" 404 ", answer.split(b"\r\n")[0])
                self.assertNotIn(b"dirbox.project", answer)
        self.refused(request("DELETE", "/v1.41/containers/foreign?force=1"))
        for verb, path, body in (("POST", "start", b"{}"), ("POST", "resize?h=1&w=1", b""), ("GET", "json", b"")):
            self.refused(request(verb, f"/v1.41/exec/e2/{path}", body))

    def test_a_container_from_before_something_was_hidden(self):
        """It was made when the profile hid less: nothing covers there what is hidden or protected now."""
        bind = lambda source, target, writable: {"Type": "bind", "Source": source, "Destination": target, "RW": writable}
        work = [bind(self.work, "/w", True)]
        covers = [bind("/dev/null", "/w/.env", False), bind("/dev/null", "/w/make.sh", False)]
        calls = [("start", b""), ("restart", b""), ("attach?stream=1", b""), ("exec", b'{"Cmd":["id"]}')]
        for mounts, tmpfs, opens in ((work + covers, {"/w/keys": ""}, True), (work + covers, {}, False), (work + covers, {"/x/keys": ""}, False),
                                     (work + covers[:1], {"/w/keys": ""}, False), (work + covers[1:], {"/w/keys": ""}, False),
                                     ([bind(self.work, "/w", False), covers[0]], {"/w/keys": ""}, True), (work, {}, False)):
            Handler.containers["old"] = Handler.containers[OLD] = (OLD, mounts, tmpfs)
            self.addCleanup(Handler.containers.pop, "old", None)
            for path, body in calls:
                with self.subTest(mounts=mounts, tmpfs=tmpfs, path=path):
                    asked = request("POST", "/v1.41/containers/old/" + path, body)
                    if opens:
                        self.passed(asked)
                    else:
                        self.assertIn(b"made under a wider profile", self.refused(asked))

    def test_exec_is_rebuilt(self):
        self.all_refused([request("POST", "/v1.41/containers/mine/exec", body) for body in
                          ({"Cmd": ["id"], "Privileged": True}, {"Cmd": ["id"], "privileged": True}, {"Cmd": ["id"], "Privileged": 1},
                           {"Cmd": ["id"], "Unknown": True})])
        _, body = self.passed(request("POST", "/v1.41/containers/mine/exec", {"Cmd": ["id"], "Privileged": False, "Tty": True}))
        self.assertNotIn(b'"Privileged":true', body)

    def test_endpoints_that_are_closed(self):
        closed = ["POST /images/create?fromImage=x", "POST /images/load", "POST /images/bb:1/push", "DELETE /images/bb:1", "POST /commit?container=mine",
                  "POST /networks/create", "POST /networks/sandbox-net/connect", "DELETE /networks/sandbox-net", "GET /volumes", "POST /volumes/create",
                  "POST /containers/prune", "POST /auth", "POST /swarm/init", "GET /nodes", "POST /services/create", "GET /secrets", "GET /configs", "GET /tasks",
                  "GET /plugins", "POST /plugins/pull?remote=x", "GET /distribution/x/json", "GET /system/df", "GET /libpod/info", "POST /libpod/containers/create",
                  "POST /session", "POST /grpc", "POST /build/prune", "POST /containers/mine/update", "GET /containers/mine/export", "POST /containers/mine/copy",
                  "GET /containers/mine/attach/ws", "GET /images/bb:1/get", "GET /images/get?names=bb:1", "GET /debug/pprof", "PATCH /containers/mine/json",
                  "OPTIONS /containers/json", "TRACE /containers/json", "CONNECT docker:80"]
        self.all_refused([request(line.split(" ")[0], "/v1.41" + line.split(" ")[1] if "/" in line.split(" ")[1] else line.split(" ")[1], b"{}")
                          for line in closed])

    def test_parameters_that_are_refused(self):
        self.all_refused([request("POST", "/v1.41/build?" + query, b"x") for query in (
            "remote=http://169.254.169.254/", "networkmode=host", "networkmode=bridge", "session=x", "version=2", "cgroupparent=/", "extrahosts=x:1.2.3.4",
            "volume=/etc:/e", "securityopt=%5B%22seccomp%3Dunconfined%22%5D", "cachefrom=%5B%22x%22%5D", "outputs=x",
            "isolation=host", "nosuch=1", "platform=x", "dockerfile=x&dockerfile=y")])
        self.all_refused([request("GET", "/v1.41/containers/mine/top?ps_args=" + ps) for ps in ("-eo+args", "e", "%2Do%20args", "-f%20--ppid%201")])
        self.all_refused([request("POST", "/v1.41/containers/mine/start?checkpoint=x"), request("DELETE", "/v1.41/containers/mine?link=1"),
                          request("POST", "/v1.41/containers/create?platform=x", {"Image": "bb:1"}),
                          request("POST", "/v1.41/containers/create?name=a%2Fb", {"Image": "bb:1"})])

    def test_too_much(self):
        self.refused(request("POST", "/v1.41/containers/create", b" " * (2 << 20)))
        self.refused(b"GET /v1.41/containers/json HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n")
        self.refused(b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        # It still serves.
        self.passed(request("GET", "/v1.41/containers/json"))


if __name__ == "__main__":
    suite.run()
