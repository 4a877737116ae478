#include "launcher/sync/sync.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/store.h"
#include "launcher/sync/merge.h"

namespace dirbox::sync {
namespace {

// The guard counts from 1 in the same store.
constexpr unsigned kFirstKept = 1'000'000'000;

void add_once(std::vector<std::string>& list, std::string text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
}

/// Two names that differ in case are two: some of them are paths.
Result<Json> parse_state(std::string_view text) {
  Json::Limits limits;
  limits.max_bytes = kMaxHostBytes;
  limits.exact_keys = true;
  return Json::parse(text, limits);
}

/// nullopt for what is no JSON object. A missing or empty file is an empty one.
std::optional<Json> object_of(const Text& text) {
  if (!text || text->empty()) return Json(JsonObject{});
  auto json = parse_state(*text);
  if (!json || json->as_object() == nullptr) return std::nullopt;
  return std::move(*json);
}

}  // namespace

std::vector<std::string> directories_of(const Spec& spec) {
  std::vector<std::string> out;
  for (const File& file : spec.files) {
    add_once(out, path_parent(file.path));
    add_once(out, path_parent(file.link));
  }
  return out;
}

Syncer::Syncer(EventLoop& loop, Spec spec, std::string store)
    : loop_(loop), spec_(std::move(spec)), store_path_(std::move(store)), kept_(kFirstKept) {}

Syncer::~Syncer() {
  if (timer_ != 0) loop_.cancel(timer_);
}

Result<void> Syncer::start() {
  for (const File& file : spec_.files) {
    const KeyTable* table = find_key_table(path_name(file.link));
    if (table == nullptr) table = find_key_table(path_name(file.path));
    State state{HostFile(file.path), table, {}, {}};
    state.first = state.sent = TRY(state.host.read());
    states_.push_back(std::move(state));
  }
  return {};
}

const std::string* Syncer::content_of(const std::string& path) const {
  for (const State& state : states_) {
    if (state.host.path() == path) return state.first ? &*state.first : nullptr;
  }
  return nullptr;
}

void Syncer::attach(std::vector<UniqueFd> directories) {
  names_ = directories_of(spec_);
  directories_ = std::move(directories);
  if (directories_.size() != names_.size()) directories_.clear();
  if (directories_.empty()) return;
  timer_ = loop_.after(kInterval, [this] { look(); });
}

void Syncer::look() {
  const auto begin = EventLoop::Clock::now();
  bool busy = false;
  for (std::size_t i = 0; i < states_.size(); ++i)
    busy = !bring_back(spec_.files[i], states_[i], false) || busy;
  // Who changes a large copy all the time gets a twentieth of this process's time.
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(EventLoop::Clock::now() - begin);
  timer_ = loop_.after(std::max(busy ? kBusy : kInterval, took * 20), [this] { look(); });
}

void Syncer::finish() {
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = 0;
  for (std::size_t i = 0; i < states_.size(); ++i) bring_back(spec_.files[i], states_[i], true);
  directories_.clear();
}

/// The copy under the name that the program uses, or where the symlink of that name leads.
std::optional<UniqueFd> Syncer::open_copy(const File& file) const {
  for (const std::string& path : {file.link, file.path}) {
    const auto at = std::find(names_.begin(), names_.end(), path_parent(path));
    if (at == names_.end() || directories_.size() != names_.size()) continue;
    const int directory = directories_[static_cast<std::size_t>(at - names_.begin())].get();
    const std::string name(path_name(path));
    open_how how{};
    how.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    UniqueFd fd(
        static_cast<int>(::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how)));
    struct stat st {};
    if (fd.valid() && ::fstat(fd.get(), &st) == 0 && S_ISREG(st.st_mode)) return fd;
  }
  return std::nullopt;
}

/// `last`: nothing inside writes any more. False: somebody holds the lock.
bool Syncer::bring_back(const File& file, State& state, bool last) {
  const auto fd = open_copy(file);
  struct stat st {};
  if (!fd || ::fstat(fd->get(), &st) != 0) return true;
  const std::int64_t changed = st.st_ctim.tv_sec * 1'000'000'000 + st.st_ctim.tv_nsec;
  if (!last && state.inode == st.st_ino && state.changed == changed) return true;
  const std::size_t most = std::max(kMaxInside, state.first ? state.first->size() : 0);
  auto text = read_fd(fd->get(), most, file.path);
  if (!text) {
    if (last) complaints_.push_back("sync: " + text.error().message());
    return true;
  }
  if (state.sent != *text) {
    auto sent = send(state, *text, last);
    if (!sent) {
      if (!last) return true;
      complaints_.push_back("sync: " + sent.error().message());
    } else if (!*sent) {
      return false;
    }
  }
  state.inode = st.st_ino;
  state.changed = changed;
  if (last && state.table != nullptr && state.first != *text) report(state, *text);
  return true;
}

