"""Programs as they are, without proxy variables and with them, against real servers on loopback."""
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest

import nettest

NODE_H2 = """
const h2 = require('http2'), fs = require('fs');
const s = h2.createSecureServer({key: fs.readFileSync(process.argv[2]), cert: fs.readFileSync(process.argv[1])});
s.on('stream', (st) => { st.respond({':status': 200}); st.end('h2\\n'); });
s.listen(0, '127.0.0.1', () => console.log(s.address().port));
"""
JAVA = """
import java.net.*; import java.net.http.*;
public class Get { public static void main(String[] a) throws Exception {
  var r = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create(a[0])).build(), HttpResponse.BodyHandlers.ofString());
  System.out.print(r.body()); } }
"""
GO = """
package main
import ("fmt"; "io"; "net/http"; "os")
func main() {
  r, err := http.Get(os.Args[1])
  if err != nil { fmt.Println(err); os.Exit(1) }
  b, _ := io.ReadAll(r.Body); fmt.Print(string(b))
}
"""


# fetch() of Node's releases that know no NODE_USE_ENV_PROXY: a dispatcher that connects by CONNECT.
NODE_PROXY = """
const http = require("http"), tls = require("tls"), proxy = new URL(process.env.HTTPS_PROXY);
const at = to => `${to.hostname}:${to.port || 443}`;
const connect = (to, done) => http.request({host: proxy.hostname, port: proxy.port, method: "CONNECT", path: at(to), headers: {Host: at(to)}})
  .on("connect", (answer, socket) => {
    if (answer.statusCode != 200) return done(new Error(`${answer.statusCode} ${answer.headers["x-dirbox-reason"]}`));
    const secure = tls.connect({socket, servername: to.servername || to.hostname, ALPNProtocols: ["http/1.1"]}, () => done(null, secure));
    secure.on("error", done);
  }).on("error", done).end();
(async () => {
  await fetch("data:,");  // makes the global dispatcher
  const dispatcher = new (globalThis[Symbol.for("undici.globalDispatcher.1")].constructor)({connect});
  for (const url of process.argv.slice(1)) {
    await fetch(url, {dispatcher}).then(r => r.text()).then(t => process.stdout.write(t), e => console.log(e.cause.message));
  }
})();
"""
# psql knows no proxy: a port inside that leads to CONNECT.
PSQL_PROXY = """
import subprocess, threading
far = connect("127.0.0.1", 3128); far.sendall(b"CONNECT db.test:5432 HTTP/1.1\\r\\nHost: db.test:5432\\r\\n\\r\\n")
head = b""
while not head.endswith(b"\\r\\n\\r\\n"): head += far.recv(1)
assert head.startswith(b"HTTP/1.1 200 "), head
door = socket.create_server(("127.0.0.1", 0))
psql = subprocess.Popen(["psql", "-h", "127.0.0.1", "-p", str(door.getsockname()[1]), "-U", "t", "-d", "postgres", "-Atc", "select 6*7"])
near, _ = door.accept()
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
far.settimeout(None)
up = threading.Thread(target=pump, args=(near, far)); up.start(); pump(far, near); up.join()
sys.exit(psql.wait())
"""


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p) and not os.path.exists(p)]
    return unittest.skipIf(missing, "not installed: " + ", ".join(missing))


