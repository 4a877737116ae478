#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "launcher/base/file.h"
#include "profiles/decode.h"
#include "tests/support/scratch.h"
#include "tests/unit/profiles/memory_source.h"

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

std::vector<std::string> texts(const std::vector<Entry>& list) {
  std::vector<std::string> out;
  out.reserve(list.size());
  for (const Entry& entry : list) out.push_back(entry.text);
  return out;
}
using Texts = std::vector<std::string>;

std::string error_of(const Request& request, MemorySource& source) {
  auto profile = load_profile(request, source);
  if (profile) return "no error";
  return profile.error().message() +
         (profile.error().hint.empty() ? "" : " | " + profile.error().hint);
}

constexpr EmbeddedFile kBuiltIn[] = {
    {"base",
     "[filesystem]\nread = [\"/usr\"]\nhide = [\"~/.ssh\"]\n[environment]\nset = {A = \"base\", B "
     "= \"base\"}\n"},
    {"director", "extends = \"base\"\n[filesystem]\nwrite = [\"${CWD}\"]\nhome = \"masked\"\n"},
};

}  // namespace

TEST_CASE("search order: the user's directory, the system's, the built-in profiles") {
  MemorySource source;
  auto where = [&] { return load_profile(request_for("director", kBuiltIn), source)->chain; };
  CHECK(where() == Texts{"base.toml", "director.toml"});
  source.files["/s/director.toml"] = "description = \"s\"\n";
  CHECK(where() == Texts{"/s/director.toml"});
  source.files["/u/director.toml"] = "description = \"u\"\n";
  CHECK(where() == Texts{"/u/director.toml"});
}

TEST_CASE("a file that extends its own name gets the next one in the search order") {
  MemorySource source;
  source.files["/u/director.toml"] = "extends = \"director\"\n[filesystem]\nread = [\"/u\"]\n";
  source.files["/s/director.toml"] = "extends = \"director\"\n[filesystem]\nread = [\"/s\"]\n";
  auto profile = load_profile(request_for("director", kBuiltIn), source);
  REQUIRE(profile);
  CHECK(profile->chain ==
        Texts{"base.toml", "director.toml", "/s/director.toml", "/u/director.toml"});
  CHECK(texts(profile->read) == Texts{"/usr", "/s", "/u"});
}

TEST_CASE("the user's base is what the built-in director extends") {
  MemorySource source;
  source.files["/u/base.toml"] = "extends = \"base\"\n[filesystem]\nhide = [\"~/mine\"]\n";
  auto profile = load_profile(request_for("director", kBuiltIn), source);
  REQUIRE(profile);
  CHECK(texts(profile->hide) == Texts{"~/.ssh", "~/mine"});
}

TEST_CASE(
    "merge: scalars are replaced, lists appended, equal entries replaced in place, names by name") {
  MemorySource source;
  source.files["/u/x.toml"] =
      "extends = [\"director\"]\ndescription = \"x\"\n"
      "[filesystem]\nhome = \"host\"\nread = [\"?/usr\", \"/srv\", \"-~/none\"]\n"
      "[environment]\nset = {B = \"x\", C = \"x\"}\n";
  CHECK(error_of(request_for("x", kBuiltIn), source) ==
        "read profile: /u/x.toml:5:26: filesystem.read has no inherited \"~/none\" to remove | an "
        "entry is removed "
        "by its text in the profile that is extended");
  source.files["/u/x.toml"] =
      "extends = [\"director\"]\ndescription = \"x\"\n"
      "[filesystem]\nhome = \"host\"\nread = [\"?/usr\", \"/srv\"]\nhide = [\"-${HOME}/.ssh/\"]\n"
      "[environment]\nset = {B = \"x\", C = \"x\"}\n";
  auto profile = load_profile(request_for("x", kBuiltIn), source);
  REQUIRE_MESSAGE(profile.has_value(), (profile ? "" : profile.error().message()));
  CHECK(profile->home.value == HomeMode::host);
  CHECK(profile->home.origin == Origin{"/u/x.toml", 4, 8});
  CHECK(texts(profile->read) == Texts{"/usr", "/srv"});
  CHECK(profile->read[0].optional);
  CHECK(profile->read[0].origin.file == "/u/x.toml");
  CHECK(profile->hide.empty());
  REQUIRE(profile->env_set.size() == 3);
  CHECK(profile->env_set[0].value == "base");
  CHECK(profile->env_set[1].value == "x");
  CHECK(profile->tmp_size.value == 1u << 30);
  CHECK(profile->tmp_size.origin.file.empty());
}

