#include "netns/fake_table.h"

namespace dirbox::netns {
namespace {

std::optional<std::uint32_t> v4_value(const IpAddress& address) {
  IpAddress plain = address.unmapped();
  if (!plain.is_v4()) return std::nullopt;
  std::uint32_t value = 0;
  for (std::uint8_t byte : plain.bytes()) value = value << 8 | byte;
  return value;
}

IpAddress fake_address(std::uint32_t index) {
  std::uint32_t value = kFakeNetwork + 1 + index;
  return IpAddress::v4({static_cast<std::uint8_t>(value >> 24),
                        static_cast<std::uint8_t>(value >> 16),
                        static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)});
}

}  // namespace

std::optional<IpAddress> FakeTable::assign(const Hostname& name) {
  if (auto found = index_.find(name.text()); found != index_.end()) {
    return fake_address(found->second);
  }
  if (names_.size() >= kMaxNames) return std::nullopt;
  auto index = static_cast<std::uint32_t>(names_.size());
  names_.push_back(name);
  index_.emplace(names_.back().text(), index);
  return fake_address(index);
}

const Hostname* FakeTable::find(const IpAddress& address) const {
  auto value = v4_value(address);
  if (!value || !is_fake_address(*value)) return nullptr;
  std::uint32_t index = *value - kFakeNetwork - 1;  // the network's own address wraps around
  return index < names_.size() ? &names_[index] : nullptr;
}

bool FakeTable::is_fake(const IpAddress& address) {
  auto value = v4_value(address);
  return value && is_fake_address(*value);
}

}  // namespace dirbox::netns
