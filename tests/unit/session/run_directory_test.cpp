#include "launcher/session/run_directory.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "launcher/session/control.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::session;
namespace fs = std::filesystem;

namespace {

/// A runtime directory of its own.
class Runtime {
 public:
  Runtime() { ::setenv("XDG_RUNTIME_DIR", path.c_str(), 1); }
  ~Runtime() { ::unsetenv("XDG_RUNTIME_DIR"); }
  const Scratch scratch;
  const std::string& path = scratch.path;
};

std::vector<std::string> running() {
  auto listed = list_sessions();
  REQUIRE(listed);
  return *listed;
}

}  // namespace

TEST_CASE("a session's directory is there while it runs, and nothing after") {
  Runtime runtime;
  CHECK(run_root() == runtime.path + "/dirbox");
  CHECK(running().empty());
  CHECK_FALSE(fs::exists(run_root()));
  {
    auto one = RunDirectory::make("one");
    REQUIRE(one);
    CHECK(one->path() == run_root() + "/one");
    auto listener = one->make_listener(kControlSocket);
    REQUIRE(listener);
    auto two = RunDirectory::make("two");
    REQUIRE(two);
    CHECK(running() == std::vector<std::string>{"one", "two"});
    struct stat st {};
    REQUIRE(::stat(run_root().c_str(), &st) == 0);
    CHECK((st.st_mode & 0777) == 0700);
    CHECK(connect_session("one"));
  }
  CHECK_FALSE(fs::exists(run_root()));
}

TEST_CASE("what a killed session left behind goes with the next start") {
  Runtime runtime;
  pid_t child = ::fork();
  if (child == 0) {
    auto made = RunDirectory::make("killed");
    auto listener = made->make_listener(kControlSocket);
    UniqueFd file(::openat(made->fd(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ::kill(::getpid(), listener && file.valid() ? SIGKILL : SIGTERM);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  CHECK(fs::exists(run_root() + "/killed/control"));
  CHECK(running().empty());
  auto talk = connect_session("killed");
  REQUIRE_FALSE(talk);
  CHECK(talk.error().err == ECONNREFUSED);
  auto next = RunDirectory::make("next");
  REQUIRE(next);
  CHECK_FALSE(fs::exists(run_root() + "/killed"));
  CHECK(fs::exists(run_root() + "/next"));
}

TEST_CASE("many sessions at once do not remove each other's directories") {
  Runtime runtime;
  constexpr int kSessions = 24;
  std::vector<pid_t> children;
  for (int i = 0; i < kSessions; ++i) {
    pid_t child = ::fork();
    if (child == 0) {
      bool ok = true;
      for (int turn = 0; turn < 20; ++turn) {
        auto made = RunDirectory::make("s" + std::to_string(i));
        if (!made) ::_exit(1);
        auto listener = made->make_listener(kControlSocket);
        ok = ok && listener && connect_session("s" + std::to_string(i));
      }
      ::_exit(ok ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(running().empty());
}

TEST_CASE("a run directory that others could change is not used") {
  Runtime runtime;
  REQUIRE(::mkdir(run_root().c_str(), 0700) == 0);
  REQUIRE(::chmod(run_root().c_str(), 0770) == 0);
  CHECK_FALSE(RunDirectory::make("one"));
  CHECK_FALSE(list_sessions());
  REQUIRE(::rmdir(run_root().c_str()) == 0);
  REQUIRE(::symlink("/tmp", run_root().c_str()) == 0);
  CHECK_FALSE(RunDirectory::make("one"));
  REQUIRE(::unlink(run_root().c_str()) == 0);
  // A runtime directory of another kind is passed over.
  REQUIRE(::chmod(runtime.path.c_str(), 0755) == 0);
  CHECK_FALSE(run_root().starts_with(runtime.path));
  // Where root's is, nobody else could have made one.
  if (::geteuid() == 0) CHECK_FALSE(run_root() == "/tmp/dirbox-0");
}

TEST_CASE("session ids are single names") {
  Runtime runtime;
  for (const char* wrong : {"", ".", "..", "../x", "a/b", "/etc"}) {
    CAPTURE(wrong);
    CHECK_FALSE(connect_session(wrong));
  }
  auto missing = connect_session("missing");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().err == ENOENT);
}

TEST_CASE("requests are answered, late or with an error, one for each connection") {
  Runtime runtime;
  EventLoop loop = *EventLoop::make();
  ControlServer server(loop, [&](const Json& request, const ControlServer::Reply& reply) {
    const std::string verb = *request.find("verb")->as_string();
    if (verb == "late") {
      loop.after(std::chrono::milliseconds(1), [reply] { reply(Json("late")); });
    } else if (verb == "stop") {
      reply(Json(std::string(100'000, 'x')));
      loop.stop();
    } else {
      reply(fail_errno("do", "it", EPERM, "a hint"));
    }
  });
  auto directory = RunDirectory::make("s");
  REQUIRE(directory);
  REQUIRE(server.start(*directory));
  pid_t child = ::fork();
  if (child == 0) {
    auto ask = [](const char* verb) {
      Json request;
      request.set("verb", verb);
      return ask_session("s", request);
    };
    auto late = ask("late"), wrong = ask("wrong");
    bool ok = late && *late->as_string() == "late" && !wrong && wrong.error().err == EPERM &&
              wrong.error().hint == "a hint";
    auto stop = ask("stop");
    ok = ok && stop && stop->as_string()->size() == 100'000;
    ::_exit(ok ? 0 : 1);
  }
  REQUIRE(loop.run());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
