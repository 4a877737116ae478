"""docker's own client in the sandbox, a real engine on the host: dockerd for root, podman's service for a user.

dockerd has its own network namespace and data root; podman its own storage. The image is made here, of busybox.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from sandbox import DIRBOX, Terminal, main, wait_until

DOCKER = shutil.which("docker", path="/usr/bin:/usr/local/bin:/bin")
COMPOSE = shutil.which("docker-compose", path="/usr/bin:/usr/local/bin:/bin")
BUSYBOX = shutil.which("busybox")
ROOT = os.geteuid() == 0


def start_engine(directory):
    """(process, socket) of an engine, or the reason why there is none."""
    path = f"{directory}/engine.sock"
    if ROOT:
        if not shutil.which("dockerd"):
            return "dockerd is not installed"
        command = ["unshare", "-n", "sh", "-c",
                   f"ip link set lo up; exec dockerd --data-root {directory}/data --exec-root {directory}/exec "
                   f"--pidfile {directory}/pid -H unix://{path} --userland-proxy=false --bip 172.31.250.1/24"]
        environment = os.environ
    else:
        if not shutil.which("podman"):
            return "podman is not installed"
        runtime = [f"--runtime={shutil.which('runc', path='/usr/sbin:/usr/bin')}"] if shutil.which(
            "runc", path="/usr/sbin:/usr/bin") else []
        os.mkdir(f"{directory}/run", 0o700)
        environment = dict(os.environ, XDG_RUNTIME_DIR=f"{directory}/run")
        command = ["podman", *runtime, f"--root={directory}/storage", f"--runroot={directory}/run", "system", "service",
                   "-t", "0", f"unix://{path}"]
    environment = dict(environment, ENGINE_SECRET="of-the-engine")
    with open(f"{directory}/log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, cwd="/")

    def answers():
        if process.poll() is not None:
            return True
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0
    wait_until(answers, "the engine listens", 60)
    if process.poll() is not None:
        return "no engine starts here: " + open(f"{directory}/log", encoding="utf-8").read()[-300:].strip()
    return process, path


def make_image(directory, host):
    rootfs = f"{directory}/rootfs"
    os.makedirs(f"{rootfs}/bin")
    os.mkdir(f"{rootfs}/tmp", 0o1777)
    shutil.copy(BUSYBOX, f"{rootfs}/bin/busybox")
    for name in ("sh", "cat", "id", "ls", "sleep", "echo", "grep", "true", "touch", "mkdir", "ps", "stty"):
        os.symlink("busybox", f"{rootfs}/bin/{name}")
    tar = subprocess.run(["tar", "-C", rootfs, "-c", "."], capture_output=True, check=True).stdout
    subprocess.run([DOCKER, "import", "-", "bb:1"], input=tar, env=dict(os.environ, DOCKER_HOST=host), check=True,
                   capture_output=True)


def remove_engine(directory):
    """What an engine that has ended leaves there."""
    subprocess.run(["umount", "-q", f"{directory}/exec/netns/default"], check=False, capture_output=True)
    if not ROOT:  # files of subordinate ids
        subprocess.run(["podman", "unshare", "rm", "-rf", f"{directory}/storage"], check=False, capture_output=True, cwd="/")
    shutil.rmtree(directory, ignore_errors=True)


# To the socket that DOCKER_HOST names: a container with bare names of variables, and what it has of them.
BARE = r'''
import http.client, json, os, socket
class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["DOCKER_HOST"][len("unix://"):])
def call(method, path, body=None):
    engine = Engine("docker")
    engine.request(method, "/v1.41" + path, body and json.dumps(body), {"Content-Type": "application/json"})
    return engine.getresponse().read()
made = call("POST", "/containers/create", {"Image": "bb:1", "Cmd": ["sh", "-c", "set"], "Env": ["*", "ENGINE_SECRET", "GIVEN=yes"],
                                           "HostConfig": {"NetworkMode": "none"}})
one = "/containers/" + json.loads(made)["Id"]
call("POST", one + "/start")
call("POST", one + "/wait")
print(call("GET", one + "/logs?stdout=1").decode(errors="replace"))
call("DELETE", one + "?force=1")
'''

# A build context; with "hole" the Dockerfile has a byte more in it than the archive shows, with "waiting" the same is
# said of the entry that follows the archive's last one.
SPARSE = r'''
import io, sys, tarfile
DOCKERFILE = b"FROM bb:1\nCMD echo \\\nADD http://127.0.0.1:1/x /x\n"
cut = DOCKERFILE.index(b"\\\n") + 1
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
    tar.addfile(tarfile.TarInfo("first"))  # the client knows an archive by an entry without records
    for place, kind in enumerate(sys.argv[1:]):
        info = tarfile.TarInfo("Dockerfile" if place == 0 else "last")
        info.size = len(DOCKERFILE)
        if kind != "plain":
            info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.numblocks": "2",
                                "GNU.sparse.map": "0,%d,%d,%d" % (cut, cut + 1, len(DOCKERFILE) - cut),
                                "GNU.sparse.size": str(len(DOCKERFILE) + 1)}
        tar.addfile(info, io.BytesIO(DOCKERFILE))
whole = out.getvalue()
if sys.argv[-1] == "waiting":
    whole = whole[:whole.rindex(b"FROM bb:1") - 512]  # before the header of "last"
sys.stdout.buffer.write(whole)
'''

# In the sandbox, to the socket: a control, and bodies and paths that Go reads otherwise than they look.
RAW = r'''
import os, socket
PRIVILEGED = '{"Privileged":true,"NetworkMode":"none"}'
PLAIN = '{"Image":"bb:1","Cmd":["true"]}'
BODIES = [('/v1.41/containers/create', PLAIN)] + [('/v1.41/containers/create', body) for body in (
    '{"Image":"bb:1","hostconfig":%s}' % PRIVILEGED, '{"Image":"bb:1","Ho\\u017ftConfig":%s}' % PRIVILEGED,
    '{"Image":"bb:1","Ho\u017ftConfig":%s}' % PRIVILEGED, '{"Image":"bb:1","HostConfig":{},"hostConfig":%s}' % PRIVILEGED,
    '{"Image":"bb:1","HostConfig":{},"HostConfig":%s}' % PRIVILEGED, '{"Image":"bb:1","HostConfig":%s}' % PRIVILEGED,
    PLAIN + '{"HostConfig":%s}' % PRIVILEGED, PLAIN + '\0', '\ufeff' + PLAIN,
    '{"Image":"bb:1","HostConfig":{"Binds":["/etc:/e"]}}', '{"Image":"bb:1","HostConfig":{"MaskedPaths":[]}}')] + [
    (path, PLAIN) for path in ('/v1.41/containers/%63reate', '/v1.23/containers/create', '/v1.41//containers/create',
                               '/v1.41/containers/../containers/create', '/libpod/containers/create', '/v1.41/containers/create/')]
for number, (path, body) in enumerate(BODIES):
    data = body.encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.environ["DOCKER_HOST"][len("unix://"):])
        client.sendall(("POST %s?name=raw%d HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        "Content-Length: %d\r\n\r\n" % (path, number, len(data))).encode() + data)
        print(client.recv(4096).split()[1].decode())
'''


class Docker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not DOCKER or not BUSYBOX:
            raise unittest.SkipTest("docker's client or busybox is not installed")
        cls.directory = tempfile.mkdtemp(prefix="dirbox-docker-", dir="/tmp")
        cls.addClassCleanup(remove_engine, cls.directory)
        cls.project = f"{cls.directory}/project"
        os.mkdir(cls.project)
        started = start_engine(cls.directory)
        if isinstance(started, str):
            raise unittest.SkipTest(started)
        cls.engine, path = started
        cls.addClassCleanup(cls.stop)
        cls.host = "unix://" + path
        make_image(cls.directory, cls.host)
        for name, limits in (("profile", 'memory = "64M"\npids = 32\ncpus = "1"\nmax_containers = 3\n'),
                             ("large", 'memory = "8G"\npids = 512\ncpus = "4"\n'),
                             ("images", 'images = ["-*", "bb:1", "made:*"]\n'), ("hiding", "")):
            with open(f"{cls.directory}/{name}.toml", "w", encoding="utf-8") as profile:
                hide = 'hide = ["${CWD}/keys", "${CWD}/token"]\n' if name == "hiding" else ""
                profile.write(f'extends = "worker"\n[filesystem]\nwrite = ["${{CWD}}"]\n{hide}'
                              '[[excluded]]\ncommand = "docker"\nmode = "filter"\n'
                              '[[excluded]]\ncommand = "docker-compose"\nmode = "filter"\n'
                              f'[docker]\nsockets = ["{path}"]\n{limits}')

    @classmethod
    def stop(cls):
        cls.engine.terminate()
        cls.engine.wait()

    def inside(self, script, data=None, project=None, profile="profile"):
        return subprocess.run([DIRBOX, "run", "-q", "-p", f"{self.directory}/{profile}.toml", "--", "sh", "-c", script],
                              capture_output=True, text=True, input=data, timeout=120, cwd=project or self.project)

    def outside(self, *arguments):
        return subprocess.run([DOCKER, *arguments], capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, DOCKER_HOST=self.host), cwd="/")

    def check(self, script, pattern, **more):
        done = self.inside(script, **more)
        self.assertRegex(done.stdout + done.stderr, pattern)
        return done

    def refused(self, script, pattern):
        done = self.check(script, pattern)
        self.assertNotEqual(done.returncode, 0, done)

    def test_run(self):
        # podman 4.3 forgets the status of a container that removes itself.
        done = self.check("docker run bb:1 sh -c 'grep -E \"CapEff|NoNewPrivs\" /proc/self/status; exit 3'",
                          r"CapEff:\s0+\nNoNewPrivs:\s1")
        self.assertEqual(done.returncode, 3, done)
        self.inside("docker rm $(docker ps -aq)")
        self.check("docker run --rm -i bb:1 cat", "^piped$", data="piped")
        self.check("docker run --rm -v $PWD:/w bb:1 sh -c 'echo x > /w/made'; cat made", "^x$")
        made = os.stat(f"{self.project}/made")
        self.assertEqual(made.st_uid, os.geteuid())

    def test_a_container_lives(self):
        self.check("docker run -d --name live bb:1 sh -c 'echo started; sleep 600' && docker ps", r"\blive\b")
        # Another session of the project finds it.
        self.check("docker exec live echo hello", "hello")
        self.check("docker exec -i live cat", "^in$", data="in")
        self.check("docker logs live", "started")
        self.check("docker top live", "sleep")
        self.check("docker stats --no-stream live", "live|[0-9a-f]{12}")
        self.check("echo copied > f; docker cp f live:/tmp/f && docker exec live cat /tmp/f", "copied")
        self.check("docker cp live:/tmp/f /tmp/g && cat /tmp/g", "copied")
        self.check("docker inspect -f '{{.Name}}' live", "live")
        self.check("docker stop -t 1 live && docker rm live", "live\nlive")
        self.assertNotIn("live", self.outside("ps", "-a").stdout)

    def test_variables_of_the_engine(self):
        """podman takes a bare name for one of its own variables, and "*" for all."""
        control = subprocess.run(["/usr/bin/python3", "-c", BARE], env=dict(os.environ, DOCKER_HOST=self.host), cwd="/",
                                 capture_output=True, text=True, timeout=60, check=True).stdout
        self.assertIn("GIVEN=", control)
        self.assertEqual("of-the-engine" in control, not ROOT)
        done = self.inside("/usr/bin/python3 -", data=BARE)
        self.assertIn("GIVEN=", done.stdout, done)
        self.assertNotIn("ENGINE_SECRET", done.stdout)
        self.assertNotIn("of-the-engine", done.stdout)

    def test_copying_into_a_mount(self):
        """podman writes through a read-only mount of a container that does not run."""
        self.inside("echo before > copied; mkdir -p kept; echo before > kept/f")
        path = f"{self.project}/kept"
        self.outside("create", "--name", "control", "--network", "none", "-v", f"{path}:/w:ro", "bb:1", "true")
        self.outside("cp", f"{self.project}/copied", "control:/w/control")
        self.outside("rm", "-f", "control")
        self.assertEqual(os.path.exists(f"{path}/control"), not ROOT)
        self.inside("rm -f kept/control; docker create --name bound -v $PWD:/w:ro bb:1 true; docker create --name free bb:1 true")
        self.addCleanup(self.outside, "rm", "-f", "bound", "free")
        self.check("docker cp copied free:/tmp/x && docker cp free:/tmp/x back && cat back", "before")
        for target in ("/w/kept/f", "/w/planted", "/tmp/x"):
            self.refused(f"echo after > copied; docker cp copied bound:{target}", "with a mount is refused")
        self.assertEqual(os.listdir(path), ["f"])
        with open(f"{path}/f", encoding="utf-8") as file:
            self.assertEqual(file.read(), "before\n")
        self.assertFalse(os.path.exists(f"{self.project}/planted"))

    def test_a_container_from_before_something_was_hidden(self):
        self.addCleanup(self.outside, "rm", "-f", "old", "new")
        self.addCleanup(self.inside, "rm -rf keys token")
        show = "cat /w/token /w/keys/k; ls /w/keys; echo shown"
        self.inside(f"mkdir keys; echo planted > token; cp token keys/k; docker create --name old -v $PWD:/w bb:1 sh -c '{show}'")
        self.check("docker start -a old", "planted\nplanted\nk\nshown")
        done = self.inside("docker start -a old; docker start old", profile="hiding")
        self.assertNotIn("planted", done.stdout)
        self.assertIn("made under a wider profile: nothing covers /w/", done.stderr)
        # One that was made now is covered, and works.
        done = self.inside(f"docker run -d --name new -v $PWD:/w bb:1 sleep 600 && docker exec new sh -c '{show}'", profile="hiding")
        self.assertEqual((done.returncode, done.stdout.splitlines()[1:]), (0, ["shown"]), done)

    def test_who_goes_on_writing_is_named(self):
        """The guard ends with the sandbox, a container does not."""
        self.addCleanup(self.outside, "rm", "-f", "reads", "writes")
        for options, name in (("", "alone"), ("-v $PWD:/w:ro", "reads"), ("-v $PWD:/w", "writes")):
            done = self.inside(f"docker run -d --name {name} {options} bb:1 sleep 600")
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual("nobody watches now: writes" in done.stderr, name == "writes", done)
            if name == "alone":
                self.outside("rm", "-f", name)
        done = self.inside("docker rm -f writes")
        self.assertNotIn("still running", done.stderr)

    def test_limits_land(self):
        self.check("docker run -d --name limited bb:1 sleep 600", "[0-9a-f]{64}")
        shown = json.loads(self.outside("inspect", "limited").stdout)[0]["HostConfig"]
        self.inside("docker rm -f limited")
        if ROOT:
            self.assertEqual((shown["Memory"], shown["MemorySwap"], shown["PidsLimit"], shown["NanoCpus"]),
                             (64 << 20, 64 << 20, 32, 10 ** 9))
        self.assertFalse(shown["Privileged"])
        self.refused("docker run --rm -m 1g bb:1 true", r"docker\.memory .*profile\.toml")

    def test_the_limits_of_a_director_are_in_the_kernel(self):
        made = self.inside("docker run -d --name large bb:1 sleep 600", profile="large")
        self.addCleanup(self.outside, "rm", "-f", "large")
        self.assertRegex(made.stdout, "^[0-9a-f]{64}$", made)
        shown = json.loads(self.outside("inspect", "large").stdout)[0]
        host = shown["HostConfig"]
        cpus = min(4, os.cpu_count())  # an engine refuses what its machine does not have
        if not ROOT and not host["Memory"]:
            self.skipTest("this machine has no cgroups for rootless podman")
        self.assertEqual((host["Memory"], host["MemorySwap"], host["PidsLimit"], host["NanoCpus"]),
                         (8 << 30, 8 << 30, 512, cpus * 10 ** 9))
        found = {}
        with open(f"/proc/{shown['State']['Pid']}/cgroup", encoding="ascii") as file:
            places = [line.strip().split(":", 2) for line in file]
        for _, controllers, place in places:
            for controller in controllers.split(","):
                for base in (f"/sys/fs/cgroup/{controllers}", f"/sys/fs/cgroup/{controller}", "/sys/fs/cgroup"):
                    for name in ("memory.limit_in_bytes", "memory.max", "pids.max", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.max"):
                        path = base + place + "/" + name
                        if place != "/" and os.path.exists(path):
                            with open(path, encoding="ascii") as file:
                                found[name] = file.read().split()
        self.assertEqual(found.get("memory.max", found.get("memory.limit_in_bytes")), [str(8 << 30)], (found, places))
        self.assertEqual(found["pids.max"], ["512"])
        quota, period = found.get("cpu.max") or found["cpu.cfs_quota_us"] + found["cpu.cfs_period_us"]
        self.assertEqual(int(quota), cpus * int(period))

    def test_on_a_terminal(self):
        terminal = Terminal([DIRBOX, "run", "-q", "-p", f"{self.directory}/profile.toml", "--", "docker", "run", "-it", "--name", "typed", "bb:1", "sh"],
                            self.project, dict(os.environ, TERM="xterm"), rows=33, columns=99)
        self.addCleanup(terminal.close)
        terminal.expect(r"[#$] ")
        terminal.send("grep NoNewPrivs /proc/self/status\n")
        terminal.expect(r"NoNewPrivs:\s1")

        def has_size(size):
            # The client sets it when the container runs already.
            terminal.send("stty size\n")
            return terminal.expect(r"\n(\d+ \d+|stty: [^\r]*)\r\n").group(1) == size
        wait_until(lambda: has_size("33 99"), "the size is the terminal's")
        terminal.resize(41, 111)
        terminal.child.send_signal(signal.SIGWINCH)  # the kernel's goes to a foreground job
        wait_until(lambda: has_size("41 111"), "the size reaches the container")
        # What has said that it is ready has the terminal, and not the shell's editor.
        terminal.send("sh -c 'trap \"echo cau''ght; exit\" INT; echo u''p; while :; do :; done'\n")
        terminal.expect("\nup\r\n")
        terminal.send("\x03")
        terminal.expect("caught\r\n")
        terminal.expect(r"[#$] ")
        terminal.send("exit 5\n")
        self.assertEqual(terminal.wait(), 5)
        self.assertEqual(self.outside("rm", "typed").returncode, 0)

    def test_events_and_stats_are_the_projects_own(self):
        self.outside("run", "--name", "loud", "--network", "none", "bb:1", "true")
        self.addCleanup(self.outside, "rm", "-f", "loud")
        self.check("docker run -d --name quiet bb:1 sleep 600", "[0-9a-f]{64}")
        self.addCleanup(self.outside, "rm", "-f", "quiet")
        # Without an end: podman 5 stops at the first one where there is one.
        done = self.inside("docker events --since 10m > /tmp/past & until grep -q name=quiet /tmp/past; do :; done; kill %1; cat /tmp/past;"
                           "docker stats --no-stream --format '{{.Name}}'")
        self.assertEqual(done.returncode, 0, done)
        # The client takes the first character off a name, which is a "/" with docker alone.
        self.assertIn("uiet\n", done.stdout.replace("\r", ""))
        self.assertNotIn("loud", done.stdout)
        # What happens next comes at once.
        done = self.inside("docker events > events & until grep -q name=quiet events; do docker kill -s WINCH quiet > /dev/null; done;"
                           "kill %1; cat events")
        self.assertRegex(done.stdout, r"container kill .*name=quiet")

    @unittest.skipUnless(COMPOSE, "this machine has no docker-compose")
    def test_compose(self):
        folder = f"{self.project}/composed"
        os.mkdir(folder)
        self.addCleanup(shutil.rmtree, folder, True)
        with open(f"{folder}/docker-compose.yml", "w", encoding="utf-8") as file:
            file.write("""version: "2.4"
