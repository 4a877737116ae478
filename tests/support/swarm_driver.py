#!/usr/bin/python3
"""A small manager of workers in tmux that keeps its state and calls tmux as swarm (github.com/mtomcal/swarm) does.

It stands in for swarm where that is not at hand: same commands, same state files, same tmux command lines.

    swarm_driver.py spawn --name NAME [--cwd DIR] --tmux -- COMMAND...      ls      status NAME      send NAME TEXT
    swarm_driver.py logs NAME      interrupt NAME      eof NAME      kill NAME      attach NAME
"""
import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import subprocess
import sys


class State:
    """$SWARM_DIR: state.json, replaced by rename under a lock."""

    def __init__(self):
        self.folder = os.environ.get("SWARM_DIR") or os.path.expanduser("~/.swarm")
        self.path = os.path.join(self.folder, "state.json")
        self.session = "swarm-" + hashlib.sha256(os.path.realpath(self.folder).encode()).hexdigest()[:8]

    @contextlib.contextmanager
    def locked(self):
        os.makedirs(os.path.join(self.folder, "logs"), exist_ok=True)
        with open(os.path.join(self.folder, "state.lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            workers = self.read()
            yield workers
            with open(self.path + ".tmp", "w", encoding="utf-8") as file:
                json.dump({"workers": workers}, file, indent=2)
            os.rename(self.path + ".tmp", self.path)

    def read(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                return json.load(file)["workers"]
        except FileNotFoundError:
            return []

    def worker(self, name):
        for worker in self.read():
            if worker["name"] == name:
                return worker
        sys.exit(f"swarm: error: worker '{name}' not found")


def tmux(*words, check=True):
    done = subprocess.run(["tmux", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        sys.exit(f"swarm: error: tmux {words[0]}: {done.stderr.strip()}")
    return done


def window_of(worker):
    return f"{worker['tmux']['session']}:{worker['tmux']['window']}"


def is_running(worker):
    return tmux("has-session", "-t", window_of(worker), check=False).returncode == 0


def spawn(state, options):
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    cwd = os.path.realpath(options.cwd or ".")
    with state.locked() as workers:
        if any(worker["name"] == options.name for worker in workers):
            sys.exit(f"swarm: error: worker '{options.name}' already exists")
        if tmux("has-session", "-t", state.session, check=False).returncode != 0:
            tmux("new-session", "-d", "-s", state.session)
        tmux("new-window", "-a", "-t", state.session, "-n", options.name, "-c", cwd, shlex.join(command))
        workers.append({"name": options.name, "status": "running", "cmd": command, "cwd": cwd, "pid": None,
                        "tmux": {"session": state.session, "window": options.name, "socket": None}})
    print(f"spawned {options.name} (tmux: {state.session}:{options.name})")


def send(state, options):
    worker = state.worker(options.name)
    if not is_running(worker):
        sys.exit(f"swarm: error: worker '{options.name}' is not running")
    tmux("send-keys", "-t", window_of(worker), "-l", options.text)
    tmux("send-keys", "-t", window_of(worker), "Enter")


def kill(state, options):
    tmux("kill-window", "-t", window_of(state.worker(options.name)), check=False)
    with state.locked() as workers:
        for worker in workers:
            if worker["name"] == options.name:
                worker["status"] = "stopped"


def list_workers(state, _):
    with state.locked() as workers:
        for worker in workers:
            worker["status"] = "running" if is_running(worker) else "stopped"
            print(f"{worker['name']:<16} {worker['status']:<9} {shlex.join(worker['cmd'])[:60]}")


def status(state, options):
    running = is_running(state.worker(options.name))
    print(f"{options.name}: {'running' if running else 'stopped'}")
    return 0 if running else 1


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("spawn")
    add.add_argument("--name", required=True)
    add.add_argument("--cwd")
    add.add_argument("--tmux", action="store_true")
    add.add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("ls")
    for verb in ("status", "logs", "interrupt", "eof", "kill", "attach", "send"):
        add = verbs.add_parser(verb)
        add.add_argument("name")
        if verb == "send":
            add.add_argument("text")
    options = parser.parse_args()
    state = State()

    def keys(key):
        return lambda state, options: tmux("send-keys", "-t", window_of(state.worker(options.name)), key)

    def attach(state, options):
        worker = state.worker(options.name)
        tmux("select-window", "-t", window_of(worker))
        os.execvp("tmux", ["tmux", "attach-session", "-t", worker["tmux"]["session"]])

    def logs(state, options):
        print(tmux("capture-pane", "-t", window_of(state.worker(options.name)), "-p", "-S", "-1000").stdout)

    table = {"spawn": spawn, "ls": list_workers, "status": status, "send": send, "kill": kill, "attach": attach,
             "logs": logs, "interrupt": keys("C-c"), "eof": keys("C-d")}
    result = table[options.verb](state, options)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
