"""Plants at random places, by random ways, in a tree that earlier sandboxes have left their marks in: none stays."""
import os
import random
import subprocess

import sandbox

RUNS = 40
EXCHANGE = "python3 -c 'import ctypes, sys; ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)'"
WAYS = ("echo evil > {a}/.envrc",
        "mkdir -p {a}/.vscode; echo evil > {a}/.vscode/tasks.json",
        "echo evil > {a}/t{n}; mv {a}/t{n} {b}/.envrc",
        "mv {a} {b}/m{n}; echo evil > {b}/m{n}/.envrc",
        "echo evil > {a}/.envrc; mv {a} {b}/z{n}",
        EXCHANGE + " {a} {b}; echo evil > {a}/.envrc",
        "echo evil > {a}/.envrc; " + EXCHANGE + " {a} {b}",
        "git init -q {a}; git -C {a} config core.fsmonitor evil",
        "cp -a {a} {b}/c{n}; echo evil > {b}/c{n}/.mcp.json",
        "echo evil > {a}/h{n}; ln {a}/h{n} {b}/.envrc",
        "mkdir -p {a}/n{n}/o/p; echo evil > {a}/n{n}/o/p/.envrc",
        "mkdir -p {a}/x{n}/.git/hooks; echo evil > {a}/x{n}/.git/hooks/pre-commit; mv {a}/x{n} {b}/y{n}",
        "(sleep 0.05; echo evil > {a}/.envrc) & sleep 0.1",
        "echo evil > {a}/.envrc; chmod 0 {a}",
        "rm -rf {a}; mkdir {a}; echo evil > {a}/.envrc",
        "mv {a} {a}.old; ln -s {b} {a}; echo evil > {b}/.envrc",
        # Prepared where nothing is guarded, for another run to finish.
        "mkdir -p {a}/q{n}; echo evil > {a}/q{n}/tasks.json",
        "mkdir -p {a}/g{n}/objects {a}/g{n}/refs {a}/g{n}/hooks; echo evil > {a}/g{n}/hooks/pre-commit; echo ref: refs/heads/x > {a}/g{n}/H",
        "for i in $(find r -name 'q[0-9]*' | head -n 1); do mv $i {b}/.vscode; done",
        "for i in $(find r -name H | head -n 1); do mv $i $(dirname $i)/HEAD; mv $(dirname $i) {b}/.git; done",
        "for i in $(find r -name H | head -n 1); do mv $(dirname $i) {b}/.git; done",
        "for i in $(find r -path '*/.git/H' | head -n 1); do mv $i $(dirname $i)/HEAD; done")
FIND = (r"find r \( -name .envrc -o -name .mcp.json -o -path '*/.vscode/tasks.json' -o -path '*/.git/hooks/pre-commit' \) "
        r"-exec grep -l evil {} +; find r -path '*/.git/config' -exec grep -l fsmonitor {} +")


class Random(sandbox.Boundary):
    def test_none_stays(self):
        seed = int(os.environ.get("DIRBOX_TEST_SEED") or random.randrange(1 << 30))
        draw = random.Random(seed)
        for i in range(48):
            self.world.plant(self.project(f"r/d{i % 8}/e{i}/file"), "text\n")
        self.addCleanup(subprocess.run, "chmod -R u+rwX r; rm -rf r", shell=True, cwd=self.world.project, check=True)
        for run in range(RUNS):
            script = "; ".join(f"({self.plant(draw)})" for _ in range(draw.randint(1, 3))) + draw.choice(("", "", "; sleep 0.3"))
            done = subprocess.run([sandbox.DIRBOX, "run", "-p", "worker", "--", "sh", "-c", script], cwd=self.world.project, text=True,
                                  env=self.world.environment, capture_output=True, timeout=sandbox.PATIENCE)
            self.assertNotEqual(done.returncode, 125, done)
            subprocess.run("find r -type d ! -perm -700 -exec chmod 755 {} + -prune; true", shell=True, cwd=self.world.project,
                           capture_output=True, check=True)
            left = subprocess.run(FIND, shell=True, cwd=self.world.project, capture_output=True, text=True, check=False).stdout
            self.assertEqual(left, "", f"DIRBOX_TEST_SEED={seed}, run {run}: {script}\n{done.stderr}")

    def plant(self, draw):
        places = [os.path.relpath(os.path.join(path, name), self.world.project)
                  for path, names, _ in os.walk(self.project("r")) for name in names if name != ".git" and ".git/" not in path + "/"]
        a, b = draw.sample(sorted(places), 2)
        return draw.choice(WAYS).format(a=a, b=b, n=draw.randrange(1 << 20))


if __name__ == "__main__":
    sandbox.main()
