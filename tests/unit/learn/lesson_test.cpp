#include "launcher/learn/lesson.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "profiles/load.h"
#include "profiles/show.h"
#include "tests/unit/profiles/memory_source.h"

using namespace dirbox;
using namespace dirbox::learn;
using log::Operation;

namespace {

Setting setting() {
  Setting s;
  s.home = "/home/u";
  s.cwd = "/home/u/project";
  s.hidden = {"/home/u/.ssh", "/home/u/.cache/mozilla", "/home/u/.config/gh", "/etc/shadow",
              "/home/u/.tool/auth"};
  return s;
}

log::Event refused_path(Operation operation, const std::string& path, const std::string& grant,
                        const std::string& comm = "sh") {
  log::Event event;
  event.operation = operation;
  event.subject = path;
  event.comm = comm;
  event.cause = "absent";
  event.toml = std::string("filesystem.") +
               (operation == Operation::read || operation == Operation::exec ? "read" : "write") +
               " = [" + Json(grant).dump() + "]";
  return event;
}

log::Event refused_host(const std::string& host) {
  log::Event event;
  event.operation = Operation::connect;
  event.subject = host;
  event.cause = "no-rule";
  event.toml = "network.allow = [\"" + host + "\"]";
  return event;
}

log::Event secret(const std::string& path) {
  log::Event event = refused_path(Operation::read, path, path);
  event.cause = "hidden";
  event.detail = "the profile hides it";
  event.origin = "base.toml:3:4";
  event.toml.clear();
  event.never = "what is hidden stays hidden";
  return event;
}

log::Event refused_call(const std::string& text, const std::string& toml,
                        const std::string& never = {}) {
  log::Event event;
  event.operation = Operation::syscall;
  event.subject = text;
  event.detail = "why";
  event.toml = toml;
  event.never = never;
  return event;
}

std::vector<std::string> texts(const std::vector<Grant>& grants, bool active = true) {
  std::vector<std::string> out;
  for (const Grant& grant : grants) {
    if (grant.active == active) out.push_back(grant.text);
  }
  return out;
}

using Texts = std::vector<std::string>;

std::vector<std::string> hosts(const std::vector<std::string>& names) {
  std::vector<HostNeed> needs;
  needs.reserve(names.size());
  for (const std::string& name : names) needs.push_back({name, ""});
  return texts(generalise_hosts(needs));
}

std::vector<std::string> paths(const std::vector<std::string>& names, List list = List::write) {
  std::vector<PathNeed> needs;
  needs.reserve(names.size());
  for (const std::string& name : names) needs.push_back({name, ""});
  return texts(generalise_paths(needs, list, setting()));
}

/// The profile that `text` is, extending the built-in base.
Result<profiles::Profile> load(const std::string& text) {
  MemorySource source;
  source.files["/learnt.toml"] = text;
  profiles::Request request;
  request.name = "/learnt.toml";
  request.config_dir = "/u";
  request.system_dir = "/s";
  return profiles::load_profile(request, source);
}

}  // namespace

TEST_CASE("paths: below ~ and ${CWD}; what lies beneath another entry is dropped") {
  CHECK(paths({"/home/u/.cache", "/home/u/.cache/x/y", "/srv/data/a", "/home/u/project"}) ==
        Texts{"~/.cache", "${CWD}", "/srv/data/a"});
  CHECK(paths({"/home/u/.gitconfig"}, List::read) == Texts{"?~/.gitconfig"});
  // By component, not by prefix.
  CHECK(paths({"/srv/data/ab", "/srv/data/a"}) == Texts{"/srv/data/a", "/srv/data/ab"});
}

