"""The kernel surface of the director profile: closed calls answer from the filter, whatever their operands."""
import os
import platform

import sandbox

# Calls that have no place in a director; the probe passes operands that an unfiltered kernel refuses otherwise.
CLOSED = """
io_uring_setup io_uring_enter io_uring_register perf_event_open userfaultfd bpf keyctl add_key request_key
process_vm_readv process_vm_writev kcmp pidfd_getfd mount umount2 pivot_root open_tree move_mount fsopen fsconfig
fsmount fspick mount_setattr setns chroot swapon swapoff reboot kexec_load init_module finit_module delete_module
clock_settime settimeofday sethostname setdomainname syslog acct quotactl fanotify_init
vhangup open_by_handle_at lookup_dcookie
""".split()
CLOSED_X86 = "iopl ioperm modify_ldt uselib _sysctl create_module".split()
NO_CONTROL = {"vhangup"}  # would hang up the terminal of whoever runs the tests

# Linux numbers of socket families that a director has no use for (AF_* in bits/socket.h).
FAMILIES = {
    "AX25": 3, "IPX": 4, "APPLETALK": 5, "NETROM": 6, "X25": 9, "ROSE": 11, "KEY": 15, "PACKET": 17, "RDS": 21,
    "LLC": 26, "CAN": 29, "TIPC": 30, "BLUETOOTH": 31, "IUCV": 32, "RXRPC": 33, "ISDN": 34, "PHONET": 35,
    "IEEE802154": 36, "CAIF": 37, "ALG": 38, "NFC": 39, "VSOCK": 40, "KCM": 41, "QIPCRTR": 42, "SMC": 43, "XDP": 44,
    "MCTP": 45,
}


class Calls(sandbox.Boundary):
    def test_closed_calls(self):
        calls = CLOSED + (CLOSED_X86 if platform.machine() == "x86_64" else [])
        self.all_denied([("call", name) for name in calls], "EPERM|ENOSYS")

    def test_control_some_of_them_reach_the_kernel_outside(self):
        """Without a filter the kernel answers otherwise than EPERM: root may call all of them, a user some."""
        reached = 0
        for name in CLOSED:
            if name not in NO_CONTROL:
                outcome = self.probe_outside("call", name)
                reached += outcome.errno not in ("EPERM", "ENOSYS")
        self.assertGreater(reached, 20 if sandbox.AS_ROOT else 8)

    def test_personality(self):
        """Disabling address randomisation and making everything executable."""
        self.denied("call", "personality", "EPERM|ENOSYS")

    def test_foreign_system_call_tables(self):
        if platform.machine() != "x86_64":
            self.skipTest("only on x86-64")
        for abi in ("x32", "i386"):
            with self.subTest(abi=abi):
                done = self.dirbox(self.project("probe"), "foreign-abi", abi)
                killed = done.code == 128 + 31  # SIGSYS
                self.assertTrue(killed or "fail ENOSYS" in done.out or "fail EPERM" in done.out, f"{done}")

    def test_calls_newer_than_the_table(self):
        self.all_denied([("syscall", number) for number in (600, 1000, 4000, 0x3fffffff)], "ENOSYS")

    def test_host_name_and_clock(self):
        self.all_denied([("sethostname", "changed")], "EPERM|ENOSYS")

    def test_terminal_ioctls_are_compared_in_32_bits(self):
        """TIOCSTI and TIOCLINUX, with and without bits that the kernel ignores."""
        for request in (0x5412, 0x541C):
            self.all_denied([("ioctl", 0, request), ("ioctl", 0, request | 1 << 32), ("ioctl", 0, request | 0xFFFFFFFF << 32),
                             ("ioctl", 1, request | 1 << 63)], "EPERM|EACCES")

    def test_ordinary_ioctls_reach_the_kernel(self):
        self.denied("ioctl", 0, 0x5401, "ENOTTY|EFAULT")

    def test_requests_of_file_systems_that_go_past_mounts(self):
        """A snapshot of a subvolume shows what is hidden, a number removes any; a removed key locks the user's files."""
        for request in (0x50009401, 0x50009417, 0x5000940F, 0x5000943F, 0xD000943E, 0x4028BC10, 0x4010BC11, 0xC0406618, 0xC0406619):
            self.assertEqual(self.probe_outside("ioctl", 0, request).errno, "ENOTTY", hex(request))
            self.all_denied([("ioctl", 0, request), ("ioctl", 0, request | 1 << 32)], "EPERM")
        for clone in (0x40049409, 0x4020940D, 0xC0189436):  # FICLONE, FICLONERANGE, FIDEDUPERANGE
            inside, outside = self.probe("ioctl", 0, clone), self.probe_outside("ioctl", 0, clone)
            self.assertEqual(inside.errno, outside.errno, hex(clone))
            self.assertNotIn(inside.errno, ("EPERM", ""), hex(clone))


