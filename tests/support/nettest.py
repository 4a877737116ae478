"""Real clients inside `dirbox run`, real servers on the host's loopback.

A test describes its network as a spec (netns/spec.h as JSON). box() writes it as a profile and names the servers by
--net-map; what the launcher says at the end becomes events. What no profile can say (short timeouts, a small table)
goes to netbox, the engine without the launcher.
"""
import faulthandler
import http.server
import json
import os
import pwd
import re
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import suite

DIRBOX = os.environ.get("DIRBOX", "dirbox")
NETBOX = os.environ.get("NETBOX", "netbox")
PYTHON = "/usr/bin/python3"


def read_head(s):
    """What came until an HTTP head was whole, or the peer ended."""
    head = b""
    while b"\r\n\r\n" not in head and (piece := s.recv(1024)):
        head += piece
    return head


class Recorder:
    """A TCP server that keeps what each connection sent, answers with `greeting`, then echoes."""

    def __init__(self, greeting=b"", echo=True, on_connection=None):
        self.seen, self.lock = [], threading.Lock()
        recorder = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with recorder.lock:
                    index = len(recorder.seen)
                    recorder.seen.append(bytearray())  # bytes would be copied whole for each piece
                if on_connection:
                    return on_connection(self.request)
                self.request.sendall(greeting)
                while data := self.request.recv(65536):
                    with recorder.lock:
                        recorder.seen[index] += data
                    if echo:
                        self.request.sendall(data)
                return None

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass  # a client that resets is part of these tests

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def received(self):
        with self.lock:
            return b"".join(self.seen)


class Web:
    """An HTTP/1.1 server, with TLS when it gets a certificate. Keeps (method, path, Host)."""

    def __init__(self, certificate=None):
        web = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web.requests.append((self.command, self.path, self.headers.get("Host"), self.client_address))
                body = f"hello {self.path}\n".encode()
                if self.path == "/chunked":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
                    return
                if self.path.startswith("/big"):
                    body = b"x" * int(self.path[4:])
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def do_POST(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                web.requests.append((self.command, self.path, self.headers.get("Host"), body))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Files(Web):
    """The files of a directory."""

    def __init__(self, directory, certificate=None):
        super().__init__(certificate)

        def handler(*arguments):
            return Quiet(*arguments, directory=directory)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

        self.server.RequestHandlerClass = handler


class GitServer(Web):
    """git's own smart HTTP server over the repositories in a directory."""

    def __init__(self, directory, certificate=None):
        super().__init__(certificate)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = b""
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path, _, query = self.path.partition("?")
                environment = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": directory, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
                               "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                               "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                               "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_USER": "t", "REMOTE_ADDR": "127.0.0.1"}
                done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment)
                head, _, answer = done.stdout.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(fields.pop("Status", "200").split()[0]))
                for name, value in {**fields, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        self.server.RequestHandlerClass = Handler


class Run:
    def __init__(self, code, out, err, events):
        self.code, self.out, self.err, self.events = code, out, err, events

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out}\nstderr: {self.err}\nevents: {self.events}"

    def causes(self):
        return [e["cause"] for e in self.events if e.get("event") in ("denied", "dns-denied", "failed", "limit")]

    def count(self, name):
        return next((e for e in self.events if e.get("count") == name), None)


