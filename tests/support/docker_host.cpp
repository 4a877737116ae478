/// docker_host SPEC SOCKET: the docker filter on SOCKET, with the orders of the JSON file SPEC.
/// Writes "ready", and a line "refused WHAT: WHY" for each refusal, to its output. Ends with its
/// input.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "launcher/base/file.h"
#include "launcher/base/text.h"
#include "launcher/base/unix_socket.h"
#include "launcher/broker/docker/control.h"
#include "launcher/broker/docker/process.h"

using namespace dirbox;

namespace {

Result<void> serve(const char* spec_path, const char* socket_path) {
  std::string text = TRY(read_file(spec_path));
  docker::FilterSpec spec = TRY(docker::parse_spec(text));
  UniqueFd listener = TRY(make_unix_listener(socket_path, SOCK_STREAM));
  SocketPair pair = TRY(make_socket_pair());
  pid_t child = ::fork();
  if (child == 0) {
    pair.ours.reset();
    ::_exit(docker::run_filter(pair.theirs.release()));
  }
  pair.theirs.reset();
  TRY_VOID(docker::send_start(pair.ours.get(), spec, listener.get()));
  for (;;) {
    pollfd sources[] = {{pair.ours.get(), POLLIN, 0}, {0, POLLIN, 0}};
    if (::poll(sources, 2, -1) < 0) return fail_errno("wait", "");
    if (sources[1].revents != 0) return {};
    auto report = TRY(docker::receive_report(pair.ours.get()));
    if (!report) continue;
    if (report->kind == docker::Report::Kind::gone) {
      int status = 0;
      ::waitpid(child, &status, 0);
      return fail("serve", "", fmt::format("the filter ended: {}", status));
    }
    if (report->kind == docker::Report::Kind::failed) return fail("serve", "", report->text);
    fmt::print("{}\n", report->kind == docker::Report::Kind::ready
                           ? "ready"
                           : fmt::format("refused {}: {}", escape_for_terminal(report->what),
                                         escape_for_terminal(report->text)));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto served = serve(argv[1], argv[2]);
  if (served) return 0;
  fmt::print(stderr, "docker_host: {}\n", served.error().message());
  return 1;
}
