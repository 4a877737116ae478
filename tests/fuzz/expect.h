#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// Stops the fuzzer at a broken promise, in every build type.
inline void expect(bool holds) {
  if (!holds) __builtin_trap();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
