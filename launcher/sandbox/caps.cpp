#include "launcher/sandbox/caps.h"

#include <linux/securebits.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include <memory>
#include <string>

namespace dirbox::sandbox {
namespace {

struct CapFree {
  void operator()(cap_t caps) const {
    if (::cap_free(caps) != 0) std::abort();
  }
};
using Caps = std::unique_ptr<_cap_struct, CapFree>;

Result<void> check_empty() {
  for (int cap = 0;; ++cap) {
    int bounding = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (bounding < 0) break;
    if (bounding != 0 || ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 0) {
      return fail("drop capabilities", std::to_string(cap), "still in the bounding or ambient set");
    }
  }
  Caps empty(::cap_init());
  Caps current(::cap_get_proc());
  if (!empty || !current) return fail_errno("read the capabilities", "");
  if (::cap_compare(current.get(), empty.get()) != 0) {
    return fail("drop capabilities", "", "the sets are not empty");
  }
  return {};
}

}  // namespace

Result<void> drop_capabilities() {
  constexpr unsigned long kBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (::prctl(PR_SET_SECUREBITS, kBits, 0, 0, 0) != 0)
    return fail_errno("lock the secure bits", "");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return fail_errno("clear the ambient capabilities", "");
  }
  int cap = 0;
  while (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) ++cap;
  if (errno != EINVAL)  // beyond the last one
    return fail_errno("drop a capability from the bounding set", std::to_string(cap));
  Caps empty(::cap_init());
  if (!empty || ::cap_set_proc(empty.get()) != 0) return fail_errno("drop capabilities", "");
  return check_empty();
}

}  // namespace dirbox::sandbox
