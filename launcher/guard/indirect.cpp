#include "launcher/guard/indirect.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "launcher/base/path.h"

namespace dirbox::guard {
namespace {

constexpr std::size_t kShared = 256
                                << 10;  // bytes, of which only those that are used cost anything
using Used = std::atomic<std::uint64_t>;

struct Header {
  const NameRule* rule;
  const Folder* folder;
  std::uint64_t length;
};

Used& used_of(std::byte* shared) { return *std::launder(reinterpret_cast<Used*>(shared)); }

}  // namespace

Indirect::Added Indirect::add(const Lead& lead) {
  const NameRule* rule = rule_at(lead.path);
  const bool is_file = lead.rule != nullptr && (rule == nullptr || rule == &kOnTheWay);
  const bool known =
      (!is_file || rule == lead.rule) && (lead.folder == nullptr || folders_.contains(lead.path));
  if (known) return Added::known;
  if (files_.size() + folders_.size() >= kMost) return Added::full;
  if (is_file) files_[lead.path] = lead.rule;
  if (lead.folder != nullptr) folders_.emplace(lead.path, lead.folder);
  for (std::string at = path_parent(lead.path); ways_.insert(at).second && at != "/";)
    at = path_parent(at);
  if (!shared_) return Added::yes;
  const Header header{lead.rule, lead.folder, lead.path.size()};
  if (kShared - sizeof(Used) - end_ < sizeof header + lead.path.size()) return Added::full;
  std::byte* to = shared_.get() + sizeof(Used) + end_;
  std::memcpy(to, &header, sizeof header);
  std::memcpy(to + sizeof header, lead.path.data(), lead.path.size());
  end_ += sizeof header + lead.path.size();
  used_of(shared_.get()).store(end_, std::memory_order_release);
  return Added::yes;
}

void Indirect::share() {
  void* memory =
      ::mmap(nullptr, kShared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;  // the quarantine is left
  new (memory) Used(0);
  shared_ = std::shared_ptr<std::byte>(static_cast<std::byte*>(memory),
                                       [](std::byte* at) { ::munmap(at, kShared); });
}

void Indirect::catch_up() {
  if (!shared_) return;
  const std::uint64_t used = used_of(shared_.get()).load(std::memory_order_acquire);
  if (used <= end_) return;
  const auto shared = std::exchange(shared_, nullptr);
  while (end_ < used) {
    const std::byte* from = shared.get() + sizeof(Used) + end_;
    Header header;
    std::memcpy(&header, from, sizeof header);
    std::string path(header.length, '\0');
    std::memcpy(path.data(), from + sizeof header, header.length);
    end_ += sizeof header + header.length;
    add({std::move(path), header.rule, header.folder});
  }
  shared_ = shared;
}

const NameRule* Indirect::rule_at(const std::string& path) const {
  const auto found = files_.find(path);
  return found != files_.end() ? found->second : nullptr;
}

const Folder* Indirect::folder_at(const std::string& path) const {
  const auto found = folders_.find(path);
  return found != folders_.end() ? found->second : nullptr;
}

bool Indirect::leads_beneath(const std::string& path) const {
  return ways_.contains(path) || files_.contains(path) || folders_.contains(path);
}

}  // namespace dirbox::guard
