#!/usr/bin/python3
"""Every option of every subcommand, as `dirbox __options` prints them ("profile show --json"), is in a manual.

An option of `dirbox NAME …` must be in dirbox-NAME(1) where there is such a page, and in dirbox(1) otherwise.
"""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNDOCUMENTED = {"--test-fail", "--net-map"}  # of test builds


SHARED = {"shell": "run", "revoke": "grant", "ps": "grant"}  # pages of several subcommands


def page_of(command):
    for name in (f"dirbox-{command}.1", "dirbox.1"):
        path = os.path.join(ROOT, "man", name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return name, file.read()
    return "dirbox.1", ""


def main():
    listed = subprocess.run([os.environ["DIRBOX"], "__options"], capture_output=True, text=True, check=True).stdout
    words = [line.split() for line in listed.splitlines()]
    pairs = [(line[0], line[-1]) for line in words if len(line) >= 2]
    missing = []
    for command, option in pairs:
        name, text = page_of(SHARED.get(command, command))
        # In mdoc, "--read" is ".Fl -read" and "-p" is ".Fl p".
        if option not in UNDOCUMENTED and f"Fl {option[1:]}" not in text:
            missing.append(f"man/{name}: {command} {option} is not documented")
    print("\n".join(missing) or f"{len(pairs)} options documented")
    return 1 if missing or not pairs else 0


if __name__ == "__main__":
    sys.exit(main())
