#include "launcher/sandbox/landlock.h"

#include <sys/stat.h>

#include "launcher/sandbox/sys.h"

namespace dirbox::sandbox {
namespace {

// Rights and scopes by the ABI that brought them (landlock(7), VERSIONS). Spelled out: Debian 12's
// headers stop at ABI 2.
constexpr std::uint64_t kExecute = 1u << 0, kWriteFile = 1u << 1, kReadFile = 1u << 2,
                        kReadDir = 1u << 3;
constexpr std::uint64_t kAbi1 = (1u << 13) - 1;
constexpr std::uint64_t kRefer = 1u << 13;                                 // ABI 2
constexpr std::uint64_t kTruncate = 1u << 14;                              // ABI 3
constexpr std::uint64_t kIoctlDev = 1u << 15;                              // ABI 5
constexpr std::uint64_t kScopeAbstract = 1u << 0, kScopeSignal = 1u << 1;  // ABI 6
/// Rights that a rule for something else than a directory may hold.
constexpr std::uint64_t kFileRights = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

/// landlock_ruleset_attr as of ABI 6; an older kernel takes a shorter one.
struct RulesetAttr {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};

std::uint64_t handled_rights(int abi) {
  std::uint64_t rights = kAbi1;
  if (abi >= 2) rights |= kRefer;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kIoctlDev;
  return rights;
}

std::uint64_t rights_for(Access access, int abi) {
  switch (access) {
    case Access::list:
      return kReadDir;
    case Access::read:
      return kReadDir | kReadFile | kExecute;
    case Access::write:
      return handled_rights(abi);
  }
  return 0;
}

Result<void> add_rule(int ruleset, int fd, std::uint64_t rights, const std::string& operand) {
  landlock_path_beneath_attr attr{};
  attr.allowed_access = rights;
  attr.parent_fd = fd;
  if (sys::landlock_add_path(ruleset, attr) != 0) return fail_errno("add a Landlock rule", operand);
  return {};
}

}  // namespace

Result<int> check_landlock_abi() {
  int abi = sys::landlock_create_ruleset(nullptr, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
  if (abi < 1) {
    return fail_errno(
        "use Landlock", "landlock_create_ruleset", errno,
        "add \"landlock\" to CONFIG_LSM or lsm= of the kernel, or accept its absence with "
        "[require] landlock = \"optional\"");
  }
  return abi;
}

Result<UniqueFd> make_landlock_ruleset(int abi, const std::vector<LandlockRule>& rules,
                                       const std::vector<LandlockFile>& files) {
  RulesetAttr attr{handled_rights(abi), 0, abi >= 6 ? kScopeAbstract | kScopeSignal : 0};
  std::size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 16 : 8;
  UniqueFd ruleset(sys::landlock_create_ruleset(&attr, size, 0));
  if (!ruleset.valid()) return fail_errno("create a Landlock ruleset", "");
  for (const LandlockRule& rule : rules) {
    UniqueFd fd(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd.valid()) return fail_errno("open for a Landlock rule", rule.path);
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return fail_errno("stat for a Landlock rule", rule.path);
    std::uint64_t rights = rights_for(rule.access, abi);
    if (!S_ISDIR(st.st_mode)) rights &= kFileRights;
    TRY_VOID(add_rule(ruleset.get(), fd.get(), rights, rule.path));
  }
  for (const LandlockFile& file : files) {
    std::uint64_t rights =
        (file.read ? kReadFile : 0) | (file.write ? kWriteFile | (abi >= 3 ? kTruncate : 0) : 0);
    if (rights != 0) {
      TRY_VOID(add_rule(ruleset.get(), file.fd, rights, "descriptor " + std::to_string(file.fd)));
    }
  }
  return ruleset;
}

Result<void> enter_landlock(int ruleset) {
  if (sys::landlock_restrict_self(ruleset) != 0) return fail_errno("enter the Landlock domain", "");
  return {};
}

}  // namespace dirbox::sandbox
