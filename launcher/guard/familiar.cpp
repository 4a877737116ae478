#include "launcher/guard/familiar.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unique_fd.h"
#include "launcher/guard/packed.h"

namespace dirbox::guard {
namespace {

constexpr std::string_view kMagic = "dirboxf1";
constexpr std::size_t kMaxFile = 16 << 20;

std::optional<Identity> identify_directory(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  return fd.valid() ? identify(fd.get()) : std::nullopt;
}

}  // namespace

void Familiar::begin() {
  if (begun_) return;
  begun_ = true;
  if (file_.empty()) return;
  if (auto bytes = read_file(file_, kMaxFile)) {
    parse(*bytes);
    // One that stays would be believed after a run that was killed.
    if (::unlink(file_.c_str()) != 0) earlier_.clear();
  }
}

void Familiar::parse(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return;
  bytes.remove_prefix(kMagic.size());
  while (!bytes.empty()) {
    Identity identity;
    std::uint32_t length = 0;
    if (!take(bytes, identity.device) || !take(bytes, identity.inode) ||
        !take(bytes, identity.born) || !take(bytes, length) || length > bytes.size()) {
      return earlier_.clear();
    }
    earlier_.insert_or_assign(std::string(bytes.substr(0, length)), identity);
    bytes.remove_prefix(length);
  }
}

void Familiar::note(const std::string& path, int directory, bool lasting) {
  const auto identity = identify(directory);
  std::map<std::string, Identity>& known = lasting && !here_.contains(path) ? earlier_ : here_;
  if (!identity || (known.size() >= kMost && !known.contains(path))) return;
  known.insert_or_assign(path, *identity);
}

void Familiar::forget(const std::string& path) {
  here_.erase(path);
  earlier_.erase(path);
}

bool Familiar::knows(const std::string& path, int directory) const {
  const auto identity = identify(directory);
  if (!identity) return false;
  for (const auto* known : {&here_, &earlier_}) {
    const auto found = known->find(path);
    if (found != known->end() && found->second == *identity) return true;
  }
  return false;
}

void Familiar::add_stranger(const std::string& path) {
  if (strangers_.size() < kMost) strangers_.insert(path);
}

bool Familiar::is_stranger(const std::string& path) const {
  return strangers_.size() >= kMost || strangers_.contains(path);
}

void Familiar::save() {
  if (!begun_ || file_.empty()) return;
  std::erase_if(earlier_,
                [](const auto& entry) { return identify_directory(entry.first) != entry.second; });
  if (earlier_.empty()) return;
  std::string bytes(kMagic);
  for (const auto& [path, identity] : earlier_) {
    if (bytes.size() + path.size() > kMaxFile - 64) break;
    put(bytes, identity.device);
    put(bytes, identity.inode);
    put(bytes, identity.born);
    put(bytes, static_cast<std::uint32_t>(path.size()));
    bytes += path;
  }
  if (!make_directories(path_parent(file_)) || !replace_file(file_, bytes)) return;
}

}  // namespace dirbox::guard
