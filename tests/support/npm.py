"""Packages of the npm registry, installed once per machine and user."""
import fcntl
import os
import pwd
import shutil
import subprocess
import unittest

PATIENCE = 300  # seconds; some 200 MB come


def install(package):
    """The prefix with `package` (NAME@VERSION). Skips the test, and says why, where there is no way to the registry."""
    if shutil.which("npm") is None:
        raise unittest.SkipTest("this machine has no npm")
    here = os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, ".dirbox-tests")
    prefix = os.path.join(here, "npm-" + package.lstrip("@").replace("/", "-"))
    os.makedirs(here, mode=0o700, exist_ok=True)
    with open(prefix + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # suites run beside each other
        whole = os.path.join(prefix, "whole")
        if os.path.exists(whole):
            return prefix
        shutil.rmtree(prefix, ignore_errors=True)
        # Another prefix has another global configuration; certificates and proxies are in the machine's own.
        machine = subprocess.run(["npm", "config", "get", "globalconfig"], capture_output=True, text=True, check=True).stdout.strip()
        words = ["npm", "install", "--global", "--prefix", prefix, "--globalconfig", machine, "--no-audit", "--no-fund", package]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
            why = done.stderr.strip()[:300] if done.returncode != 0 else ""
        except subprocess.TimeoutExpired:
            why = f"no answer in {PATIENCE} seconds"
        if why:
            shutil.rmtree(prefix, ignore_errors=True)
            raise unittest.SkipTest(f"this machine has no way to {package} in the npm registry: {why}")
        with open(whole, "w", encoding="ascii"):
            return prefix
