#include "launcher/log/event.h"

#include <doctest/doctest.h>

#include "launcher/base/file.h"

using namespace dirbox;
using namespace dirbox::log;

namespace {

Event sample() {
  Event event;
  event.operation = Operation::write;
  event.layer = Layer::mount;
  event.time_ns = 1'769'861'535'123'456'000;
  event.session = "abc";
  event.sequence = 7;
  event.pid = 42;
  event.comm = "sh\x1b[31m";
  event.exe = "/bin/sh";
  event.subject = "/etc/x\ny";
  event.rule = "/etc";
  event.origin = "base.toml:3:5";
  event.cause = "read-only";
  event.detail = "a sentence";
  event.cure = "--write /etc";
  event.toml = "write = [\"/etc\"]";
  event.never = "why";
  event.count = 3;
  event.status = 1;
  event.error = 30;
  return event;
}

}  // namespace

TEST_CASE("every field survives") {
  Event event = sample();
  std::string line = event_to_json(event).dump();
  CHECK(line.find('\n') == std::string::npos);
  auto read = parse_event(line);
  REQUIRE(read);
  for (const Field& field : fields()) {
    CAPTURE(field.name);
    CHECK(std::visit([&](auto member) { return event.*member == (*read).*member; }, field.member));
  }
}

TEST_CASE("what has nothing to say is left out") {
  Event event;
  event.time_ns = 1;
  CHECK(event_to_json(event).dump() == R"({"time":"1970-01-01T00:00:00.000000Z","kind":"denied"})");
}

TEST_CASE("lines that are no events") {
  CHECK_FALSE(parse_event(""));
  CHECK_FALSE(parse_event("[]"));
  CHECK_FALSE(parse_event(R"({"kind":"denied"})"));
  CHECK_FALSE(parse_event(R"({"time":"1970-01-01T00:00:00.000000Z"})"));
  CHECK_FALSE(parse_event(R"({"time":"1970-01-01T00:00:00.000000Z","kind":"nonsense"})"));
  CHECK_FALSE(parse_event(R"({"time":"1970-01-01T00:00:00.000000Z","kind":1})"));
  CHECK_FALSE(parse_event(R"({"time":"1970-01-01T00:00:00.000000Z","kind":"denied","pid":"x"})"));
  CHECK(parse_event(R"({"time":"1970-01-01T00:00:00.000000Z","kind":"denied","later":[1]})"));
}

TEST_CASE("times") {
  for (std::int64_t time :
       {std::int64_t{0}, std::int64_t{-1'000}, std::int64_t{1'769'861'535'123'456'000}}) {
    CHECK(parse_time(time_text(time)) == time);
  }
  CHECK(time_text(1'769'861'535'123'456'789) == "2026-01-31T12:12:15.123456Z");
  CHECK_FALSE(parse_time("2026-01-31T12:12:15.123456"));
  CHECK_FALSE(parse_time("2026-01-31 12:12:15.123456Z"));
  CHECK_FALSE(parse_time("9999-01-31T12:12:15.123456Z"));
  CHECK_FALSE(parse_time(""));
}

TEST_CASE("nothing from inside reaches a terminal raw") {
  Event event = sample();
  CHECK(describe_event(event) ==
        "write /etc/x\\ny: a sentence (/etc, base.toml:3:5, mount), 3 times");
  event.cure = "--write '/etc/\x1b[2J'";
  CHECK(describe_cure(event).find('\x1b') == std::string::npos);
  event.cure.clear();
  event.toml.clear();
  CHECK(describe_cure(event) == "never: why");
}

TEST_CASE("the manual has every field and every word") {
  auto manual = read_file(std::string(DIRBOX_SOURCE_DIR) + "/man/dirbox-events.5");
  REQUIRE(manual);
  auto has = [&](std::string_view word) {
    return manual->find(".It Ic " + std::string(word) + "\n") != std::string::npos;
  };
  for (const Field& field : fields()) {
    CAPTURE(field.name);
    CHECK(has(field.name));
  }
  for (auto words : {kind_names(), operation_names(), layer_names()}) {
    for (std::string_view word : words) {
      CAPTURE(word);
      CHECK((word == "none" || has(word)));
    }
  }
}
