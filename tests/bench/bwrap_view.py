"""bwrap with the mounts that a command sees inside dirbox, read from its mountinfo."""
import os
import re
import subprocess


def mounts(text):
    """(device, root, target, options, type) of each line of a mountinfo."""
    for line in text.splitlines():
        words = line.split(" ")
        dash = words.index("-")
        unescape = lambda word: re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), word)
        yield words[2], unescape(words[3]), unescape(words[4]), words[5].split(","), words[dash + 1]


def bwrap_arguments(dirbox, project, environment, whole_etc=False):
    """What a command of `dirbox`, words up to the command, sees in `project`, as options of bwrap; its own minimal /dev
    stands for ours. With whole_etc, /etc is one bind of the host's instead of the files and directories that a profile
    lists: less isolation, and a third of the mounts."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        # The last mount of a device at its root tells where a device's paths are on the host.
        host = {device: target for device, root, target, _, _ in mounts(file.read()) if root == "/"}
    show = lambda *command: subprocess.run([*dirbox, *command], cwd=project, env=environment,
                                           capture_output=True, text=True, check=True).stdout
    inside = show("cat", "/proc/self/mountinfo")
    words = ["--unshare-all", "--die-with-parent", "--new-session", "--dev", "/dev"]
    words += ["--ro-bind", "/etc", "/etc"] if whole_etc else ["--dir", "/etc"]
    for device, root, target, options, kind in mounts(inside):
        if target in ("/", "/etc") or target.startswith(("/dev/", "/proc/")):
            continue
        if target.startswith("/etc/") and whole_etc:
            continue
        if kind == "proc":
            words += ["--proc", target]
        elif kind in ("tmpfs", "ramfs") and root == "/":
            words += ["--tmpfs", target]
        else:
            source = os.path.normpath(host.get(device, "/") + "/" + root)
            if os.path.lexists(source):
                words += ["--ro-bind" if "ro" in options else "--bind", source, target]
    if not whole_etc:
        mounted = {target for _, _, target, _, _ in mounts(inside)}
        for path in show("find", "/etc", "-xdev", "-type", "f").split("\n"):
            if path and path not in mounted and os.access(path, os.R_OK):
                words += ["--ro-bind", path, path]
    for name in ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"):
        if os.path.islink(name):
            words += ["--symlink", os.readlink(name), name]
    return words + ["--chdir", project]