class Clients(nettest.NetTest):
    seconds = 700  # a compiler of another language may be cold
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pair = cls.certificate("allowed.test", "denied.test")
        cls.tls = cls.serve(nettest.Web(cls.pair))
        cls.web = cls.serve(nettest.Web())

    def policy(self):
        return self.spec(["allowed.test"], maps={"allowed.test:443": self.tls.port, "allowed.test:80": self.web.port})

    def both_ways(self, *command, out, spec=None, variables=None):
        for env in False, True:
            with self.subTest(proxy_variables=env):
                run = self.box(spec or self.policy(), *command, env=env, variables=variables, timeout=120)
                self.assertEqual((run.code, run.out), (0, out), run)

    def test_curl(self):
        self.both_ways("curl", "-sS", "--cacert", self.pair[0], "https://allowed.test/c", out="hello /c\n")
        self.both_ways("curl", "-sS", "http://allowed.test/chunked", out="abcdefg")
        self.both_ways("curl", "-sS", "-d", "a=b", "http://allowed.test/p", out="a=b")

    def test_curl_reuses_one_connection(self):
        urls = [f"http://allowed.test/{i}" for i in range(5)]
        run = self.box(self.policy(), "curl", "-sS", *urls)
        self.assertEqual(run.out, "".join(f"hello /{i}\n" for i in range(5)), run)
        self.assertEqual(len({r[3] for r in self.web.requests[-5:]}), 1)
        run = self.box(self.policy(), "curl", "-sS", *urls, env=True)
        self.assertEqual(run.out, "".join(f"hello /{i}\n" for i in range(5)), run)

    @needs("node")
    def test_curl_http2(self):
        server = subprocess.Popen(["node", "-e", NODE_H2, *self.pair], stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.wait)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.kill)
        spec = self.spec(["allowed.test"], maps={"allowed.test:443": int(server.stdout.readline())})
        self.both_ways("curl", "-sS", "--http2", "-w", "%{http_version}", "--cacert", self.pair[0], "https://allowed.test/", out="h2\n2", spec=spec)

    @needs("wget")
    def test_wget(self):
        self.both_ways("wget", "-qO-", "--ca-certificate=" + self.pair[0], "https://allowed.test/w", out="hello /w\n")
        self.both_ways("wget", "-qO-", "http://allowed.test/w", out="hello /w\n")

    def test_python(self):
        code = "import urllib.request, ssl, sys; print(urllib.request.urlopen(sys.argv[1], context=ssl.create_default_context(cafile=sys.argv[2])).read())"
        self.both_ways(nettest.PYTHON, "-c", code, "https://allowed.test/u", self.pair[0], out="b'hello /u\\n'\n")

    @unittest.skipIf(subprocess.run([nettest.PYTHON, "-c", "import requests"], capture_output=True).returncode, "not installed: python3-requests")
    def test_requests(self):
        code = "import requests, sys; print(requests.get(sys.argv[1], verify=sys.argv[2]).text)"
        self.both_ways(nettest.PYTHON, "-c", code, "https://allowed.test/r", self.pair[0], out="hello /r\n\n")

    @needs("node")
    def test_node_fetch(self):
        code = "fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))"
        self.both_ways("node", "-e", code, "https://allowed.test/f", out="hello /f\n", variables={"NODE_EXTRA_CA_CERTS": self.pair[0]})
        run = self.box(self.policy(), "node", "-e", NODE_PROXY, "https://allowed.test/f", "https://denied.test/", env=True,
                       variables={"NODE_EXTRA_CA_CERTS": self.pair[0]})
        self.assertEqual(run.out, "hello /f\n403 no-rule\n", run)
        code = "fetch(process.argv[1]).catch(e => console.log(e.cause.code))"
        run = self.box(self.policy(), "node", "-e", code, "https://denied.test/")
        self.assertEqual(run.out, "ENOTFOUND\n", run)

    @needs("javac", "java", "keytool")
    def test_java(self):
        with open(os.path.join(self.scratch, "Get.java"), "w", encoding="ascii") as f:
            f.write(JAVA)
        subprocess.run(["javac", "Get.java"], cwd=self.scratch, check=True)
        store = os.path.join(self.scratch, "store")
        subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "a", "-file", self.pair[0], "-keystore", store, "-storepass", "changeit"],
                       check=True, capture_output=True)
        trust = ["-Djavax.net.ssl.trustStore=" + store, "-Djavax.net.ssl.trustStorePassword=changeit"]
        run = self.box(self.policy(), "java", *trust, "-cp", self.scratch, "Get", "https://allowed.test/j", timeout=120)
        self.assertEqual(run.out, "hello /j\n", run)
        properties = ["-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=3128"]
        run = self.box(self.policy(), "java", *properties, *trust, "-cp", self.scratch, "Get", "https://allowed.test/j", timeout=120)
        self.assertEqual(run.out, "hello /j\n", run)

    @needs("go")
    def test_static_go(self):
        with open(os.path.join(self.scratch, "get.go"), "w", encoding="ascii") as f:
            f.write(GO)
        environment = dict(os.environ, CGO_ENABLED="0", GOCACHE=self.scratch + "/gocache", GO111MODULE="off", GOPROXY="off")
        subprocess.run(["go", "build", "-o", "goget", "get.go"], cwd=self.scratch, check=True, env=environment, timeout=600)
        self.both_ways(self.scratch + "/goget", "https://allowed.test/g", out="hello /g\n", variables={"SSL_CERT_FILE": self.pair[0]})

    def repository(self):
        path = os.path.join(tempfile.mkdtemp(dir=self.scratch), "repo")
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", path]
        subprocess.run(["git", "init", "-q", path], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
        subprocess.run([*git, "update-server-info"], check=True)
        return path

    @needs("git")
    def test_git_over_https(self):
        """Clone, fetch and push against git's own server; a push of more than 1 MiB is chunked."""
        repository = self.repository()
        subprocess.run(["git", "-C", repository, "config", "http.receivepack", "true"], check=True)
        subprocess.run(["git", "-C", repository, "config", "receive.denyCurrentBranch", "ignore"], check=True)
        server = nettest.GitServer(os.path.dirname(repository), self.pair)
        self.addCleanup(server.close)
        spec = self.spec(["allowed.test"], maps={"allowed.test:443": server.port})
        script = """
set -e; git clone -q https://allowed.test/repo "$0"; cd "$0"; head -c 3000000 /dev/urandom > big; git add big
git -c user.name=t -c user.email=t@t commit -qm "$1"; git push -q origin HEAD:refs/heads/"$1"; git fetch -q origin; git rev-parse HEAD
"""
        for env in False, True:
            target = tempfile.mkdtemp(dir=self.scratch)
            run = self.box(spec, "sh", "-c", script, target + "/c", f"pushed-{env}", env=env, variables={"GIT_SSL_CAINFO": self.pair[0]})
            self.assertEqual(run.code, 0, run)
            arrived = subprocess.run(["git", "-C", repository, "rev-parse", f"pushed-{env}"], capture_output=True, text=True, check=True)
            self.assertEqual(arrived.stdout, run.out)

    def sshd(self):
        """A real sshd of this user, with a key that only the agent has."""
        home = tempfile.mkdtemp(dir=self.scratch)
        for name in "host", "key":
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{home}/{name}"], check=True)
        agent = subprocess.run(["ssh-agent", "-s", "-a", home + "/agent"], check=True, capture_output=True, text=True).stdout
        self.addCleanup(os.kill, int(agent.split("SSH_AGENT_PID=")[1].split(";")[0]), 15)
        subprocess.run(["ssh-add", "-q", home + "/key"], check=True, env=dict(os.environ, SSH_AUTH_SOCK=home + "/agent"))
        shutil.copy(home + "/key.pub", home + "/authorized")
        os.unlink(home + "/key")
        port = nettest.free_port()
        options = [f"HostKey={home}/host", f"ListenAddress=127.0.0.1:{port}", f"AuthorizedKeysFile={home}/authorized", "StrictModes=no",
                   "UsePAM=no", "PasswordAuthentication=no", f"PidFile={home}/pid"]
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *(x for o in options for x in ("-o", o))], stderr=subprocess.PIPE)
        self.addCleanup(server.wait)
        self.addCleanup(server.stderr.close)
        self.addCleanup(server.terminate)
        while b"Server listening" not in (line := server.stderr.readline()):
            self.assertTrue(line, "sshd ended")
        with open(home + "/host.pub", encoding="ascii") as f:
            key = " ".join(f.read().split()[:2])
        with open(home + "/known", "w", encoding="ascii") as f:
            f.write("allowed.test " + key + "\n")
        ssh = f"ssh -F /dev/null -o BatchMode=yes -o UserKnownHostsFile={home}/known -o GlobalKnownHostsFile=/dev/null"
        return port, ssh, {"SSH_AUTH_SOCK": home + "/agent"}

    @needs("/usr/sbin/sshd", "ssh", "git", "nc")
    def test_ssh_and_git_over_ssh(self):
        port, ssh, variables = self.sshd()
        spec = self.spec(["allowed.test:22"], maps={"allowed.test:22": port})
        run = self.box(spec, *ssh.split(), "allowed.test", "echo over ssh", variables=variables)
        self.assertEqual((run.code, run.out), (0, "over ssh\n"), run)
        for way in "", " -o 'ProxyCommand=nc -X 5 -x 127.0.0.1:3128 %h %p'":
            repository, target = self.repository(), tempfile.mkdtemp(dir=self.scratch)
            run = self.box(spec, "git", "clone", "-q", "ssh://allowed.test" + repository, target + "/c",
                           variables=dict(variables, GIT_SSH_COMMAND=ssh + way))
            self.assertEqual(run.code, 0, run)

    @needs("ssh")
    def test_ssh_denial_explains_itself(self):
        run = self.box(self.spec(["allowed.test"]), "ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                          "allowed.test", "true")
        self.assertEqual(run.code, 255, run)
        self.assertIn("dirbox blocked allowed.test:22", run.err, run)
        self.assertIn("--allow allowed.test:22", run.err, run)

    def postgres(self):
        """A server of this user's; root's is of `nobody`, since PostgreSQL refuses to be run by root."""
        found = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []
        tools = f"/usr/lib/postgresql/{found[-1]}/bin/" if found else ""
        if not os.path.exists(tools + "initdb"):
            self.skipTest("not installed: postgresql")
        data = tempfile.mkdtemp(prefix="dirbox-pg")
        self.addCleanup(shutil.rmtree, data)
        user = []
        if os.geteuid() == 0:
            shutil.chown(data, "nobody")
            user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        subprocess.run([*user, tools + "initdb", "-A", "trust", "-U", "t", "-D", data], check=True, capture_output=True, cwd=data)
        port = nettest.free_port()
        options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off"
        subprocess.run([*user, tools + "pg_ctl", "-D", data, "-w", "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=data)
        self.addCleanup(subprocess.run, [*user, tools + "pg_ctl", "-D", data, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, cwd=data)
        return port

    @needs("psql")
    def test_psql_on_a_high_port(self):
        port = self.postgres()
        spec = self.spec(["db.test:5432"], maps={"db.test:5432": port})
        run = self.box(spec, "psql", "-h", "db.test", "-U", "t", "-d", "postgres", "-Atc", "select 6*7")
        self.assertEqual((run.code, run.out), (0, "42\n"), run)
        run = self.inside(spec, PSQL_PROXY, variables={"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"})
        self.assertEqual((run.code, run.out), (0, "42\n"), run)

    @needs("apt-get", "dpkg-deb", "apt-ftparchive")
    def test_apt_get(self):
        root = tempfile.mkdtemp(dir=self.scratch)
        os.makedirs(root + "/p/DEBIAN")
        with open(root + "/p/DEBIAN/control", "w", encoding="ascii") as f:
            f.write("Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: t <t@t>\nDescription: tiny\n")
        os.makedirs(root + "/www")
        subprocess.run(["dpkg-deb", "-b", root + "/p", root + "/www/tiny_1_all.deb"], check=True, capture_output=True)
        with open(root + "/www/Packages", "wb") as f:
            f.write(subprocess.run(["apt-ftparchive", "packages", "."], cwd=root + "/www", check=True, capture_output=True).stdout)
        server = nettest.Files(root + "/www")
        self.addCleanup(server.close)
        for folder in "state/lists/partial", "cache/archives/partial", "etc":
            os.makedirs(f"{root}/{folder}")
        with open(root + "/etc/list", "w", encoding="ascii") as f:
            f.write("deb [trusted=yes] http://allowed.test/ ./\n")
        options = [f"Dir::Etc::SourceList={root}/etc/list", f"Dir::Etc::SourceParts={root}/none", f"Dir::State={root}/state",
                   f"Dir::Cache={root}/cache", "APT::Sandbox::User=", f"Dir::State::status={root}/status"]
        open(root + "/status", "w", encoding="ascii").close()
        options = [x for o in options for x in ("-o", o)]
        spec = self.spec(["allowed.test"], maps={"allowed.test:80": server.port})
        for env in False, True:
            shutil.rmtree(root + "/state/lists")
            os.makedirs(root + "/state/lists/partial")
            run = self.box(spec, "sh", "-c", 'apt-get "$@" update && cd "$0" && apt-get "$@" download tiny', root, *options, env=env)
            self.assertEqual(run.code, 0, run)
            os.unlink(root + "/tiny_1_all.deb")

    @needs("npm")
    def test_npm(self):
        package = tempfile.mkdtemp(dir=self.scratch)
        os.makedirs(package + "/package")
        with open(package + "/package/package.json", "w", encoding="ascii") as f:
            json.dump({"name": "tiny", "version": "1.0.0"}, f)
        www = tempfile.mkdtemp(dir=self.scratch)
        with tarfile.open(www + "/tiny-1.0.0.tgz", "w:gz") as tar:
            tar.add(package + "/package", "package")
        with open(www + "/tiny", "w", encoding="ascii") as f:
            json.dump({"name": "tiny", "dist-tags": {"latest": "1.0.0"},
                       "versions": {"1.0.0": {"name": "tiny", "version": "1.0.0", "dist": {"tarball": "http://allowed.test/tiny-1.0.0.tgz"}}}}, f)
        server = nettest.Files(www)
        self.addCleanup(server.close)
        spec = self.spec(["allowed.test"], maps={"allowed.test:80": server.port})
        for env in False, True:
            target = tempfile.mkdtemp(dir=self.scratch)
            run = self.box(spec, "npm", "--registry", "http://allowed.test/", "--prefix", target, "--cache", target + "/cache", "--no-audit",
                              "--no-fund", "--no-update-notifier", "install", "tiny", env=env, timeout=120, variables={"HOME": target})
            self.assertEqual(run.code, 0, run)
            self.assertTrue(os.path.exists(target + "/node_modules/tiny/package.json"), run)


class Parent(nettest.NetTest):
    """The host's own HTTPS_PROXY."""

    def test_parent_proxy(self):
        heads = []

        def parent(s):
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            heads.append(head)
            if head.startswith(b"CONNECT"):
                s.sendall(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfrom behind")
                while data := s.recv(4096):
                    s.sendall(data)
            else:
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nparent")

        server = nettest.Recorder(on_connection=parent)
        self.addCleanup(server.close)
        url = f"http://us%65r:pass@127.0.0.1:{server.port}"
        direct = nettest.Recorder()
        self.addCleanup(direct.close)
        spec = self.spec(["far.test:22", "far.test:80", "near.corp.test:22"], maps={"near.corp.test:22": direct.port},
                         parent={"https_url": url, "http_url": url, "no_proxy": "corp.test"})
        run = self.inside(spec, """
s = connect("far.test", 22); print(s.recv(11)); s.sendall(b"x"); print(s.recv(1)); s.close()
print(ask(80, b"GET /a HTTP/1.1\\r\\nHost: far.test\\r\\nConnection: close\\r\\n\\r\\n", "far.test")[-6:])
s = connect("near.corp.test", 22); s.sendall(b"x"); print(s.recv(1))
print(ask(80, b"TRACE / HTTP/1.1\\r\\nHost: far.test\\r\\nMax-Forwards: 0\\r\\nConnection: close\\r\\n\\r\\n", "far.test")[9:12],
      proxy(b"TRACE http://far.test/ HTTP/1.1\\r\\nHost: far.test\\r\\nMax-Forwards: 0\\r\\n\\r\\n")[9:12])
print(ask(80, b"OPTIONS * HTTP/1.1\\r\\nHost: far.test\\r\\nConnection: close\\r\\n\\r\\n", "far.test")[-6:])
""")
        self.assertEqual(run.out.splitlines(), ["b'from behind'", "b'x'", "b'parent'", "b'x'", "b'400' b'400'", "b'parent'"], run)
        self.assertEqual(len(heads), 3, heads)
        self.assertTrue(heads[0].startswith(b"CONNECT far.test:22 HTTP/1.1\r\nHost: far.test:22\r\n"), heads)
        self.assertIn(b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n", heads[0])
        self.assertTrue(heads[1].startswith(b"GET http://far.test/a HTTP/1.1\r\n"), heads)
        self.assertIn(b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n", heads[1])
        self.assertTrue(heads[2].startswith(b"OPTIONS http://far.test HTTP/1.1\r\n"), heads)


if __name__ == "__main__":
    nettest.suite.run(verbosity=2)