services:
  one:
    image: bb:1
    command: sh -c 'echo one-started; sleep 600'
    network_mode: none
    volumes: [".:/w"]
  two:
    image: bb:1
    command: sh -c 'echo two-started; exec sleep 600'
    network_mode: none
    depends_on: [one]
""".replace("[\".:/w\"]", f"[\"{self.project}:/w\"]"))
        try:
            done = self.inside("cd composed && docker-compose up -d 2>&1")
            self.assertEqual(done.returncode, 0, done)
            # Another session finds what it has brought up.
            done = self.inside("cd composed && docker-compose ps && docker-compose logs && docker ps --format '{{.Names}}'")
            for text in ("one-started", "two-started", "Up"):
                self.assertIn(text, done.stdout)
            names = sorted(re.findall("^composed[-_](?:one|two)[-_]1$", done.stdout, re.M))  # "-" from version 2 on
            self.assertEqual([re.split("[-_]", name)[1] for name in names], ["one", "two"], done.stdout)
            label = json.loads(self.outside("inspect", names[0]).stdout)[0]["Config"]["Labels"]
            self.assertIn("dirbox.project", label)
            done = self.inside("cd composed && docker-compose down -t 1 2>&1")
            self.assertEqual(done.returncode, 0, done)
            self.assertNotIn("composed", self.outside("ps", "-a").stdout)
        finally:
            self.outside("rm", "-f", *(f"composed{mark}{service}{mark}1" for mark in "-_" for service in ("one", "two")))
        for line, rule in (("privileged: true", "Privileged"), ("pid: host", "PidMode"), ("volumes: [\"/etc:/e\"]", "bind source /etc"),
                           ("network_mode: host", "network host")):
            with open(f"{folder}/docker-compose.yml", "w", encoding="utf-8") as file:
                file.write("version: \"2.4\"\nservices:\n  bad:\n    image: bb:1\n    command: 'true'\n    " + line + "\n" +
                           ("" if "network" in line else "    network_mode: none\n"))
            done = self.inside("cd composed && docker-compose up -d 2>&1")
            self.assertNotEqual(done.returncode, 0, done)
            self.assertIn(rule, done.stdout)
        self.assertNotIn("composed", self.outside("ps", "-a").stdout)

    def test_requests_that_the_engine_would_read_otherwise(self):
        """Written by hand, with a name each: none of them is ever made."""
        with open(f"{self.project}/raw.py", "w", encoding="utf-8") as file:
            file.write(RAW)
        done = self.inside("/usr/bin/python3 raw.py")
        answers = done.stdout.split()
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(answers[0], "201", "the control is made")
        self.assertGreaterEqual(len(answers), 10)
        self.assertEqual([a for a in answers[1:] if not re.fullmatch("[45]..", a)], [], done)
        listed = self.outside("ps", "-a", "--format", "{{.Names}}").stdout.split()
        self.assertEqual([name for name in listed if name.startswith("raw")], ["raw0"])
        self.outside("rm", "-f", "raw0")

    def test_a_source_that_becomes_a_symlink(self):
        """The engine looks again at every start."""
        project = f"{self.directory}/swapped"
        os.mkdir(project)
        self.addCleanup(shutil.rmtree, project, True)
        done = self.inside("docker create --name swapped -v $PWD:/e bb:1 ls /e", project=project)
        self.addCleanup(self.outside, "rm", "-f", "swapped")
        self.assertEqual(done.returncode, 0, done)
        done = self.inside("mv $PWD $PWD.away; ln -s /etc $PWD; rmdir $PWD", project=project)
        self.assertFalse(os.path.islink(project))
        self.refused_in(project, "docker create -v $PWD/sub:/e bb:1 true", "bind source")

    def refused_in(self, project, script, pattern):
        done = self.inside(script, project=project)
        self.assertRegex(done.stdout + done.stderr, pattern)
        self.assertNotEqual(done.returncode, 0, done)

    def test_only_docker_is_let_through(self):
        home = os.path.expanduser("~")
        done = self.inside(f"docker --version && cat {home}/.ssh/id_rsa {home}/.bashrc /etc/shadow")
        self.assertRegex(done.stdout, r"\ADocker version [^\n]*\n\Z")
        self.assertNotEqual(done.returncode, 0)

    def test_count(self):
        self.inside("for i in 1 2 3 4; do docker create --name n$i bb:1 true; done > out 2>&1")
        out = open(f"{self.project}/out", encoding="utf-8").read()
        self.inside("docker rm n1 n2 n3")
        self.assertRegex(out, r"docker\.max_containers")
        self.assertEqual(len(re.findall("^[0-9a-f]{64}$", out, re.M)), 3)

    def test_others_containers_are_not_there(self):
        made = self.outside("run", "-d", "--name", "foreign", "-e", "SECRET=shh", "--network", "none", "bb:1", "sleep",
                            "600")
        self.assertEqual(made.returncode, 0, made)
        self.addCleanup(self.outside, "rm", "-f", "foreign")
        done = self.inside("docker ps -a; docker inspect foreign")
        self.assertNotIn("shh", done.stdout)
        self.assertNotIn("foreign", done.stdout)
        for verb in ("exec foreign id", "logs foreign", "stop foreign", "rm -f foreign", "cp foreign:/bin/sh /tmp/x",
                     "kill foreign", "attach foreign", "top foreign", "rename foreign mine", "restart foreign"):
            self.check("docker " + verb, "No such container")
        self.assertIn("foreign", self.outside("ps").stdout)

    def test_bypasses(self):
        os.symlink("/etc", f"{self.project}/link")
        for options, rule in (("-v /etc:/e", "bind source /etc"), ("-v $PWD/link:/e", "bind source"),
                              ("-v $PWD/..:/e", "bind source"), ("--privileged", "Privileged"),
                              ("--pid host", "PidMode"), ("--ipc host", "IpcMode"), ("--uts host", "UTSMode"),
                              ("--network host", "network host"), ("--network bridge", "network bridge"),
                              ("--cap-add SYS_ADMIN", "capability"), ("--device /dev/null", "Devices|unknown server OS"),
                              ("--security-opt seccomp=unconfined", "security option"),
                              ("--security-opt systempaths=unconfined", "MaskedPaths|ReadonlyPaths"),
                              ("--mount type=volume,src=v,dst=/v,volume-opt=type=none,volume-opt=o=bind,"
                               "volume-opt=device=/etc", "refused"),
                              ("-v named:/v", "named volume"), ("--log-driver syslog", "log driver"),
                              ("-p 8080:80", "published ports"), ("--restart always", "restart policy"),
                              ("--group-add 0", "GroupAdd"), ("--sysctl net.ipv4.ip_forward=1", "Sysctls"),
                              ("--cgroup-parent /x", "CgroupParent"), ("--label dirbox.project=x", "label")):
            with self.subTest(options):
                if "--rm" in options or "restart" in options:
                    self.refused(f"docker create {options} bb:1 true", rule)
                else:
                    self.refused(f"docker run --rm {options} bb:1 cat /e/passwd", rule)
        for command, rule in (("docker pull busybox", "not pulled"), ("docker network create x", "networks are not"),
                              ("docker volume create x", "named volumes"), ("docker swarm init", "swarm"),
                              ("docker plugin ls", "plugins"), ("docker system df", "host's"),
                              ("docker rmi bb:1", "read-only"), ("docker tag bb:1 cc:1", "read-only"),
                              ("docker update -m 1g x", "not an endpoint")):
            with self.subTest(command):
                self.refused(command, rule)
        os.unlink(f"{self.project}/link")

    def test_build(self):
        context = f"{self.project}/context"
        os.mkdir(context)

        def build(dockerfile, tag="made:1", options=""):
            with open(f"{context}/Dockerfile", "w", encoding="utf-8") as out:
                out.write(dockerfile)
            return self.inside(f"cd context && docker build {options} -t {tag} .")
        done = build("FROM bb:1 AS a\nRUN echo built > /made\nLABEL a=b\nFROM bb:1\nCOPY --from=a /made /m\n")
        self.assertEqual(done.returncode, 0, done)
        self.check("docker run --rm made:1 cat /m", "built")
        labels = json.loads(self.outside("inspect", "made:1").stdout)[0]["Config"]["Labels"]
        self.assertEqual(labels["dirbox.project"], "")
        for dockerfile, rule in (("FROM bb:1\nADD http://127.0.0.1:1/x /x\n", "ADD"), ("FROM nowhere:1\n", "is not there"),
                                 ("FROM bb:1\nLABEL dirbox.project=x\n", "dirbox's own"),
                                 ("FROM bb:1\nLABEL traefik.enable=true\n", "traefik publishes")):
            done = build(dockerfile)
            self.assertRegex(done.stderr, rule)
            self.assertNotEqual(done.returncode, 0)
        self.assertRegex(build("FROM bb:1\n", "bb:1").stderr, "did not build it")
        self.assertRegex(build("FROM bb:1\n", options="--network host").stderr, "network host")
        self.assertRegex(self.inside("cd context && DOCKER_BUILDKIT=1 docker build .").stderr, "BuildKit|buildx")

    def test_triggers_name_images(self):
        """In the build where a trigger runs, the name of a stage is the name of an image."""
        self.outside("tag", "bb:1", "listed-not")
        self.addCleanup(self.outside, "rmi", "listed-not")
        stage = "FROM bb:1 AS {0}\nRUN true\nFROM bb:1\nONBUILD COPY --from={0} /bin/id /taken\n"

        def build(dockerfile, tag):
            return self.inside(f"docker build -t {tag} -", data=dockerfile, profile="images")
        for dockerfile, refusal in ((stage.format("listed-not"), "listed-not matches none of docker.images"),
                                    ("FROM bb:1\nCOPY --from=listed-not /bin/id /taken\n", "listed-not matches none of docker.images")):
            self.assertRegex(build(dockerfile, "made:trigger").stderr, refusal)
        done = build("FROM bb:1\nONBUILD COPY --from=bb:1 /bin/id /taken\n", "made:trigger")
        self.assertEqual(done.returncode, 0, done)
        done = build("FROM made:trigger\nRUN ls /taken\n", "made:triggered")
        self.assertEqual(done.returncode, 0, done)

    def test_a_hole_in_the_dockerfile(self):
        """What the engine builds is what was judged, byte for byte."""
        with open(f"{self.project}/sparse.py", "w", encoding="utf-8") as file:
            file.write(SPARSE)
        self.addCleanup(os.remove, f"{self.project}/sparse.py")
        holed = subprocess.run(["/usr/bin/python3", f"{self.project}/sparse.py", "hole"], capture_output=True, check=True).stdout
        control = subprocess.run([DOCKER, "build", "-"], input=holed, capture_output=True, timeout=60,
                                 env=dict(os.environ, DOCKER_HOST=self.host, DOCKER_BUILDKIT="0"), cwd="/")
        self.assertIn(b"http://127.0.0.1:1/x", control.stdout + control.stderr)
        self.assertNotEqual(control.returncode, 0, "the engine fetches what the text does not say")
        for kinds, refusal in (("plain", None), ("hole", "changes the size of a file"), ("plain waiting", "cut short|changes the size")):
            done = self.inside(f"/usr/bin/python3 sparse.py {kinds} | docker build -")
            self.assertEqual(done.returncode == 0, refusal is None, done)
            self.assertRegex(done.stderr, refusal or "(?s).*")
            self.assertNotIn("http://127.0.0.1:1/x:", done.stdout + done.stderr)


if __name__ == "__main__":
    main()