class NetTest(unittest.TestCase):
    """One scratch directory and one set of servers per class. No test lasts longer than `seconds`: it fails then, wherever
    it waits, and every thread says where it was."""
    seconds = 240

    @classmethod
    def limit_time(cls):
        def give_up(*_):
            faulthandler.dump_traceback()
            raise AssertionError(f"it took more than {cls.seconds} s")

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(cls.seconds)
        # For the end of a process that a thread holds up.
        faulthandler.dump_traceback_later(cls.seconds + 60, exit=True)

    def run(self, result=None):
        self.limit_time()
        try:
            return super().run(result)
        finally:
            signal.alarm(0)

    @classmethod
    def setUpClass(cls):
        cls.limit_time()
        # Below the home: /tmp is private inside.
        root = os.path.join(os.path.expanduser("~"), ".dirbox-tests")
        os.makedirs(root, mode=0o700, exist_ok=True)
        cls.scratch = tempfile.mkdtemp(prefix="net", dir=root)
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)

    @classmethod
    def certificate(cls, *names):
        """A self-signed certificate for `names`: (certificate, key) paths."""
        stem = os.path.join(cls.scratch, names[0])
        alternatives = ",".join("DNS:" + name for name in names)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=" + names[0], "-addext", "subjectAltName=" + alternatives,
                        "-keyout", stem + ".key", "-out", stem + ".pem"], check=True, capture_output=True)
        return stem + ".pem", stem + ".key"

    @classmethod
    def serve(cls, server):
        cls.addClassCleanup(server.close)
        return server

    def until(self, condition, seconds=30):
        """Waits for what another thread brings about."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "it did not happen")
            threading.Event().wait(0.01)  # for others to run

    def spec(self, allow=(), deny=(), maps=None, **more):
        """`maps`: {"name:port": port on the host's loopback}."""
        net_map = []
        for target, port in (maps or {}).items():
            name, number = target.rsplit(":", 1)
            net_map.append({"name": name, "port": int(number), "address": "127.0.0.1", "address_port": port})
        rules = lambda texts: [{"text": t, "origin": {"file": "test.toml", "line": i + 1}} for i, t in enumerate(texts)]
        return {"mode": "proxy", "allow": rules(allow), "deny": rules(deny), "net_map": net_map, **more}

    def box(self, spec, *command, env=False, stdin=None, timeout=60, variables=None):
        """Runs a command in the network of `spec`; `env`: with the proxy variables."""
        if "limits" in spec:
            return self.netbox(spec, *command, env=env, stdin=stdin, timeout=timeout, variables=variables)
        argv = self.launcher(spec, env, variables)
        done = subprocess.run([*argv, "--", *command], capture_output=True, text=True, errors="replace", input=stdin,
                              timeout=timeout, env=self.environment(spec), cwd=self.scratch)
        return Run(done.returncode, done.stdout, done.stderr, events_of(done.stderr))

    def launcher(self, spec, env=False, variables=None):
        """The command line of dirbox up to the command."""
        file, path = tempfile.mkstemp(dir=self.scratch, suffix=".toml")
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(profile_of(spec, env))
        argv = [DIRBOX, "run", "-v", "-p", path]
        for row in spec["net_map"]:
            argv += ["--net-map", f"{row['name']}:{row['port']}={row['address']}:{row['address_port']}"]
        for name, value in (variables or {}).items():
            argv += ["--env", f"{name}={value}"]
        return argv

    @staticmethod
    def environment(spec):
        """Of the launcher. A parent proxy is the host's own HTTPS_PROXY."""
        clean = {k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "UBSAN_", "LSAN_", "XDG_RUNTIME_DIR"))}
        clean.update(PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", HOME=os.path.expanduser("~"), USER=pwd.getpwuid(os.geteuid()).pw_name, LANG="C.UTF-8")
        parent = spec.get("parent", {})
        names = {"https_proxy": "https_url", "http_proxy": "http_url", "no_proxy": "no_proxy"}
        return {**clean, "DIRBOX_TEST": "1", **{v: parent[k] for v, k in names.items() if k in parent}}

    def netbox(self, spec, *command, env=False, stdin=None, timeout=60, variables=None):
        file, path = tempfile.mkstemp(dir=self.scratch, suffix=".json")
        with os.fdopen(file, "w") as out:
            json.dump(spec, out)
        events = path.replace(".json", ".events")
        command = [NETBOX, path, events, *(["-e"] if env else []), "--", *command]
        environment = {**self.environment({}), **(variables or {})}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", input=stdin, timeout=timeout,
                              env=environment, cwd=self.scratch)
        lines = []
        if os.path.exists(events):
            with open(events, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
        return Run(done.returncode, done.stdout, done.stderr, lines)

    def inside(self, spec, code, *arguments, **more):
        """Runs Python code inside; PRELUDE is in front of it."""
        return self.box(spec, PYTHON, "-c", PRELUDE + code, *map(str, arguments), **more)


def profile_of(spec, env):
    """The spec as TOML; JSON's texts, lists and numbers are TOML's."""
    texts = lambda rules: json.dumps([r["text"] for r in rules])
    lines = ['extends = "worker"', "[network]", 'mode = "proxy"', f"proxy_variables = {json.dumps(env)}"]
    known = {"mode", "net_map", "parent", "name_limits"}
    for key, value in spec.items():
        if value in ([], ()):
            continue
        if key in ("allow", "deny", "upgrade"):
            lines.append(f"{key} = {texts(value)}")
        elif key == "tls_ports":
            lines.append(f"tls_ports = {json.dumps([str(p) for p in value if p != 443])}")
        elif key == "host_ports":
            lines.append(f"host_ports = {json.dumps([str(f['inside']) + ':' + str(f['outside']) for f in value])}")
        elif key == "publish":
            ports = [f"{'[%s]' % p['address'] if ':' in p['address'] else p['address']}:{p['outside']}:{p['inside']}" for p in value]
            lines.append(f"publish = {json.dumps(ports)}")
        elif key not in known:
            lines.append(f"{key} = {json.dumps(value)}")
    for limit in spec.get("name_limits", []):
        lines += ["[[network.limits]]", *(f"{k} = {json.dumps(v)}" for k, v in limit.items())]
    return "\n".join(lines) + "\n"


BLOCKED = re.compile(r"^dirbox: (blocked|failed): (\S+|a connection) \(([a-z-]+): .*?\)(?:, (\d+) times)?(?:; .*)?$", re.M)
COUNTS = ("connections", "denied", "failed", "uploaded", "downloaded")


def events_of(text):
    """What `dirbox run -v` says at its end, in the form that netbox writes."""
    events = []
    for kind, where, cause, times in BLOCKED.findall(text):
        host, _, port = where.rpartition(":") if re.search(r":\d+$", where) else (where, "", "0")
        event = "dns-denied" if kind == "blocked" and port == "0" and host != "a connection" else "denied" if kind == "blocked" else "failed"
        events += [{"event": event, "cause": cause, "host": host, "port": int(port)}] * int(times or 1)
    rows = text.partition("\nname ")[2].splitlines()[1:]
    for row in rows:
        words = row.split()
        if len(words) == 6 and all(w.isdigit() for w in words[1:]):
            events.append({"count": words[0], **dict(zip(COUNTS, map(int, words[1:])))})
    return events


PRELUDE = """
import errno, os, socket, ssl, struct, sys, time

def connect(host, port, timeout=10):
    return socket.create_connection((host, port), timeout)

def read_all(s):
    out = bytearray()
    try:
        while data := s.recv(65536):
            out += data
    except ConnectionResetError:
        out += b"<RST>"
    except TimeoutError:
        out += b"<TIMEOUT>"
    return bytes(out)

def ask(port, data, host="127.0.0.1"):
    s = connect(host, port)
    if data: s.sendall(data)
    return read_all(s)

def proxy(data):
    return ask(3128, data)

def outcome(action):
    try:
        return str(action())
    except OSError as e:
        return errno.errorcode.get(e.errno, repr(e))
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