TEST_CASE("a description is not inherited") {
  MemorySource source;
  source.files["/u/a.toml"] = "description = \"a\"\n";
  source.files["/u/b.toml"] = "extends = \"a\"\n";
  CHECK(load_profile(request_for("b"), source)->description.value == "");
}

TEST_CASE("a diamond merges its top once, where it came first") {
  MemorySource source;
  source.files["/u/top.toml"] = "[[verify]]\nrun = \"top\"\nexpect = \"ok\"\n";
  source.files["/u/l.toml"] = "extends = \"top\"\n[filesystem]\nread = [\"/l\"]\n";
  source.files["/u/r.toml"] = "extends = \"top\"\n[filesystem]\nread = [\"/r\"]\n";
  source.files["/u/d.toml"] = "extends = [\"l\", \"r\", \"l\"]\n";
  auto profile = load_profile(request_for("d"), source);
  REQUIRE(profile);
  CHECK(profile->chain == Texts{"/u/top.toml", "/u/l.toml", "/u/r.toml", "/u/d.toml"});
  CHECK(profile->verify.size() == 1);
  CHECK(texts(profile->read) == Texts{"/l", "/r"});
}

TEST_CASE("cycles are named with their chain, deep chains are refused") {
  MemorySource source;
  source.files["/u/a.toml"] = "\nextends = \"b\"\n";
  source.files["/u/b.toml"] = "extends = [\"c\"]\n";
  source.files["/u/c.toml"] = "extends = \"a\"\n";
  CHECK(error_of(request_for("a"), source) ==
        "read profile: /u/c.toml:1:11: profiles extend each other: /u/a.toml -> /u/b.toml -> "
        "/u/c.toml -> "
        "/u/a.toml | take one of the extends out");
  source.files["/u/self.toml"] = "extends = \"self\"\n";
  CHECK(error_of(request_for("self"), source) ==
        "read profile: /u/self.toml:1:11: it extends its own name, and no other \"self\" follows | "
        "name another profile; dirbox profile list shows all");
  source.files["/u/p.toml"] = "extends = \"/u/p.toml\"\n";
  CHECK(error_of(request_for("p"), source).find("/u/p.toml -> /u/p.toml") != std::string::npos);
  for (int i = 0; i < 40; ++i) {
    source.files["/u/n" + std::to_string(i) + ".toml"] =
        "extends = \"n" + std::to_string(i + 1) + "\"\n";
  }
  CHECK(error_of(request_for("n0"), source).find("too many profiles extended") !=
        std::string::npos);
}

TEST_CASE("files by path: shown as written, extends relative to the file") {
  MemorySource source;
  source.files["./p.toml"] = "[network]\nallowd_domains = [\"a\"]\n";
  CHECK(error_of(request_for("./p.toml"), source)
            .starts_with("read profile: ./p.toml:2:1: unknown key"));
  CHECK(error_of(request_for("p.toml"), source)
            .starts_with("read profile: ./p.toml:2:1: unknown key"));
  source.files["dir/p.toml"] = "extends = \"../q.toml\"\n";
  source.files["dir/../q.toml"] = "extends = \"base\"\n";
  auto profile = load_profile(request_for("dir/p.toml", kBuiltIn), source);
  REQUIRE(profile);
  CHECK(profile->name == "p");
  CHECK(profile->chain == Texts{"base.toml", "dir/../q.toml", "dir/p.toml"});
}

