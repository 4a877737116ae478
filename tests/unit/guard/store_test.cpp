#include "launcher/guard/store.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/nodes.h"
#include "launcher/guard/others.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// A state directory with two stores: this session's, and that of one that began a second earlier.
struct State {
  State() {
    char name[] = "/tmp/dirbox-store-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
    ours = path + "/quarantine/ours";
    theirs = path + "/quarantine/theirs";
    REQUIRE(make_directories(ours));
    REQUIRE(make_directories(theirs));
    store.reset(::open(theirs.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    begun = now_in_ns();
  }
  ~State() { CHECK(std::system(("rm -rf " + path).c_str()) == 0); }

  Record record(const std::string& key, const std::string& after, const Before& before) const {
    return make_record("/p/x", {{"/p/x", key, {}, after, "why", ""}}, before, begun - kSecond);
  }

  std::string path, ours, theirs;
  UniqueFd store;
  std::int64_t begun = 0;
};

Before file(const std::string& text, std::int64_t changed = 0) {
  Before out{true, text, S_IFREG | 0644};
  out.changed = changed;
  return out;
}
Entry standing(const std::string& text, std::int64_t changed) {
  Entry out;
  out.text = text;
  out.status.st_ctim = {changed / kSecond, changed % kSecond};
  return out;
}

}  // namespace

TEST_CASE("a record of any number of findings is one that can be read") {
  const State state;
  const std::string longer(5000, '\x01');  // six bytes each in JSON
  const std::vector<Finding> findings(2000, {"/p/x", longer, longer, longer, "why", ""});
  const Record record =
      make_record("/p/x", findings, file(std::string(kMostPutBack, 'x')), state.begun);
  REQUIRE(append_record(state.store.get(), record));
  auto read = read_records(state.theirs);
  REQUIRE(read);
  CHECK(read->whole);
  REQUIRE(read->list.size() == 1);
  CHECK(read->list[0].findings.size() == kMostListed);
  CHECK(read->list[0].more == 2000 - kMostListed);
  CHECK(read->list[0].entries == std::set<std::string>{entry_id(longer, longer)});
  CHECK(read->list[0].put_back == std::string(kMostPutBack, 'x'));
  // What is added later is read alone.
  REQUIRE(append_record(state.store.get(), state.record("", "x", {})));
  auto rest = read_records(state.theirs, read->end);
  REQUIRE(rest);
  CHECK(rest->list.size() == 1);
  CHECK(rest->list[0].put_back_mode == 0);
}

TEST_CASE("what is no record is said") {
  const State state;
  REQUIRE(append_record(state.store.get(), state.record("", "x", {})));
  UniqueFd records(::openat(state.store.get(), kRecords, O_WRONLY | O_APPEND | O_CLOEXEC));
  REQUIRE(write_all(records.get(), "{\"number\":1,\n{}", ""));
  auto read = read_records(state.theirs);
  REQUIRE(read);
  CHECK(read->list.size() == 1);
  CHECK_FALSE(read->whole);
}

TEST_CASE("records are bounded, and where they end is said") {
  const State state;
  Recorder recorder;
  const std::string records = state.theirs + "/" + kRecords;
  struct stat status {};
  std::size_t count = 0;
  const Record record = state.record("", "x", file(std::string(kMostPutBack, 'x')));
  do {
    REQUIRE(count++ < 100'000);
    REQUIRE(recorder.add(state.store.get(), record));
    REQUIRE(::stat(records.c_str(), &status) == 0);
    if (recorder.has_room()) CHECK(status.st_size <= static_cast<off_t>(kMostRecorded));
  } while ((status.st_mode & 0777) != Recorder::kStopped);
  auto read = read_records(state.theirs);
  REQUIRE(read);
  CHECK(read->whole);
  CHECK(read->list.size() == count - 1);
  CHECK(read->list.front().put_back.has_value());
  CHECK_FALSE(read->list.back().put_back.has_value());
  CHECK(read->list.back().put_back_hash == read->list.front().put_back_hash);
  // Nothing is added, but the time tells that there was something.
  const timespec past[2] = {{1, 0}, {1, 0}};
  REQUIRE(::utimensat(AT_FDCWD, records.c_str(), past, 0) == 0);
  REQUIRE(recorder.add(state.store.get(), state.record("", "x", {})));
  const off_t size = status.st_size;
  REQUIRE(::stat(records.c_str(), &status) == 0);
  CHECK(status.st_size == size);
  CHECK(status.st_mtim.tv_sec > 1);
}

TEST_CASE("what another one put back is what was there") {
  const State state;
  Others others(state.ours);
  const std::string user(100'000, 'u');
  const Before planted = file("evil", state.begun - kSecond / 2);
  REQUIRE(append_record(state.store.get(), state.record("", "evil", file(user))));
  others.look(state.begun);
  // Until it is seen nobody knows the text; what is not that text is not put back.
  const Before unknown = others.correct("/p/x", planted, standing("evil", state.begun));
  CHECK(unknown.exists);
  CHECK_FALSE(unknown.text.has_value());
  CHECK(others.correct("/p/x", planted, standing(user, state.begun)).text == user);
  CHECK(others.correct("/p/x", planted, standing("evil", state.begun)).text == user);
  CHECK(others.correct("/p/y", planted, standing("evil", state.begun)).text == "evil");
}

TEST_CASE("of what was there before, nobody takes the text for another's") {
  const State state;
  Others others(state.ours);
  const std::string user(100'000, 'u');
  REQUIRE(append_record(state.store.get(), state.record("", "evil", file(user))));
  others.look(state.begun);
  const Before before = file(user, state.begun - 2 * kSecond);
  CHECK(others.correct("/p/x", before, standing("evil", state.begun)).text == user);
}

TEST_CASE("the value of a key that another one put back is the user's") {
  const State state;
  Others others(state.ours);
  REQUIRE(append_record(state.store.get(),
                        state.record("core.pager", "evil\xff", file("[core]\n\tpager = less\n"))));
  others.look(state.begun);
  const Before planted = file("[core]\n\tpager = evil\xff\n\tbare = true\n");
  CHECK(others.correct("/p/x", planted, standing("", state.begun)).text ==
        "[core]\n\tpager = \"less\"\n\tbare = true\n");
}

TEST_CASE("a record of the future is none") {
  const State state;
  Others others(state.ours);
  Record record = state.record("", "evil", {});
  record.at += 1000 * kSecond;
  REQUIRE(append_record(state.store.get(), record));
  others.look(state.begun);
  CHECK(others.correct("/p/x", file("mine"), standing("mine", state.begun)).text == "mine");
  Others nobody("");
  record.at = now_in_ns();
  REQUIRE(append_record(state.store.get(), record));
  nobody.look(state.begun);
  CHECK(nobody.correct("/p/x", file("mine"), standing("mine", state.begun)).text == "mine");
  others.look(state.begun);
  CHECK_FALSE(others.correct("/p/x", file("mine"), standing("mine", state.begun)).exists);
}

TEST_CASE("where records end, what could come from that sandbox is not believed") {
  const State state;
  REQUIRE(append_record(state.store.get(), state.record("", "evil", {})));
  Others others(state.ours);
  others.look(state.begun);
  const Before older = file("old", state.begun - 2 * kSecond);
  const Before later = file("new", state.begun - kSecond / 2);
  CHECK(others.correct("/p/y", later, standing("new", state.begun)).text == "new");
  REQUIRE(::chmod((state.theirs + "/" + kRecords).c_str(), Recorder::kStopped) == 0);
  others.look(state.begun);
  CHECK(others.correct("/p/y", older, standing("old", state.begun)).text == "old");
  CHECK_FALSE(others.correct("/p/y", later, standing("new", state.begun)).exists);
  // One that nobody has touched since is no matter of this sandbox's.
  CHECK(others.correct("/p/y", later, standing("new", state.begun - kSecond / 2)).text == "new");
  others.accept("/p/y", later);
  CHECK(others.correct("/p/y", later, standing("new", state.begun)).text == "new");
}

TEST_CASE("where records end, what they say of a configuration is of use") {
  const State state;
  const std::string user = "[core]\n\tpager = less\n";
  REQUIRE(append_record(state.store.get(), state.record("core.pager", "evil", file(user))));
  REQUIRE(::chmod((state.theirs + "/" + kRecords).c_str(), Recorder::kStopped) == 0);
  Others others(state.ours);
  others.look(state.begun);
  const Before planted = file("[core]\n\tpager = worse\n", state.begun - kSecond / 2);
  CHECK(others.correct("/p/x", planted, standing("", state.begun)).text ==
        "[core]\n\tpager = \"less\"\n");
}

TEST_CASE("what the user could not put back is as it was") {
  const State state;
  REQUIRE(append_record(state.store.get(), state.record("", "evil", {})));
  Others others(state.ours);
  others.look(state.begun);
  others.accept("/p/x", std::nullopt);
  CHECK(others.correct("/p/x", file("evil"), standing("evil", state.begun)).text == "evil");
  CHECK_FALSE(others.withdraw("/p/x", file("evil")).has_value());
  CHECK_FALSE(others.correct("/p/x", file("evil"), standing("evil", state.begun)).exists);
  // What was put back before is no matter of the next time.
  others.accept("/p/x", std::nullopt);
  others.forget_replaced("/p/x");
  CHECK(others.withdraw("/p/x", file("mine"))->text == "mine");
  // Nothing was accepted: what is there stays.
  CHECK(others.withdraw("/p/y", file("mine"))->text == "mine");
}

TEST_CASE("what is put back is what was sealed, and a file of its own") {
  const State state;
  const std::string target = state.path + "/file";
  auto keep = [&](const std::string& text) {
    UniqueFd kept(::openat(state.store.get(), "1", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    REQUIRE(write_all(kept.get(), text, ""));
    return kept;
  };
  Record record;
  record.number = 1;
  record.path = target;
  record.seal = {sha256_hex("GOOD"), 0, S_IFREG | 0600};
  UniqueFd open = keep("GOOD");
  REQUIRE(write_all(open.get(), "!", ""));
  auto refused = restore_record(state.theirs, record);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().detail == "it was changed after it was quarantined");
  CHECK(::access(target.c_str(), F_OK) != 0);
  REQUIRE(::ftruncate(open.get(), 4) == 0);
  REQUIRE(restore_record(state.theirs, record));
  REQUIRE(write_all(open.get(), "!", ""));
  CHECK(read_file(target).value_or("") == "GOOD");
  struct stat status {};
  REQUIRE(::stat(target.c_str(), &status) == 0);
  CHECK(status.st_mode == record.seal.mode);
  CHECK(::faccessat(state.store.get(), "1", F_OK, 0) != 0);

  // One that is too large for that: its ctime.
  const std::string large(kMaxKept + 1, 'x');
  open = keep(large);
  REQUIRE(::fstat(open.get(), &status) == 0);
  record.seal = {"", in_ns(status.st_ctim) - 1, S_IFREG | 0644};
  CHECK_FALSE(restore_record(state.theirs, record));
  record.seal.changed += 1;
  REQUIRE(restore_record(state.theirs, record));
  CHECK(read_file(target).value_or("") == large);
  CHECK(read_file(state.theirs + "/1.replaced").value_or("") == "GOOD");
}
