#include "launcher/sync/host_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "launcher/base/file.h"
#include "launcher/base/json.h"
#include "launcher/sync/merge.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::sync;

namespace {

struct Folder : Scratch {
  std::ptrdiff_t entries() const {
    return std::distance(std::filesystem::directory_iterator(path), {});
  }
  std::string file() const { return path + "/state"; }
};

Result<std::string> merge(const Text& base, const Text& theirs, const std::string& ours) {
  auto parsed = [](const Text& text) { return Json::parse(text.value_or("{}")).value(); };
  return merge_json(parsed(base), parsed(theirs), parsed(ours)).dump();
}

HostFile::Clock::time_point soon() { return HostFile::Clock::now() + std::chrono::seconds(60); }

Text text_of(const Folder& folder) { return HostFile(folder.file()).read().value(); }

unsigned mode_of(const Folder& folder) {
  struct stat st {};
  REQUIRE(::stat(folder.file().c_str(), &st) == 0);
  return st.st_mode & 07777;
}

}  // namespace

TEST_CASE("a file that is missing is made, and one that is there keeps its mode") {
  Folder folder;
  HostFile file(folder.file());
  CHECK(file.read().value() == std::nullopt);
  CHECK(file.update({}, R"({"a":1})", merge, soon(), true).value());
  CHECK(text_of(folder) == R"({"a":1})");
  CHECK(mode_of(folder) == 0600);
  REQUIRE(::chmod(folder.file().c_str(), 0640) == 0);
  CHECK(file.update(R"({"a":1})", R"({"a":2})", merge, soon(), true).value());
  CHECK(mode_of(folder) == 0640);
  CHECK(folder.entries() == 1);
}

TEST_CASE("what the host had changed is in it, and an equal text is not written") {
  Folder folder;
  HostFile file(folder.file());
  REQUIRE(replace_file(folder.file(), R"({"a":1,"b":2})"));
  CHECK(file.update(R"({"a":1})", R"({"a":3})", merge, soon(), true).value());
  CHECK(text_of(folder) == R"({"a":3,"b":2})");
  struct stat before {
  }, after{};
  REQUIRE(::stat(folder.file().c_str(), &before) == 0);
  CHECK(file.update(R"({"a":1})", R"({"a":3})", merge, soon(), true).value());
  REQUIRE(::stat(folder.file().c_str(), &after) == 0);
  CHECK(before.st_ino == after.st_ino);
}

TEST_CASE("who writes between the look and the exchange loses nothing") {
  Folder folder;
  HostFile file(folder.file());
  REQUIRE(replace_file(folder.file(), R"({"n":0})"));
  int others = 0;
  auto interrupted = [&](const Text& base, const Text& theirs, const std::string& ours) {
    if (++others <= 5) {
      Json now = Json::parse(*text_of(folder)).value();
      now.set("other" + std::to_string(others), true);
      CHECK(replace_file(folder.file(), now.dump()));
    }
    return merge(base, theirs, ours);
  };
  CHECK(file.update(R"({"n":0})", R"({"n":1})", interrupted, soon(), true).value());
  Json wanted = JsonObject{{"n", 1}};
  for (int i = 1; i <= 5; ++i) wanted.set("other" + std::to_string(i), true);
  CHECK(is_same(Json::parse(*text_of(folder)).value(), wanted));
  CHECK(folder.entries() == 1);
}

TEST_CASE("what cannot be combined stays as the host wrote it") {
  Folder folder;
  HostFile file(folder.file());
  int calls = 0;
  auto combine = [&](const Text& base, const Text& theirs,
                     const std::string& ours) -> Result<std::string> {
    if (++calls > 1) return fail("merge", "state", "no JSON");
    CHECK(replace_file(folder.file(), "the user's, no JSON"));
    return merge(base, theirs, ours);
  };
  SUBCASE("in the place of another") { REQUIRE(replace_file(folder.file(), R"({"n":0})")); }
  SUBCASE("where nothing was") {}
  CHECK(!file.update({}, R"({"n":1})", combine, soon(), true));
  CHECK(calls == 2);
  CHECK(text_of(folder) == "the user's, no JSON");
  CHECK(folder.entries() == 1);
}

