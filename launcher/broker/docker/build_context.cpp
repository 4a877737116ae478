#include "launcher/broker/docker/build_context.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/docker/dockerfile.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

// ustar, POSIX.1-1988: pax(1).
constexpr std::size_t kBlock = 512;
constexpr std::size_t kName = 0, kNameSize = 100;
constexpr std::size_t kSize = 124, kSizeSize = 12;
constexpr std::size_t kChecksum = 148, kChecksumSize = 8;
constexpr std::size_t kType = 156;
constexpr std::size_t kMagic = 257;
constexpr std::size_t kPrefix = 345, kPrefixSize = 155;
constexpr std::uint64_t kMaxEntry = 1ULL << 36;
constexpr std::uint64_t kMaxExtended = 1 << 20;  // as Go's archive/tar

std::string_view text_of(std::string_view block, std::size_t at, std::size_t size) {
  std::string_view field = block.substr(at, size);
  return field.substr(0, field.find('\0'));
}

std::optional<std::uint64_t> octal_of(std::string_view field) {
  std::size_t first = field.find_first_not_of(' ');
  if (first == std::string_view::npos) return 0;
  std::uint64_t value = 0;
  field.remove_prefix(first);
  while (!field.empty() && field[0] >= '0' && field[0] <= '7') {
    value = value * 8 + static_cast<unsigned>(field[0] - '0');
    field.remove_prefix(1);
  }
  // Readers disagree about digits behind something else.
  const bool ends = field.find_first_not_of(std::string_view(" \0", 2)) == std::string_view::npos;
  return ends ? std::optional(value) : std::nullopt;
}

std::uint64_t checksum_of(std::string_view block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    bool blank = i >= kChecksum && i < kChecksum + kChecksumSize;
    sum += blank ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

bool is_zero(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

bool is_among(char type, std::string_view types) { return types.find(type) != types.npos; }

/// True when records of an extended header ("LENGTH KEY=VALUE\n") say nothing that changes how
/// much of the next entry's data there is, or where in the file it goes.
bool are_harmless(std::string_view records) {
  while (!records.empty()) {
    const std::size_t blank = records.find(' ');
    if (blank == 0 || blank > 7) return false;  // npos, too
    std::size_t length = 0;
    for (char c : records.substr(0, blank)) {
      if (c < '0' || c > '9') return false;
      length = length * 10 + static_cast<std::size_t>(c - '0');
    }
    if (length < blank + 4 || length > records.size() || records[length - 1] != '\n') return false;
    const std::string_view record = records.substr(blank + 1, length - blank - 2);
    const std::size_t equals = record.find('=');
    const std::string_view key = record.substr(0, equals);
    if (equals == record.npos || key == "size" || key.starts_with("GNU.sparse")) return false;
    records.remove_prefix(length);
  }
  return true;
}

std::string clean(std::string_view path) {
  std::string absolute = path_normalize("/" + std::string(path));
  return absolute.substr(1);
}

}  // namespace

BuildContext::BuildContext(std::string_view dockerfile)
    : wanted_(clean(dockerfile.empty() ? "Dockerfile" : dockerfile)) {}

Result<void> BuildContext::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty() && !ended_) {
    if (block_.empty() && bytes.size() >= kBlock) {
      TRY_VOID(take_block(bytes.substr(0, kBlock), out));
      bytes.remove_prefix(kBlock);
      continue;
    }
    std::size_t part = std::min(kBlock - block_.size(), bytes.size());
    block_.append(bytes.substr(0, part));
    bytes.remove_prefix(part);
    if (block_.size() < kBlock) return {};
    std::string whole = std::move(block_);
    block_.clear();
    TRY_VOID(take_block(whole, out));
  }
  return {};
}

Result<void> BuildContext::take_block(std::string_view block, std::string& out) {
  if (remaining_ == 0) {
    if (is_zero(block)) {
      ended_ = true;
      return {};
    }
    TRY_VOID(take_header(block));
  } else {
    --remaining_;
    std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(capturing_, kBlock));
    if (part > 0) (type_ == 'x' ? extended_ : *dockerfile_).append(block.substr(0, part));
    capturing_ -= part;
    if (type_ == 'x' && remaining_ == 0 && !are_harmless(extended_))
      return refuse("an extended header in the build context changes the size of a file",
                    "send a plain tar archive, without sparse files");
  }
  // Some readers take a global header for all that follows.
  if (type_ != 'g') out.append(block);
  return {};
}

Result<void> BuildContext::take_header(std::string_view block) {
  auto size = octal_of(block.substr(kSize, kSizeSize));
  auto checksum = octal_of(block.substr(kChecksum, kChecksumSize));
  bool sound = block.substr(kMagic, 5) == "ustar" && size && checksum && *size <= kMaxEntry &&
               *checksum == checksum_of(block);
  type_ = block[kType];
  // What has no data ends with its header, whatever size it claims; data of other kinds than these
  // is not counted alike by all readers.
  sound = sound && is_among(type_, "0123456xgLK") && (*size == 0 || is_among(type_, "0xgLK")) &&
          (is_among(type_, "0123456") || *size <= kMaxExtended);
  if (!sound) return refuse_form("the build context is no plain tar archive");
  capturing_ = 0;
  if (type_ == 'x') {
    extended_.clear();
    capturing_ = *size;
  }
  remaining_ = (*size + kBlock - 1) / kBlock;
  std::string name(text_of(block, kName, kNameSize));
  // GNU tar has other things there, and says so by "ustar  ".
  if (block[kMagic + 5] == '\0') {
    std::string_view prefix = text_of(block, kPrefix, kPrefixSize);
    if (!prefix.empty()) name = std::string(prefix) + "/" + name;
  }
  if (type_ != '0' || clean(name) != wanted_) return {};
  too_large_ = *size > kMaxDockerfile;
  dockerfile_.emplace();
  capturing_ = too_large_ ? 0 : *size;
  return {};
}

Result<std::string> BuildContext::dockerfile() const {
  if (!dockerfile_) {
    return refuse(fmt::format("the build context has no file {}", escape_for_terminal(wanted_)));
  }
  if (too_large_) return refuse("the Dockerfile is too large");
  return *dockerfile_;
}

std::string BuildContext::make_end(std::string_view name, std::string_view content) {
  std::string header(kBlock, '\0');
  auto put = [&header](std::size_t at, std::string_view text) {
    std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(kName, name.substr(0, kNameSize - 1));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(kSize, fmt::format("{:011o}", content.size()));
  put(136, "00000000000");
  put(kType, "0");
  put(kMagic, std::string_view("ustar\00000", 8));
  put(kChecksum, fmt::format("{:06o}", checksum_of(header)));
  std::string out = header;
  out.append(content);
  out.append((kBlock - content.size() % kBlock) % kBlock + 2 * kBlock, '\0');
  return out;
}

}  // namespace dirbox::docker
