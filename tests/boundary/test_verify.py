"""dirbox verify holds what it says: green for every built-in profile, red for each layer that is left out, and what a
profile gives up is a waiver with its line."""
import json
import os
import resource
import signal
import socket
import subprocess
import tempfile
import unittest

import sandbox

BUILT_IN = ["director", "director-guide", "director-strict", "worker", "offline", "build", "debug"]

# Layers left out -> the promises that must break, and no probe of them be left unmade.
NOTICED = {
    "userns": {"identity.userns"},
    "uts": {"host.name"},
    "cgroup": {"host.groups"},
    "net": {"network.loopback", "network.datagrams"},
    "ipc": {"ipc.objects"},
    "session": {"identity.limits"},
    "cwd": {"files.cwd"},
    "limits": {"identity.limits"},
    "capabilities": {"identity.capabilities"},
    "descriptors": {"ipc.descriptors"},
    "concealment": {"environment.init"},
    "landlock": {"kernel.landlock"},
    "seccomp": {"kernel.filter", "kernel.calls", "kernel.terminal"},
    "mount": {"files.mounts"},
    "masks": {"ipc.keys"},
    "home": {"files.hidden"},
    "environment": {"environment.list", "environment.canary"},
    "proxy": {"network.resolver", "network.proxy"},
    "tls": {"network.tls"},
    "address-guard": {"network.private"},
    "broker": {"broker.grammar"},
    "docker": {"docker.filter"},
    "guard": {"guard.plants"},
}
# What a profile that extends director must not do unnoticed -> the promise that breaks.
WEAKENED = {
    "ssh": ('[filesystem]\nhide = ["-~/.ssh"]\nread = ["~/.ssh"]\n', "files.hidden"),
    "home": ('[filesystem]\nhome = "host"\n', "files.outside"),
    "guard-off": ('[filesystem]\nguard = "off"\n', "guard.plants"),
    "guard-report": ('[filesystem]\nguard = "report"\n', "guard.plants"),
    "userns": ('[process]\nnested_userns = true\n', "identity.userns"),
    "network": ('[network]\nmode = "host"\n', "network.loopback"),
    "tls": ('[network]\ntls = "off"\n', "network.tls"),
    "no-name": ('[network]\ntls = "allow-no-sni"\n', "network.tls"),
    "hidden-name": ('[network]\nallow_ech = true\n', "network.tls"),
    "no-tls": ('[network]\nallow_non_tls = true\n', "network.tls"),
    "variables": ('[environment]\npass = ["DIRBOX_*"]\n', "environment.canary"),
    "ptrace": ('[seccomp]\nallow = ["ptrace"]\n', "kernel.calls"),
    "uring": ('[seccomp]\nallow = ["io_uring_setup"]\n', "kernel.calls"),
    "command": ('[[excluded]]\ncommand = "sleep"\nmode = "host"\n', "broker.rules"),
}
# Without these no sandbox comes to be, so nothing can be tested: never a pass.
FATAL = ["mount-namespace", "pid", "root", "mounts", "pivot", "no-new-privs"]


