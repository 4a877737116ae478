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
            text, _ = self.learnt_runs("sh", "-c", command, maps=site.maps("registry.test", "files.test"))
            self.assertIn('"registry.test",', text)
            self.assertIn('"files.test",', text)
        site.close()

    def test_commands_of_the_host(self):
        base = self.profile('extends = "worker"\n[[excluded]]\ncommand = "uname"\nmode = "host"\nallow = ["-s"]\n',
                            "commands.toml")
        done, text, _ = self.learn("sh", "-c", "uname -s; uname -r", options=["-p", base])
        self.assertNotEqual(done.code, 0, done)
        self.assertIn("exec uname -r", text)
        self.assertIn('a profile allows it with [[excluded]] command = "uname", allow = ["-r"]', text)
        self.assertNotIn("excluded", self.entries(text))

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
