"""dirbox verify holds what it says: green for every built-in profile, red for each layer that is left out, and what a
profile gives up is a waiver with its line."""
import json
import os
import signal
import subprocess
import unittest

import sandbox

BUILT_IN = ["director", "director-guide", "director-strict", "worker", "offline", "build", "debug"]

# Set-up steps left out -> the promises of which at least one must break.
NOTICED = {
    "userns-limit": {"identity.userns"},
    "hostname,uts-namespace": {"host.name"},
    "network,net-namespace": {"network.loopback"},
    "ipc-namespace": {"ipc.objects"},
    "terminal": {"identity.limits"},
    "cwd": {"files.cwd"},
    "limits": {"identity.limits"},
    "capabilities": {"identity.capabilities"},
    "concealment": {"environment.init"},
    "landlock": {"kernel.landlock"},
    "seccomp": {"kernel.filter", "kernel.calls", "kernel.terminal"},
}
# Without these no sandbox comes to be, so nothing can be tested: never a pass.
FATAL = ["root", "mounts", "pivot", "no-new-privs"]


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
                code, report = self.verify(f"--test-skip={step}")
                self.assertEqual(code, 1, report)
                broken = {name for name, verdict in self.verdicts(report).items() if verdict == "fail"}
                self.assertTrue(promises <= broken, (promises, broken))

    def test_no_sandbox_is_no_pass(self):
        for step in FATAL:
            with self.subTest(step=step):
                code, report = self.verify(f"--test-skip={step}")
                self.assertEqual((code, report["pass"]), (2, 0), report)

    def test_what_a_profile_gives_up_is_a_waiver(self):
        profile = self.profile(
            'extends = "director"\n'
            '[filesystem]\n'
            'home = "host"\n'
            'hide = ["-~/.ssh"]\n'
            '[environment]\n'
            'pass = ["DIRBOX_*"]\n'
            '[network]\n'
            'mode = "host"\n'
            '[process]\n'
            'nested_userns = true\n', "weak.toml")
        code, report = self.verify("-p", profile, "--force-cwd")
        waived = self.waived(report)
        self.assertEqual(report["fail"] - sum(
            finding["verdict"] == "fail" for promise in report["promises"] if promise["name"] == "profile.checks"
            for finding in promise["findings"]), 0, report)
        for subject, line in ((self.home(".ssh"), 3), (self.world.home, 3), ("a server on 127.0.0.1", 8),
                              ("a variable that nobody listed", 6), ("unshare, clone", 10)):
            self.assertIn(f"weak.toml:{line}:", waived.get(subject, "nothing"), subject)
        # The profile's own checks say that keys cannot be read, and they can.
        self.assertEqual((code, self.verdicts(report)["profile.checks"]), (1, "fail"))
        self.assertEqual(self.verdicts(report)["identity.capabilities"], "pass")

    def test_checks_of_a_profile(self):
        profile = self.profile(
            'extends = "worker"\n'
            '[[verify]]\nrun = "exit 3"\nexpect = "ok"\nwhy = "one"\n'
            '[[verify]]\nrun = "true"\nexpect = "blocked"\nwhy = "two"\n'
            '[[verify]]\nrun = "no-such-program"\nexpect = "blocked"\nwhy = "three"\n'
            '[[verify]]\nrun = "exit 3"\nexpect = "blocked"\nwhy = "four"\n', "checks.toml")
        code, report = self.verify("-p", profile, "--only", "profile")
        found = {finding["subject"]: finding["verdict"] for finding in report["promises"][0]["findings"]}
        self.assertEqual([found[name] for name in ("one", "two", "three", "four")],
                         ["fail", "fail", "notrun", "pass"])
        self.assertEqual(code, 1)

    def test_only(self):
        _, report = self.verify("--only", "kernel")
        self.assertTrue(report["promises"])
        self.assertTrue(all(name.startswith("kernel.") for name in self.verdicts(report)))
        done = self.dirbox(launcher=("verify",), options=["--only", "nothing"])
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
        self.assertEqual(left() - before, set())


if __name__ == "__main__":
    sandbox.main()
