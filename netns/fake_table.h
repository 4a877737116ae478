#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "netns/host.h"
#include "netns/socket_request.h"

/// Which fake address stands for which name. Addresses are given in order of first use, from
/// 198.18.0.1 on, and never taken back while the sandbox lives: a program may hold an address for
/// as long as it likes, and it must not come to mean another name.
namespace dirbox::netns {

class FakeTable {
 public:
  /// Names in one session; the table then holds about 4 MiB.
  static constexpr std::size_t kMaxNames = 16'384;

  /// The address of `name`, assigned when it has none; nullopt when the table is full.
  std::optional<IpAddress> assign(const Hostname& name);
  /// The name behind an address; nullptr for every other address.
  const Hostname* find(const IpAddress& address) const;
  std::size_t size() const { return names_.size(); }

  static bool is_fake(const IpAddress& address);

 private:
  std::deque<Hostname> names_;  // [i] has address kFakeNetwork + 1 + i
  std::unordered_map<std::string_view, std::uint32_t> index_;  // views into names_
};

}  // namespace dirbox::netns
