#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
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
inline constexpr std::uint64_t kMostOfOne = 1 << 20;  ///< bytes, of one file
/// Bytes of the records. From here on without what was put back, and then without anything.
inline constexpr std::uint64_t kMostRecorded = 4 << 20, kMostBrief = 6 << 20;
inline constexpr std::size_t kMostPutBack = 64 << 10;  ///< bytes, of one record
inline constexpr std::size_t kMostListed = 64;         ///< findings of one record
inline constexpr std::size_t kMostSaid = 512;          ///< bytes of each text of a finding

/// What a kept file was when it was quarantined. It is the sandbox's, which may have it open.
/// Without any of these it is dirbox's own.
struct Seal {
  std::string sha256;        ///< of its text, up to kMaxKept
  std::int64_t changed = 0;  ///< its ctime in the store, ns since 1970, where it has no such text
  unsigned mode = 0;         ///< with the type
};

struct Record {
  std::uint64_t number = 0;  ///< 0: it was not kept
  std::int64_t time = 0;     ///< seconds since 1970
  std::string path;          ///< where it was
  std::vector<Finding> findings;
  std::int64_t at = 0;     ///< ns since 1970
  std::int64_t begun = 0;  ///< ns since 1970: when its session looked at what was there
  std::optional<std::string> put_back{};  ///< the text that stood there before, up to kMostPutBack
  std::string put_back_hash{};            ///< of it, in any case
  unsigned put_back_mode = 0;             ///< with the type; 0: nothing was there
  std::set<std::string> entries{};        ///< entry_id of each finding that has a key
  std::size_t more = 0;                   ///< findings beyond kMostListed
  Seal seal{};
};
/// The record of what is undone now. `begun`: see Record.
Record make_record(const std::string& path, const std::vector<Finding>& findings,
                   const Before& before, std::int64_t begun);

/// Bytes as hexadecimal digits, for JSON, which holds none that are not UTF-8.
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view hex);

/// Adds a record to the store, a directory, as a whole or not at all. Returns its length.
Result<std::size_t> append_record(int store, const Record& record);

/// The records of a session, bounded. Where one is not written, the file says so: it gets the mode
/// kStopped, which needs no room on the disk, and a new time for each that follows.
class Recorder {
 public:
  static constexpr unsigned kStopped = 0700;
  Result<void> add(int store, Record record);
  bool has_room() const { return size_ < kMostRecorded; }

 private:
  std::uint64_t size_ = 0;
  bool stopped_ = false;
};

struct Records {
  std::vector<Record> list;
  std::size_t end = 0;  ///< bytes, of the whole lines
  bool whole = true;    ///< false: some of them are no records
};
/// The records of one session, from byte `from` on, where a line begins.
Result<Records> read_records(const std::string& store, std::size_t from = 0);
/// Where the store of a session is; "" without a state directory.
std::string store_path(const std::string& state_directory, const std::string& session);
/// Sessions that have a store, oldest first. None: no error.
Result<std::vector<std::string>> list_stores(const std::string& state_directory);

/// What is quarantined under a number, if it still is what was sealed. Errors: it is gone, or the
/// sandbox has changed it since.
Result<Entry> open_sealed(int store, std::uint64_t number, const Seal& seal);

/// Whether what a record tells of is still there to be restored.
bool is_kept(const std::string& store, const Record& record);

/// Puts what was displaced back to its path; a file up to kMaxKept as a copy, since the sandbox may
/// have it open. What stands there by then is kept beside it in the store, as NUMBER.replaced. No
/// symlink is followed on the way. Errors: open_sealed's, or its directory is gone.
Result<void> restore_record(const std::string& store, const Record& record);

/// What the user is about to put back, for the sandboxes that run there: each is asked whether it
/// can take that for what was there, then all take it; or back, when it could not be put back.
struct PutBack {
  enum class Step { ask, commit, withdraw };
  Step step = Step::ask;
  std::string session;       ///< which has quarantined it
  std::uint64_t number = 0;  ///< there
  std::string path;
  Seal seal;
};

}  // namespace dirbox::guard
