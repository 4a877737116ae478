"""dirbox learn on real programs: the profile that it writes runs them, and names no secret."""
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
import unittest
import zipfile

import sandbox

SECRET_PLACES = (".ssh", ".aws", ".gnupg", ".npmrc", ".netrc", ".pypirc", ".git-credentials", "id_rsa")


class Site:
    """An HTTP server on the host's loopback with these files: path -> bytes."""

    def __init__(self, files):
        site = self
        self.files, self.asked = files, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                site.asked.append((self.headers.get("Host", ""), self.path))
                body = site.files.get(self.path.split("?")[0])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def maps(self, *names):
        port = self.server.server_address[1]
        return [f"--net-map={name}:80=127.0.0.1:{port}" for name in names]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Learn(sandbox.Boundary):
    def learn(self, *command, options=(), output="learnt.toml", **start):
        """dirbox learn, and the text of what it wrote."""
        path = os.path.join(self.world.base, output)
        done = self.dirbox(*command, launcher=("learn",), options=["-o", path, *options],
                           env={"DIRBOX_TEST": "1"}, **start)
        text = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        self.before.update({path: self.world.picture().get(path)})
        return done, text, path

    @staticmethod
    def entries(text):
        """The lines of a profile that count."""
        return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))

    @contextlib.contextmanager
    def folder(self, path):
        """A directory of the user's outside every grant, while the block runs."""
        os.makedirs(path)
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def learnt_runs(self, *command, maps=(), rounds=6, base=()):
        """Fails under the base profile, is learnt, and then succeeds under what was learnt; returns the profile's text
        and what learn said."""
        environment = {"DIRBOX_TEST": "1"}
        before = self.dirbox(*command, options=[*base, *maps], env=environment)
        self.assertNotEqual(before.code, 0, f"control: needs nothing: {before}")
        learnt, text, path = self.learn(*command, options=[*base, *maps, "--rounds", str(rounds)])
        self.assertEqual(learnt.code, 0, (learnt, text))
        after = self.dirbox(*command, options=["-p", path, *maps], env=environment)
        self.assertEqual(after.code, 0, (after, text))
        for secret in SECRET_PLACES:
            self.assertNotIn(secret, self.entries(text))
        self.assertNotIn('"*"', text)
        return text, learnt.err

    def test_the_need_that_was_asked_for(self):
        site = Site({"/": b"hello"})
        maps = site.maps("allowed.test")
        script = "touch ~/.cache/z; curl -s http://allowed.test/; cat ~/.ssh/id_rsa"
        done, text, path = self.learn("sh", "-c", script, options=maps)
        self.assertNotEqual(done.code, 0, "its own status")
        self.assertIn('"~/.cache",', self.entries(text))
        self.assertIn('"allowed.test",', self.entries(text))
        self.assertNotIn(".ssh", self.entries(text))
        self.assertIn("stays hidden: read ~/.ssh/id_rsa", done.err)
        self.assertIn("+  filesystem.write", done.err, "the difference is shown")
        after = self.sh(script, options=["-p", path, *maps], env={"DIRBOX_TEST": "1"})
        self.assertIn("hello", after.out)
        self.assertTrue(os.path.exists(self.home(".cache/z")))
        self.assertNotEqual(after.code, 0, "the key is still not there")
        os.unlink(self.home(".cache/z"))
        site.close()

    def test_git_clone(self):
        with self.folder(self.home("served")) as served, self.folder(self.home("checkouts")):
            subprocess.run(["git", "clone", "-q", "--bare", self.world.project, served + "/repo.git"], check=True,
                           env=self.world.environment)
            subprocess.run(["git", "update-server-info"], cwd=served + "/repo.git", check=True,
                           env=self.world.environment)
            files = {}
            for folder, _, names in os.walk(served):
                for name in names:
                    path = os.path.join(folder, name)
                    with open(path, "rb") as file:
                        files["/" + os.path.relpath(path, served)] = file.read()
            site = Site(files)
            text, _ = self.learnt_runs(
                "sh", "-c", "rm -rf ~/checkouts/repo; git clone -q http://git.test/repo.git ~/checkouts/repo",
                maps=site.maps("git.test"))
            self.assertIn('"git.test",', text)
            self.assertIn('"~/checkouts",', text)
            self.assertTrue(os.path.exists(self.home("checkouts/repo/file")))
            site.close()

    def test_npm_install(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for name, content in (("package/package.json", b'{"name":"tiny","version":"1.0.0","main":"i.js"}'),
                                  ("package/i.js", b"module.exports = 42\n")):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        package = gzip.compress(data.getvalue())
        registry = json.dumps({
            "name": "tiny", "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": {"name": "tiny", "version": "1.0.0", "dist": {
                "tarball": "http://files.test/tiny-1.0.0.tgz",
                "shasum": hashlib.sha1(package).hexdigest()}}}}).encode()
        site = Site({"/tiny": registry, "/tiny-1.0.0.tgz": package})
        with self.folder(self.project("app")) as app:
            self.world.plant(app + "/package.json", '{"name":"app","version":"1.0.0"}')
            command = ("cd app && rm -rf node_modules package-lock.json && npm install --silent --no-audit --no-fund "
                       "--fetch-retries=0 --registry=http://registry.test/ tiny && "
                       "test \"$(node -p 'require(\"tiny\")')\" = 42")
            text, said = self.learnt_runs("sh", "-c", command, maps=site.maps("registry.test", "files.test"))
            self.assertIn('"registry.test",', text)
            self.assertIn('"files.test",', text)
            self.assertIn("stays hidden: read ~/.npmrc", said)
        site.close()

    def test_a_python_installer(self):
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny.py", "answer = 42\n")
        site = Site({"/simple/tiny/": b'<a href="http://files.test/tiny.whl">tiny</a>', "/tiny.whl": wheel.getvalue()})
        with self.folder(self.home(".config/pipish")), self.folder(self.home("site")):
            self.world.plant(self.home(".config/pipish/pipish.conf"), "index = http://index.test/simple\n")
            self.world.plant(self.project("pipish.py"), r"""
import io, os, re, urllib.request, zipfile
home = os.path.expanduser("~")
for secret in (".pypirc", ".netrc", ".ssh/id_rsa"):
    try:
        open(os.path.join(home, secret)).read()
    except OSError:
        pass
lock = open(home + "/site/.lock", "w")
index = open(home + "/.config/pipish/pipish.conf").read().split()[-1]
page = urllib.request.urlopen(index + "/tiny/").read().decode()
data = urllib.request.urlopen(re.search('href="([^"]*)', page).group(1)).read()
zipfile.ZipFile(io.BytesIO(data)).extractall(home + "/site")
import sys
sys.path.insert(0, home + "/site")
import tiny
assert tiny.answer == 42
""")
            text, said = self.learnt_runs("python3", "pipish.py", maps=site.maps("index.test", "files.test"))
            self.assertIn('"?~/.config/pipish/pipish.conf",', text)
            self.assertIn('"~/site",', text)
            for secret in ("~/.pypirc", "~/.netrc", "~/.ssh/id_rsa"):
                self.assertIn(f"stays hidden: read {secret}", said)
            os.unlink(self.project("pipish.py"))
        site.close()

    def test_a_c_build(self):
        with self.folder(self.home("shared")) as shared, self.folder(self.home("out")), \
                self.folder(self.project("c")) as project:
            self.world.plant(shared + "/flags.mk", "CFLAGS = -O1\n")
            for name in ("one", "two", "three"):
                self.world.plant(f"{shared}/lib/{name}.c", f"int {name}(void) {{ return 1; }}\n")
            self.world.plant(project + "/main.c", "int one(void), two(void), three(void);\n"
                                                  "int main(void) { return one() + two() + three() - 3; }\n")
            self.world.plant(project + "/Makefile",
                             "include $(HOME)/shared/flags.mk\n"
                             "all:\n"
                             "\tfor name in one two three; do \\\n"
                             "\t  $(CC) $(CFLAGS) -c -o $$name.o $(HOME)/shared/lib/$$name.c || failed=1; done; \\\n"
                             "\ttest -z \"$$failed\" && $(CC) -o $(HOME)/out/program main.c one.o two.o three.o\n")
            text, _ = self.learnt_runs("make", "-C", "c", "CC=gcc")
            self.assertIn('"?~/shared/flags.mk",', text)
            self.assertIn('"?~/shared/lib",', text, "three files of a directory")
            self.assertIn('"~/out",', text)
            subprocess.run([self.home("out/program")], check=True)

    def test_commands_of_the_host(self):
        base = self.profile('extends = "worker"\n[[excluded]]\ncommand = "uname"\nmode = "host"\nallow = ["-s"]\n',
                            "commands.toml")
        done, text, _ = self.learn("sh", "-c", "uname -s; uname -r", options=["-p", base])
        self.assertNotEqual(done.code, 0, done)
        self.assertIn("exec uname -r", text)
        self.assertIn('a profile allows it with [[excluded]] command = "uname", allow = ["-r"]', text)
        self.assertNotIn("excluded", self.entries(text))

    def test_a_system_call_that_is_needed(self):
        command = ("python3", "-c", "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
                   "assert libc.ptrace(0, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())")
        text, _ = self.learnt_runs(*command)
        self.assertIn('"ptrace",', self.entries(text))

    def test_a_system_call_that_can_be_done_without(self):
        done, text, _ = self.learn("python3", "-c", "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)")
        self.assertEqual(done.code, 0, done)
        self.assertIn('#   "ptrace",', text)

    def test_nothing_is_learnt_without_need(self):
        done, text, path = self.learn("true")
        self.assertEqual(done.code, 0, done)
        self.assertIn("nothing was refused that can be granted", done.err)
        self.assertIn('extends = "director"', text)
        self.assertEqual(self.dirbox(launcher=("profile", "diff"), options=["director", path]).out.count("+"), 1,
                         "the description alone")

    def test_the_base_is_named_wherever_it_is(self):
        base = self.profile('extends = "worker"\n[network]\nmode = "proxy"\n', "base.toml")
        _, text, path = self.learn("curl", "-s", "http://allowed.test/", options=["-p", base])
        self.assertIn(f'extends = "{base}"', text)
        self.assertIn('"allowed.test",', text)
        done = self.dirbox(launcher=("profile", "check"), options=[path])
        self.assertEqual(done.code, 0, done)

    def test_what_is_wrong_with_the_command_line(self):
        existing = self.profile("", "existing.toml")
        for options, command, said in ((["-o", existing], ["true"], "EEXIST"), ([], ["true"], "no file was named"),
                                       (["-o", "x.toml"], [], "no command"),
                                       (["-o", "/nowhere/x.toml"], ["true"], "ENOENT"),
                                       (["-o", "x.toml", "--rounds", "0"], ["true"], "--rounds")):
            done = self.dirbox(*command, launcher=("learn",), options=options)
            self.assertRefused(done, said)
        self.assertFalse(os.path.exists(self.project("x.toml")))

    def test_a_profile_within_reach_is_warned_of(self):
        done = self.dirbox("true", launcher=("learn",), options=["-o", "learnt.toml"])
        self.assertIn("lies where the command can write", done.err)
        os.unlink(self.project("learnt.toml"))


if __name__ == "__main__":
    sandbox.main()
