#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// Big-endian reads with bounds, over bytes of the network. After the first read beyond the end
/// every read gives zero or nothing and ok() is false, so that a parser checks once per structure.
namespace dirbox::netns {

class WireReader {
 public:
  explicit WireReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  explicit WireReader(std::span<const std::byte> bytes)
      : bytes_(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) {}

  std::span<const std::uint8_t> take(std::size_t count) {
    if (!ok_ || count > bytes_.size() - position_) {
      ok_ = false;
      return {};
    }
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u24() { return number(3); }
  std::uint32_t u32() { return number(4); }
  /// A vector with its length in front, in 1, 2 or 3 bytes; as a reader of its own.
  WireReader vector(std::size_t length_bytes) {
    std::span<const std::uint8_t> inner = take(number(length_bytes));
    WireReader reader(inner);
    reader.ok_ = ok_;
    return reader;
  }

  bool ok() const { return ok_; }
  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }
  /// Everything was read, and nothing beyond.
  bool done() const { return ok_ && left() == 0; }

 private:
  std::uint32_t number(std::size_t count) {
    std::uint32_t value = 0;
    for (std::uint8_t byte : take(count)) value = value << 8 | byte;
    return value;
  }

  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace dirbox::netns
