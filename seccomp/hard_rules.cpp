#include "seccomp/hard_rules.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

namespace dirbox::seccomp {
namespace {

using enum HardDenial::When;

constexpr Test is(std::uint8_t arg, std::uint64_t value, std::uint64_t mask = 0xffffffff) {
  return {arg, false, Op::eq, mask, value};
}
constexpr Test is_not(std::uint8_t arg, std::uint64_t value, std::uint64_t mask = 0xffffffff) {
  return {arg, false, Op::ne, mask, value};
}

// clone(2) takes the flags from the low 32 bits on both architectures; CLONE_NEWTIME lies in the
// byte of the exit signal there, and only unshare and clone3 know it.
constexpr std::uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
// The kernel takes the socket type from these bits (SOCK_TYPE_MASK, include/linux/net.h); the
// others are SOCK_CLOEXEC and SOCK_NONBLOCK.
constexpr std::uint32_t kTypeMask = 0xf;

constexpr Test kTiocsti[] = {is(1, TIOCSTI)};
constexpr Test kTioclinux[] = {is(1, TIOCLINUX)};
constexpr Test kTiocsetd[] = {is(1, TIOCSETD)};
constexpr Test kTioccons[] = {is(1, TIOCCONS)};
// The requests of a file system have a byte in common (_IOC_TYPE); that of btrfs has become the
// kernel's own in three of them.
constexpr std::uint32_t kRequestType = 0xff00;
constexpr Test kBtrfs[] = {is(1, 0x9400, kRequestType), is_not(1, FICLONE), is_not(1, FICLONERANGE),
                           is_not(1, FIDEDUPERANGE)};
constexpr Test kBcachefs[] = {is(1, 0xbc00, kRequestType)};
constexpr Test kRemoveKey[] = {is(1, FS_IOC_REMOVE_ENCRYPTION_KEY)};
constexpr Test kRemoveKeys[] = {is(1, FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS)};
constexpr Test kCloneNamespaces[] = {is_not(0, 0, kNewNamespaces)};
constexpr Test kFamily[] = {is_not(0, AF_UNIX), is_not(0, AF_INET), is_not(0, AF_INET6),
                            is_not(0, AF_NETLINK)};
constexpr Test kPairFamily[] = {is_not(0, AF_UNIX)};
constexpr Test kNetlink[] = {is(0, AF_NETLINK), is_not(2, NETLINK_ROUTE)};
constexpr Test kRaw4[] = {is(0, AF_INET), is(1, SOCK_RAW, kTypeMask)};
constexpr Test kRaw6[] = {is(0, AF_INET6), is(1, SOCK_RAW, kTypeMask)};
constexpr Test kPacket[] = {is(1, SOCK_PACKET, kTypeMask)};
constexpr Test kProtocol4[] = {is(0, AF_INET), is_not(2, IPPROTO_IP), is_not(2, IPPROTO_TCP),
                               is_not(2, IPPROTO_UDP)};
constexpr Test kProtocol6[] = {is(0, AF_INET6), is_not(2, IPPROTO_IP), is_not(2, IPPROTO_TCP),
                               is_not(2, IPPROTO_UDP)};
constexpr Test kLinger[] = {is(1, SOL_SOCKET), is(2, SO_LINGER)};
constexpr Test kPersonality[] = {is_not(0, PER_LINUX), is_not(0, PER_LINUX32), is_not(0, UNAME26),
                                 is_not(0, +PER_LINUX32 | +UNAME26), is_not(0, 0xffffffff)};
constexpr Test kSetMm[] = {is(0, PR_SET_MM)};
constexpr Test kMknodChar[] = {is(1, S_IFCHR, S_IFMT)};
constexpr Test kMknodBlock[] = {is(1, S_IFBLK, S_IFMT)};
constexpr Test kMknodatChar[] = {is(2, S_IFCHR, S_IFMT)};
constexpr Test kMknodatBlock[] = {is(2, S_IFBLK, S_IFMT)};
// fcntl.h has F_SETDELEG from Linux 6.19 on.
constexpr Test kSetLease[] = {is(1, F_SETLEASE)};
constexpr Test kSetDelegation[] = {is(1, F_SETLEASE + 16)};
constexpr Test kSetCore[] = {is(0, RLIMIT_CORE)};
constexpr Test kSetCore64[] = {is(1, RLIMIT_CORE), {2, true, Op::ne, ~std::uint64_t{0}, 0}};
constexpr Test kChmod[] = {is(1, S_ISUID, S_ISUID)};
constexpr Test kChmodat[] = {is(2, S_ISUID, S_ISUID)};
constexpr Test kListener[] = {is(0, SECCOMP_SET_MODE_FILTER),
                              is_not(1, 0, SECCOMP_FILTER_FLAG_NEW_LISTENER)};

// open(2) and mknod(2) can make the file with the bit, but whoever lacks CAP_FSETID loses it with
// the first byte written.
constexpr std::string_view kSetuidReason =
    "A setuid program in a granted directory hands its owner's rights to every user of the host.";

constexpr std::string_view kSubvolumeReason =
    "A snapshot of a subvolume shows what is hidden, since nothing is mounted in it, and a "
    "subvolume is removed by its number wherever it is.";
constexpr std::string_view kEncryptionReason =
    "Who removes a key of fscrypt locks the directories that the user has encrypted with it, on "
    "all of the file system.";

constexpr std::string_view kLeaseReason =
    "Programs of the host that open a file on which there is a lease wait, for 45 seconds at most; "
    "its owner takes one, also where the file can only be read.";
constexpr std::string_view kCoreReason =
    "The limit of core dumps stays: lowered to 0 it would let a crash run the host's handler, as "
    "root, with what the program has in its memory.";

constexpr HardDenial kHardDenials[] = {
    {"ioctl", "terminal-input", kTiocsti, EPERM,
     "TIOCSTI types into the terminal as if the user did (CVE-2017-5226, CVE-2019-10063)."},
    {"ioctl", "console-paste", kTioclinux, EPERM,
     "TIOCLINUX pastes into the virtual console (CVE-2023-28100)."},
    {"ioctl", "line-discipline", kTiocsetd, EPERM,
     "TIOCSETD loads line disciplines, drivers that few have looked at (CVE-2017-2636)."},
    {"ioctl", "console-redirect", kTioccons, EPERM, "TIOCCONS takes over the console's output."},
    {"ioctl", "subvolume", kBtrfs, EPERM, kSubvolumeReason},
    {"ioctl", "subvolume", kBcachefs, EPERM, kSubvolumeReason},
    {"ioctl", "encryption-key", kRemoveKey, EPERM, kEncryptionReason},
    {"ioctl", "encryption-key", kRemoveKeys, EPERM, kEncryptionReason},
    {"clone", "new-namespace", kCloneNamespaces, EPERM,
     "New namespaces open the kernel's privileged code to the unprivileged.", single_userns},
    {"socket", "socket-family", kFamily, EAFNOSUPPORT,
     "Families beyond UNIX, INET, INET6 and NETLINK are little used and often broken "
     "(CVE-2010-3904, CVE-2017-7308, CVE-2022-0435); AF_VSOCK has no namespace."},
    {"socket", "netlink-protocol", kNetlink, EPROTONOSUPPORT,
     "Of netlink only NETLINK_ROUTE, which lists interfaces; netfilter and others are wide "
     "(CVE-2022-34918, CVE-2024-1086)."},
    {"socket", "raw-socket", kRaw4, EPERM, "Raw IP takes CAP_NET_RAW, which nothing here has."},
    {"socket", "raw-socket", kRaw6, EPERM, "Raw IP takes CAP_NET_RAW, which nothing here has."},
    {"socket", "packet-socket", kPacket, EPERM, "The obsolete form of a packet socket."},
    {"socket", "ip-protocol", kProtocol4, EPROTONOSUPPORT,
     "Only TCP and UDP: SCTP, DCCP, MPTCP, UDP-Lite and ping sockets are surface without use."},
    {"socket", "ip-protocol", kProtocol6, EPROTONOSUPPORT,
     "Only TCP and UDP: SCTP, DCCP, MPTCP, UDP-Lite and ping sockets are surface without use."},
    {"socketpair", "socketpair-family", kPairFamily, EAFNOSUPPORT,
     "Pairs are AF_UNIX; the one other family that makes them is TIPC."},
    {"setsockopt", "linger", kLinger, 0,
     "SO_LINGER is taken and does nothing: whoever closes such a socket last waits, and that can "
     "be "
     "made the supervisor by sending it the descriptor."},
    {"personality", "personality", kPersonality, EPERM,
     "Only Linux, 32-bit uname, 2.6 uname and the query; others weaken address randomisation."},
    {"prctl", "process-image", kSetMm, EPERM,
     "PR_SET_MM forges the command line and executable that the outside sees."},
    {"mknod", "device-node", kMknodChar, EPERM, "No device nodes.", single_userns},
    {"mknod", "device-node", kMknodBlock, EPERM, "No device nodes.", single_userns},
    {"mknodat", "device-node", kMknodatChar, EPERM, "No device nodes.", single_userns},
    {"mknodat", "device-node", kMknodatBlock, EPERM, "No device nodes.", single_userns},
    {"fcntl", "file-lease", kSetLease, EACCES, kLeaseReason},
    {"fcntl", "file-lease", kSetDelegation, EACCES, kLeaseReason},
    {"setrlimit", "core-limit", kSetCore, 0, kCoreReason},
    {"prlimit64", "core-limit", kSetCore64, 0, kCoreReason},
    {"chmod", "setuid-bit", kChmod, EPERM, kSetuidReason},
    {"fchmod", "setuid-bit", kChmod, EPERM, kSetuidReason},
    {"fchmodat", "setuid-bit", kChmodat, EPERM, kSetuidReason},
    {"fchmodat2", "setuid-bit", kChmodat, EPERM, kSetuidReason},
    {"seccomp", "second-listener", kListener, EBUSY,
     "A second listener would answer what this filter asks the supervisor; the kernel's own "
     "refusal ends with the first one.",
     notifying},
    {"landlock_create_ruleset",
     "own-landlock",
     {},
     EOPNOTSUPP,
     "What the supervisor writes on behalf of a program is not held back by the program's own "
     "Landlock domain, so there is none.",
     enforcing},
};

}  // namespace

std::span<const HardDenial> hard_denials() { return kHardDenials; }

}  // namespace dirbox::seccomp
