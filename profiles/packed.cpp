#include "profiles/packed.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <variant>

#include "profiles/schema.h"

// Theory of operation. A number is written in groups of seven bits, lowest first, the top bit
// saying that more follow; a text as its length and its bytes; a list as its length and its
// elements. An Origin names its file by position in the chain. What is written for a structure is
// said once, in exchange(), for both directions: structured bindings there refuse to compile when a
// member is added. The members of Profile and the columns of records come from the schema.

namespace dirbox::profiles {
namespace {

template <class Record>
std::vector<const Row*> columns_of() {
  std::vector<const Row*> columns;
  for (const Row& row : schema()) {
    bool is_column = std::visit(
        [](auto target) { return std::is_invocable_v<decltype(target), Record&>; }, row.target);
    if (is_column) columns.push_back(&row);
  }
  return columns;
}

class Writer {
 public:
  static constexpr bool kReads = false;

  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(0x80 | (value & 0x7f)));
    out_.push_back(static_cast<char>(value));
  }
  void text(const std::string& value) {
    number(value.size());
    out_ += value;
  }
  /// The number of elements that follow.
  std::size_t count(std::size_t size) {
    number(size);
    return size;
  }
  /// 0 for none, else the position in the chain and 1. A file that is not in the chain (there is
  /// none in a profile that was loaded) is written as a position that the reader refuses.
  void file(const std::string& name, const std::vector<std::string>& chain) {
    auto found = std::find(chain.begin(), chain.end(), name);
    number(name.empty() ? 0 : static_cast<std::uint64_t>(found - chain.begin()) + 1);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// After the first byte that is wrong, everything reads as 0 or empty and bad() is true.
class Reader {
 public:
  static constexpr bool kReads = true;
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  void number(std::uint64_t& value) {
    if (!rest_.empty() && static_cast<unsigned char>(rest_.front()) < 0x80) {  // most are
      value = static_cast<unsigned char>(rest_.front());
      return rest_.remove_prefix(1);
    }
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return;
    }
    spoil();
    value = 0;
  }
  void text(std::string& value) {
    const std::size_t size = count(0);
    value.assign(rest_.data(), size);
    rest_.remove_prefix(size);
  }
  /// No more than the bytes that are left, as an element takes at least one.
  std::size_t count(std::size_t) {
    std::uint64_t value = 0;
    number(value);
    if (value > rest_.size()) {
      spoil();
      return 0;
    }
    return static_cast<std::size_t>(value);
  }
  void file(std::string& name, const std::vector<std::string>& chain) {
    std::uint64_t position = 0;
    number(position);
    if (position > chain.size()) return spoil();
    if (position != 0) name = chain[position - 1];
  }
  void spoil() {
    bad_ = true;
    rest_ = {};
  }
  bool bad() const { return bad_; }
  bool done() const { return !bad_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool bad_ = false;
};

template <class Archive>
class Exchange {
 public:
  Exchange(Archive& archive, const std::vector<std::string>& chain)
      : archive_(archive), chain_(chain) {}

  /// `profile` is const for a Writer.
  template <class P>
  void rows(P& profile) {
    for (const Row& row : schema()) {
      std::visit(
          [&](auto target) {
            if constexpr (std::is_invocable_v<decltype(target), P&>) put(profile.*target);
          },
          row.target);
    }
  }

 private:
  template <class T>
  void put(T& value) {
    exchange(value, static_cast<std::remove_const_t<T>*>(nullptr));
  }

  /// What has a number's range of its own: bool and the enumerations, whose last enumerator the
  /// row's choices bound; the reader takes the narrow type's values only.
  template <class V, class T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) void exchange(V& value, T*) {
    if constexpr (Archive::kReads) {
      std::uint64_t number = 0;
      archive_.number(number);
      if constexpr (std::is_same_v<T, bool>) {
        if (number > 1) archive_.spoil();
      } else if constexpr (std::is_enum_v<T>) {
        if (number > 255) archive_.spoil();
      } else {
        if (number > std::numeric_limits<T>::max()) archive_.spoil();
      }
      value = static_cast<T>(number);
    } else {
      archive_.number(static_cast<std::uint64_t>(value));
    }
  }
  template <class V>
  void exchange(V& value, std::string*) {
    archive_.text(value);
  }
  template <class V, class T>
  void exchange(V& value, std::optional<T>*) {
    bool present = value.has_value();
    put(present);
    if (!present) return;
    if constexpr (Archive::kReads) value.emplace();
    put(*value);
  }
  template <class V, class T>
  void exchange(V& list, std::vector<T>*) {
    const std::size_t size = archive_.count(list.size());
    if constexpr (Archive::kReads) list.resize(size);
    for (auto& element : list) put(element);
  }
  template <class V>
  void exchange(V& origin, Origin*) {
    auto& [file, line, column] = origin;
    archive_.file(file, chain_);
    if (file.empty()) return;
    put(line);
    put(column);
  }
  template <class V, class T>
  void exchange(V& setting, Setting<T>*) {
    auto& [value, origin] = setting;
    put(value);
    put(origin);
  }
  template <class V>
  void exchange(V& entry, Entry*) {
    auto& [text, optional, create, dangerous, origin] = entry;
    put(text);
    std::uint64_t marks =
        (optional ? kOptional : 0U) | (create ? kCreate : 0U) | (dangerous ? kDangerous : 0U);
    put(marks);
    if constexpr (Archive::kReads) {
      optional = (marks & kOptional) != 0;
      create = (marks & kCreate) != 0;
      dangerous = (marks & kDangerous) != 0;
    }
    put(origin);
  }
  template <class V>
  void exchange(V& assignment, Assignment*) {
    auto& [name, value, origin, literal] = assignment;
    put(name);
    put(value);
    put(origin);
    put(literal);
  }
  template <class V>
  void exchange(V& record, SyscallRule*) {
    columns(record, syscall_columns_);
  }
  template <class V>
  void exchange(V& record, NameLimit*) {
    columns(record, limit_columns_);
  }
  template <class V>
  void exchange(V& rule, ArgvRule*) {
    auto& [text, reason, origin] = rule;
    put(text);
    put(reason);
    put(origin);
  }
  template <class V>
  void exchange(V& record, Excluded*) {
    columns(record, excluded_columns_);
  }
  template <class V>
  void exchange(V& record, VerifyCheck*) {
    columns(record, verify_columns_);
  }
  template <class R>
  void columns(R& record, const std::vector<const Row*>& rows) {
    for (const Row* row : rows) {
      std::visit(
          [&](auto target) {
            if constexpr (std::is_invocable_v<decltype(target), R&>) put(record.*target);
          },
          row->target);
    }
    put(record.origin);
  }

  Archive& archive_;
  const std::vector<std::string>& chain_;
  std::vector<const Row*> syscall_columns_ = columns_of<SyscallRule>();
  std::vector<const Row*> limit_columns_ = columns_of<NameLimit>();
  std::vector<const Row*> excluded_columns_ = columns_of<Excluded>();
  std::vector<const Row*> verify_columns_ = columns_of<VerifyCheck>();
};

std::vector<std::string> read_chain(Reader& reader) {
  std::vector<std::string> chain(reader.count(0));
  for (std::string& file : chain) reader.text(file);
  return chain;
}

}  // namespace

std::string pack_profile(const Profile& profile) {
  Writer writer;
  writer.count(profile.chain.size());
  for (const std::string& file : profile.chain) writer.text(file);
  Exchange<Writer>(writer, profile.chain).rows(profile);
  return writer.take();
}

std::optional<Profile> unpack_profile(std::string_view bytes) {
  Reader reader(bytes);
  std::optional<Profile> profile(std::in_place);
  profile->chain = read_chain(reader);
  Exchange<Reader>(reader, profile->chain).rows(*profile);
  if (!reader.done()) return std::nullopt;
  return profile;
}

std::optional<std::vector<std::string>> unpack_chain(std::string_view bytes) {
  Reader reader(bytes);
  auto chain = read_chain(reader);
  if (reader.bad()) return std::nullopt;
  return chain;
}

}  // namespace dirbox::profiles
