#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/unix_socket.h"
#include "launcher/broker/environment.h"
#include "launcher/broker/peer.h"
#include "launcher/broker/pin.h"
#include "launcher/broker/request.h"
#include "launcher/broker/shim_image.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::broker;

namespace {

struct TempDir : Scratch {
  std::string file(const std::string& name, const std::string& content, unsigned mode) const {
    std::string full = path + "/" + name;
    REQUIRE(make_directories(full.substr(0, full.rfind('/'))));
    REQUIRE(replace_file(full, content, mode));
    REQUIRE(::chmod(full.c_str(), mode) == 0);
    return full;
  }
};

std::vector<std::byte> exec_packet() {
  ExecRequest request;
  request.cwd = "/";
  request.argv = {"x"};
  auto body = encode_exec(request);
  auto packet = encode_packet(wire::Type::exec, 0, static_cast<std::uint32_t>(body.size()));
  packet.insert(packet.end(), body.begin(), body.end());
  return packet;
}

Message message_with(const std::vector<int>& fds) {
  Message out;
  out.bytes = exec_packet();
  for (int fd : fds) out.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return out;
}

}  // namespace

TEST_CASE("no variable that makes the host execute or read something else passes") {
  for (const char* name : {"LD_PRELOAD",
                           "LD_LIBRARY_PATH",
                           "LD_AUDIT",
                           "PATH",
                           "DOCKER_HOST",
                           "DOCKER_CONFIG",
                           "BASH_ENV",
                           "ENV",
                           "GIT_SSH_COMMAND",
                           "GIT_CONFIG_GLOBAL",
                           "HOME",
                           "TMUX",
                           "TMUX_TMPDIR",
                           "SHELL",
                           "EDITOR",
                           "SSH_AUTH_SOCK",
                           "PYTHONPATH",
                           "NODE_OPTIONS",
                           "XDG_CONFIG_HOME",
                           "KUBECONFIG",
                           "HTTPS_PROXY",
                           "https_proxy",
                           "COMPOSE_FILE",
                           "TERMINFO",
                           "TMPDIR",
                           "GLIBC_TUNABLES",
                           "PAGER",
                           "BASH_FUNC_x",
                           "PERL5LIB",
                           "JAVA_TOOL_OPTIONS",
                           "_JAVA_OPTIONS",
                           "",
                           "A B",
                           "1A",
                           "A=B"}) {
    INFO(name);
    CHECK_FALSE(check_passable(name));
    std::vector<std::string> listed{name};
    std::string entry = std::string(name) + "=/evil";
    CHECK(compile_environment({}, listed, std::vector<std::string_view>{entry}).empty());
  }
  CHECK(check_passable("ANTHROPIC_API_KEY"));
  CHECK(check_passable("SWARM_DIR"));
}

TEST_CASE("harmless variables pass with harmless values, listed ones with any, the host's stay") {
  std::vector<std::string> host{"PATH=/bin", "HOME=/root", "TZ=UTC"};
  std::vector<std::string> listed{"TOKEN", "LANG"};
  std::vector<std::string_view> inside{
      "TERM=xterm-256color", "TERM=second",     "LANG=../../tmp/x", "LC_ALL=de_DE.UTF-8@euro",
      "COLUMNS=80",          "LINES=99999999",  "TOKEN=a b\nc",     "OTHER=1",
      "HOME=/evil",          "TZ=:/etc/shadow", "malformed",        "=x"};
  auto got = compile_environment(host, listed, inside);
  CHECK(got == std::vector<std::string>{"PATH=/bin", "HOME=/root", "TZ=UTC", "TERM=xterm-256color",
                                        "LC_ALL=de_DE.UTF-8@euro", "COLUMNS=80", "TOKEN=a b\nc"});
}

TEST_CASE("the launcher's environment reaches the host only by name") {
  std::vector<std::string> launcher{"HOME=/root", "AWS_SECRET=x", "PATH=/evil", "LD_PRELOAD=y",
                                    "DOCKER_HOST=unix:///run/user/1/docker.sock"};
  CHECK(compile_host_environment(launcher, "/usr/bin") ==
        std::vector<std::string>{"PATH=/usr/bin", "HOME=/root",
                                 "DOCKER_HOST=unix:///run/user/1/docker.sock"});
  CHECK(compile_host_environment({}, "") == std::vector<std::string>{"PATH=/usr/bin:/bin"});
  const auto ruled = compile_ruled_environment({"PATH=/usr/bin", "HOME=/home/u"});
  CHECK(ruled[1] == "HOME=/home/u");
  CHECK(std::count(ruled.begin(), ruled.end(), "GIT_PAGER=cat") == 1);
  const std::vector<std::string_view> inside{"GIT_PAGER=x", "PAGER=x", "LESSSECURE=0"};
  const std::vector<std::string> listed{"LESSSECURE", "PAGER", "GIT_PAGER"};
  CHECK(compile_environment(ruled, listed, inside) == ruled);
}

