#!/usr/bin/python3
"""fresh.py [--ccache] RELEASE root|sudo: the commands of README's "Start in 30 seconds", in a fresh system.

A clone of this repository's HEAD, as root or as an ordinary user with sudo: launcher/bootstrap, then tests/run.
Their output is shown as it comes; the exit status is that of the first that failed. `fresh.py RELEASE USER COMMAND…`
runs that instead of the two. With --ccache the system has ccache, and what one run compiled the next need not.
"""
import os
import subprocess
import sys

import tree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USER = "someone"
COMMANDS = ["launcher/bootstrap", "tests/run"]


def prepare(box, kind):
    """(user, clone): the user exists, the clone is theirs."""
    user, home = ("root", "/root") if kind == "root" else (USER, "/home/" + USER)
    if kind == "sudo":
        box.install("sudo")
        box.must("useradd", "--create-home", "--shell", "/bin/bash", USER)
        with open(box.path("/etc/sudoers.d/" + USER), "w", encoding="ascii") as file:
            file.write(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    clone = home + "/dirbox"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, box.path(clone)], check=True)
    box.must("chown", "-R", f"{user}:{user}", clone)
    return user, clone


def main():
    arguments = sys.argv[1:]
    ccache = arguments[:1] == ["--ccache"]
    release, kind, *commands = arguments[ccache:] if len(arguments) >= 2 + ccache else ("", "")
    if release not in tree.RELEASES or kind not in ("root", "sudo"):
        print(__doc__)
        return 2
    box = tree.Tree(release)
    try:
        user, clone = prepare(box, kind)
        if ccache:
            box.keep_compiled()
        for command in commands or COMMANDS:
            print(f"=== {release}, {kind}: {command}", flush=True)
            done = box.run("/bin/sh", "-c", command, user=user, cwd=clone, stdout=None, stderr=None)
            if done.returncode != 0:
                print(f"=== {command}: exit {done.returncode}")
                return 1
        return 0
    finally:
        box.close()


if __name__ == "__main__":
    sys.exit(main())
