#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "launcher/base/file.h"
#include "launcher/log/event_log.h"
#include "launcher/log/files.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::log;

namespace {

struct State : Scratch {
  std::string file(const std::string& id, const char* name = kCurrent) const {
    return path + "/sessions/" + id + "/" + name;
  }
};

Event denied(const std::string& subject) {
  Event event;
  event.operation = Operation::connect;
  event.subject = subject;
  event.cause = "no-rule";
  return event;
}

std::vector<Event> read_all(const State& scratch, const std::string& id,
                            std::uint64_t* skipped = nullptr) {
  std::vector<Event> out;
  auto reader = Reader::open(scratch.path, id);
  REQUIRE(reader);
  for (;;) {
    auto event = reader->next();
    REQUIRE(event);
    if (!*event) break;
    out.push_back(std::move(**event));
  }
  if (skipped != nullptr) *skipped = reader->skipped();
  return out;
}

}  // namespace

TEST_CASE("a session without events leaves nothing") {
  State scratch;
  EventLog log(scratch.path, "s");
  CHECK(log.close(0));
  CHECK_FALSE(std::filesystem::exists(scratch.path + "/sessions"));
  auto listed = list_logs(scratch.path + "/sessions");
  REQUIRE(listed);
  CHECK(listed->empty());
}

