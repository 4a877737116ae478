#!/usr/bin/python3
"""House rules that a machine can check. `lint.py CHECK...`; without arguments, every check.

Each check yields complaints "file:line: what"; none means success.
"""
import collections
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SELF = "tests/lint/lint.py"
SKIPPED = 77  # ctest's SKIP_RETURN_CODE
FORMATTER = 14  # Debian 12's

# Folder -> folders whose headers it may include, beside its own. `spec.h` alone where a header is named.
ARROWS = {
    "launcher/base": [],
    "seccomp": ["launcher/base"],
    "netns": ["launcher/base", "seccomp"],
    "launcher/sandbox": ["launcher/base", "seccomp"],
    "launcher/broker": ["launcher/base"],
    "launcher/broker/tmux": ["launcher/base", "launcher/broker"],
    "launcher/broker/docker": ["launcher/base", "seccomp", "netns"],
    "launcher/log": ["launcher/base"],
    "launcher/guard": ["launcher/base"],
    "launcher/sync": ["launcher/base", "launcher/guard"],
    "profiles": ["launcher/base", "seccomp", "netns", "launcher/broker"],
    "launcher/plan": ["launcher/base", "launcher/guard", "launcher/sync", "profiles", "seccomp", "netns", "launcher/sandbox", "launcher/broker",
                      "launcher/broker/docker", "launcher/broker/tmux"],
    "launcher/session": ["launcher/base", "launcher/sandbox/spec.h"],
    "launcher/supervise": ["launcher/base", "launcher/plan", "launcher/guard", "launcher/sync", "launcher/sandbox", "seccomp",
                           "netns", "launcher/broker", "launcher/broker/docker", "launcher/broker/tmux", "launcher/log", "launcher/session"],
    "launcher/doctor": ["launcher/base", "launcher/sandbox", "launcher/session", "netns", "seccomp"],
    "launcher/verify": None,  # None: everything but the folders named in LAST
    "launcher/learn": ["launcher/base", "launcher/log", "profiles", "netns"],
    "launcher/mcp": None,
    "launcher/cli": None,
}
LAST = ["launcher/cli"]

# Third-party header -> the one place that may include it.
DOORS = {
    r"CLI/": r"launcher/cli/",
    r"toml\+\+/": r"profiles/toml_reader\.cpp$",
    r"nlohmann/": r"launcher/base/json\.cpp$",
    r"seccomp\.h$": r"seccomp/compile\.cpp$",
    r"sys/capability\.h$": r"launcher/sandbox/caps\.cpp$",
    r"doctest/": r"tests/",
}

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".ci",
    ".clang-format", ".clang-tidy", ".gitignore", "launcher", "man", "netns", "profiles", "seccomp", "tests",
}

MOST_LINES = {".cpp": 450, ".h": 160}


def tracked():
    """Files of the repository: what git knows or would add, or the tree itself where git cannot tell."""
    command = ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return [name for name in listed if os.path.isfile(os.path.join(ROOT, name))]
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", "build", "__pycache__")]
            found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
        return found


