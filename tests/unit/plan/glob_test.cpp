#include <algorithm>

#include "launcher/plan/glob_search.h"
#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

namespace {

std::string found(const FakeHost& host, const std::string& pattern,
                  const std::vector<std::string>& roots = {"/d"}) {
  const auto glob = Glob::parse(pattern);
  if (!glob) return glob.error().detail;
  auto matches = find_matches(host.files, *glob, roots);
  if (!matches) return matches.error().detail;
  std::sort(matches->paths.begin(), matches->paths.end());
  std::string out;
  for (const std::string& path : matches->paths) out += path + " ";
  return out;
}

}  // namespace

TEST_CASE("two stars stand for directories, also for none") {
  FakeHost host;
  for (const char* path :
       {"/d/.env", "/d/a/.env", "/d/a/b/.env", "/d/a/b/env", "/d/x/.env/deep", "/e/.env"})
    host.files.file(path);
  CHECK(found(host, "/d/**/.env") == "/d/.env /d/a/.env /d/a/b/.env /d/x/.env ");
  CHECK(found(host, "/**/.env") == "/d/.env /d/a/.env /d/a/b/.env /d/x/.env ");
  CHECK(found(host, "/**/.env", {"/d/a", "/e"}) == "/d/a/.env /d/a/b/.env /e/.env ");
  CHECK(found(host, "/d/*/.env") == "/d/a/.env /d/x/.env ");
  CHECK(found(host, "/d/a/**/b/*env") == "/d/a/b/.env /d/a/b/env ");
  CHECK(found(host, "/d/a/**") == "/d/a/.env /d/a/b ");
  CHECK(found(host, "/d/**/none") == "");
  CHECK(found(host, "/x/**/.env") == "");
  CHECK(found(host, "/*/a", {"/d/a", "/e"}) == "/d/a ");
  host.files.file("/d/.git/refs/.env");
  CHECK(found(host, "/d/**/refs/.env") == "");
  CHECK(found(host, "/d/.git/**/.env") == "/d/.git/refs/.env ");
  CHECK(found(host, "/d/**/**/**/.env").starts_with("/d/.env "));
}

TEST_CASE("only what can hold a match is read, and what is too much is an error") {
  FakeHost host;
  host.files.file("/d/a/b/key");
  host.files.file("/d/c/b/key");
  auto one = find_matches(host.files, Glob::parse("/d/a/b/k*").value(), {"/d"});
  REQUIRE(one);
  CHECK(one->listed == 1);
  for (std::size_t i = 0; i <= kMaxMatches; ++i) host.files.file("/d/many/" + std::to_string(i));
  CHECK(found(host, "/d/many/*") == "more than 1000 matches");
  std::string deep = "/d";
  for (int i = 0; i < 70; ++i) deep += "/a";
  CHECK(found(host, deep + "/*") == "more than 63 components");
}

TEST_CASE("patterns become rules of what is granted, with a note or a warning") {
  FakeHost host;
  for (const char* path : {"/d/.env", "/d/a/.env", "/e/.env", "/d/keys/one.pem", "/d/keys/two"})
    host.files.file(path);
  Plan plan = host.filesystem(
      "hide = [\"/**/.env\", \"/d/**/none\"]\nprotect = [\"/d/keys/*.pem\"]", ", \"/d\"");
  CHECK(shown(plan, "/d/.env") == "mask");
  CHECK(shown(plan, "/d/a/.env") == "mask");
  CHECK(shown(plan, "/d/keys/one.pem") == "read");
  REQUIRE(find_rule(plan, "/d/keys/two") != nullptr);
  CHECK(find_rule(plan, "/d/keys/two")->access == PathAccess::write);
  CHECK(plan.guard.globs == std::vector<std::string>{"/**/.env", "/d/**/none", "/d/keys/*.pem"});
  CHECK(plan.guard.matched.size() == 3);
  CHECK(find_rule(plan, "/e/.env") == nullptr);
  auto says = [](const std::vector<Note>& notes, const std::string& text) {
    return std::any_of(notes.begin(), notes.end(),
                       [&](const Note& note) { return note.text == text && note.origin.line > 0; });
  };
  CHECK(says(plan.warnings, "/d/**/none matches nothing"));
  CHECK(says(plan.notes, "/d/keys/*.pem: 1 match, 1 directory looked through"));
}

