"""What the sandbox tells about itself inside: /run/dirbox/policy.json, policy.txt, and dirbox why from them."""
import json
import os
import shutil
import subprocess
import unittest

import sandbox


class Inside(sandbox.Boundary):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = os.path.join(cls.world.base, "bin")
        os.mkdir(cls.bin)
        shutil.copy2(sandbox.DIRBOX, cls.bin)

    def why(self, *words, options=(), code=None):
        done = self.dirbox(os.path.join(self.bin, "dirbox"), "why", "--json", *words,
                           options=["--read", self.bin, *options])
        if code is not None:
            self.assertEqual(done.code, code, done)
        return json.loads(done.out) if done.out else done.err

    def outside(self, *words, options=()):
        done = subprocess.run([sandbox.DIRBOX, "why", "--json", "--read", self.bin, *options, *words], cwd=self.world.project,
                              env=self.world.environment, capture_output=True, text=True, timeout=sandbox.PATIENCE, check=False)
        return json.loads(done.stdout)

    def read(self, name, *options):
        return self.run_ok("cat", f"/run/dirbox/{name}", options=options).out

    def test_nothing_hidden_is_named(self):
        secret = self.home(".ssh/id_rsa")
        self.control("read", secret)
        for options in ((), ("-p", "director-strict"), ("-p", "director-guide"), ("--hide", self.project("file"))):
            for name in ("policy.json", "policy.txt"):
                with self.subTest(options=options, name=name):
                    text = self.read(name, *options)
                    self.assertIn(self.world.project, text)
                    for hidden in (".ssh", ".aws", ".gnupg", ".netrc", "id_rsa", "other-project", "/etc/shadow",
                                   self.project("file"), ".config/dirbox", self.world.outside):
                        self.assertFalse(hidden in text, hidden)

    def test_the_profile_of_the_user_is_named_without_its_place(self):
        path = os.path.join(self.home(".config/dirbox"), "mine.toml")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write('extends = "director"\nnetwork.allow = ["mine.test"]\n')
        text = self.read("policy.json", "-p", "mine")
        self.assertIn('["mine.test","mine.toml:2:18"]', text)
        self.assertNotIn(os.path.dirname(path), text)
        self.assertEqual(self.why("host", "mine.test", options=["-p", "mine"], code=0)["origin"], "mine.toml:2:18")

    def test_no_sandbox_within_another(self):
        done = self.dirbox(os.path.join(self.bin, "dirbox"), "run", "--", "true", options=["--read", self.bin])
        self.assertEqual(done.code, 125, done)
        self.assertIn("hint: this is the inside of a sandbox, where none can be made", done.err)

    def test_they_cannot_be_written(self):
        for name in ("policy.json", "policy.txt"):
            mode = self.run_ok("stat", "-c", "%a", f"/run/dirbox/{name}").out.strip()
            self.assertEqual(mode, "444")

    def test_the_text_is_short(self):
        text = self.read("policy.txt")
        self.assertLess(len(text), 4096)
        for needed in ("sandbox", "dirbox why", "api.github.com", "/tmp", "dirbox grant "):
            self.assertIn(needed, text)
        self.assertIn("none but loopback", self.read("policy.txt", "-p", "offline"))
        self.assertIn("docker-compose", self.read("policy.txt", "-p", "director-guide"))

    def test_answers_are_those_of_outside(self):
        for words in (("path", "/usr/bin/env"), ("path", "./made", "--write"), ("path", "/usr/share/x", "--write"),
                      ("path", "/tmp/x", "--write"), ("host", "api.github.com:443"), ("host", "denied.test"),
                      ("host", "169.254.169.254"), ("syscall", "ptrace"), ("syscall", "ioctl", "0", "0x5412"),
                      ("syscall", "read"), ("env", "HOME"), ("env", "GITHUB_TOKEN")):
            with self.subTest(words=words):
                inside, outside = self.why(*words), self.outside(*words)
                for name in ("operation", "subject", "allowed"):
                    self.assertEqual(inside[name], outside[name], (inside, outside))
                if words[0] in ("host", "syscall"):
                    self.assertEqual(inside, outside)

    def test_commands(self):
        inside = self.run_ok(os.path.join(self.bin, "dirbox"), "why", "--json", "exec", "--", "git", "status",
                             options=["--read", self.bin])
        self.assertTrue(json.loads(inside.out)["allowed"])

    def test_what_is_hidden_is_as_if_not_granted(self):
        hidden, absent = (self.why(path, code=1) for path in (self.home(".ssh/id_rsa"), self.home(".sshd/id_rsa")))
        self.assertEqual({k: v.replace(".sshd", ".ssh") if isinstance(v, str) else v for k, v in absent.items()}, hidden)
        self.assertIn("hidden", hidden["detail"])
        self.assertEqual(hidden["cure"], "--read " + self.home(".ssh/id_rsa"))

    def test_hidden_within_a_grant(self):
        self.assertTrue(self.why("./file", code=0)["allowed"])
        answer = self.why("./file", options=["--hide", self.project("file")], code=1)
        self.assertEqual(answer["cause"], "closed")
        self.assertNotIn("cure", answer)

    def test_protected(self):
        answer = self.why("path", ".git/hooks/pre-commit", "--write", code=1)
        self.assertEqual(answer["cause"], "protected")
        self.assertIn("host", answer["never"])

    def test_the_cure_works(self):
        secret = os.path.join(self.world.base, "notes")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("x")
        self.before = self.world.picture()
        answer = self.why(secret, code=1)
        option, path = answer["cure"].split()
        self.run_ok("cat", path, options=[option, path])
        self.assertTrue(self.why(secret, options=[option, path], code=0)["allowed"])

    def test_options_of_a_run_are_refused(self):
        self.assertIn("inside a sandbox", self.why("-p", "offline", "host", "denied.test", code=125))

    def test_another_policy_is_an_error(self):
        done = self.sh(f"cd /run/dirbox && rm -f policy.json && echo '{{}}' > policy.json && {self.bin}/dirbox why /usr",
                       options=["--read", self.bin])
        self.assertEqual((done.code, done.out), (125, ""))
        self.assertIn("another version", done.err)


if __name__ == "__main__":
    sandbox.main()
