#include "launcher/guard/entry.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "launcher/base/file.h"
#include "launcher/base/unique_fd.h"
#include "launcher/guard/git_config.h"
#include "launcher/guard/store.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

/// While it lives, no file of this process grows, as on a disk that is full.
struct NoRoom {
  NoRoom() : was(::signal(SIGXFSZ, SIG_IGN)) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const rlimit none{0, limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
  }
  ~NoRoom() {
    CHECK(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    ::signal(SIGXFSZ, was);
  }
  NoRoom(const NoRoom&) = delete;
  NoRoom& operator=(const NoRoom&) = delete;
  rlimit limit{};
  sighandler_t was;
};

}  // namespace

TEST_CASE("what cannot be put right for want of room stands beside its name") {
  const Scratch scratch;
  const std::string planted = "[core]\n\tfsmonitor = evil\n[user]\n\tname = me\n";
  std::ofstream(scratch.path + "/config") << planted;
  const UniqueFd directory(::open(scratch.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const NameRule rule{"config", What::config, "git status executes it"};
  const Before before{true, "[user]\n\tname = me\n", S_IFREG | 0644};
  const auto now = look_at(directory.get(), "config");
  REQUIRE(now.has_value());
  auto undo = [&] {
    return undo_entry(
        directory.get(), "config", rule, before, *now, [](std::string_view) { return false; }, -1,
        "1");
  };
  {
    const NoRoom full;
    const auto done = undo();
    REQUIRE(!done.has_value());
    CHECK(done.error().err == EFBIG);
    CHECK(done.error().detail.starts_with("it is in .config.dirbox-"));
  }
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path))
    left.push_back(entry.path().filename());
  REQUIRE(left.size() == 1);
  CHECK(!look_at(directory.get(), "config").has_value());
  const auto beside = look_at(directory.get(), left.front());
  REQUIRE(beside.has_value());
  CHECK(beside->text == planted);
}

TEST_CASE("no key is lost that somebody writes in the moment of the exchange") {
  const Scratch scratch;
  const std::string config = scratch.path + "/config", first = "[user]\n\tname = me\n";
  std::ofstream(config) << first;
  const UniqueFd directory(::open(scratch.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const NameRule rule{"config", What::config, "git status executes it"};
  const Before before{true, first, S_IFREG | 0644};
  const Inside inside = [](std::string_view) { return false; };
  constexpr int kKeys = 600;
  std::atomic<bool> ended = false;
  std::atomic<int> turns = 0;
  // As git changes it: what it reads and a key more become the file.
  std::thread writer([&] {
    for (int i = 0; i < kKeys; ++i) {
      const auto now = look_at(directory.get(), "config");
      std::ofstream(config + ".lock") << *now->text << "[x \"y\\\"\"]\n\tk" << i << " = \"1;\"\n"
                                      << (i % 3 == 0 && now->text->find("evil") == now->text->npos
                                              ? "[core]\n\tfsmonitor = evil\n"
                                              : "");
      // Nor does it lose keys itself, by writing what it read before they were there.
      const auto meanwhile = look_at(directory.get(), "config");
      if (meanwhile->status.st_ino != now->status.st_ino) {
        --i;
        continue;
      }
      ::rename((config + ".lock").c_str(), config.c_str());
      // Not faster than it can be cleaned.
      if (i % 4 == 0) turns.wait(turns);
    }
    ended = true;
  });
  int undone = 0;
  for (bool last = false; !last;) {
    last = ended;
    ++turns;
    turns.notify_one();
    const auto now = look_at(directory.get(), "config");
    REQUIRE(now.has_value());
    if (judge_entry(rule, before, *now, inside, {}).empty()) continue;
    const auto done = undo_entry(directory.get(), "config", rule, before, *now, inside, -1, "1");
    CHECK(done.has_value());
    ++undone;
  }
  writer.join();
  REQUIRE(undone > 0);
  std::set<std::string> keys;
  const auto left = parse_git_config(*look_at(directory.get(), "config")->text);
  REQUIRE(left.has_value());
  for (const ConfigEntry& entry : left->entries) keys.insert(entry.key);
  CHECK_FALSE(keys.contains("core.fsmonitor"));
  CHECK(keys.size() == kKeys + 1);  // and user.name
}

TEST_CASE("a store on another file system has copies, and what is too large for one stays") {
  const Scratch here;
  char name[] = "/dev/shm/dirbox-test-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string there = name;
  const UniqueFd directory(::open(here.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd store(::open(there.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat ours {
  }, theirs{};
  REQUIRE(::fstat(directory.get(), &ours) == 0);
  REQUIRE(::fstat(store.get(), &theirs) == 0);
  REQUIRE(ours.st_dev != theirs.st_dev);
  const NameRule rule{"x", What::whole, "something executes it"};
  const std::string large(kMaxKept + 1, 'x');
  std::ofstream(here.path + "/file") << "planted";
  std::ofstream(here.path + "/large") << large;
  REQUIRE(::symlink("/bin/sh", (here.path + "/link").c_str()) == 0);
  auto undo = [&](const std::string& entry, const Before& before) {
    return undo_entry(
        directory.get(), entry, rule, before, *look_at(directory.get(), entry),
        [](std::string_view) { return false; }, store.get(), entry);
  };
  CHECK(undo("file", {}));
  CHECK(undo("link", {}));
  CHECK(look_at(store.get(), "file")->text == "planted");
  const auto link = look_at(store.get(), "link");
  REQUIRE(link.has_value());
  CHECK(S_ISLNK(link->status.st_mode));
  CHECK(link->text == "/bin/sh");
  const auto refused = undo("large", before_from(*look_at(directory.get(), "large")));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().err == EXDEV);
  CHECK(std::filesystem::file_size(here.path + "/large") == large.size());
  for (const char* gone : {"file", "link"}) CHECK_FALSE(look_at(directory.get(), gone).has_value());
  CHECK_FALSE(look_at(store.get(), "large").has_value());

  // Back to where something stands by now that finds no place in the store.
  std::ofstream(there + "/1") << "GOOD";
  Record record;
  record.number = 1;
  record.path = here.path + "/large";
  record.seal = {sha256_hex("GOOD"), 0, S_IFREG | 0600};
  CHECK_FALSE(restore_record(there, record));
  CHECK(std::filesystem::file_size(record.path) == large.size());
  CHECK(list_entries(directory.get(), 10).entries.size() == 1);
  std::ofstream(record.path) << "small";
  CHECK(restore_record(there, record));
  CHECK(look_at(directory.get(), "large")->text == "GOOD");
  CHECK(look_at(store.get(), "1.replaced")->text == "small");
  std::filesystem::remove_all(there);
}
