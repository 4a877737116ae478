#pragma once
#include <cstring>
#include <string>
#include <string_view>

/// Values in the machine's order, in files that never leave it.
namespace dirbox::guard {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// False when there is not so much.
template <typename T>
bool take(std::string_view& from, T& value) {
  if (from.size() < sizeof value) return false;
  std::memcpy(&value, from.data(), sizeof value);
  from.remove_prefix(sizeof value);
  return true;
}

}  // namespace dirbox::guard