TEST_CASE("one file by several spellings is merged once, and shown short") {
  MemorySource source;
  source.files["./top.toml"] = "extends = [\"./l.toml\", \"./b.toml\", \"sub/../b.toml\"]\n";
  source.files["./l.toml"] = "extends = \"././b.toml\"\n[filesystem]\ntmp_size = \"2G\"\n";
  source.files["./b.toml"] =
      "[filesystem]\ntmp_size = \"8G\"\n[[verify]]\nrun = \"top\"\nexpect = \"ok\"\n";
  source.files["./sub/../b.toml"] = source.files["./b.toml"];
  for (const char* file : {"top", "l", "b"}) {
    source.files["/work/" + std::string(file) + ".toml"] =
        source.files["./" + std::string(file) + ".toml"];
  }
  source.files["/work/sub/../b.toml"] = source.files["./b.toml"];
  for (const std::string directory : {"./", "/work/"}) {
    auto profile = load_profile(request_for(directory + "top.toml"), source);
    REQUIRE_MESSAGE(profile.has_value(), (profile ? "" : profile.error().message()));
    CHECK(profile->tmp_size.value == 2ull << 30);
    CHECK(profile->verify.size() == 1);
    CHECK(profile->chain ==
          Texts{directory + "b.toml", directory + "l.toml", directory + "top.toml"});
  }
  source.files["./self.toml"] = "extends = \"./self.toml\"\n";
  CHECK(error_of(request_for("./self.toml"), source) ==
        "read profile: ./self.toml:1:11: profiles extend each other: ./self.toml -> ./self.toml | "
        "take one of the extends out");
}

TEST_CASE("a directory's name is not enough: a symlink may lead to another file") {
  const Scratch scratch;
  const std::string& base = scratch.path;
  REQUIRE(::mkdir((base + "/a").c_str(), 0700) == 0);
  REQUIRE(::mkdir((base + "/b").c_str(), 0700) == 0);
  REQUIRE(::mkdir((base + "/b/in").c_str(), 0700) == 0);
  REQUIRE(::symlink((base + "/b/in").c_str(), (base + "/a/link").c_str()) == 0);
  REQUIRE(replace_file(base + "/a/x.toml", "[filesystem]\nread = [\"/a\"]\n"));
  REQUIRE(replace_file(base + "/b/x.toml", "[filesystem]\nread = [\"/b\"]\n"));
  REQUIRE(replace_file(base + "/a/top.toml",
                       "extends = [\"./x.toml\", \"link/../x.toml\", \"link/../../b/x.toml\"]\n"));
  HostSource source;
  auto profile = load_profile(request_for(base + "/a/top.toml"), source);
  REQUIRE_MESSAGE(profile.has_value(), (profile ? "" : profile.error().message()));
  CHECK(texts(profile->read) == Texts{"/a", "/b"});
}

TEST_CASE("what cannot be found") {
  MemorySource source;
  CHECK(error_of(request_for("directr", kBuiltIn), source) ==
        "read profile: directr: no profile \"directr\" (did you mean \"director\"?) | searched in "
        "/u, /s, and among "
        "the built-in ones; dirbox profile list shows all");
  CHECK(error_of(request_for("./x.toml"), source) ==
        "read profile: ./x.toml: no file \"./x.toml\"");
  CHECK(error_of(request_for(""), source).find("is not a profile's name") != std::string::npos);
  CHECK(error_of(request_for("a b"), source).find("is not a profile's name") != std::string::npos);
  CHECK(error_of(request_for("\x1b[2J/x"), source).find('\x1b') == std::string::npos);
  source.files["/u/x.toml"] = "extends = [\"base\", \"bse\"]\n";
  CHECK(error_of(request_for("x", kBuiltIn), source)
            .starts_with("read profile: /u/x.toml:1:20: no profile \"bse\" (did"));
  source.files["/u/y.toml"] = "extends = \"~/x.toml\"\n";
  CHECK(error_of(request_for("y"), source).find("cannot be extended") != std::string::npos);
}

