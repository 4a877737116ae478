#include "netns/bundles.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "launcher/base/file.h"
#include "netns/rules.h"

using namespace dirbox;
using namespace dirbox::netns;

TEST_CASE("every row of the bundles is a rule with a purpose, once") {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const BundleRow& row : bundle_rows()) {
    CAPTURE(row.bundle);
    CAPTURE(row.rule);
    CHECK(seen.insert({row.bundle, row.rule}).second);
    CHECK_FALSE(row.purpose.empty());
    auto rules = parse_rules({std::string(row.rule), {}}, false);
    REQUIRE(rules);
    CHECK(rules->at(0).text() == row.rule);
    CHECK(std::holds_alternative<NamePattern>(rules->at(0).target));
  }
  CHECK(seen.size() >= 200);
}

TEST_CASE("the manual names every bundle, and no other") {
  auto page = read_file(DIRBOX_SOURCE_DIR "/man/dirbox-network.7");
  REQUIRE(page);
  std::size_t section = page->find(".Ss Bundles"), end = page->find(".Pp", section);
  REQUIRE(section != std::string::npos);
  std::string expected = ".Ss Bundles\n";
  auto names = bundle_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    expected += ".Li @" + std::string(names[i]) + (i + 1 < names.size() ? " ,\n" : " .\n");
  }
  CHECK(page->substr(section, end - section) == expected);
}

TEST_CASE("the rows of a bundle are adjacent, and none hides behind a wildcard of the same one") {
  std::vector<std::string_view> names = bundle_names();
  CHECK(std::set<std::string_view>(names.begin(), names.end()).size() == names.size());
  std::size_t rows = 0;
  for (std::string_view name : names) {
    CAPTURE(name);
    auto set = find_bundle(name);
    rows += set.size();
    for (const BundleRow& row : set) {
      CAPTURE(row.rule);
      auto rule = parse_rules({std::string(row.rule), {}}, false)->at(0);
      for (const BundleRow& other : set) {
        auto wider = parse_rules({std::string(other.rule), {}}, false)->at(0);
        const auto& wide = std::get<NamePattern>(wider.target);
        bool hidden = &row != &other && wide.wildcard && wider.ports == rule.ports &&
                      wide.matches(std::get<NamePattern>(rule.target).name);
        CHECK_FALSE(hidden);
      }
    }
  }
  CHECK(rows == bundle_rows().size());
  CHECK(find_bundle("no-such").empty());
  CHECK(find_bundle("").empty());
}

TEST_CASE("bundles the documentation promises exist, and rules carry their name") {
  for (std::string_view name : {"anthropic", "openai", "github", "gitlab", "npm", "pypi", "crates",
                                "golang", "debian", "ubuntu", "docker", "maven", "rubygems"}) {
    CAPTURE(name);
    CHECK_FALSE(find_bundle(name).empty());
  }
  std::vector<RuleText> allow = {{"@anthropic", {"p.toml", 3, 2}}};
  auto set = RuleSet::make(allow, {});
  REQUIRE(set);
  for (std::string_view host :
       {"api.anthropic.com", "platform.claude.com", "claude.ai", "downloads.claude.ai"}) {
    auto verdict = set->decide(parse_hostname(host).value(), 443);
    CHECK(verdict.allowed);
    CHECK(verdict.rule->bundle == "anthropic");
    CHECK(verdict.rule->origin.text() == "p.toml:3:2");
  }
  CHECK_FALSE(set->name_allowed(parse_hostname("example.com").value()).allowed);
}
