"""A Debian system in a directory, entered as if it were the machine's own.

chroot(2) alone would not do: the kernel lets no process in a chroot make a user namespace. So each command runs in
namespaces of its own, in which the tree is the root, with a /proc of its own and the host's /dev and network.

debootstrap runs once for a release; what it made is kept in DIRBOX_TREES, normally /tmp/dirbox-trees, and unpacked
for each Tree. Packages that apt downloads are kept there too, and what ccache keeps if the Tree is to have it.
"""
import os
import shutil
import stat
import subprocess
import tempfile

RELEASES = {"debian-12": "bookworm", "debian-13": "trixie"}
MIRROR = os.environ.get("DIRBOX_MIRROR", "http://deb.debian.org/debian")
CACHE = os.environ.get("DIRBOX_TREES", "/tmp/dirbox-trees")

# $1: the tree; the rest: the command. pivot_root(8) leaves the host's root where the tree was, from where it goes.
ENTER = """
set -e
tree=$1
shift
mount --make-rprivate /
mount --bind "$tree" "$tree"
mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount -t sysfs -o ro sysfs "$tree/sys"
mount --rbind /sys/fs/cgroup "$tree/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mount --bind "$ARCHIVES" "$tree/var/cache/apt/archives"
[ -z "$COMPILED" ] || mount --bind "$COMPILED" "$tree/var/cache/ccache"
cd "$tree"
pivot_root . mnt
umount -l /mnt
exec "$@"
"""


class Unavailable(Exception):
    """This machine cannot make the tree; the text says why."""


def prepare_cache():
    """The cache is in a directory that all can write to: what another user made there is not ours."""
    os.makedirs(CACHE, mode=0o700, exist_ok=True)
    status = os.lstat(CACHE)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise Unavailable(f"{CACHE} is not a directory of root's alone")


def bootstrap(suite):
    """The archive of a fresh system."""
    archive = os.path.join(CACHE, suite + ".tar")
    if os.path.exists(archive):
        return archive
    if not shutil.which("debootstrap"):
        raise Unavailable("debootstrap is not installed")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        tree, part = os.path.join(folder, "tree"), os.path.join(folder, "tar")
        done = subprocess.run(["debootstrap", "--variant=minbase", "--include=ca-certificates", suite, tree, MIRROR],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"debootstrap {suite} from {MIRROR}: {done.stdout.strip().splitlines()[-1:]}")
        subprocess.run(["tar", "-C", tree, "-cf", part, "."], check=True)
        os.rename(part, archive)
    return archive


class Tree:
    """A fresh system of a release, `debian-12` or `debian-13`; removed by close()."""

    def __init__(self, release):
        prepare_cache()
        suite = RELEASES[release]
        archive = bootstrap(suite)
        self.archives = os.path.join(CACHE, suite + ".debs")
        os.makedirs(os.path.join(self.archives, "partial"), exist_ok=True)
        self.compiled = ""
        self.base = tempfile.mkdtemp(prefix=suite + "-", dir=CACHE)
        self.root = os.path.join(self.base, "root")
        os.mkdir(self.root, 0o755)
        subprocess.run(["tar", "-C", self.root, "-xpf", archive], check=True)
        self.take_network()

    def take_network(self):
        """The host's way to the network: its resolver, and what it trusts beside the usual authorities."""
        for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/npmrc"):
            if os.path.exists(name):
                shutil.copy(name, self.path(name))
        own = "/usr/local/share/ca-certificates"
        if os.path.isdir(own):
            shutil.copytree(own, self.path(own), dirs_exist_ok=True)
            self.must("update-ca-certificates")

    def keep_compiled(self):
        """From here on whatever is compiled is kept for other trees of the release, by whichever user."""
        self.install("ccache")
        self.compiled = os.path.join(CACHE, os.path.basename(self.archives).replace(".debs", ".ccache"))
        os.makedirs(self.compiled, exist_ok=True)
        os.chmod(self.compiled, 0o777)  # CACHE itself is root's alone
        os.makedirs(self.path("/var/cache/ccache"))

    def close(self):
        shutil.rmtree(self.base)

    def path(self, inside):
        """The host's name of an absolute path of the tree."""
        return os.path.join(self.root, inside.lstrip("/"))

    def command(self, *words, user="root", cwd="/"):
        """The words that run `words` in the tree by a login shell of `user`."""
        script = 'cd "$0" && exec "$@"'
        inside = ["/bin/sh", "-c", script, cwd, *words]
        if user != "root":
            inside = ["/usr/sbin/runuser", "-u", user, "--", *inside]
        home = "/root" if user == "root" else "/home/" + user
        environment = ["/usr/bin/env", "-i", f"HOME={home}", f"USER={user}", f"LOGNAME={user}", "LANG=C.UTF-8",
                       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"]
        if self.compiled:
            environment += ["CCACHE_DIR=/var/cache/ccache", "CCACHE_UMASK=000", "CCACHE_NOHASHDIR=1", "CCACHE_BASEDIR=" + cwd]
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts",
                "env", "ARCHIVES=" + self.archives, "COMPILED=" + self.compiled, "/bin/sh", "-c", ENTER, "enter", self.root, *environment, *inside]

    def run(self, *words, user="root", cwd="/", **options):
        """The finished process, its output captured unless `options`, of subprocess.run, say otherwise."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "check": False,
                   "stdin": subprocess.DEVNULL, **options}
        return subprocess.run(self.command(*words, user=user, cwd=cwd), **options)

    def install(self, *packages):
        self.must("apt-get", "-q", "update")
        self.must("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install",
                  "--no-install-recommends", *packages)

    def must(self, *words, **options):
        """The output of a command that has to succeed."""
        done = self.run(*words, **options)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}")
        return done.stdout
