#include "launcher/sync/merge.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace dirbox;
using namespace dirbox::sync;

namespace {

Json parsed(std::string_view text) { return Json::parse(text).value(); }

std::string merged(std::string_view base, std::string_view theirs, std::string_view ours) {
  return merge_json(parsed(base), parsed(theirs), parsed(ours)).dump();
}

using Flat = std::map<std::string, int>;

/// The same rules over paths of leaves, where no two values differ in kind.
Flat merge_flat(const Flat& base, const Flat& theirs, const Flat& ours) {
  Flat out;
  auto value = [](const Flat& side, const std::string& key) {
    auto found = side.find(key);
    return found == side.end() ? -1 : found->second;
  };
  for (const Flat* side : {&base, &theirs, &ours}) {
    for (const auto& [key, ignored] : *side) {
      const int was = value(base, key), outside = value(theirs, key), inside = value(ours, key);
      int now = inside;
      if (inside == was || (inside == -1 && outside != was)) now = outside;
      if (now != -1) out[key] = now;
    }
  }
  return out;
}

/// "a/b" is member b of the object a. Every object is there on every side, so that only leaves
/// differ.
Json to_json(const Flat& flat) {
  Json out = JsonObject{};
  for (const char* group : {"a", "b", "c"}) {
    Json object = JsonObject{};
    for (const auto& [key, value] : flat) {
      if (key[0] == group[0]) object.set(key.substr(2), value);
    }
    out.set(group, std::move(object));
  }
  return out;
}

}  // namespace

TEST_CASE("both sides' changes of an object are kept") {
  CHECK(merged("{}", "{}", "{}") == "{}");
  CHECK(merged(R"({"a":1})", R"({"a":1})", R"({"a":2})") == R"({"a":2})");
  CHECK(merged(R"({"a":1})", R"({"a":2})", R"({"a":1})") == R"({"a":2})");
  CHECK(merged(R"({"a":1})", R"({"a":1,"b":2})", R"({"a":1,"c":3})") == R"({"a":1,"b":2,"c":3})");
  CHECK(merged(R"({"p":{"x":1}})", R"({"p":{"x":1,"y":2}})", R"({"p":{"x":3}})") ==
        R"({"p":{"x":3,"y":2}})");
}

TEST_CASE("of one value that both changed the inside's is kept") {
  CHECK(merged(R"({"a":1})", R"({"a":2})", R"({"a":3})") == R"({"a":3})");
  CHECK(merged(R"({"a":1})", R"({"a":{}})", R"({"a":[1]})") == R"({"a":[1]})");
  CHECK(merged("1", "2", "3") == "3");
}

TEST_CASE("a removal is a change, and another change wins over it") {
  CHECK(merged(R"({"a":1,"b":2})", R"({"a":1,"b":2})", R"({"b":2})") == R"({"b":2})");
  CHECK(merged(R"({"a":1})", "{}", R"({"a":1})") == "{}");
  CHECK(merged(R"({"a":1})", R"({"a":2})", "{}") == R"({"a":2})");
  CHECK(merged(R"({"a":1})", "{}", R"({"a":2})") == R"({"a":2})");
}

TEST_CASE("the order of members is no change") {
  CHECK(is_same(parsed(R"({"a":1,"b":[1,{"c":2,"d":3}]})"),
                parsed(R"({"b":[1,{"d":3,"c":2}],"a":1})")));
  CHECK(!is_same(parsed("[1,2]"), parsed("[2,1]")));
  CHECK(!is_same(parsed("1"), parsed("\"1\"")));
  CHECK(!is_same(parsed("null"), parsed("false")));
  CHECK(merged(R"({"a":1,"b":2})", R"({"a":1,"b":3})", R"({"b":2,"a":1})") == R"({"a":1,"b":3})");
}

TEST_CASE("any three states give what the rules give member by member") {
  std::mt19937 random(7);
  auto pick = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
  for (int round = 0; round < 3000; ++round) {
    Flat sides[3];
    for (Flat& side : sides) {
      for (const char* key : {"a/x", "a/y", "b/x", "b/y", "b/z", "c/x"}) {
        if (pick(3) != 0) side[key] = pick(3);
      }
    }
    const Json base = to_json(sides[0]), theirs = to_json(sides[1]), ours = to_json(sides[2]);
    const Json made = merge_json(base, theirs, ours);
    CHECK(is_same(made, to_json(merge_flat(sides[0], sides[1], sides[2]))));
    CHECK(is_same(merge_json(made, made, made), made));
    CHECK(is_same(merge_json(base, base, ours), ours));
    CHECK(is_same(merge_json(base, theirs, base), theirs));
  }
}
