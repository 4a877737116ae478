#pragma once
#include <sys/types.h>

/// Inode numbers of the namespaces that the kernel itself begins with, as in /proc/self/ns: its
/// PROC_*_INIT_INO (include/linux/proc_ns.h). Another number is that of a container or a sandbox.
namespace dirbox {

inline constexpr ino_t kInitialPidNamespace = 0xeffffffc;
inline constexpr ino_t kInitialUserNamespace = 0xeffffffd;

}  // namespace dirbox
