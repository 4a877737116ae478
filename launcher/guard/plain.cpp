#include "launcher/guard/plain.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <iterator>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/packed.h"
#include "launcher/guard/table.h"

namespace dirbox::guard {
namespace {

constexpr std::string_view kMagic = "dirboxp1";
constexpr std::size_t kMaxFile = 64 << 20;

/// Local ones, whose ctimes are the kernel's own. ZFS and bcachefs are not in linux/magic.h.
constexpr std::uint32_t kKeepTimes[] = {
    EXT4_SUPER_MAGIC,      XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,  F2FS_SUPER_MAGIC,
    OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,     0x2fc12fc1 /*ZFS*/, 0xca451a4e /*bcachefs*/};

/// FNV-1a, of what makes a name a guarded one in an ordinary directory: another version of this
/// program may know more.
std::uint64_t digest_of_names() {
  std::uint64_t hash = 0xcbf29ce484222325;
  auto put = [&](std::string_view text) {
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ 0x100) * 0x100000001b3;
  };
  for (const NameRule& rule : tree_folder().names) put(rule.name);
  put("/");
  for (const FolderRule& rule : tree_folder().folders) put(rule.name);
  return hash;
}

}  // namespace

std::size_t PlainDirectories::Hash::operator()(const Key& key) const {
  return static_cast<std::size_t>((key.inode ^ key.device << 40) * 0x9e3779b97f4a7c15);
}

void PlainDirectories::load() {
  if (loaded_) return;
  loaded_ = true;
  if (file_.empty()) return;
  // One that cannot be read is made again.
  if (auto bytes = read_file(file_, kMaxFile)) parse(*bytes);
}

void PlainDirectories::parse(std::string_view bytes) {
  std::uint64_t digest = 0;
  if (!bytes.starts_with(kMagic)) return;
  bytes.remove_prefix(kMagic.size());
  if (!take(bytes, digest) || digest != digest_of_names()) return;
  while (!bytes.empty() && known_.size() < kMost) {
    Key key{};
    Known known{};
    std::uint32_t length = 0;
    const bool whole = take(bytes, key.device) && take(bytes, key.inode) &&
                       take(bytes, known.seconds) && take(bytes, known.nanoseconds) &&
                       take(bytes, length) && length <= bytes.size() &&
                       (length == 0 || bytes[length - 1] == '\0');
    if (!whole) return known_.clear();
    known.folders = bytes.substr(0, length);
    bytes.remove_prefix(length);
    known_.insert_or_assign(key, std::move(known));
  }
}

bool PlainDirectories::find(const struct stat& status, std::vector<std::string>& folders) {
  load();
  const auto found = known_.find({status.st_dev, status.st_ino});
  if (found == known_.end() || found->second.seconds != status.st_ctim.tv_sec ||
      found->second.nanoseconds != static_cast<std::uint32_t>(status.st_ctim.tv_nsec)) {
    return false;
  }
  found->second.used = true;
  folders.clear();
  std::string_view rest = found->second.folders;
  for (std::size_t end = 0; (end = rest.find('\0')) != rest.npos; rest.remove_prefix(end + 1))
    folders.emplace_back(rest.substr(0, end));
  return true;
}

bool PlainDirectories::keeps_times(int directory, dev_t device) {
  const auto known = devices_.find(device);
  if (known != devices_.end()) return known->second;
  struct statfs system {};
  const bool keeps = ::fstatfs(directory, &system) == 0 &&
                     std::find(std::begin(kKeepTimes), std::end(kKeepTimes),
                               static_cast<std::uint32_t>(system.f_type)) != std::end(kKeepTimes);
  return devices_[device] = keeps;
}

void PlainDirectories::add(int directory, const struct stat& status,
                           const std::vector<std::string>& folders) {
  if (file_.empty() || !keeps_times(directory, status.st_dev)) return;
  load();
  if (known_.size() >= kMost)
    std::erase_if(known_, [](const auto& entry) { return !entry.second.used; });
  if (known_.size() >= kMost) return;
  Known known{status.st_ctim.tv_sec, static_cast<std::uint32_t>(status.st_ctim.tv_nsec), true, {}};
  for (const std::string& name : folders) known.folders.append(name.c_str(), name.size() + 1);
  known_.insert_or_assign(Key{status.st_dev, status.st_ino}, std::move(known));
  ++added_;
}

void PlainDirectories::save() const {
  if (file_.empty() || added_ < kWorthIt) return;
  std::string bytes(kMagic);
  put(bytes, digest_of_names());
  for (const auto& [key, known] : known_) {
    if (bytes.size() + known.folders.size() > kMaxFile - 64) break;
    put(bytes, key.device);
    put(bytes, key.inode);
    put(bytes, known.seconds);
    put(bytes, known.nanoseconds);
    put(bytes, static_cast<std::uint32_t>(known.folders.size()));
    bytes += known.folders;
  }
  if (!make_directories(path_parent(file_)) || !replace_file(file_, bytes)) return;
}

std::string plain_file(const std::string& state_directory, const std::string& tree) {
  constexpr std::size_t kDigits = 32;
  if (state_directory.empty()) return {};
  return path_join(path_join(state_directory, "plain"), sha256_hex(tree).substr(0, kDigits));
}

}  // namespace dirbox::guard
