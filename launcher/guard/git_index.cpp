#include "launcher/guard/git_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "launcher/guard/git_config.h"
#include "launcher/guard/names.h"

// Theory of operation: read as git does (read-cache.c), and stricter, so that there is one way to
// read what is accepted:
//
//   "DIRC" version count | entries | extensions: name, size, content | hash of all that
//
// git compares the hash only in fsck. With index.threads it reads from elsewhere: at a fixed place
// before the end stands EOIE with the place where the extensions begin, and one of them, IEOT,
// tells where groups of entries begin. Both have to be the places where they are read here. In
// version 4 a path begins with a part of the one before, but not for the first of a group, for
// which git then knows none.
//
// In an index with the extension `link` the paths of entries that replace one of the shared index
// are empty.

namespace dirbox::guard {
namespace {

constexpr std::size_t kWindow = 256 << 10;
constexpr std::size_t kMostPath = 16 << 10;   // bytes; no file system takes as much
constexpr std::size_t kMostGroups = 8 << 10;  // git makes one for each thread
constexpr std::size_t kMostLinks = 32 << 20;  // bytes of paths of symlinks and submodules
constexpr std::size_t kHeader = 12, kExtension = 8;

constexpr std::uint32_t kTypes = 0170000, kSymlink = 0120000, kSubmodule = 0160000,
                        kDirectory = 0040000;
constexpr unsigned kExtended = 0x4000, kLength = 0x0fff, kKnownFlags = 0x6000;

std::uint32_t number(std::string_view bytes, std::size_t size = 4) {
  std::uint32_t out = 0;
  for (char c : bytes.substr(0, size)) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

/// What stands at any place of a file, of which a part is in memory.
class Window {
 public:
  explicit Window(const IndexBytes& bytes) : bytes_(bytes) {}

  /// Until the next call; nullopt: there are not as many bytes, or they cannot be read.
  std::optional<std::string_view> at(std::uint64_t offset, std::size_t count) {
    if (offset > bytes_.size || bytes_.size - offset < count) return std::nullopt;
    if (offset < begin_ || offset + count > begin_ + buffer_.size()) {
      const auto size = std::min<std::uint64_t>(bytes_.size - offset, std::max(count, kWindow));
      buffer_.resize(static_cast<std::size_t>(size));
      begin_ = offset;
      if (!bytes_.read(offset, buffer_)) {
        buffer_.clear();
        return std::nullopt;
      }
    }
    return std::string_view(buffer_).substr(static_cast<std::size_t>(offset - begin_), count);
  }

 private:
  const IndexBytes& bytes_;
  std::uint64_t begin_ = 0;
  std::string buffer_;
};

class Parser {
 public:
  Parser(const IndexBytes& bytes, std::size_t id_size, bool shared)
      : window_(bytes), id_size_(id_size), shared_(shared), size_(bytes.size) {}

  std::optional<std::string> run() {
    if (size_ > kMaxIndex) return fmt::format("an index of more than {} MiB", kMaxIndex >> 20);
    if (!read_header() || !read_end() || !read_entries()) return danger_;
    // A symlink may come behind what leads through it where somebody has changed the order.
    if (unsorted_ && !links_.empty() && !read_entries()) return danger_;
    if (!read_extensions()) return danger_;
    if (nameless_ && !split_) return "an entry without a path";
    return std::nullopt;
  }

 private:
  bool bad(std::string_view what) {
    danger_ = fmt::format("no index that git writes: {}", what);
    return false;
  }
  bool refuse() {
    danger_ = "the entry " + shortened(path_);
    return false;
  }

  bool read_header() {
    if (size_ < kHeader + id_size_) return bad("it is too short");
    end_ = size_ - id_size_;
    const auto header = window_.at(0, kHeader);
    if (!header) return bad("it cannot be read");
    version_ = number(header->substr(4));
    count_ = number(header->substr(8));
    if (!header->starts_with("DIRC") || version_ < 2 || version_ > 4)
      return bad("neither version 2, 3 nor 4");
    return true;
  }

  /// What git reads first when it has threads.
  bool read_end() {
    const std::size_t size = kExtension + 4 + id_size_;
    if (end_ < kHeader + size) return true;
    const auto end = window_.at(end_ - size, size);
    if (!end) return bad("it cannot be read");
    if (!end->starts_with("EOIE")) return true;
    if (number(end->substr(4)) != size - kExtension) return bad("EOIE of another size");
    extensions_ = number(end->substr(kExtension));
    for (std::uint64_t at = *extensions_; at + kExtension <= end_;) {
      const auto head = window_.at(at, kExtension);
      if (!head) return bad("it cannot be read");
      const std::uint32_t length = number(head->substr(4));
      if (head->starts_with("IEOT")) return read_groups(at + kExtension, length);
      at += kExtension + length;
    }
    return true;
  }

  bool read_groups(std::uint64_t at, std::uint32_t size) {
    const std::size_t most = 4 + 8 * kMostGroups;
    if (size < 4 || size > most || size % 8 != 4) return bad("IEOT of another size");
    const auto table = window_.at(at, size);
    if (!table || number(*table) != 1) return bad("IEOT of another version");
    for (std::size_t i = 4; i < size; i += 8)
      groups_.emplace_back(number(table->substr(i)), number(table->substr(i + 4)));
    return true;
  }

  bool read_entries() {
    std::uint64_t at = kHeader, first = 0;  // of the next group
    auto group = groups_.begin();
    path_.clear();
    for (std::uint64_t i = 0; i < count_; ++i) {
      const bool begins = group != groups_.end() && i == first;
      if (begins) {
        if (group->first != at || group->second == 0) return bad("IEOT leads elsewhere");
        first += (group++)->second;
      }
      if (!read_entry(at, begins)) return false;
    }
    if (!groups_.empty() && (group != groups_.end() || first != count_))
      return bad("IEOT leads elsewhere");
    if (extensions_ && *extensions_ != at) return bad("EOIE leads elsewhere");
    extensions_ = at;
    return true;
  }

  bool read_entry(std::uint64_t& at, bool begins) {
    constexpr std::size_t kStat = 40, kMode = 24, kFlags = 2, kPad = 8;
    std::size_t head = kStat + id_size_ + kFlags;
    if (at + head > end_) return bad("it ends within an entry");
    const auto room = std::min<std::uint64_t>(end_ - at, head + kFlags + kMostPath);
    const auto bytes = window_.at(at, static_cast<std::size_t>(room));
    if (!bytes) return bad("it cannot be read");
    const std::uint32_t type = number(bytes->substr(kMode)) & kTypes;
    const std::uint32_t flags = number(bytes->substr(head - kFlags), 2);
    if ((flags & kExtended) != 0) {
      if (version_ < 3 || bytes->size() < head + kFlags ||
          (number(bytes->substr(head), 2) & ~kKnownFlags) != 0) {
        return bad("unknown flags");
      }
      head += kFlags;
    }
    std::size_t kept = 0;  // of the path before
    if (version_ == 4 && !read_kept(*bytes, head, kept)) return bad("a path without a beginning");
    const std::size_t length = bytes->substr(head).find('\0');
    if (length == bytes->npos) return bad("a path without an end");
    const std::string_view rest = bytes->substr(head, length);
    if (begins && kept != 0) return bad("a path without a beginning");
    if (kept + length > kMostPath) return bad("a path without an end");
    // A NUL within it, or none where git takes its end from the flags.
    if (std::min<std::size_t>(kept + length, kLength) != (flags & kLength))
      return bad("a path of another length");
    at += version_ == 4 ? head + length + 1 : (head + length + kPad) & ~(kPad - 1);
    if (at > end_) return bad("it ends within an entry");
    if (version_ == 4) return take_path(kept, rest, type);
    const auto common = static_cast<std::size_t>(
        std::mismatch(rest.begin(), rest.end(), path_.begin(), path_.end()).first - rest.begin());
    return take_path(common, rest.substr(common), type);
  }

  /// How much of the path before is kept; a number of 7 bits in a byte.
  bool read_kept(std::string_view bytes, std::size_t& at, std::size_t& kept) const {
    std::size_t cut = 0;
    for (bool more = true, first = true; more; first = false) {
      if (at >= bytes.size() || cut > kMostPath) return false;
      const auto byte = static_cast<unsigned char>(bytes[at++]);
      cut = (first ? 0 : (cut + 1) << 7) + (byte & 0x7fU);
      more = (byte & 0x80) != 0;
    }
    if (cut > path_.size()) return false;
    kept = path_.size() - cut;
    return true;
  }

  /// Looks at what the path does not have in common with the one before.
  bool take_path(std::size_t kept, std::string_view rest, std::uint32_t type) {
    unsorted_ |= rest < std::string_view(path_).substr(kept);
    path_.resize(kept);
    path_ += rest;
    if (path_.empty()) {
      nameless_ = true;
      return true;
    }
    const std::size_t slash = kept == 0 ? path_.npos : path_.rfind('/', kept - 1);
    for (std::size_t begin = slash == path_.npos ? 0 : slash + 1;;) {
      const std::size_t end = std::min(path_.find('/', begin), path_.size());
      // In a sparse index, a directory.
      const bool last = end == begin && begin != 0 && end == path_.size() && type == kDirectory;
      const std::string_view name = std::string_view(path_).substr(begin, end - begin);
      if (!last && is_forbidden_component(name)) return refuse();
      if (end == path_.size()) break;
      if (!links_.empty() && links_.contains(std::string_view(path_).substr(0, end)))
        return refuse();
      begin = end + 1;
    }
    if ((type == kSymlink || type == kSubmodule) && links_.insert(path_).second) {
      kept_links_ += path_.size();
      if (kept_links_ > kMostLinks) return bad("more symlinks than can be looked at");
    }
    return true;
  }

  bool read_extensions() {
    std::uint64_t at = *extensions_;
    while (at + kExtension <= end_) {
      const auto head = window_.at(at, kExtension);
      if (!head) return bad("it cannot be read");
      const std::string_view name = head->substr(0, 4);
      if (name == "link" && !shared_) {
        split_ = true;
      } else if (name != "sdir" && (name.front() < 'A' || name.front() > 'Z')) {
        return bad("an extension that is not known");  // to git either
      }
      at += kExtension + number(head->substr(4));
    }
    return at == end_ || bad("it ends within an extension");
  }

  Window window_;
  std::size_t id_size_;
  bool shared_;
  std::uint64_t size_, end_ = 0;
  std::uint32_t version_ = 0, count_ = 0;
  std::optional<std::uint64_t> extensions_;                      ///< where they begin
  std::vector<std::pair<std::uint32_t, std::uint32_t>> groups_;  ///< where, and how many entries
  std::string path_;
  std::set<std::string, std::less<>> links_;
  std::size_t kept_links_ = 0;
  bool unsorted_ = false, nameless_ = false, split_ = false;
  std::string danger_;
};

}  // namespace

IndexBytes bytes_of_index(std::string_view text) {
  return {text.size(), [text](std::uint64_t offset, std::span<char> into) {
            text.copy(into.data(), into.size(), static_cast<std::size_t>(offset));
            return true;
          }};
}

std::optional<std::string> find_index_danger(const IndexBytes& bytes, std::size_t id_size,
                                             bool shared) {
  return Parser(bytes, id_size, shared).run();
}

bool is_forbidden_component(std::string_view name) {
  constexpr std::string_view kNames[] = {".git", "git~1"};
  constexpr std::size_t kLongest = 5;
  if (name.empty() || name == "." || name == "..") return true;
  const char first = name.front();
  if (first != '.' && first != 'g' && first != 'G' && static_cast<unsigned char>(first) < 0x80)
    return false;
  // Windows leaves out dots and blanks at the end, and takes what follows a colon for a stream.
  name = name.substr(0, name.find_first_of(":\\"));
  const std::size_t last = name.find_last_not_of(" .");
  name = name.substr(0, last == name.npos ? 0 : last + 1);
  if (name.size() < kLongest - 1) return false;
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view git) { return is_same_name(git, name); });
}

}  // namespace dirbox::guard