def lines_of(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read().splitlines()


def sources(*suffixes):
    return [name for name in tracked() if name.endswith(suffixes or (".cpp", ".h"))]


def folder_of(name):
    """The module that a path belongs to, or None for tests and the rest."""
    return next((folder for folder in sorted(ARROWS, key=len, reverse=True) if name.startswith(folder + "/")), None)


def includes(name):
    for number, line in enumerate(lines_of(name), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def check_includes():
    edges = collections.defaultdict(set)
    for name in sources():
        own = folder_of(name)
        for number, quoted, target in includes(name):
            if quoted and not os.path.isfile(os.path.join(ROOT, target)) and not target.endswith(".inc.h"):
                yield f'{name}:{number}: "{target}": quoted includes are written from the root'
            other = folder_of(target)
            if own is None or other is None or other == own:
                continue
            edges[own].add(other)
            allowed = ARROWS[own]
            if allowed is None:
                if other in LAST:
                    yield f"{name}:{number}: {own} may not include {other}"
            elif other not in allowed and target not in allowed:
                yield f"{name}:{number}: {own} may not include {target} (allowed: {', '.join(allowed) or 'nothing'})"
    yield from cycles(edges)


def cycles(edges):
    done, path = set(), []

    def visit(folder):
        if folder in path:
            yield "cycle of folders: " + " -> ".join(path[path.index(folder):] + [folder])
        elif folder not in done:
            path.append(folder)
            for other in sorted(edges.get(folder, ())):
                yield from visit(other)
            path.pop()
            done.add(folder)

    for folder in sorted(edges):
        yield from visit(folder)


def check_doors():
    for name in sources():
        for number, _, target in includes(name):
            for header, door in DOORS.items():
                in_probe = name.startswith("tests/support/")
                if re.match(header, target) and not re.match(door, name) and not in_probe:
                    yield f"{name}:{number}: <{target}> belongs behind {door}"


def check_sizes():
    for name in sources():
        most = MOST_LINES[os.path.splitext(name)[1]]
        length = len(lines_of(name))
        if length > most:
            yield f"{name}:{length}: longer than {most} lines"


def check_format():
    if not shutil.which("clang-format"):
        print("clang-format is not installed")
        sys.exit(SKIPPED)
    version = subprocess.run(["clang-format", "--version"], text=True, capture_output=True, check=True).stdout
    if f"version {FORMATTER}." not in version:
        print(f"the layout is that of clang-format {FORMATTER}, others differ in details: {version.strip()}")
        sys.exit(SKIPPED)
    names = sources()
    answer = subprocess.run(["clang-format", "--dry-run", "-ferror-limit=1", *names], cwd=ROOT, text=True,
                            capture_output=True)
    for name in sorted(set(re.findall(r"^([^\s:]+):\d+:\d+: (?:warning|error)", answer.stderr, re.M))):
        yield f"{name}:1: not as clang-format writes it"
    if answer.returncode != 0:
        yield answer.stderr


def check_toplevel():
    for name in sorted({path.split("/")[0] for path in tracked()} - TOP_LEVEL):
        yield f"{name}:1: the top level is fixed"


def check_words():
    """Unfinished work, and paths of the machine that the text was written on."""
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b")
    places = [ROOT + "/"]
    parent = os.path.dirname(ROOT)
    if parent not in ("/", "/root", "/home", "/tmp", "/srv", "/opt", "/usr/src", "/usr/local/src", "/var/tmp"):
        places.append(parent + "/")
    for name in tracked():
        if name in (SELF, "LICENSE") or "/golden/" in name:
            continue
        try:
            text = lines_of(name)
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text, 1):
            if unfinished.search(line) and "mktemp" not in line:
                yield f"{name}:{number}: unfinished: {line.strip()}"
            for place in places:
                if place in line:
                    yield f"{name}:{number}: names a path of this machine: {place}"
            if line != line.rstrip() and not name.endswith(".md"):
                yield f"{name}:{number}: trailing blanks"


def check_casts():
    for name in sources():
        for number, line in enumerate(lines_of(name), 1):
            if re.search(r"\(void\)\s*[A-Za-z_:]+[\w:.>-]*\s*\(", line):
                yield f"{name}:{number}: a result cast to void"


def check_sleeps():
    """Tests wait for events. The polling helper of tests/support/sandbox.py is the one exception."""
    sleep = re.compile(r"\btime\.sleep\(|\bu?sleep\(|\bnanosleep\(|sleep_for|sleep_until")
    for name in tracked():
        if not name.startswith("tests/") or name == SELF or not name.endswith((".py", ".cpp", ".h", ".sh")):
            continue
        for number, line in enumerate(lines_of(name), 1):
            if sleep.search(line):
                yield f"{name}:{number}: a sleep as synchronisation"


def check_man():
    pages = [name for name in tracked() if re.match(r"man/.*\.[157]$", name)]
    if not shutil.which("mandoc"):
        print("mandoc is not installed")
        sys.exit(SKIPPED)
    for name in pages:
        answer = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", name], cwd=ROOT, text=True,
                                capture_output=True)
        yield from (answer.stdout + answer.stderr).splitlines()


def named_tests(page):
    """(line, suite, test) of what a text calls suite:test, or suite:test, test."""
    suite = None
    for number, line in enumerate(lines_of(page), 1):
        for found in re.finditer(r"(?:([\w/]+):)?(?<!\w)(test_\w+)(?!\.py|\w)", line):
            suite = found.group(1) or suite
            yield number, suite, found.group(2)


def check_threats():
    """Every test that dirbox-security(7) or the record of reviews names exists."""
    for page in ("man/dirbox-security.7", "man/decisions/0037-what-reviews-found.md"):
        for number, suite, test in named_tests(page) if page in tracked() else ():
            folder, _, name = (suite or "").rpartition("/")
            files = [f"tests/{folder or 'boundary'}/{prefix}{name}.py" for prefix in ("", "test_")] + [f"tests/boundary/{suite}.py"]
            if not any(f"def {test}(" in text for file in files if file in tracked() for text in lines_of(file)):
                yield f"{page}:{number}: there is no test {suite}:{test}"


CHECKS = {name[len("check_"):]: check for name, check in list(globals().items()) if name.startswith("check_")}


def main():
    wanted = sys.argv[1:] or sorted(CHECKS)
    complaints = [text for name in wanted for text in CHECKS[name]()]
    print("\n".join(complaints) or "clean: " + " ".join(wanted))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
