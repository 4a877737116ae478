#include "profiles/narrow.h"

#include <doctest/doctest.h>

#include "profiles/schema.h"

using namespace dirbox::profiles;

namespace {

Effect judged(const Profile& before, const Profile& after) {
  const auto all = judge_changes(before, after);
  REQUIRE(!all.empty());
  return all.front().effect;
}
Entry entry(const char* text) {
  Entry out;
  out.text = text;
  return out;
}

}  // namespace

TEST_CASE("a list that grants, and one that refuses") {
  Profile less = default_profile(), more = default_profile();
  more.net_allow.push_back(entry("a.test"));
  CHECK(judged(less, more) == Effect::widens);
  CHECK(judged(more, less) == Effect::narrows);
  more.net_allow.clear();
  more.net_deny.push_back(entry("a.test"));
  CHECK(judged(less, more) == Effect::narrows);
  CHECK(judged(more, less) == Effect::widens);
}

TEST_CASE("what is hidden or protected no more widens, whatever the profile alone grants there") {
  Profile less = default_profile(), more = default_profile();
  more.hide.push_back(entry("~/.ssh"));
  CHECK(judged(less, more) == Effect::by_path);
  CHECK(judged(more, less) == Effect::widens);
  more.hide.clear();
  more.protect.push_back(entry("~/x"));
  CHECK(judged(less, more) == Effect::by_path);
  CHECK(judged(more, less) == Effect::widens);
}

TEST_CASE("the guard is stricter the later its word") {
  Profile off = default_profile(), on = default_profile();
  off.guard.value = GuardMode::off;
  on.guard.value = GuardMode::quarantine;
  CHECK(judged(on, off) == Effect::widens);
  CHECK(judged(off, on) == Effect::narrows);
}

TEST_CASE("what the table does not name widens, both ways") {
  Profile before = default_profile(), after = default_profile();
  after.env_set.push_back({"PATH", "/x", {}});
  CHECK(judged(before, after) == Effect::widens);
  CHECK(judged(after, before) == Effect::widens);
  after = default_profile();
  after.net_proxy_port.value = 0;
  CHECK(judged(before, after) == Effect::widens);
  CHECK(judge_changes(before, before).empty());
}