TEST_CASE("start, events, exit") {
  State scratch;
  Event start;
  start.subject = "true";
  EventLog log(scratch.path, "s", start);
  CHECK(log.write(denied("a:443")));
  auto listed = list_logs(scratch.path + "/sessions");
  REQUIRE(listed);
  REQUIRE(listed->size() == 1);
  CHECK(listed->front().running);
  CHECK(log.close(3));
  auto events = read_all(scratch, "s");
  REQUIRE(events.size() == 3);
  CHECK(events[0].kind == Kind::start);
  CHECK(events[0].subject == "true");
  CHECK(events[1].subject == "a:443");
  CHECK(events[1].sequence == 2);
  CHECK(events[2].kind == Kind::exit);
  CHECK(events[2].status == 3);
  struct stat st {};
  REQUIRE(::stat(scratch.file("s").c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  listed = list_logs(scratch.path + "/sessions");
  REQUIRE(listed);
  CHECK_FALSE(listed->front().running);
}

TEST_CASE("a session has started when it started, not with its first event") {
  State scratch;
  EventLog log(scratch.path, "s");
  Event event = denied("a:443");
  event.time_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
  CHECK(log.write(event));
  CHECK(log.close(0));
  auto events = read_all(scratch, "s");
  REQUIRE(events.size() == 3);
  CHECK(events[0].time_ns <= event.time_ns);
}

TEST_CASE("repetitions are counted, and few of them written") {
  State scratch;
  EventLog log(scratch.path, "s");
  for (int i = 0; i < 1000; ++i) CHECK(log.write(denied("a:443")));
  CHECK(log.write(denied("b:443")));
  REQUIRE(log.seen().size() == 2);
  CHECK(log.seen()[0].count == 1000);
  CHECK(log.close(0));
  auto events = read_all(scratch, "s");
  CHECK(events.size() == 1 + 10 + 1 + 1 + 1);  // start, 1 to 512, b, the last count, exit
  CHECK(events[events.size() - 2].count == 1000);
}

TEST_CASE("a torn last line is passed over, and the next session's lines are whole") {
  State scratch;
  {
    EventLog log(scratch.path, "s");
    CHECK(log.write(denied("a:443")));
  }
  {
    UniqueFd fd(::open(scratch.file("s").c_str(), O_WRONLY | O_APPEND));
    REQUIRE(write_all(fd.get(), R"({"time":"2026-01-)", ""));
  }
  std::uint64_t skipped = 0;
  CHECK(read_all(scratch, "s", &skipped).size() == 2);
  CHECK(skipped == 0);  // it may still be written
  EventLog log(scratch.path, "s");
  CHECK(log.write(denied("b:443")));
  auto events = read_all(scratch, "s", &skipped);
  REQUIRE(events.size() == 4);
  CHECK(events[3].subject == "b:443");
  CHECK(skipped == 1);
}

TEST_CASE("the log is bounded, and neither its beginning nor its end is lost") {
  State scratch;
  EventLog log(scratch.path, "s");
  constexpr int kEvents = 60'000;
  const std::string padding(300, 'x');
  for (int i = 0; i < kEvents; ++i) CHECK(log.write(denied(std::to_string(i) + padding)));
  CHECK(log.dropped() == kEvents - EventLog::kMaxDistinct);
  CHECK(log.close(0));
  std::uintmax_t size = 0;
  for (const char* segment : kSegments) {
    REQUIRE(std::filesystem::exists(scratch.file("s", segment)));
    size += std::filesystem::file_size(scratch.file("s", segment));
  }
  CHECK(size < 3 * EventLog::kMaxSegment + 10'000);
  auto events = read_all(scratch, "s");
  CHECK(events[1].subject.starts_with("0x"));
  CHECK(events.back().kind == Kind::exit);
  CHECK(events[events.size() - 2].subject.starts_with(std::to_string(kEvents - 1) + "x"));
  for (std::size_t i = 1; i < events.size(); ++i) {
    if (events[i].sequence <= events[i - 1].sequence) CHECK(events[i].sequence == 0);
  }
}

TEST_CASE("a reader follows through rotations") {
  State scratch;
  EventLog log(scratch.path, "s");
  const std::string padding(3000, 'x');
  CHECK(log.write(denied("first")));
  auto reader = Reader::open(scratch.path, "s");
  REQUIRE(reader);
  std::int64_t last = 0, missing = 0;
  auto drain = [&] {
    for (;;) {
      auto event = reader->next();
      REQUIRE(event);
      if (!*event) return;
      missing += (*event)->sequence - last - 1;
      last = (*event)->sequence;
    }
  };
  for (int i = 0; i < 6000; ++i) {
    CHECK(log.write(denied(std::to_string(i) + padding)));
    if (i % 100 == 0) drain();
  }
  CHECK(reader->running());
  CHECK(log.close(0));
  drain();
  CHECK(missing == 0);
  CHECK(last == 6000 + 3);
  CHECK_FALSE(reader->running());
}

TEST_CASE("old sessions make room, running ones stay") {
  State scratch;
  EventLog running(scratch.path, "running");
  CHECK(running.write(denied("a")));
  for (std::size_t i = 0; i < EventLog::kMaxSessions + 5; ++i) {
    EventLog log(scratch.path, "s" + std::to_string(i));
    CHECK(log.write(denied("a")));
  }
  auto listed = list_logs(scratch.path + "/sessions");
  REQUIRE(listed);
  CHECK(listed->size() == EventLog::kMaxSessions + 1);
  CHECK(std::any_of(listed->begin(), listed->end(), [](const LogInfo& l) { return l.running; }));
}

TEST_CASE("a log that cannot be written complains once and counts on") {
  State scratch;
  REQUIRE(write_all(
      UniqueFd(::open((scratch.path + "/sessions").c_str(), O_WRONLY | O_CREAT, 0600)).get(), "x",
      ""));
  EventLog log(scratch.path, "s");
  CHECK_FALSE(log.write(denied("a")));
  CHECK(log.write(denied("a")));
  CHECK(log.write(denied("b")));
  CHECK(log.seen().size() == 2);
  CHECK(log.close(0));
}

TEST_CASE("a directory that others can write is not used") {
  State scratch;
  std::filesystem::create_directory(scratch.path + "/sessions");
  REQUIRE(::chmod((scratch.path + "/sessions").c_str(), 0777) == 0);
  EventLog log(scratch.path, "s");
  CHECK_FALSE(log.write(denied("a")));
}

TEST_CASE("finding a log") {
  State scratch;
  CHECK_FALSE(find_log(scratch.path, ""));
  for (const char* id : {"aa1", "aa2", "b"}) {
    EventLog log(scratch.path, id);
    CHECK(log.write(denied("a")));
  }
  CHECK(find_log(scratch.path, "aa1")->id == "aa1");
  CHECK(find_log(scratch.path, "b")->id == "b");
  CHECK_FALSE(find_log(scratch.path, "aa"));
  CHECK_FALSE(find_log(scratch.path, "c"));
  CHECK(find_log(scratch.path, "")->id == "b");
  CHECK_FALSE(Reader::open(scratch.path, "../b"));
}