class Verify(sandbox.Boundary):
    def verify(self, *options, **start):
        """Exit status and the JSON report."""
        done = self.dirbox(launcher=("verify",), options=["--json", *options], **start)
        return done.code, json.loads(done.out)

    @staticmethod
    def verdicts(report):
        return {promise["name"]: promise["verdict"] for promise in report["promises"]}

    @staticmethod
    def waived(report):
        return {finding["subject"]: finding.get("origin", "") for promise in report["promises"]
                for finding in promise["findings"] if finding["verdict"] == "waived"}

    def test_every_built_in_profile(self):
        for profile in BUILT_IN:
            with self.subTest(profile=profile):
                code, report = self.verify("-p", profile)
                self.assertEqual(code, 0, report)
                self.assertGreater(report["pass"], 100)
                self.assertEqual((report["fail"], report["notrun"]), (0, 0))

    def test_where_the_guard_enforces(self):
        profile = self.profile('extends = "director"\n[filesystem]\nguard = "enforce"\n', "enforcing.toml")
        code, report = self.verify("-p", profile)
        self.assertEqual((code, report["fail"], report["notrun"], self.waived(report)), (0, 0, 0, {}), report)
        self.assertEqual(self.verdicts(report)["guard.plants"], "pass")

    def test_the_planted_secrets_are_among_the_probes(self):
        _, report = self.verify("--only", "files.hidden")
        held = {finding["subject"] for finding in report["promises"][0]["findings"] if finding["verdict"] == "pass"}
        for name in (".ssh", ".aws", ".gnupg", ".netrc", ".npmrc"):
            self.assertIn(self.home(name), held)

    def test_an_empty_directory(self):
        empty = self.home("empty")
        os.makedirs(empty)
        self.assertEqual(self.verify(cwd=empty)[0], 0)
        self.assertEqual(os.listdir(empty), [], "something is left")
        os.rmdir(empty)

    def test_each_missing_layer(self):
        for step, promises in NOTICED.items():
            with self.subTest(step=step):
                if step == "limits" and resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
                    self.skipTest("started with the limit that the layer sets")
                for promise in promises:
                    code, report = self.verify(f"--sabotage={step}", "--only", promise)
                    self.assertEqual((code, self.verdicts(report)), (1, {promise: "fail"}), report)

    def test_no_sandbox_is_no_pass(self):
        for step in FATAL:
            with self.subTest(step=step):
                code, report = self.verify(f"--sabotage={step}", "--only", "kernel")
                self.assertEqual((code, report["pass"]), (2, 0), report)

    WEAK = (
        'extends = "director"\n'
        '[filesystem]\n'
        'home = "host"\n'
        'hide = ["-~/.ssh"]\n'
        '[environment]\n'
        'pass = ["DIRBOX_*"]\n'
        '[network]\n'
        'mode = "host"\n'
        '[process]\n'
        'nested_userns = true\n')

    @staticmethod
    def given_up(report):
        return {finding["subject"]: finding.get("origin", "") for promise in report["promises"]
                for finding in promise["findings"] if finding["detail"].startswith("given up: ")}

    def test_what_a_profile_gives_up_has_its_line(self):
        code, report = self.verify("-p", self.profile(self.WEAK, "weak.toml"), "--force-cwd")
        given_up = self.given_up(report)
        self.assertEqual((code, self.waived(report)), (1, {}))
        for subject, line in ((self.home(".ssh"), 3), (self.world.home, 3), ("a server on 127.0.0.1", 8),
                              ("a variable that nobody listed", 6), ("unshare, clone", 10)):
            self.assertIn(f"weak.toml:{line}:", given_up.get(subject, "nothing"), subject)
        self.assertEqual(self.verdicts(report)["identity.capabilities"], "pass")

    def test_what_the_user_accepts_is_a_waiver(self):
        areas = ["files", "environment", "network", "identity", "kernel", "guard", "profile.waivers"]
        code, report = self.verify("-p", self.profile(self.WEAK, "weak.toml"), "--force-cwd",
                                   *[f"--waive={area}" for area in areas])
        # The profile's own checks say that keys cannot be read, and they can.
        failed = {name for name, verdict in self.verdicts(report).items() if verdict == "fail"}
        self.assertEqual((code, failed), (1, {"profile.checks"}))
        self.assertIn("weak.toml:8:", self.waived(report)["a server on 127.0.0.1"])
        done = self.dirbox(launcher=("verify",), options=["--waive", "nothing"])
        self.assertEqual(done.code, 2)

    def test_weakened_profiles(self):
        """Each goes red by the name of what it gives up, and by its own line."""
        for name, (text, promise) in WEAKENED.items():
            with self.subTest(weakening=name):
                profile = self.profile('extends = "director"\n' + text, f"{name}.toml")
                code, report = self.verify("-p", profile, "--force-cwd", "--only", promise)
                self.assertEqual(code, 1)
                lines = [finding.get("origin", "") for one in report["promises"] if one["name"] == promise
                         for finding in one["findings"] if finding["detail"].startswith("given up: ")]
                self.assertTrue(any(f"{name}.toml:" in line for line in lines), (promise, lines))

    def test_a_grant_is_no_weakening(self):
        profile = self.profile('extends = "director"\n[network]\nallow = ["example.com", "10.0.0.0/8"]\n', "more.toml")
        code, report = self.verify("-p", profile)
        self.assertEqual((code, self.given_up(report)), (0, {}))

    def test_a_dangerous_socket(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            path = os.path.join(folder, "docker.sock")
            server.bind(path)
            server.listen()
            profile = self.profile('extends = "director"\n[filesystem]\n'
                                   f'sockets = [{{path = "{path}", dangerous = true}}]\n', "engine.toml")
            code, report = self.verify("-p", profile)
        self.assertEqual((code, self.verdicts(report)["profile.waivers"]), (1, "fail"))
        self.assertTrue(any(path in subject for subject in self.given_up(report)), report)

    def test_the_callers_keys(self):
        """A profile that may use keyctl is weaker for that, but the keyring is its own; unless that layer is missing."""
        profile = self.profile('extends = "worker"\n[seccomp]\nallow = ["keyctl"]\n', "keys.toml")
        options = ["-p", profile, "--only", "ipc.keys"]
        code, report = self.verify(*options)
        key = report["promises"][0]["findings"][0]
        if key["verdict"] == "na":
            self.skipTest("no key could be made: " + key["detail"])
        self.assertEqual(code, 0, report)
        self.assertEqual(self.verify(*options, "--sabotage=keyring")[0], 1)

    def test_probes(self):
        """The live profile: how many, and from which areas."""
        _, report = self.verify()
        held = {promise["name"]: promise["findings"] for promise in report["promises"] if promise["verdict"] == "pass"}
        self.assertGreater(report["pass"], 300)
        for name in ("network.names", "network.resolver", "network.reach", "network.tls", "network.proxy",
                     "network.metadata", "guard.plants", "ipc.keys", "ipc.descriptors", "life.sibling"):
            self.assertIn(name, held)

    def test_checks_of_a_profile(self):
        profile = self.profile(
            'extends = "worker"\n'
            '[[verify]]\nrun = "exit 3"\nexpect = "ok"\nwhy = "one"\n'
            '[[verify]]\nrun = "true"\nexpect = "blocked"\nwhy = "two"\n'
            '[[verify]]\nrun = "no-such-program"\nexpect = "blocked"\nwhy = "three"\n'
            '[[verify]]\nrun = "exit 3"\nexpect = "blocked"\nwhy = "four"\n', "checks.toml")
        code, report = self.verify("-p", profile, "--only", "profile.checks")
        found = {finding["subject"]: finding["verdict"] for finding in report["promises"][0]["findings"]}
        self.assertEqual([found[name] for name in ("one", "two", "three", "four")],
                         ["fail", "fail", "notrun", "pass"])
        self.assertEqual(code, 1)

    def test_a_directory_whose_name_is_no_utf8(self):
        folder = os.path.join(os.fsencode(self.world.project), b"x\xff\\y")
        os.mkdir(folder)
        self.addCleanup(os.rmdir, folder)
        code, report = self.verify(cwd=folder)
        wrong = [(promise["name"], finding) for promise in report["promises"] for finding in promise["findings"]
                 if finding["verdict"] in ("fail", "notrun")]
        self.assertEqual((code, wrong), (0, []))

    def test_only(self):
        _, report = self.verify("--only", "kernel")
        self.assertTrue(report["promises"])
        self.assertTrue(all(name.startswith("kernel.") for name in self.verdicts(report)))
        _, report = self.verify("--only", "files.mounts", "--only", "identity")
        self.assertIn("files.mounts", self.verdicts(report))
        self.assertEqual({name.split(".")[0] for name in self.verdicts(report) if name != "files.mounts"}, {"identity"})
        for options in (["--only", "nothing"], ["--only", "nothing", "--only", "kernel"], ["--only", ""], ["--waive", ""]):
            done = self.dirbox(launcher=("verify",), options=options)
            self.assertEqual(done.code, 2)
            self.assertIn("there is none of that name", done.err)

    def test_a_profile_that_does_not_load(self):
        done = self.dirbox(launcher=("verify",), options=["-p", self.profile("nonsense = 1\n", "bad.toml")])
        self.assertEqual((done.code, done.out), (2, ""))

    def test_nothing_is_left_after_an_interrupt(self):
        def left():
            return {name for folder in ("/tmp", "/dev/shm") for name in os.listdir(folder)
                    if name.startswith("dirbox-verify-")}
        before = left()
        child = self.start(launcher=("verify",), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        sandbox.wait_until(lambda: left() - before or child.poll() is not None, "verify plants canaries")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=sandbox.PATIENCE)
        sandbox.wait_until(lambda: not left() - before, "what it planted goes, and what others plant meanwhile")


if __name__ == "__main__":
    sandbox.main()
