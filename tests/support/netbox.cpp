/// netbox SPEC.json EVENTS.jsonl [-e] [--] COMMAND...
///
/// The network engine without the rest of the sandbox: a user, network and mount namespace, the
/// listeners made in it, the proxy outside, COMMAND inside. Sets no proxy variables unless -e.
/// Writes a JSON line per report of the proxy. Exit status: COMMAND's; 125 when something of the
/// engine failed.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "launcher/base/file.h"
#include "launcher/base/unix_socket.h"
#include "netns/confine.h"
#include "netns/proxy_control.h"
#include "netns/proxy_process.h"
#include "netns/socket_request.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

constexpr int kFailed = 125;

[[noreturn]] void die(const Error& error) {
  fmt::print(stderr, "netbox: {}\n", error.message());
  std::_Exit(kFailed);
}
template <class T>
T must(Result<T> result) {
  if (!result) die(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
void check(bool ok, std::string_view doing) {
  if (!ok) die(fail_errno(doing, "").value());
}

int status_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// So that nothing is left of a run that is killed.
void die_with_the_parent() { check(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl"); }

void enter_namespaces(const std::string& scratch) {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  check(::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare");
  auto put = [](const char* path, const std::string& text) {
    UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
    check(fd.valid(), path);
    must(write_all(fd.get(), text, path));
  };
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", fmt::format("{0} {0} 1", uid));
  put("/proc/self/gid_map", fmt::format("{0} {0} 1", gid));
  for (const char* name : {"resolv.conf", "nsswitch.conf"}) {
    std::string source = scratch + "/" + name, target = std::string("/etc/") + name;
    check(::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) == 0, target);
  }
}

/// The sandbox's init: listeners, then sockets on request until COMMAND ends.
[[noreturn]] void be_init(const NetworkSpec& spec, bool set_environment, int up, int channel,
                          const std::string& scratch, char** command) {
  enter_namespaces(scratch);
  {
    ListenerSet listeners = must(make_listeners(spec));
    must(send_listeners(up, listeners));
  }
  must(receive_message(up, 16, 0));
  must(drop_privileges());
  pid_t child = ::fork();
  check(child >= 0, "fork");
  if (child == 0) {
    die_with_the_parent();
    if (set_environment) {
      for (const ProxyVariable& v : proxy_environment(spec)) {
        ::setenv(v.name.c_str(), v.value.c_str(), 1);
      }
    }
    ::execvp(command[0], command);
    check(false, command[0]);
  }
  int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  pollfd polls[] = {{pidfd, POLLIN, 0}, {channel, POLLIN, 0}};
  while (true) {
    check(::poll(polls, 2, -1) > 0 || errno == EINTR, "poll");
    if (polls[1].revents != 0 && !must(serve_socket_request(channel))) polls[1].fd = -1;
    if (polls[0].revents == 0) continue;
    int status = 0;
    check(::waitpid(child, &status, 0) == child, "waitpid");
    std::_Exit(status_of(status));
  }
}

Json json_of(const ProxyReport& report) {
  Json out;
  switch (report.kind) {
    case ProxyReport::Kind::event:
      out.set("event", event_kind_name(report.event.kind));
      out.set("via", via_name(report.event.via));
      out.set("cause", cause_name(report.event.cause));
      out.set("host", report.event.host);
      out.set("port", unsigned{report.event.port});
      out.set("rule", report.event.rule);
      out.set("detail", report.event.detail);
      out.set("fix", report.event.fix);
      break;
    case ProxyReport::Kind::count:
      out.set("count", report.count.name);
      out.set("connections", report.count.connections);
      out.set("denied", report.count.denied);
      out.set("failed", report.count.failed);
      out.set("uploaded", report.count.uploaded);
      out.set("downloaded", report.count.downloaded);
      break;
    case ProxyReport::Kind::finished:
      out.set("finished", true);
      out.set("dropped_events", report.dropped_events);
      break;
    case ProxyReport::Kind::gone:
      out.set("gone", true);
      break;
    default:
      out.set("text", report.text);
  }
  return out;
}

/// Reads reports until one of kind `last`, or the proxy is gone, or `until` becomes readable.
bool follow(int control, std::FILE* events, ProxyReport::Kind last, int until) {
  pollfd polls[] = {{control, POLLIN, 0}, {until, POLLIN, 0}};
  while (true) {
    check(::poll(polls, until < 0 ? 1 : 2, -1) > 0 || errno == EINTR, "poll");
    if (polls[0].revents != 0) {
      auto report = must(receive_proxy_report(control));
      if (!report) continue;
      fmt::print(events, "{}\n", json_of(*report).dump());
      std::fflush(events);
      if (report->kind == last) return true;
      if (report->kind == ProxyReport::Kind::failed) {
        fmt::print(stderr, "netbox: proxy: {}\n", report->text);
        return false;
      }
      if (report->kind == ProxyReport::Kind::gone) {
        polls[0].fd = -1;
        if (until < 0) return false;
      }
    } else if (until >= 0 && polls[1].revents != 0) {
      return true;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  int at = 3;
  bool set_environment = argc > at && std::string_view(argv[at]) == "-e";
  if (set_environment) ++at;
  if (argc > at && std::string_view(argv[at]) == "--") ++at;
  if (argc <= at) return kFailed;
  NetworkSpec spec = must(spec_from_json(must(Json::parse(must(read_file(argv[1]))))));
  std::FILE* events = std::fopen(argv[2], "we");
  check(events != nullptr, argv[2]);

  char scratch[] = "/tmp/netbox-XXXXXX";
  check(::mkdtemp(scratch) != nullptr, "mkdtemp");
  must(replace_file(std::string(scratch) + "/resolv.conf", "nameserver 127.0.0.1\n", 0644));
  must(replace_file(std::string(scratch) + "/nsswitch.conf", "hosts: files dns\n", 0644));

  SocketPair control = must(make_socket_pair()), channel = must(make_socket_pair()),
             up = must(make_socket_pair());
  pid_t proxy = ::fork();
  check(proxy >= 0, "fork");
  if (proxy == 0) {
    control.ours.reset(), channel.ours.reset(), channel.theirs.reset();
    up.ours.reset(), up.theirs.reset();
    std::_Exit(run_proxy(control.theirs.release()));
  }
  control.theirs.reset();
  pid_t init = ::fork();
  check(init >= 0, "fork");
  if (init == 0) {
    control.ours.reset(), channel.ours.reset(), up.ours.reset();
    die_with_the_parent();
    be_init(spec, set_environment, up.theirs.get(), channel.theirs.get(), scratch, argv + at);
  }
  channel.theirs.reset(), up.theirs.reset();
  {
    ListenerSet listeners = must(receive_listeners(up.ours.get()));
    for (Listener& listener : must(make_publish_listeners(spec))) {
      listeners.push_back(std::move(listener));
    }
    must(send_proxy_start(control.ours.get(), spec, listeners, channel.ours.get()));
  }
  channel.ours.reset();
  int code = kFailed;
  if (follow(control.ours.get(), events, ProxyReport::Kind::ready, -1)) {
    must(send_message(up.ours.get(), as_bytes_of('g')));
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, init, 0)));
    follow(control.ours.get(), events, ProxyReport::Kind::finished, pidfd.get());
    int status = 0;
    check(::waitpid(init, &status, 0) == init, "waitpid");
    code = status_of(status);
    if (send_proxy_finish(control.ours.get())) {
      follow(control.ours.get(), events, ProxyReport::Kind::finished, -1);
    }
  } else {
    ::kill(init, SIGKILL);
  }
  std::filesystem::remove_all(scratch);
  return code;
}
