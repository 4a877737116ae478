#include "launcher/guard/git_config.h"

#include <doctest/doctest.h>

using namespace dirbox::guard;

namespace {

std::string shown(const std::string& text) {
  auto parsed = parse_git_config(text);
  if (!parsed) return "error";
  std::string out;
  for (const ConfigEntry& entry : parsed->entries) out += entry.key + "=" + entry.value + ";";
  return out;
}
std::string cleaned(const std::string& before, const std::string& after) {
  auto out = clean_git_config(before, after);
  return out ? out->text : "error";
}

}  // namespace

TEST_CASE("entries as git reads them") {
  CHECK(shown("") == "");
  CHECK(shown("[core]\n\tbare = false\n") == "core.bare=false;");
  CHECK(shown("[core] fsmonitor = x") == "core.fsmonitor=x;");
  CHECK(shown("[CORE]\nFsMonitor=x") == "core.fsmonitor=x;");
  CHECK(shown("[Remote \"Or\\\"ig\\\\in\"]\nurl=x") == "remote.Or\"ig\\in.url=x;");
  CHECK(shown("[filter.LFS]\nclean=x") == "filter.lfs.clean=x;");
  CHECK(shown("[a]\nb") == "a.b=true;");
  CHECK(shown("[a]\nb =") == "a.b=;");
  CHECK(shown("[a]\nb = x # c\n") == "a.b=x;");
  CHECK(shown("[a]\nb = \"x # c\" ; d\n") == "a.b=x # c;");
  CHECK(shown("[a]\nb = one \\\n  two\n") == "a.b=one   two;");
  CHECK(shown("[a]\nb = \\\n!x\n") == "a.b=!x;");
  CHECK(shown("[a]\r\nb = x\r\n") == "a.b=x;");
  CHECK(shown("\xef\xbb\xbf[a]\nb=x") == "a.b=x;");
  CHECK(shown("[a]b=1\n[c]d=2") == "a.b=1;c.d=2;");
  CHECK(shown("# [a]\n; b=1\n[a] # x\n") == "");
  CHECK(shown("[a]\nb = \"x\\ty\\n\\\"\"") == "a.b=x\ty\n\";");
}

TEST_CASE("what git refuses") {
  for (const char* text :
       {"[a", "[a b]", "[a \"b]", "[a \"b\" ]", "[a]\n1=2", "[a]\nb ! c", "[a]\nb = \"x",
        "[a]\nb = \\q", "[a_b]", "[a]\nb_c = 1", "[a]\nb = \\"}) {
    CAPTURE(text);
    CHECK(shown(text) == "error");
  }
  CHECK(shown(std::string("[a]\nb=x\0y", 9)) == "error");
}

TEST_CASE("keys that execute something") {
  for (const char* key : {"core.hookspath", "core.sshcommand", "core.pager", "include.path",
                          "includeif.gitdir:/x.path", "filter.x.clean", "filter.x.process",
                          "diff.x.textconv", "merge.x.driver", "credential.helper",
                          "credential.https://x.helper", "gpg.ssh.program", "hook.x.command"}) {
    CAPTURE(key);
    CHECK(config_danger(key, "x") != nullptr);
  }
  for (const char* key :
       {"user.name", "branch.main.remote", "branch.main.merge", "core.bare", "remote.origin.fetch",
        "submodule.x.url", "foo.bar", "filter.x.required"}) {
    CAPTURE(key);
    CHECK(config_danger(key, "x") == nullptr);
  }
  CHECK(config_danger("core.fsmonitor", "true") == nullptr);
  CHECK(config_danger("core.fsmonitor", "./x") != nullptr);
  CHECK(config_danger("alias.st", "status") == nullptr);
  CHECK(config_danger("alias.st", "!sh") != nullptr);
  CHECK(config_danger("alias.st", "-c core.pager=x log") != nullptr);
  CHECK(config_danger("alias.st", "ls-remote --upload-pack=./x .") != nullptr);
  CHECK(config_danger("alias.st", "bisect run ./x") != nullptr);
  CHECK(config_danger("alias.st", "log --output=/home/user/.bashrc") != nullptr);
  CHECK(config_danger("diff.tool", "vimdiff") == nullptr);
  CHECK(config_danger("diff.tool", "../../../x") != nullptr);
  CHECK(config_danger("merge.guitool", "../../../x") != nullptr);
  CHECK(config_danger("rebase.instructionformat", "%s%nexec x") != nullptr);
  CHECK(config_danger("rebase.autostash", "true") == nullptr);
  CHECK(config_danger("http.https://x/.savecookies", "true") != nullptr);
  CHECK(config_danger("remote.o.url", "https://x/y") == nullptr);
  CHECK(config_danger("remote.o.url", "git@x:y::z") == nullptr);
  CHECK(config_danger("remote.o.url", "ext::sh -c x") != nullptr);
  CHECK(config_danger("url.ext::sh -c x.insteadof", "https://") != nullptr);
  CHECK(config_danger("submodule.x.update", "rebase") == nullptr);
  CHECK(config_danger("submodule.x.update", "!x") != nullptr);
  CHECK(config_danger("core.worktree", "../sub") != nullptr);
  const auto inside = [](std::string_view worktree) { return worktree == "../sub"; };
  CHECK(config_danger("core.worktree", "../sub", inside) == nullptr);
  CHECK(config_danger("core.worktree", "/x", inside) != nullptr);
}

TEST_CASE("only what is dangerous and not from before is undone") {
  const std::string before = "[core]\n\tbare = false\n\tpager = less\n";
  CHECK(cleaned(before, before) == before);
  CHECK(cleaned(before, before + "[user]\n\tname = x\n") == before + "[user]\n\tname = x\n");
  CHECK(cleaned(before, before + "[core]\n\tfsmonitor = evil # x\n") == before + "[core]\n");
  CHECK(cleaned(before, before + "[core] fsmonitor = evil\n[user] name = y") ==
        before + "[core] \n[user] name = y");
  CHECK(cleaned(before, "[core]\n\tbare = false\n\tpager = evil \\\n  more\n\tx = y\n") ==
        "[core]\n\tbare = false\n\tpager = \"less\"\n\tx = y\n");
  CHECK(cleaned("", "[core]\r\n\tfsmonitor = evil\r\n\tx = y\r\n") == "[core]\r\n\tx = y\r\n");
  CHECK(cleaned("", "[include]\npath=a\npath=b\n") == "[include]\n");
  CHECK(cleaned(before, "[x") == "error");
  auto out = clean_git_config(before, "[core]\npager = evil\n");
  REQUIRE(out.has_value());
  REQUIRE(out->changes.size() == 1);
  CHECK(out->changes[0].key == "core.pager");
  CHECK(out->changes[0].before == "less");
  CHECK(out->changes[0].after == "evil");
  CHECK(out->changes[0].line == 2);
}
