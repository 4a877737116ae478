#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/guard/entry.h"

/// What was quarantined: STATE/quarantine/SESSION holds what was displaced, by number, and a record
/// of each. No sandbox sees it.
namespace dirbox::guard {

inline constexpr const char* kQuarantine = "quarantine";  ///< below the state directory

struct Record {
  unsigned number = 0;
  std::int64_t time = 0;  ///< seconds since 1970
  std::string path;       ///< where it was
  std::vector<Finding> findings;
};

/// Adds a record to the store, a directory.
Result<void> append_record(int store, const Record& record);
/// The records of one session. Lines that are none are passed over.
Result<std::vector<Record>> read_records(const std::string& store);
/// Sessions that have a store, oldest first.
std::vector<std::string> list_stores(const std::string& state_directory);

/// Puts what was displaced back to its path. What stands there by then is kept beside it in the
/// store, as NUMBER.replaced. No symlink is followed on the way. Errors: its directory is gone.
Result<void> restore_record(const std::string& store, const Record& record);

}  // namespace dirbox::guard