class Families(sandbox.Boundary):
    def test_allowed(self):
        for family, kind in ((1, 1), (1, 2), (1, 5), (2, 1), (2, 2), (10, 1), (10, 2)):
            self.allowed("socket", family, kind, 0)
        self.allowed("socketpair", 1)

    def test_closed(self):
        attempts = [("socket", number, kind, 0) for number in FAMILIES.values() for kind in (1, 2, 3, 5)]
        self.all_denied(attempts, "EPERM|EACCES|EAFNOSUPPORT")

    def test_high_bits_of_the_family(self):
        self.all_denied([("socket-high-bits", FAMILIES[name]) for name in ("PACKET", "VSOCK", "ALG")], "EPERM|EACCES|EAFNOSUPPORT")

    def test_raw_sockets(self):
        self.all_denied([("socket", 2, 3, 1), ("socket", 10, 3, 58), ("socket", 2, 3, 255)], "EPERM|EACCES|EPROTONOSUPPORT")

    def test_netlink_changes_nothing(self):
        self.denied("netlink-change", "EPERM|EACCES|EAFNOSUPPORT")
        kinds = range(1, 23)  # every protocol but NETLINK_ROUTE
        self.all_denied([("socket", 16, 3, kind) for kind in kinds], "EPERM|EACCES|EAFNOSUPPORT|EPROTONOSUPPORT")

    def test_exotic_transports(self):
        """MPTCP, SCTP, DCCP and UDP-Lite: none is a way around rules for TCP and UDP."""
        self.probe("connect-mptcp", "192.0.2.1", 443)
        for kind, protocol in ((1, 262), (1, 132), (5, 132), (6, 33), (2, 136)):
            outcome = self.probe("socket", 2, kind, protocol)
            self.assertIn(outcome.errno or "ok", ("EPERM", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EINVAL"), (kind, protocol))


class Switches(sandbox.Boundary):
    """What a profile opens on purpose is open, and nothing else is."""

    def test_debug_profile_traces_its_own_children(self):
        script = "strace -f -o trace true && grep -q execve trace"
        self.run_ok("sh", "-c", script, options=["-p", "debug"])
        self.assertNotEqual(self.sh(script).code, 0)
        self.all_denied([("ptrace", os.getpid()), ("call", "bpf"), ("call", "io_uring_setup")], "ESRCH|EPERM|ENOSYS",
                        options=["-p", "debug"])

    def test_nested_user_namespaces_by_profile(self):
        profile = self.profile('extends = ["director"]\n[process]\nnested_userns = true\n', "nested.toml")
        self.allowed("unshare", 0x10000000, options=["-p", profile])
        self.denied("unshare", 0x10000000, "EPERM|ENOSYS|ENOSPC")
        self.denied("read", self.home(".ssh/id_rsa"), "ENOENT", options=["-p", profile])

    def test_mounts_stay_locked_in_a_nested_namespace(self):
        """Beneath a hidden path, and through a read-only grant, after unshare(NEWUSER|NEWNS)."""
        profile = self.profile(f'extends = ["director"]\n[filesystem]\nread = ["{self.world.outside}"]\n'
                               '[process]\nnested_userns = true\n', "nested.toml")
        self.world.plant(self.project("hidden/key"), self.world.marker)
        script = f"""
            unshare -Urm sh -c '
              umount {self.project("hidden")}; umount -l {self.world.home}; mount -o remount,rw {self.world.outside}
              mkdir -p look; mount --bind {self.world.project} look; cat look/hidden/key hidden/key
              mount -o remount,bind,rw {self.world.outside}; echo planted > {self.outside("planted")}
              cat {self.home(".ssh/id_rsa")}; cat /proc/1/root{self.home(".ssh/id_rsa")}
              mount -t proc proc /proc; mount -t tmpfs t /mnt; cat /mnt/x' ; true"""
        self.sh(script, options=["-p", profile, "--hide", self.project("hidden")])
        self.assertFalse(os.path.exists(self.outside("planted")))


if __name__ == "__main__":
    sandbox.main()
