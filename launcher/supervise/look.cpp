#include "launcher/supervise/look.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "launcher/base/path.h"
#include "launcher/supervise/host_path.h"
#include "netns/address_guard.h"
#include "netns/fake_table.h"
#include "netns/socket_address.h"

namespace dirbox::supervise {
namespace {

using log::Operation;
using plan::Want;

/// Where a call has its paths: argument of the directory (-1: the working directory) and of the
/// name.
struct NameRow {
  std::string_view call;
  Operation operation;
  int directory, name;
};
constexpr NameRow kNames[] = {
    {"truncate", Operation::write, -1, 0},  {"mkdir", Operation::create, -1, 0},
    {"mkdirat", Operation::create, 0, 1},   {"mknod", Operation::create, -1, 0},
    {"mknodat", Operation::create, 0, 1},   {"link", Operation::create, -1, 1},
    {"linkat", Operation::create, 2, 3},    {"symlink", Operation::create, -1, 1},
    {"symlinkat", Operation::create, 1, 2}, {"rename", Operation::rename, -1, 0},
    {"rename", Operation::rename, -1, 1},   {"renameat", Operation::rename, 0, 1},
    {"renameat", Operation::rename, 2, 3},  {"renameat2", Operation::rename, 0, 1},
    {"renameat2", Operation::rename, 2, 3}, {"unlink", Operation::remove, -1, 0},
    {"unlinkat", Operation::remove, 0, 1},  {"rmdir", Operation::remove, -1, 0},
    {"execve", Operation::exec, -1, 0},     {"execveat", Operation::exec, 0, 1},
};

/// Where an open has them; how: a pointer to struct open_how.
struct OpenRow {
  std::string_view call;
  int directory, name, flags;
  bool how = false;
};
constexpr OpenRow kOpens[] = {
    {"open", -1, 0, 1}, {"openat", 0, 1, 2}, {"openat2", 0, 1, 2, true}, {"creat", -1, 0, -1}};

int directory_of(const seccomp::Notification& call, int argument) {
  // The kernel takes an int.
  return argument < 0 ? AT_FDCWD : static_cast<int>(call.args[static_cast<std::size_t>(argument)]);
}

bool needs_normalizing(std::string_view path) {
  return path.find("/.") != path.npos || path.find("//") != path.npos || path.ends_with('/');
}

plan::FileType type_of(mode_t mode) {
  if (S_ISREG(mode)) return plan::FileType::regular;
  if (S_ISDIR(mode)) return plan::FileType::directory;
  if (S_ISSOCK(mode)) return plan::FileType::socket;
  return plan::FileType::other;
}

bool user_may(const std::string& path, int mode) {
  const UniqueFd fd = open_on_host(path, LastLink::followed);
  return fd.valid() && ::faccessat(fd.get(), "", mode, AT_EMPTY_PATH | AT_EACCESS) == 0;
}

using Grant = plan::TreeView::Grant;

/// What would have to be granted for the user to do it as he could outside; nullopt where he could
/// not.
std::optional<Grant> find_grant(const std::string& path, Want want, bool entry) {
  const UniqueFd itself = open_on_host(path, LastLink::opened);
  struct stat st {};
  const bool exists = itself.valid() && ::fstat(itself.get(), &st) == 0;
  if (want != Want::write) {
    const int mode = want == Want::exec ? X_OK : want == Want::connect ? W_OK : R_OK;
    if (!exists || !user_may(path, mode)) return std::nullopt;
    return Grant{path, type_of(st.st_mode)};
  }
  if (exists && !entry) {
    if (!user_may(path, W_OK)) return std::nullopt;
    return Grant{path, type_of(st.st_mode)};
  }
  const std::string parent = path_parent(path);
  if (!user_may(parent, W_OK | X_OK)) return std::nullopt;
  return Grant{parent, plan::FileType::directory};
}

log::Layer layer_of(std::string_view name) {
  auto names = log::layer_names();
  auto at = std::find(names.begin(), names.end(), name);
  return at == names.end() ? log::Layer::none : static_cast<log::Layer>(at - names.begin());
}

int errno_of(std::string_view cause) {
  if (cause == "read-only" || cause == "protected") return EROFS;
  return cause == "absent" ? ENOENT : 0;
}

/// The sandbox's own loopback, and what stands for allowed names: never refused for the address,
/// and what nearly every connection is made to.
bool always_leads_somewhere(const netns::IpAddress& address) {
  return netns::FakeTable::is_fake(address) ||
         netns::classify_address(address).address_class == netns::AddressClass::loopback;
}

}  // namespace

log::Event event_of(const plan::Answer& answer, Operation operation) {
  log::Event event;
  event.operation = operation;
  event.layer = layer_of(answer.layer);
  event.subject = answer.subject;
  event.rule = answer.rule;
  event.origin = answer.origin;
  event.cause = answer.cause;
  event.detail = answer.detail;
  event.cure = answer.cure;
  event.toml = answer.toml;
  event.never = answer.never;
  return event;
}

Look::Look(const plan::Plan& plan, Report report, std::function<void()> found_server)
    : plan_(plan),
      tree_(plan),
      report_(std::move(report)),
      found_server_(std::move(found_server)) {}

void Look::report(const Task& task, log::Event event) {
  event.pid = task.pid();
  event.comm = task.comm();
  event.exe = task.exe();
  report_(std::move(event));
}

void Look::at_denied(const seccomp::Notification& call, const seccomp::Decision& decision) {
  const Task task(call.pid);
  plan::Answer answer;
  answer.subject = decode_call(call, task);
  answer.layer = "seccomp";
  answer.cause = "denied-call";
  answer.detail = decision.source->reason.empty() && call.call != nullptr
                      ? seccomp::reason_of(*call.call)
                      : decision.source->reason;
  while (answer.detail.ends_with('.')) answer.detail.pop_back();
  plan::add_syscall_cure(answer, *decision.source, call.call != nullptr ? call.call->name : "");
  log::Event event = event_of(answer, Operation::syscall);
  event.error = decision.action.err;
  report(task, std::move(event));
}

void Look::at_permitted(const seccomp::Notification& call) {
  if (call.call == nullptr) return;
  const Task task(call.pid);
  if (call.call->name == "connect") return check_peer(task, call);
  check_open(task, call);
  check_names(task, call);
}

void Look::check_open(const Task& task, const seccomp::Notification& call) {
  for (const OpenRow& row : kOpens) {
    if (row.call != call.call->name) continue;
    std::uint64_t flags = O_WRONLY | O_CREAT | O_TRUNC;
    if (row.flags >= 0) flags = call.args[static_cast<std::size_t>(row.flags)];
    if (row.how) {
      std::string how = task.memory(flags, sizeof flags);
      if (how.size() != sizeof flags) return;
      std::memcpy(&flags, how.data(), sizeof flags);
    }
    if ((flags & O_PATH) == O_PATH) return;
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
    if (!writes && plan_.observe != seccomp::Observe::reads) return;
    auto name = task.text(call.args[static_cast<std::size_t>(row.name)]);
    if (!name || name->empty()) return;
    Path path{writes ? Operation::write : Operation::read, writes ? Want::write : Want::read};
    path.follow = (flags & O_NOFOLLOW) == 0;
    // O_CREAT alone: what exists is only read.
    if ((flags & O_ACCMODE) == O_RDONLY && (flags & O_CREAT) != 0)
      path.operation = Operation::create;
    path.name = task.absolute(directory_of(call, row.directory), *name);
    check(task, std::move(path));
    return;
  }
}

void Look::check_names(const Task& task, const seccomp::Notification& call) {
  for (const NameRow& row : kNames) {
    if (row.call != call.call->name) continue;
    auto name = task.text(call.args[static_cast<std::size_t>(row.name)]);
    if (!name || name->empty()) continue;
    const bool exec = row.operation == Operation::exec;
    Path path{row.operation, exec ? Want::exec : Want::write};
    path.follow = exec || row.operation == Operation::write;
    path.entry = !path.follow;
    path.makes_directory = row.call.starts_with("mkdir");
    path.name = task.absolute(directory_of(call, row.directory), *name);
    check(task, std::move(path));
  }
}

/// Whether the caller can do what it wants there: by the Plan, and in a private directory, whose
/// content the Plan does not know, by what is there.
bool Look::is_allowed(const Task& task, std::string_view path, const Path& wanted) const {
  // mkdir of what is there only says so.
  if (!tree_.allows(path, wanted.want)) return wanted.makes_directory && task.sees(path);
  const std::string_view directory = tree_.private_directory(path);
  if (directory.empty()) return true;
  if (wanted.want != plan::Want::write) return task.sees(path);
  const std::string parent = path_parent(path);
  if (parent == directory || task.sees(parent)) return true;
  // mkdir -p in a program tries the deepest directory first, and then makes what it lacks. What the
  // host lacks as well is not refused.
  return wanted.makes_directory || !open_on_host(parent, LastLink::opened).valid();
}

void Look::check(const Task& task, Path path) {
  if (path.name.empty()) return;
  // Two dots mean what the directory before them is, which only the kernel knows.
  const bool climbs = path.name.find("/..") != path.name.npos;
  const bool plain = !needs_normalizing(path.name);
  if (!climbs && is_allowed(task, plain ? path.name : path_normalize(path.name), path)) return;
  const std::string resolved = task.resolve(path.name, path.follow);
  if (is_allowed(task, resolved, path)) return;
  auto grant = find_grant(resolved, path.want, path.entry);
  // What could not be done outside either is of interest only to who wants to know everything.
  if (!grant && plan_.observe != seccomp::Observe::reads) return;
  const bool exists = open_on_host(resolved, LastLink::opened).valid();
  if (!grant && path.want != plan::Want::write && !exists && errno == ENOENT) return;
  // A file that is there and may not be made is only opened.
  if (path.operation == Operation::create && !path.entry && exists) return;
  if (path.operation == Operation::write && !exists) path.operation = Operation::create;
  plan::Answer answer =
      tree_.explain(resolved, path.want, grant.value_or(plan::TreeView::Grant{resolved}), true);
  if (!grant && answer.never.empty()) {
    answer.cure.clear();
    answer.toml.clear();
    answer.never = "you could not do it outside either";
  }
  log::Event event = event_of(answer, path.operation);
  event.error = errno_of(answer.cause);
  report(task, std::move(event));
}

void Look::check_peer(const Task& task, const seccomp::Notification& call) {
  sockaddr_storage address{};
  const std::size_t length = std::min<std::size_t>(call.args[2] & 0xffffffff, sizeof address);
  std::string bytes = task.memory(call.args[1], length);
  // What cannot be read here the kernel may read.
  if (bytes.size() != length) return found_server_();
  if (length < sizeof address.ss_family) return;
  std::memcpy(&address, bytes.data(), length);
  if (address.ss_family == AF_UNIX) {
    constexpr std::size_t kPathAt = offsetof(sockaddr_un, sun_path);
    if (length <= kPathAt || bytes[kPathAt] == '\0') return;
    std::string name = bytes.substr(kPathAt);
    name.resize(::strnlen(name.data(), name.size()));
    Path path{Operation::connect, Want::connect};
    path.name = task.absolute(AT_FDCWD, name);
    const std::string there = task.resolve(path.name, true);
    if (there.empty()) found_server_();
    if (tree_.private_directory(there).empty() && task.sees(there)) found_server_();
    return check(task, std::move(path));
  }
  const bool whole = address.ss_family == AF_INET ? length >= sizeof(sockaddr_in)
                                                  : length >= offsetof(sockaddr_in6, sin6_scope_id);
  auto to = netns::endpoint_of(reinterpret_cast<const sockaddr&>(address));
  // Port 0: the C library asks which source address it would get, and sends nothing.
  if (!whole || !to || to->port == 0 || always_leads_somewhere(to->address)) return;
  auto answer = plan::explain_connect(plan_, netns::host_port_text(to->address, to->port));
  if (!answer || answer->allowed) return;
  log::Event event = event_of(*answer, Operation::connect);
  event.error = ENETUNREACH;
  report(task, std::move(event));
}

}  // namespace dirbox::supervise