TEST_CASE("paths: three siblings become their directory, and that of three directories too") {
  CHECK(paths({"/home/u/.config/tool/a", "/home/u/.config/tool/b"}) ==
        Texts{"~/.config/tool/a", "~/.config/tool/b"});
  CHECK(paths({"/home/u/.config/tool/a", "/home/u/.config/tool/b", "/home/u/.config/tool/c"}) ==
        Texts{"~/.config/tool"});
  CHECK(paths({"/srv/x/d/1/a", "/srv/x/d/1/b", "/srv/x/d/1/c", "/srv/x/d/2", "/srv/x/d/3"}) ==
        Texts{"/srv/x/d"});
}

TEST_CASE("paths: places of everything, and of something hidden, are never widened to") {
  auto children = [](const std::string& parent) {
    return Texts{parent + "/a", parent + "/b", parent + "/c", parent + "/d"};
  };
  for (const char* parent :
       {"/home/u", "/home", "/home/other", "/etc", "/home/u/.config", "/home/u/.cache",
        "/home/u/.local/share", "/var/lib", "/srv/x", "/home/u/.tool"}) {
    CHECK_MESSAGE(paths(children(parent)).size() == 4, parent);
  }
  CHECK(paths({"/a", "/b", "/c"}).size() == 3);
  CHECK(paths(children("/home/u/.other")) == Texts{"~/.other"});
}

TEST_CASE("paths: what can be written need not be read") {
  const Lesson lesson = generalise({refused_path(Operation::create, "/srv/w/x", "/srv/w"),
                                    refused_path(Operation::read, "/srv/w/y", "/srv/w/y"),
                                    refused_path(Operation::read, "/srv/r", "/srv/r")},
                                   setting());
  CHECK(texts(lesson.grants) == Texts{"?/srv/r", "/srv/w"});
}

TEST_CASE("hosts: ports, once each; the web is a name without one") {
  CHECK(hosts({"a.example.com:443", "a.example.com", "a.example.com:80"}) ==
        Texts{"a.example.com"});
  CHECK(hosts({"db.example.com:5432"}) == Texts{"db.example.com:5432"});
  CHECK(hosts({"db.example.com:5432", "db.example.com:443"}) ==
        Texts{"db.example.com", "db.example.com:5432"});
  CHECK(hosts({"10.1.2.3:5432"}) == Texts{"10.1.2.3:5432"});
  CHECK(hosts({"not a host", ""}).empty());
}

TEST_CASE("hosts: two of a bundle become the bundle") {
  CHECK(hosts({"github.com:443", "api.github.com:443"}) == Texts{"@github"});
  CHECK(hosts({"github.com:443"}) == Texts{"github.com"});
  CHECK(hosts({"github.com:22", "api.github.com:443"}) == Texts{"api.github.com", "github.com:22"});
}

TEST_CASE("hosts: a wildcard stands for one label of three names, and lets in no stranger") {
  CHECK(hosts({"a.cdn.example.com", "b.cdn.example.com", "c.cdn.example.com"}) ==
        Texts{"*.cdn.example.com"});
  CHECK(hosts({"a.cdn.example.com", "b.cdn.example.com"}).size() == 2);
  CHECK(hosts({"a.x.example.com", "b.y.example.com", "c.z.example.com"}).size() == 3);
  CHECK(hosts({"a.com", "b.com", "c.com"}).size() == 3);
  CHECK(hosts({"a.co.uk", "b.co.uk", "c.co.uk"}).size() == 3);
  CHECK(hosts({"a.s3.amazonaws.com", "b.s3.amazonaws.com", "c.s3.amazonaws.com"}).size() == 3);
  CHECK(hosts({"a.github.io", "b.github.io", "c.github.io"}).size() == 3);
  CHECK(hosts({"a.example.com:22", "b.example.com:22", "c.example.com:22"}).size() == 3);
}

