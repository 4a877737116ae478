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
  for (const char* key : {"core.hookspath",
                          "core.sshcommand",
                          "core.pager",
                          "include.path",
                          "includeif.gitdir:/x.path",
                          "filter.x.clean",
                          "filter.x.process",
                          "diff.x.textconv",
                          "merge.x.driver",
                          "credential.helper",
                          "credential.https://x.helper",
                          "gpg.ssh.program",
                          "hook.x.command",
                          "mergetool.vimdiff.layout",
                          "mergetool.x.layout",
                          "mergetool.x.cmd",
                          "credential.https://x.uihelper",
                          "annex.freezecontent-command",
                          "gui.diffopts",
                          "http.proxy",
                          "remote.x.annex-start-command",
                          "remote.x.annex-ssh-options",
                          "http.https://x.sslcainfo",
                          "sendemail.smtpserver",
                          "secrets.providers",
                          "gtr.hook.postcreate"}) {
    CAPTURE(key);
    CHECK(config_danger(key, "x") != nullptr);
  }
  for (const char* key :
       {"user.name", "branch.main.remote", "branch.main.merge", "core.bare", "remote.origin.fetch",
        "submodule.x.url", "foo.bar", "filter.x.required", "http.sslverify", "annex.uuid",
        "remote.pushdefault", "options.strategy", "credential.username"}) {
    CAPTURE(key);
    CHECK(config_danger(key, "x") == nullptr);
  }
  for (const char* key : {"branch.x.remote", "branch.x.pushremote", "remote.pushdefault",
                          "submodule.x.url", "bundle.x.uri", "fetch.bundleuri"}) {
    CAPTURE(key);
    CHECK(config_danger(key, "ext::sh -c x") != nullptr);
    CHECK(config_danger(key, "https://example.com/x") == nullptr);
  }
  for (const char* off : {"false", "off", "no", "0", "False"})
    CHECK(config_danger("http.sslverify", off) != nullptr);
  CHECK(config_danger("http.sslverify", "true") == nullptr);
  CHECK(config_danger("options.strategy", "x/y") != nullptr);
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

TEST_CASE("a value comes back once, where git looks for it") {
  CHECK(cleaned("[alias]\n\ta = !x\n", "[alias]\n\ta = !b\n\ta = !c\n\tz = log\n") ==
        "[alias]\n\ta = \"!x\"\n\tz = log\n");
  CHECK(cleaned("[alias]\n\ta = !x\n", "[alias]\na=!b\na=!x\n") == "[alias]\na=!x\n");
}

TEST_CASE("a file that is nothing but plants is none") {
  auto many = [](std::size_t count) {
    std::string out = "[alias]\n";
    for (std::size_t i = 0; i < count; ++i) out += "a=!b\n";
    return out;
  };
  CHECK(cleaned("", many(kMaxDangers)) == "[alias]\n");
  CHECK(cleaned("", many(kMaxDangers + 1)) == "error");
  // Each would have copied the value from before: 9 GB.
  const std::string before = "[alias]\n\ta = " + std::string(200'000, 'b') + "\n";
  CHECK(cleaned(before, many(45'000)) == "error");
  // What was there before is no change, however much it is.
  CHECK(cleaned(many(45'000), many(45'000) + "b=!c\n") == many(45'000));
}

TEST_CASE("what is shown is bounded") {
  const std::string longer(5000, 'x');
  auto out =
      clean_git_config("[core]\npager = " + longer + "\n",
                       "[core]\npager = y" + longer + "\n[filter \"" + longer + "\"]\nclean = x\n");
  REQUIRE(out.has_value());
  REQUIRE(out->changes.size() == 2);
  CHECK(out->changes[0].before == std::string(kMaxShown, 'x') + "…");
  CHECK(out->changes[0].after == "y" + std::string(kMaxShown - 1, 'x') + "…");
  CHECK(out->changes[1].key.size() == kMaxShown + std::string("…").size());
  // The file itself gets all of it.
  CHECK(out->text.find("pager = \"" + longer + "\"\n") != std::string::npos);
}

TEST_CASE("entries are taken out by their ids") {
  const std::string text = "[core]\n\tpager = a\n\tpager = b\xff\n\tbare = true\n";
  CHECK(without_entries(text, {}) == text);
  CHECK(without_entries(text, {entry_id("core.pager", "b\xff"), entry_id("core.bare", "true")}) ==
        "[core]\n\tpager = a\n\tbare = true\n");
  CHECK(without_entries("[x", {entry_id("core.pager", "a")}) == "[x");
  // Of a value that was shortened, its beginning is known.
  const std::string longer(5000, 'x');
  CHECK(without_entries("[core]\npager = " + longer + "\n",
                        {entry_id(shortened("core.pager"), shortened(longer))}) == "[core]\n");
}
