#include "profiles/show.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "launcher/base/file.h"
#include "profiles/schema.h"
#include "tests/unit/profiles/memory_source.h"

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

Profile load(const std::string& name) {
  Request request;
  request.name = name;
  request.system_dir = "";
  return load_profile(request).value();
}

}  // namespace

TEST_CASE("profile show director is what tests/golden has; DIRBOX_UPDATE_GOLDEN=1 rewrites it") {
  const std::string path = DIRBOX_SOURCE_DIR "/tests/golden/profile-show-director.txt";
  const std::string shown = show_profile(load("director"));
  if (std::getenv("DIRBOX_UPDATE_GOLDEN") != nullptr) {
    REQUIRE(replace_file(path, shown, 0644));
  }
  auto golden = read_file(path);
  REQUIRE(golden);
  CHECK_MESSAGE(*golden == shown,
                "profile show director differs from tests/golden/profile-show-director.txt");
}

TEST_CASE("JSON has every key, with origins") {
  Json json = to_json(load("director"));
  CHECK(*json.find("name")->as_string() == "director");
  for (const Row& row : schema()) {
    if (row.key == "extends" || row.section.find('.') != row.section.npos ||
        row.section == "verify" || row.section == "excluded")
      continue;
    CAPTURE(row.full_name());
    const Json* section = row.section.empty() ? &json : json.find(row.section);
    REQUIRE(section != nullptr);
    CHECK(section->find(row.key) != nullptr);
  }
  const Json* write = json.find("filesystem")->find("write");
  CHECK(write->as_array()->back().dump().starts_with(
      R"({"path":"~/.swarm","optional":false,"create":true,"origin":"director.toml:)"));
  CHECK(json.find("limits")->find("nofile")->find("value")->is_null());
  CHECK(*json.find("require")->find("landlock")->find("value")->as_string() == "required");
}

TEST_CASE("diff tells meanings apart, not origins") {
  CHECK(render_diff(diff_profiles(load("director"), load("director-guide"))).find("filesystem") ==
        std::string::npos);
  auto differences = diff_profiles(load("worker"), load("build"));
  bool ptrace = false;
  for (const Difference& d : differences) {
    ptrace = ptrace || (d.key == "seccomp.allow" && d.value == "@ptrace" && d.added);
    CHECK(d.key != "filesystem.hide");
  }
  CHECK(ptrace);
}

TEST_CASE("a new profile loads as it is, and with every line uncommented") {
  MemorySource source;
  std::string text = new_profile_text("director");
  source.files["/u/new.toml"] = text;
  Request request = request_for("new", embedded_files());
  CHECK(load_profile(request, source).has_value());
  // The examples are of one schema row each, so a line alone must be valid.
  for (const Row& row : schema()) {
    if (!is_section(row.section)) continue;
    CAPTURE(row.full_name());
    source.files["/u/new.toml"] = "extends = \"director\"\n[" + std::string(row.section) + "]\n" +
                                  std::string(row.key) + " = " + std::string(row.example) + "\n";
    auto profile = load_profile(request, source);
    CHECK_MESSAGE(profile.has_value(), (profile ? "" : profile.error().message()));
  }
}

TEST_CASE("what is shown cannot steer the terminal") {
  MemorySource source;
  source.files["/u/x.toml"] =
      "description = \"\\u001b[31m\"\n[filesystem]\nread = [\"/\\u202e\"]\n[environment]\nset = {A "
      "= \"\\u0007\"}\n";
  auto profile = load_profile(request_for("x"), source);
  REQUIRE(profile);
  std::string shown = show_profile(*profile);
  CHECK(shown.find('\x1b') == shown.npos);
  CHECK(shown.find('\x07') == shown.npos);
  CHECK(shown.find(std::string{'\xe2', '\x80', '\xae'}) == shown.npos);
}

TEST_CASE("every key of the schema has a sentence, an example and a line in dirbox-profile(5)") {
  auto page = read_file(DIRBOX_SOURCE_DIR "/man/dirbox-profile.5");
  REQUIRE(page);
  for (const Row& row : schema()) {
    CAPTURE(row.full_name());
    CHECK(row.doc.ends_with("."));
    CHECK_FALSE(row.example.empty());
    std::string item = ".It Ic " + std::string(row.key);
    CHECK(page->find(item) != page->npos);
    if (!row.fallback.empty()) {
      std::string_view value = row.fallback;
      if (value.front() == '"') value = value.substr(1, value.size() - 2);
      CHECK(page->find("default " + std::string(value)) != page->npos);
    }
    for (std::string_view word : choices_of(row)) CHECK(page->find(word) != page->npos);
    if (is_section(row.section))
      CHECK(page->find(".Ss [" + std::string(row.section) + "]") != page->npos);
  }
  for (const VariableDoc& variable : variable_docs()) {
    CHECK(page->find("${" + std::string(variable.name) + "}") != page->npos);
  }
  for (const EmbeddedFile& file : embedded_files()) {
    CAPTURE(file.name);
    CHECK(page->find(".It Sy " + std::string(file.name) + "\n") != page->npos);
  }
}