TEST_CASE("secrets are listed and never granted, whatever lies beside them") {
  const Lesson lesson =
      generalise({secret("/home/u/.ssh/id_rsa"), secret("/home/u/.ssh/id_rsa"),
                  refused_path(Operation::read, "/home/u/.tool/a", "/home/u/.tool/a"),
                  refused_path(Operation::read, "/home/u/app/.env", "/home/u/app/.env"),
                  refused_path(Operation::read, "/srv/k/server.PEM", "/srv/k/server.PEM")},
                 setting());
  CHECK(texts(lesson.grants) == Texts{"?~/.tool/a"});
  CHECK(texts(lesson.grants, false) == Texts{"/home/u/app/.env", "/srv/k/server.PEM"});
  REQUIRE(lesson.refusals.size() == 1);
  CHECK(lesson.refusals[0].secret);
  CHECK(lesson.refusals[0].what == "read ~/.ssh/id_rsa");
  CHECK(lesson.refusals[0].why == "the profile hides it (base.toml:3:4)");
  const std::string text = render_lesson(lesson, {"base", "x"});
  auto profile = load(text);
  REQUIRE(profile);
  for (const auto& difference : profiles::diff_profiles(*load("extends = \"base\"\n"), *profile)) {
    CHECK(difference.value.find(".ssh") == std::string::npos);
    CHECK(difference.value.find(".env") == std::string::npos);
  }
}

TEST_CASE("system calls: a program that succeeds without one is not given it") {
  Setting failed = setting();
  failed.failed = true;
  const std::vector<log::Event> events = {
      refused_call("ptrace(PTRACE_ATTACH, 4)", "seccomp.allow = [\"ptrace\"]"),
      refused_call("init_module(1)", "", "nothing inside has the capability"),
      refused_call("unshare(1)", "process.nested_userns = true")};
  CHECK(texts(generalise(events, setting()).grants).empty());
  CHECK(texts(generalise(events, setting()).grants, false) == Texts{"ptrace"});
  const Lesson lesson = generalise(events, failed);
  CHECK(texts(lesson.grants) == Texts{"ptrace"});
  REQUIRE(lesson.refusals.size() == 2);
  CHECK(lesson.refusals[0].why == "nothing inside has the capability");
  CHECK(lesson.refusals[1].toml == "process.nested_userns = true");
}

TEST_CASE("sockets, and what programs are curious about, are for the reader to decide") {
  log::Event socket = refused_path(Operation::connect, "/srv/app/sock", "/srv/app/sock");
  socket.toml = "filesystem.sockets = [\"/srv/app/sock\"]";
  log::Event dangerous = socket;
  dangerous.subject = "/run/docker.sock";
  dangerous.toml = "filesystem.sockets = [{ path = \"/run/docker.sock\", dangerous = true }]";
  const Lesson lesson = generalise(
      {socket, dangerous, refused_path(Operation::read, "/sys/fs/x", "/sys/fs/x")}, setting());
  CHECK(texts(lesson.grants).empty());
  CHECK(texts(lesson.grants, false) == Texts{"/sys/fs/x", "/srv/app/sock"});
  REQUIRE(lesson.refusals.size() == 1);
  CHECK(lesson.refusals[0].what == "connect /run/docker.sock");
}

TEST_CASE("what the host executes later is for the reader to decide") {
  const Setting s = setting();
  for (const char* path :
       {"/home/u/.bashrc", "/home/u/.config/systemd/user/x.service", "/home/u/.config", "/home/u",
        "/home/u/.local", "/home/u/.local/bin/tool", "/etc/profile.d", "/"}) {
    CHECK_MESSAGE(runs_later(path, s), path);
  }
  for (const char* path : {"/home/u/project/bin", "/home/u/.cache", "/home/u/.config/tool",
                           "/home/u/.bashrc.d", "/srv/x"}) {
    CHECK_MESSAGE(!runs_later(path, s), path);
  }
  const Lesson lesson =
      generalise({refused_path(Operation::write, "/home/u/.bashrc", "/home/u/.bashrc"),
                  refused_path(Operation::create, "/home/u/.config/new", "/home/u/.config"),
                  refused_path(Operation::read, "/home/u/.bashrc", "/home/u/.bashrc")},
                 s);
  CHECK(texts(lesson.grants) == Texts{"?~/.bashrc"});
  CHECK(texts(lesson.grants, false) == Texts{"/home/u/.bashrc", "/home/u/.config"});
}