Result<bool> Syncer::send(State& state, const std::string& ours, bool last) {
  std::string proposed = ours;
  if (state.table != nullptr) {
    const auto now = parse_state(ours);
    if (!now || now->as_object() == nullptr) {
      return fail("bring a file back to the host", escape_for_terminal(state.host.path()),
                  "it is not JSON inside");
    }
    const Json before = object_of(state.sent).value_or(JsonObject{});
    const Json allowed = take_allowed(*state.table, before, *now, spec_.here);
    if (is_same(allowed, before)) {
      state.sent = ours;
      return true;
    }
    proposed = allowed.dump(true);
  }
  const auto deadline = HostFile::Clock::now() + (last ? kPatience : std::chrono::milliseconds{0});
  bool from_inside = true;  // what is combined after that is the host's, and ours among it
  auto done = state.host.update(
      state.sent, proposed,
      [&](const Text& base, const Text& theirs, const std::string& mine) {
        return combine(state, base, theirs, mine, std::exchange(from_inside, false));
      },
      deadline, last);
  if (done && *done) state.sent = ours;
  return done;
}

/// The host's file does not become larger run by run, until nothing reads it any more.
Result<std::string> Syncer::bounded(const State& state, const Text& theirs, std::string text) {
  if (text.size() <= std::max(kMaxInside, theirs ? theirs->size() : 0)) return text;
  return fail("bring a file back to the host", escape_for_terminal(state.host.path()),
              fmt::format("it would have {} bytes", text.size()));
}

Result<std::string> Syncer::combine(const State& state, const Text& base, const Text& theirs,
                                    const std::string& ours, bool from_inside) {
  if (base == theirs && state.table == nullptr) return bounded(state, theirs, ours);
  const auto outside = object_of(theirs), inside = object_of(ours);
  if (outside && inside) {
    Json merged = merge_json(object_of(base).value_or(JsonObject{}), *outside, *inside);
    // Whatever became of the copies before: to what the host has now only that is added.
    if (state.table != nullptr && from_inside)
      merged = take_allowed(*state.table, *outside, merged, spec_.here);
    // What says the same is left as it is written.
    if (theirs && is_same(merged, *outside)) return *theirs;
    return bounded(state, theirs, is_same(merged, *inside) ? ours : merged.dump(true));
  }
  // What comes back of it is a part, in whose place the rest would be lost.
  if (!outside && state.table != nullptr) {
    return fail("bring a file back to the host", escape_for_terminal(state.host.path()),
                "it is no JSON object there that can be merged with what is inside");
  }
  if (!theirs || base == theirs) return bounded(state, theirs, ours);
  guard::Finding finding;
  finding.path = state.host.path();
  finding.after = "the host's text";
  finding.why = "it was changed on the host and inside; what was inside is in its place";
  const std::string text = TRY(bounded(state, theirs, ours));
  TRY_VOID(keep(state.host.path(), *theirs, {std::move(finding)}));
  return text;
}

/// Says what did not come back because the host would execute it, and keeps the copy.
void Syncer::report(State& state, const std::string& ours) {
  const auto now = object_of(ours);
  if (!now) return;
  std::vector<guard::Finding> found;
  for (Danger& danger : find_dangers(*state.table, object_of(state.first).value_or(JsonObject{}),
                                     *now, spec_.here)) {
    guard::Finding finding;
    finding.path = state.host.path();
    finding.key = std::move(danger.key);
    finding.after = std::move(danger.value);
    finding.why = std::move(danger.why);
    found.push_back(std::move(finding));
  }
  if (found.empty()) return;
  if (auto kept = keep(state.host.path(), ours, std::move(found)); !kept)
    complaints_.push_back("sync: " + kept.error().message());
}

/// Puts `text` into the store, with a record, and adds the findings. Returns its name there.
Result<std::string> Syncer::keep(const std::string& path, const std::string& text,
                                 std::vector<guard::Finding> findings) {
  if (store_path_.empty()) return fail("keep a file aside", escape_for_terminal(path), "no home");
  TRY_VOID(make_directories(store_path_));
  UniqueFd store(::open(store_path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!store.valid()) return fail_errno("keep a file aside", escape_for_terminal(store_path_));
  const std::string name = std::to_string(++kept_);
  UniqueFd file(::openat(store.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno("keep a file aside", name);
  TRY_VOID(write_all(file.get(), text, name));
  for (guard::Finding& finding : findings) finding.kept = name;
  TRY_VOID(
      guard::append_record(store.get(), {kept_, std::time(nullptr), path, findings, 0, 0, {}}));
  for (guard::Finding& finding : findings) findings_.push_back(std::move(finding));
  return name;
}

}  // namespace dirbox::sync
