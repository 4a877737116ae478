"""run.py BROKER_HOST plain|userns [CASE...]: the cases of inside.py, and what only the host can see."""
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 20.0


def write_programs(folder):
    """Host programs that are no ELF files: a script, and nothing that can be executed."""
    os.mkdir(folder)
    for name, content in (("script", '#!/bin/sh -u\necho "$0" "$@" "$-"\nexit 5\n'), ("broken", "no program\n")):
        with open(f"{folder}/{name}", "w", encoding="ascii") as file:
            file.write(content)
        os.chmod(f"{folder}/{name}", 0o755)


def commands(top, work):
    tools = {"hsh": "/bin/sh", "hcat": "/bin/cat", "htrue": "/bin/true", "hsleep": "/bin/sleep", "henv": "/usr/bin/env",
             "hvi": shutil.which("vim.tiny") or shutil.which("vi"), "hone": "/bin/sh", "hslow": "/bin/sleep", "git": "git",
             "hscript": top + "/host/script", "hbroken": top + "/host/broken"}
    out = []
    for name, path in tools.items():
        out += ["--command", f"{name}={path}"]
    return out + ["--max", "hone=1", "--timeout", "hslow=1", "--env", "henv=PASSED", "--allow", "git=--version",
                  "--allow", "git=log [-*] ...", "--deny", "git=log --all", "--root", work, "--writable", work]


def host_command(host, mode, top, work):
    return [host, "--dir", top, "--log", top + "/log", *(["--userns"] if mode == "userns" else []), *commands(top, work)]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition, what):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.005)  # conditions that no descriptor announces
    raise SystemExit("FAIL never: " + what)


def started(top):
    with open(top + "/log", encoding="utf-8") as log:
        return [row["pid"] for row in map(json.loads, log) if row["kind"] == "started"]


def check_death_of_the_host(host, mode, top, work):
    """Neither a command without a terminal nor one in a terminal outlives a broker that was killed."""
    open(top + "/log", "w", encoding="utf-8").close()
    # script(1) gives the second one a terminal.
    inner = f"cd {work}; {top}/bin/hsleep 306 < /dev/null & script -qc '{top}/bin/hsleep 307' /dev/null; wait"
    process = subprocess.Popen(host_command(host, mode, top, work) + ["--", "sh", "-c", inner], stdout=subprocess.DEVNULL,
                               start_new_session=True)
    pids = until(lambda: len(started(top)) == 2 and started(top), "both commands start")
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, pids)), "the commands of a killed broker end")


def main():
    host, mode = sys.argv[1:3]
    top = tempfile.mkdtemp(prefix="dirbox-broker-")
    work = top + "/work"
    os.mkdir(work)
    write_programs(top + "/host")
    try:
        inside = [sys.executable, HERE + "/inside.py", top, top + "/log", work, *sys.argv[3:]]
        open(top + "/log", "w", encoding="utf-8").close()
        status = subprocess.run(host_command(host, mode, top, work) + ["--", *inside], check=False).returncode
        left = [pid for pid in started(top) if alive(pid)]
        if left:
            raise SystemExit(f"FAIL left running: {left}")
        shutil.rmtree(top + "/sock")
        if not sys.argv[3:]:
            check_death_of_the_host(host, mode, top, work)
        return status
    finally:
        shutil.rmtree(top)


if __name__ == "__main__":
    sys.exit(main())