TEST_CASE("nothing that the sandbox can plant is pinned") {
  TempDir dir;
  dir.file("work/docker", "#!/bin/sh\necho planted\n", 0755);
  dir.file("home/bin/real", "#!/bin/sh\nexit 0\n", 0755);
  dir.file("home/bin/nointerp", "#!" + dir.path + "/work/docker\n", 0755);
  dir.file("home/bin/world", "#!/bin/sh\n", 0757);
  dir.file("home/bin/plain", "#!/bin/sh\n", 0644);
  std::string bin = dir.path + "/home/bin";
  REQUIRE(::symlink((dir.path + "/work/docker").c_str(), (bin + "/link").c_str()) == 0);
  REQUIRE(::symlink((dir.path + "/home").c_str(), (dir.path + "/work/back").c_str()) == 0);
  std::vector<std::string> roots{dir.path + "/work"};
  std::string path = ".:" + dir.path + "/work:" + dir.path + "/work/back/bin::" + bin + ":/usr/bin";

  CHECK_FALSE(pin_command("docker-that-is-nowhere", path, roots));
  CHECK_FALSE(pin_command(dir.path + "/work/docker", path, roots));
  CHECK_FALSE(pin_command(dir.path + "/work/back/bin/real", path, roots));
  CHECK_FALSE(pin_command(bin + "/../../work/docker", path, roots));
  CHECK_FALSE(pin_command("link", path, roots));
  CHECK_FALSE(pin_command("nointerp", path, roots));
  CHECK_FALSE(pin_command("world", path, roots));
  CHECK_FALSE(pin_command("plain", path, roots));
  CHECK_FALSE(pin_command("../bin/real", path, roots));
  CHECK_FALSE(pin_command(bin, path, roots));
  CHECK(safe_path(path, roots) == bin + ":/usr/bin");

  auto script = pin_command("real", path, roots);
  REQUIRE(script);
  CHECK(script->file.path == bin + "/real");
  REQUIRE(script->interpreter);
  auto binary = pin_command("true", path, roots);
  REQUIRE(binary);
  CHECK_FALSE(binary->interpreter);
  CHECK(binary->name == "true");
  std::vector<std::string> everything{"/"};
  CHECK_FALSE(pin_command("true", path, everything));
}

TEST_CASE("only ordinary stdio is taken") {
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC)), path(::open("/", O_PATH | O_CLOEXEC));
  UniqueFd dir(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto taken = [](const std::vector<int>& fds) {
    Message message = message_with(fds);
    return take_request(message).has_value();
  };
  CHECK(taken({null.get(), null.get(), null.get(), path.get()}));
  CHECK_FALSE(taken({null.get(), null.get(), null.get()}));
  CHECK_FALSE(taken({null.get(), null.get(), path.get(), path.get()}));
  CHECK_FALSE(taken({dir.get(), null.get(), null.get(), path.get()}));
  CHECK_FALSE(taken({null.get(), null.get(), null.get(), path.get(), null.get()}));
}

TEST_CASE("the working directory is the one that the caller is in") {
  TempDir a, b;
  UniqueFd here(::open(a.path.c_str(), O_PATH | O_CLOEXEC));
  CHECK(open_same_directory(a.path, here.get()));
  CHECK_FALSE(open_same_directory(b.path, here.get()));
  CHECK_FALSE(open_same_directory(a.path + "/missing", here.get()));
  CHECK_FALSE(open_same_directory("/proc/self/cwd", here.get()));
  REQUIRE(::symlink(a.path.c_str(), (b.path + "/link").c_str()) == 0);
  CHECK_FALSE(open_same_directory(b.path + "/link", here.get()));
}

TEST_CASE("a shim holds the path of its socket and nothing else of it") {
  auto image = make_shim_image("/run/dirbox/broker/docker.sock");
  REQUIRE(image);
  CHECK(image->starts_with("\177ELF"));
  CHECK(image->size() < 32768);
  CHECK(image->find("/run/dirbox/broker/docker.sock") != std::string::npos);
  CHECK(make_shim_image(std::string(107, 'x')));
  CHECK_FALSE(make_shim_image(std::string(108, 'x')));
  CHECK_FALSE(make_shim_image(""));
  CHECK(socket_path_of("docker") == "/run/dirbox/broker/docker.sock");
}

TEST_CASE("a peer of another namespace or user is refused") {
  TempDir dir;
  auto listener = make_socket_pair();
  REQUIRE(listener);
  auto own = user_namespace_of(::getpid());
  REQUIRE(own);
  CHECK(check_peer(listener->ours.get(), ::geteuid(), *own).value_or(0) == ::getpid());
  CHECK_FALSE(check_peer(listener->ours.get(), ::geteuid() + 1, *own));
  CHECK_FALSE(check_peer(listener->ours.get(), ::geteuid(), NamespaceId{own->device, 1}));
}