TEST_CASE("a profile that cannot be read is an error, never the next one of that name") {
  MemorySource source;
  source.errors["/u/director.toml"] = EACCES;
  CHECK(error_of(request_for("director", kBuiltIn), source)
            .starts_with("open: /u/director.toml: EACCES"));
}

TEST_CASE("host files: a FIFO is refused and not waited for, a large file is not read") {
  const Scratch scratch;
  const std::string& base = scratch.path;
  HostSource source;
  REQUIRE(::mkfifo((base + "/fifo.toml").c_str(), 0600) == 0);
  auto fifo = source.read(base + "/fifo.toml");
  REQUIRE_FALSE(fifo);
  CHECK(fifo.error().detail == "not a regular file");
  REQUIRE(replace_file(base + "/big.toml", ""));
  REQUIRE(::truncate((base + "/big.toml").c_str(), off_t{1} << 40) == 0);
  CHECK_FALSE(source.read(base + "/big.toml"));
  auto absent = source.read(base + "/absent.toml");
  REQUIRE(absent);
  CHECK_FALSE(absent->has_value());
  REQUIRE(replace_file(base + "/ok.toml", "description = \"here\"\n"));
  Request request = request_for("ok");
  request.config_dir = base;
  auto profile = load_profile(request, source);
  REQUIRE(profile);
  CHECK(profile->description.value == "here");
}

TEST_CASE("the command line comes last, with its flag as the origin") {
  MemorySource source;
  auto profile = load_profile(request_for("director", kBuiltIn), source);
  REQUIRE(profile);
  Overrides networked;
  networked.allow = {"github.com"};
  auto refused = apply_overrides(*profile, networked);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().detail.find("network is \"none\"") != std::string::npos);
  profile->network_mode.value = NetworkMode::proxy;
  Overrides overrides;
  overrides.cwd = "/w/${CWD}";
  overrides.read = {"data", "/usr"};
  overrides.write = {"~/out", "?x"};
  overrides.hide = {"-y"};
  overrides.allow = {"github.com"};
  overrides.env = {"FOO", "A=${HOME}=1"};
  REQUIRE(apply_overrides(*profile, overrides));
  CHECK(texts(profile->read) == Texts{"/usr", "/w/${CWD}/data"});
  CHECK(profile->read[0].origin.text() == "--read");
  CHECK(texts(profile->write) == Texts{"${CWD}", "~/out", "/w/${CWD}/?x"});
  CHECK(texts(profile->hide) == Texts{"~/.ssh", "/w/${CWD}/-y"});
  CHECK(profile->net_allow[0].origin.text() == "--allow");
  CHECK(texts(profile->env_pass) == Texts{"FOO"});
  CHECK(profile->env_set[0].value == "${HOME}=1");
  CHECK(profile->env_set[0].literal);
  using List = std::vector<std::string> Overrides::*;
  const std::pair<List, const char*> wrong[] = {{&Overrides::read, ""},
                                                {&Overrides::allow, "a b"},
                                                {&Overrides::env, "=x"},
                                                {&Overrides::env, "*"}};
  for (const auto& [list, text] : wrong) {
    Overrides bad;
    bad.cwd = "/w";
    bad.*list = {text};
    CHECK_FALSE(apply_overrides(*profile, bad));
  }
}

TEST_CASE("list: every name once, what shadows what, and what does not load") {
  MemorySource source;
  source.files["/u/director.toml"] = "description = \"mine\"\nextends = \"director\"\n";
  source.files["/u/broken.toml"] = "x = \n";
  source.files["/u/.hidden.toml"] = "";
  source.files["/u/notes.txt"] = "";
  auto list = list_profiles(request_for("", kBuiltIn), source);
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "base");
  CHECK(list[0].where == "built-in");
  CHECK(list[1].name == "broken");
  CHECK(list[1].error.starts_with("read profile: /u/broken.toml:1:"));
  CHECK(list[2].name == "director");
  CHECK(list[2].description == "mine");
  CHECK(list[2].where == "/u/director.toml");
  CHECK(list[2].shadows);
}
