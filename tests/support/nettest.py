"""Real clients behind the network engine (netbox), real servers on the host's loopback."""
import http.server
import json
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import unittest

NETBOX = os.environ.get("NETBOX", "netbox")
PYTHON = "/usr/bin/python3"


class Recorder:
    """A TCP server that keeps what each connection sent, answers with `greeting`, then echoes."""

    def __init__(self, greeting=b"", echo=True, on_connection=None):
        self.seen, self.lock = [], threading.Lock()
        recorder = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with recorder.lock:
                    index = len(recorder.seen)
                    recorder.seen.append(b"")
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
    """One scratch directory and one set of servers per class."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.mkdtemp(prefix="dirbox-net-")
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

    def spec(self, allow=(), deny=(), maps=None, **more):
        """`maps`: {"name:port": port on the host's loopback}."""
        net_map = []
        for target, port in (maps or {}).items():
            name, number = target.rsplit(":", 1)
            net_map.append({"name": name, "port": int(number), "address": "127.0.0.1", "address_port": port})
        rules = lambda texts: [{"text": t, "origin": {"file": "test.toml", "line": i + 1}} for i, t in enumerate(texts)]
        return {"mode": "proxy", "allow": rules(allow), "deny": rules(deny), "net_map": net_map, **more}

    def netbox(self, spec, *command, env=False, stdin=None, timeout=60, variables=None):
        file, path = tempfile.mkstemp(dir=self.scratch, suffix=".json")
        with os.fdopen(file, "w") as out:
            json.dump(spec, out)
        events = path.replace(".json", ".events")
        command = [NETBOX, path, events, *(["-e"] if env else []), "--", *command]
        environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        environment.update(variables or {})
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", input=stdin, timeout=timeout,
                              env=environment, cwd=self.scratch)
        lines = []
        if os.path.exists(events):
            with open(events, encoding="utf-8") as f:
                lines = [json.loads(line) for line in f]
        return Run(done.returncode, done.stdout, done.stderr, lines)

    def inside(self, spec, code, *arguments, **more):
        """Runs Python code inside; PRELUDE is in front of it."""
        return self.netbox(spec, PYTHON, "-c", PRELUDE + code, *map(str, arguments), **more)


PRELUDE = """
import errno, os, socket, ssl, struct, sys, time

def connect(host, port, timeout=10):
    return socket.create_connection((host, port), timeout)

def read_all(s):
    out = b""
    try:
        while data := s.recv(65536):
            out += data
    except ConnectionResetError:
        out += b"<RST>"
    except TimeoutError:
        out += b"<TIMEOUT>"
    return out

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