TEST_CASE("who writes at every exchange keeps the last text") {
  Folder folder;
  HostFile file(folder.file());
  REQUIRE(replace_file(folder.file(), R"({"n":0})"));
  int calls = 0, stop = 0;
  SUBCASE("that nothing followed") { stop = HostFile::kMaxExchanges; }
  SUBCASE("that was written while it was given up") { stop = HostFile::kMaxExchanges + 1; }
  auto combine = [&](const Text&, const Text&, const std::string&) -> Result<std::string> {
    if (++calls <= stop) {
      CHECK(replace_file(folder.file(), "{\"host\":" + std::to_string(calls) + "}"));
    }
    return "{\"n\":" + std::to_string(calls) + "}";
  };
  CHECK(!file.update(R"({"n":0})", R"({"n":1})", combine, soon(), true));
  CHECK(calls == HostFile::kMaxExchanges + 1);
  CHECK(text_of(folder) == "{\"host\":" + std::to_string(stop) + "}");
  CHECK(folder.entries() == 1);
}

TEST_CASE("where the second write fails, what the host wrote is back") {
  Folder folder;
  HostFile file(folder.file());
  REQUIRE(replace_file(folder.file(), R"({"n":0})"));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  int calls = 0;
  auto combine = [&](const Text& base, const Text& theirs, const std::string& ours) {
    if (++calls == 1) CHECK(replace_file(folder.file(), R"({"host":1})"));
    const rlimit none{1, before.rlim_max};
    if (calls == 2) CHECK(::setrlimit(RLIMIT_FSIZE, &none) == 0);
    return merge(base, theirs, ours);
  };
  const auto done = file.update(R"({"n":0})", R"({"n":1})", combine, soon(), true);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  ::signal(SIGXFSZ, handler);
  CHECK(!done);
  CHECK(text_of(folder) == R"({"host":1})");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a lock is respected, and one that is left over is not") {
  Folder folder;
  HostFile file(folder.file());
  const std::string lock = folder.file() + ".lock";
  REQUIRE(::mkdir(lock.c_str(), 0700) == 0);
  CHECK(!file.update({}, "{}", merge, HostFile::Clock::now(), false).value());
  CHECK(text_of(folder) == std::nullopt);
  CHECK(file.update({}, R"({"a":1})", merge, HostFile::Clock::now(), true).value());
  CHECK(text_of(folder) == R"({"a":1})");
  CHECK(std::filesystem::exists(lock));
  const timespec times[2] = {{1, 0}, {1, 0}};
  REQUIRE(::utimensat(AT_FDCWD, lock.c_str(), times, 0) == 0);
  CHECK(file.update(R"({"a":1})", R"({"a":2})", merge, HostFile::Clock::now(), false).value());
  CHECK(folder.entries() == 1);
}

TEST_CASE("what is no regular file is left alone") {
  Folder folder;
  HostFile file(folder.file());
  REQUIRE(::symlink("/etc/passwd", folder.file().c_str()) == 0);
  CHECK(!file.read());
  CHECK(!file.update({}, "{}", merge, soon(), true));
  CHECK(std::filesystem::is_symlink(folder.file()));
  REQUIRE(::unlink(folder.file().c_str()) == 0);
  REQUIRE(::mkfifo(folder.file().c_str(), 0600) == 0);
  CHECK(!file.read());
  CHECK(!file.update({}, "{}", merge, soon(), true));
  CHECK(folder.entries() == 1);
}

TEST_CASE("processes that write at once, with and without locks, lose nothing") {
  Folder folder;
  constexpr int kProcesses = 8, kRounds = 25;
  REQUIRE(replace_file(folder.file(), "{}"));
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      HostFile file(folder.file());
      bool good = true;
      for (int round = 0; round < kRounds; ++round) {
        const std::string ours = "{\"" + std::to_string(i * 100 + round) + "\":1}";
        auto done = file.update(Text("{}"), ours, merge, soon(), true);
        good = good && done && *done;
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (pid_t pid : children) {
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
  }
  const Json made = Json::parse(*text_of(folder)).value();
  REQUIRE(made.as_object() != nullptr);
  CHECK(made.as_object()->size() == kProcesses * kRounds);
  CHECK(folder.entries() == 1);
}
