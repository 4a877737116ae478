#include "launcher/base/json.h"

#include <doctest/doctest.h>

using namespace dirbox;

TEST_CASE("values survive a round trip in order") {
  auto json = Json::parse(R"({"b":[1,-2,3.5,true,null,"x"],"a":{}})");
  REQUIRE(json);
  CHECK(json->dump() == R"({"b":[1,-2,3.5,true,null,"x"],"a":{}})");
  CHECK(*json->find("b")->as_array()->at(1).as_int() == -2);
}

TEST_CASE("what a terminal obeys or hides is escaped, and parses as it was") {
  const std::string text = "a\xc2\x9b[31m\x7f\xe2\x80\xae\xf3\xa0\x81\x81 caf\xc3\xa9 \\ \n";
  const Json json(text);
  const std::string shown = json.dump_for_terminal();
  CHECK(shown == "\"a\\u009b[31m\\u007f\\u202e\\udb40\\udc41 caf\xc3\xa9 \\\\ \\n\"");
  auto parsed = Json::parse(shown);
  REQUIRE(parsed);
  CHECK(*parsed->as_string() == text);
}

TEST_CASE("what hostile input must not pass") {
  CHECK_FALSE(Json::parse(R"({"a":1,"a":2})"));
  CHECK_FALSE(Json::parse(R"({"HostConfig":1,"hostConfig":2})"));
  CHECK_FALSE(Json::parse(R"({} {})"));
  CHECK_FALSE(Json::parse(std::string("{}\0", 3)));
  CHECK_FALSE(Json::parse(std::string("{}\0{\"a\":1}", 10)));
  CHECK_FALSE(Json::parse("\xef\xbb\xbf{}"));
  CHECK_FALSE(Json::parse("\"\xff\""));
  CHECK_FALSE(Json::parse("18446744073709551615"));
  CHECK_FALSE(Json::parse("99999999999999999999999"));
  CHECK_FALSE(Json::parse(""));
  CHECK_FALSE(Json::parse(std::string(65, '[') + std::string(65, ']')));
  CHECK(Json::parse(std::string(64, '[') + std::string(64, ']')));
  Json::Limits strict;
  strict.ascii_keys_only = true;
  CHECK_FALSE(Json::parse("{\"Ho\xc5\xbftConfig\":1}", strict));
}

TEST_CASE("set replaces and appends") {
  Json json;
  json.set("a", 1);
  json.set("b", "x");
  json.set("a", 2);
  CHECK(json.dump() == R"({"a":2,"b":"x"})");
}