TEST_CASE("the beginning of a pattern may be a symlink, and a match too") {
  FakeHost host;
  for (const char* path : {"/d/a/.env", "/d/secret", "/usr/bin/tool"}) host.files.file(path);
  host.files.link("/way", "/d");
  host.files.link("/d/b/.env", "../secret");
  host.files.link("/d/c/.env", "/usr/bin/tool");
  host.files.link("/d/e/.env", "..");
  Plan plan = host.filesystem("hide = [\"/way/**/.env\"]", ", \"/d\"");
  CHECK(shown(plan, "/d/a/.env") == "mask");
  CHECK(shown(plan, "/d/secret") == "mask");
  const PathRule* tool = find_rule(plan, "/usr/bin/tool");
  CHECK((tool == nullptr || tool->access == PathAccess::read));
  CHECK(find_rule(plan, "/d/a")->access == PathAccess::write);
}

TEST_CASE("other wildcards are names, and one that names nothing is an error") {
  FakeHost host;
  for (const char* path : {"/d/a/.env", "/d/x[1]", "/d/{id}/.env", "/d/q"}) host.files.file(path);
  host.files.link("/d/l[1]", "/gone");
  struct Row {
    const char* text;
    const char* hint;  ///< "" for no error
  };
  const Row rows[] = {
      {"hide = [\"${CWD}/{a,b}/.env\"]",
       "write \"${CWD}/a/.env\", \"${CWD}/b/.env\"; if that is its name and it may be absent, "
       "\"?${CWD}/{a,b}/.env\""},
      {"protect = [\"/d/[ab]/{e,f}?\"]",
       "write \"/d/*/e*\", \"/d/*/f*\"; if that is its name and it may be absent, "
       "\"?/d/[ab]/{e,f}?\""},
      {"hide = [\"/d/{a/x,b}\"]",
       "write \"/d/a/x\", \"/d/b\"; if that is its name and it may be absent, \"?/d/{a/x,b}\""},
      {"hide = [\"/d/**/.en?\"]",
       "write \"/d/**/.en*\"; if that is its name and it may be absent, \"?/d/**/.en?\""},
      {"hide = [\"/d/x[1]\"]", ""},
      {"hide = [\"/d/l[1]\"]", ""},
      {"hide = [\"/d/{id}/none\"]", ""},
      {"hide = [\"/d/**/{id}/.env\"]", ""},
      {"hide = [\"/d/none}\", \"/d/[none\", \"/d/none\"]", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    auto plan = host.try_filesystem(row.text, ", \"/d\"");
    CHECK(plan.has_value() == (*row.hint == '\0'));
    CHECK((plan ? "" : plan.error().error.hint) == row.hint);
    if (!plan) CHECK(plan.error().error.operand.starts_with("t.toml:3:"));
    if (plan) CHECK(all_notes(plan->warnings) == "");
  }
  CHECK(shown(host.filesystem("hide = [\"/d/x[1]\"]", ", \"/d\""), "/d/x[1]") == "mask");
  const Plan plan = host.filesystem("hide = [\"?/d/{a,b}/.env\"]", ", \"/d\"");
  CHECK(all_notes(plan.warnings) ==
        "/d/{a,b}/.env: nothing has the name {a,b}, and only * and ** are wildcards: write "
        "\"/d/a/.env\", \"/d/b/.env\"\n");
  CHECK(plan.warnings.front().origin.line == 3);
}

TEST_CASE("a wildcard in the last name of a device stands for device nodes") {
  FakeHost host;
  for (const char* path : {"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvme0"})
    host.files.other(path, 020666);
  host.files.other("/dev/nvidia-caps/cap1", 020666);
  host.files.file("/dev/nvidia.txt");
  host.files.link("/dev/nvidia-out", "/etc/passwd");
  Plan plan = host.filesystem("devices = [\"/dev/nvidia*\", \"?/dev/none*\"]");
  CHECK(all_notes(plan.warnings) == "");
  CHECK(mount_at(plan, "/dev/nvidia0")->devices);
  CHECK(mount_at(plan, "/dev/nvidiactl")->devices);
  for (const char* path : {"/dev/nvidia-caps", "/dev/nvidia.txt", "/dev/nvidia-out", "/dev/nvme0"})
    CHECK(mount_at(plan, path) == nullptr);
  plan = host.filesystem("devices = [\"/dev/none*\"]");
  CHECK(all_notes(plan.warnings) == "/dev/none* names no device\n");
  CHECK(plan.warnings.front().origin.line == 3);
  host.files.other("/dev/sda", 060660);
  host.files.other("/dev/ttyS0", 020660);
  for (const char* refused : {"/dev/sd*", "/dev/ttyS*"}) {
    auto compiled = host.try_filesystem(std::string("devices = [\"") + refused + "\"]");
    REQUIRE_FALSE(compiled.has_value());
    CHECK(compiled.error().error.operand.starts_with("t.toml:3:"));
  }
  for (int i = 0; i < 65; ++i) host.files.other("/dev/many" + std::to_string(i), 020660);
  CHECK_FALSE(host.try_filesystem("devices = [\"/dev/many*\"]").has_value());
}