TEST_CASE("commands of the host are listed with the rule that would let them run") {
  log::Event event;
  event.operation = Operation::exec;
  event.layer = log::Layer::broker;
  event.subject = "docker rm box";
  event.detail = "no rule allows it";
  log::Event quoted = event;
  quoted.subject = "docker exec 'a b'";
  const Lesson lesson = generalise({event, event, quoted}, setting());
  CHECK(lesson.grants.empty());
  REQUIRE(lesson.refusals.size() == 2);
  CHECK(lesson.refusals[0].what == "exec docker rm box");
  CHECK(lesson.refusals[0].toml == "[[excluded]] command = \"docker\", allow = [\"rm box\"]");
  CHECK(lesson.refusals[1].toml.empty());
}

TEST_CASE("what is no refusal, and what the user cannot do himself, teaches nothing") {
  log::Event failed = refused_host("example.com");
  failed.kind = log::Kind::failed;
  log::Event own = refused_path(Operation::write, "/usr/x", "/usr");
  own.never = "you could not do it outside either";
  const Lesson lesson = generalise({failed, own, log::Event()}, setting());
  CHECK(lesson.empty());
  CHECK(lesson.refusals.empty());
}

TEST_CASE("texts from inside break out of no comment and no string") {
  log::Event event =
      refused_path(Operation::create, "/srv/d/x\n[network]\nallow = [\"*\"]", "/srv/d");
  event.comm = "sh\n[network]\nmode = \"host\" #";
  const Lesson lesson =
      generalise({event, refused_path(Operation::read, "/srv/a\"b", "/srv/a\"b"),
                  refused_path(Operation::read, "/srv/n\nl", "/srv/n\nl"),
                  refused_path(Operation::read, "/srv/\x7f", "/srv/\x7f"),
                  refused_path(Operation::read, "/srv/*", "/srv/*"),
                  refused_call("x\n[network](", "seccomp.allow = [\"x\\n[network]\"]")},
                 setting());
  const std::string text = render_lesson(lesson, {"base", "sh -c\n[network]"});
  auto profile = load(text);
  REQUIRE_MESSAGE(profile, text);
  CHECK(texts(lesson.grants) == Texts{"?/srv/a\"b", "/srv/d"});
  CHECK(text.find("\n[network]") == std::string::npos);
}

TEST_CASE("the profile: minimal, commented, and it loads") {
  const Lesson lesson =
      generalise({refused_path(Operation::create, "/home/u/.cache/z", "/home/u/.cache", "touch"),
                  refused_host("allowed.test:443"), secret("/home/u/.ssh/id_rsa"),
                  refused_call("ptrace(0)", "seccomp.allow = [\"ptrace\"]")},
                 setting());
  const std::string text = render_lesson(lesson, {"base", "sh -c 'touch ~/.cache/z'"});
  CHECK(text ==
        "# Learnt by dirbox learn from: sh -c 'touch ~/.cache/z'\n"
        "# Each entry was asked for under \"base\" and refused. Read before use what you let in;\n"
        "# a line that is commented out was asked for as well, and is for you to decide.\n"
        "\n"
        "description = \"learnt from: sh -c 'touch ~/.cache/z'\"\n"
        "extends = \"base\"\n"
        "\n"
        "[filesystem]\n"
        "write = [\n"
        "  \"~/.cache\",  # create z (touch)\n"
        "]\n"
        "\n"
        "[network]\n"
        "allow = [\n"
        "  \"allowed.test\",  # connect\n"
        "]\n"
        "\n"
        "[seccomp]\n"
        "# allow = [\n"
        "#   \"ptrace\",  # why\n"
        "# ]\n"
        "\n"
        "# Secrets that it asked for; they stay hidden:\n"
        "#   read ~/.ssh/id_rsa: the profile hides it (base.toml:3:4)\n");
  CHECK(load(text));
}
