#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/guard/entry.h"

/// What was quarantined: STATE/quarantine/SESSION holds what was displaced, by number, and a record
/// of each. No sandbox sees it.
namespace dirbox::guard {

inline constexpr const char* kQuarantine = "quarantine";  ///< below the state directory
inline constexpr const char* kRecords = "records.jsonl";
/// Of one session, so that nothing fills the file system of the state directory.
inline constexpr std::uint64_t kMostStored = 64 << 20;  ///< bytes
inline constexpr std::uint64_t kMostKept = 1000;
inline constexpr std::uint64_t kMostRecorded = 4 << 20;  ///< bytes of the records
inline constexpr std::size_t kMostPutBack = 64 << 10;    ///< bytes

struct Record {
  std::uint64_t number = 0;
  std::int64_t time = 0;  ///< seconds since 1970
  std::string path;       ///< where it was
  std::vector<Finding> findings;
  std::int64_t at = 0;     ///< ns since 1970
  std::int64_t begun = 0;  ///< ns since 1970: when its session looked at what was there
  std::optional<std::string> put_back{};  ///< the text that stood there before, up to kMostPutBack
};

/// What another session has quarantined of a path.
struct Distrusted {
  bool whole = false;                                    ///< not only keys
  std::set<std::pair<std::string, std::string>> keys{};  ///< with values
  std::optional<std::string> instead{};                  ///< the text that it put back
};

/// Bytes as hexadecimal digits, for JSON, which holds none that are not UTF-8.
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view hex);

/// Adds a record to the store, a directory. Returns its length.
Result<std::size_t> append_record(int store, const Record& record);
/// The records of one session. Lines that are none are passed over.
Result<std::vector<Record>> read_records(const std::string& store);
/// Sessions that have a store, oldest first.
std::vector<std::string> list_stores(const std::string& state_directory);

/// Puts what was displaced back to its path. What stands there by then is kept beside it in the
/// store, as NUMBER.replaced. No symlink is followed on the way. Errors: its directory is gone.
Result<void> restore_record(const std::string& store, const Record& record);

}  // namespace dirbox::guard
