"""Many sandboxes in one tree share nothing, fail nobody, and leave nothing, however they end."""
import concurrent.futures
import os
import random
import signal
import subprocess

import sandbox


class Together(sandbox.Boundary):
    def run_one(self, *command):
        return subprocess.run([sandbox.DIRBOX, "run", "-q", "--", *command], cwd=self.world.project,
                              env=self.world.environment, capture_output=True, text=True, timeout=10 * sandbox.PATIENCE)

    def status(self):
        return subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=self.world.project, check=True,
                              env=self.world.environment, capture_output=True, text=True).stdout

    def test_sixteen_times_twenty_five(self):
        clean = self.status()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            def work(_):
                return [self.run_one("git", "status", "--porcelain", "--ignored") for _ in range(25)]
            lanes = [pool.submit(work, i) for i in range(16)]
            while not all(lane.done() for lane in lanes):
                self.assertEqual(self.status(), clean)
                concurrent.futures.wait(lanes, timeout=0.5)
            done = [one for lane in lanes for one in lane.result()]
        self.assertEqual(len(done), 400)
        bad = [one for one in done if one.returncode != 0 or one.stdout != clean or one.stderr]
        self.assertEqual(bad[:3], [])
        self.assertEqual(self.status(), clean)

    def test_killed_at_any_moment(self):
        clean = self.status()
        mark = "dirbox-together-" + os.path.basename(self.world.base)
        for _ in range(40):
            child = subprocess.Popen([sandbox.DIRBOX, "run", "-q", "--", "sh", "-c", f": {mark}; exec sleep 100"],
                                     cwd=self.world.project, env=self.world.environment, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            try:
                child.wait(timeout=random.uniform(0, 0.05))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
            self.assertEqual(self.status(), clean)

        def nothing_left():
            return subprocess.run(["pgrep", "-f", mark], capture_output=True).returncode == 1
        sandbox.wait_until(nothing_left, "what was inside has ended")
        self.assertEqual(self.run_one("true").returncode, 0)
        self.assertEqual(self.status(), clean)


if __name__ == "__main__":
    sandbox.main()
