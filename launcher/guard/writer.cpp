#include "launcher/guard/writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "launcher/base/unix_socket.h"
#include "launcher/guard/answers.h"
#include "launcher/guard/entry.h"

namespace dirbox::guard {
namespace {

using Kind = Answer::Kind;

/// With the umask of the caller, under which a default ACL is what it is outside (umask(2)).
class Mask {
 public:
  explicit Mask(std::uint32_t mask) : before_(::umask(mask & 0777)) {}
  ~Mask() { ::umask(before_); }
  Mask(const Mask&) = delete;
  Mask& operator=(const Mask&) = delete;

 private:
  mode_t before_;
};

}  // namespace

Answer Writer::act(const Call& call, UniqueFd& descriptor) {
  places_.catch_up();
  if (!deferred_.empty()) settle();
  switch (call.act) {
    case Act::open:
    case Act::truncate:
      return open(call, descriptor);
    case Act::directory:
      return make_directory(call);
    case Act::node:
      return make_node(call);
    case Act::link:
      return link(call);
    case Act::symlink:
      return symlink(call);
    case Act::rename:
      return rename(call);
    case Act::remove:
      return remove(call);
    case Act::mode:
    case Act::owner:
    case Act::times:
    case Act::attribute:
    case Act::access:
      return change(call);
  }
  return not_mine();
}

void Writer::serve(std::span<const int> sockets) {
  std::vector<pollfd> sources;
  for (int socket : sockets) sources.push_back({socket, POLLIN, 0});
  while (sources.front().revents == 0) {
    if (::poll(sources.data(), sources.size(), -1) < 0) return;
    for (std::size_t i = 1; i < sources.size(); ++i) {
      // A negative one is left out by poll(2).
      if (sources[i].revents != 0 && !answer(sources[i].fd)) sources[i].fd = -1;
    }
  }
  if (!deferred_.empty()) settle();
}

/// False when nobody asks there any more.
bool Writer::answer(int socket) {
  auto message = receive_message(socket, kMaxCall, 0);
  if (!message || message->end) return false;
  UniqueFd descriptor;
  auto call = parse_call(message->bytes);
  Answer answer = call ? act(*call, descriptor) : not_mine();
  if (answer.why.empty() && refused_) {
    answer.path = refused_->path;
    answer.why = refused_->why;
    refused_.reset();
  }
  const auto bytes = encode_answer(answer);
  const int fds[] = {descriptor.get()};
  const std::size_t count = descriptor.valid() ? 1 : 0;
  if (!send_message(socket, bytes, std::span(fds, count))) return false;
  if (!answer.executable) return true;
  descriptor.reset();
  constexpr std::byte kClosed{1};
  return static_cast<bool>(send_message(socket, {&kClosed, 1}));
}

/// An answer where the name is not for this process to look at.
std::optional<Answer> Writer::see(const Call& call, int which, bool follow, Seen& out) const {
  switch (places_.find(call.names[which], follow, call.resolve, out.place)) {
    case Places::Found::elsewhere:
      return not_mine();
    case Places::Found::refused:
      return failed(ELOOP);
    case Places::Found::yes:
      break;
  }
  out.exists = ::fstatat(out.place.directory.get(), out.place.name.c_str(), &out.status,
                         AT_SYMLINK_NOFOLLOW) == 0;
  if (!out.exists && errno != ENOENT) return failed(errno);
  return std::nullopt;
}

/// For whatever is no directory.
std::optional<Answer> Writer::refuse_name(const Seen& seen) const {
  if (const NameRule* rule = places_.rule_of(seen.place)) return guarded(seen.place, rule->why);
  // Another sandbox's writer may be about to give it a guarded name (put_over).
  if (is_temporary_name(seen.place.name))
    return guarded(seen.place, "it is a name of files that are about to be replaced");
  if (places_.stands_for_folder(seen.place))
    return guarded(seen.place, "it stands for a directory whose files are executed");
  return std::nullopt;
}

/// A file that has another name, nobody knows where.
std::optional<Answer> Writer::refuse_alias(const Seen& seen) const {
  if (!seen.is(S_IFREG) || seen.status.st_nlink <= 1) return std::nullopt;
  if (linked_.contains({seen.status.st_dev, seen.status.st_ino})) return std::nullopt;
  return guarded(seen.place, "it has another name, which may be guarded");
}

Answer Writer::open(const Call& call, UniqueFd& descriptor) {
  const bool create = (call.flags & O_CREAT) != 0;
  const bool exclusive = create && (call.flags & O_EXCL) != 0;
  const bool follow = (call.flags & O_NOFOLLOW) == 0 && !exclusive;
  Seen seen;
  if (auto answer = see(call, 0, follow, seen)) return *answer;
  // File systems without unnamed files say so; programs then make a named one.
  if ((call.flags & O_TMPFILE) == O_TMPFILE) return failed(EOPNOTSUPP);
  if (seen.place.name == "." || seen.place.slash) return not_mine();
  if (seen.exists && !seen.is(S_IFREG)) return exclusive ? failed(EEXIST) : not_mine();
  if (!seen.exists && !create) return failed(ENOENT);
  if (exclusive && seen.exists) return failed(EEXIST);
  // A lock file: the kernel opens it in a read-only tree as well.
  const bool writes = (call.flags & O_ACCMODE) != O_RDONLY || call.act == Act::truncate;
  if (seen.exists && !writes && (call.flags & O_TRUNC) == 0) return not_mine();
  if (auto answer = defer(call, seen, descriptor)) return *answer;
  if (auto answer = refuse_name(seen)) return *answer;
  if (auto answer = refuse_alias(seen)) return *answer;
  if (auto answer = refuse_git(seen)) return *answer;
  Mask mask(call.mask);
  // Not blocked by what the host may put there meanwhile, and truncated when it is known what.
  const int flags = static_cast<int>(call.flags & ~static_cast<unsigned>(O_TRUNC));
  descriptor.reset(::openat(seen.place.directory.get(), seen.place.name.c_str(),
                            flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, call.mode));
  if (!descriptor.valid()) return failed(errno);
  struct stat status {};
  const bool same = ::fstat(descriptor.get(), &status) == 0 && S_ISREG(status.st_mode) &&
                    (!seen.exists ||
                     (status.st_ino == seen.status.st_ino && status.st_dev == seen.status.st_dev));
  int err = same ? 0 : EAGAIN;
  if (same && (call.flags & O_TRUNC) != 0 && writes && ::ftruncate(descriptor.get(), 0) != 0)
    err = errno;
  if (same && call.act == Act::truncate && ::ftruncate(descriptor.get(), call.size) != 0)
    err = errno;
  if (same && (call.flags & O_NONBLOCK) == 0 &&
      ::fcntl(descriptor.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
    err = errno;
  }
  if (err != 0 || call.act == Act::truncate) descriptor.reset();
  if (err != 0) return failed(err);
  Answer answer{Kind::done, 0, {}, {}};
  answer.executable = descriptor.valid() && writes && (status.st_mode & 0111) != 0;
  return answer;
}

Answer Writer::make_directory(const Call& call) {
  Seen seen;
  if (auto answer = see(call, 0, false, seen)) return *answer;
  if (seen.place.name == "." || seen.exists) return failed(EEXIST);
  const NameRule* rule = places_.rule_of(seen.place);
  if (rule != nullptr && !places_.stands_for_folder(seen.place))
    return guarded(seen.place, rule->why);
  if (auto answer = refuse_git(seen)) return *answer;
  Mask mask(call.mask);
  return answer_of(::mkdirat(seen.place.directory.get(), seen.place.name.c_str(), call.mode));
}

Answer Writer::make_node(const Call& call) {
  const mode_t type = call.mode & S_IFMT;
  if (type != 0 && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) return not_mine();
  Seen seen;
  if (auto answer = see(call, 0, false, seen)) return *answer;
  if (seen.place.name == "." || seen.place.slash || seen.exists) return not_mine();
  if (auto answer = refuse_name(seen)) return *answer;
  if (auto answer = refuse_git(seen)) return *answer;
  Mask mask(call.mask);
  return answer_of(::mknodat(seen.place.directory.get(), seen.place.name.c_str(), call.mode, 0));
}

Answer Writer::link(const Call& call) {
  Seen from, to;
  if (auto answer = see(call, 0, (call.flags & AT_SYMLINK_FOLLOW) != 0, from)) return *answer;
  if (auto answer = see(call, 1, false, to)) return *answer;
  if (!from.exists) return failed(ENOENT);
  if (from.is(S_IFDIR) || from.place.slash) return failed(EPERM);
  if (to.exists || to.place.slash || to.place.name == ".")
    return failed(to.exists ? EEXIST : ENOENT);
  for (const Seen* seen : {&from, &to}) {
    if (auto answer = refuse_name(*seen)) return *answer;
  }
  if (auto answer = refuse_alias(from)) return *answer;
  if (auto answer = refuse_git(to)) return *answer;
  if (auto answer = refuse_link(from, to)) return *answer;
  Answer answer = answer_of(::linkat(from.place.directory.get(), from.place.name.c_str(),
                                     to.place.directory.get(), to.place.name.c_str(), 0));
  if (answer.kind == Kind::done) linked_.insert({from.status.st_dev, from.status.st_ino});
  return answer;
}

Answer Writer::symlink(const Call& call) {
  Seen seen;
  if (auto answer = see(call, 1, false, seen)) return *answer;
  if (seen.exists || seen.place.name == ".") return failed(EEXIST);
  if (seen.place.slash) return failed(ENOENT);
  if (auto answer = refuse_name(seen)) return *answer;
  if (auto answer = refuse_git(seen)) return *answer;
  if (seen.place.folder->no_links && !is_probe(seen.place.name, call.names[0].path))
    return guarded(seen.place, link_rule().why);
  return answer_of(
      ::symlinkat(call.names[0].path.c_str(), seen.place.directory.get(), seen.place.name.c_str()));
}

/// A symlink that would come to where git makes none.
std::optional<Answer> Writer::refuse_link(const Seen& from, const Seen& to) {
  if (!from.is(S_IFLNK) || !to.place.folder->no_links) return std::nullopt;
  return guarded(to.place, link_rule().why);
}

/// A directory that would come to be guarded in another way, or would take something along.
std::optional<Answer> Writer::refuse_move(const Seen& from, const Seen& to) const {
  if (!from.is(S_IFDIR)) return std::nullopt;
  for (const Seen* seen : {&from, &to}) {
    if (places_.stands_for_folder(seen->place))
      return guarded(seen->place, "it is a directory whose files are executed");
  }
  if (places_.is_more_held(from.place.path(), to.place.path()))
    return guarded(to.place, "a pattern that is hidden or protected names what is in it");
  const Folder* before = places_.kind_of(from.place);
  const Folder* after = places_.kind_of(to.place);
  if (before == after) return std::nullopt;
  return guarded(to.place, "in it other names are guarded than where it was");
}

Answer Writer::rename(const Call& call) {
  constexpr unsigned kNoReplace = 1, kExchange = 2;
  if ((call.flags & ~(kNoReplace | kExchange)) != 0) return not_mine();
  Seen from, to;
  if (auto answer = see(call, 0, false, from)) return *answer;
  if (auto answer = see(call, 1, false, to)) return *answer;
  const bool exchange = (call.flags & kExchange) != 0;
  if (from.place.name == "." || to.place.name == ".") return not_mine();
  if (!from.exists || (exchange && !to.exists)) return failed(ENOENT);
  if (to.exists && (call.flags & kNoReplace) != 0) return failed(EEXIST);
  if ((from.place.slash || to.place.slash) && !from.is(S_IFDIR)) return failed(ENOTDIR);
  if (!from.is(S_IFDIR)) {
    if (auto answer = refuse_name(from)) return *answer;
    const NameRule* rule = places_.rule_of(to.place);
    if (rule != nullptr && rule->what == What::config && !exchange && from.is(S_IFREG))
      return replace_config(call, from, to);
    if (rule != nullptr && rule->what == What::index && !exchange && from.is(S_IFREG))
      return replace_index(from, to);
    if (auto answer = refuse_name(to)) return *answer;
  }
  if (exchange && !to.is(S_IFDIR)) {
    for (const Seen* seen : {&to, &from}) {
      if (auto answer = refuse_name(*seen)) return *answer;
    }
  }
  // A rule for the name as that of a file holds for a directory as well.
  const NameRule* rule = places_.rule_of(to.place);
  if (from.is(S_IFDIR) && rule != nullptr) return guarded(to.place, rule->why);
  if (auto answer = refuse_move(from, to)) return *answer;
  if (exchange) {
    if (auto answer = refuse_move(to, from)) return *answer;
  }
  if (auto answer = refuse_git(to)) return *answer;
  if (auto answer = refuse_link(from, to)) return *answer;
  if (exchange) {
    if (auto answer = refuse_link(to, from)) return *answer;
  }
  return answer_of(::syscall(SYS_renameat2, from.place.directory.get(), from.place.name.c_str(),
                             to.place.directory.get(), to.place.name.c_str(), call.flags) == 0
                       ? 0
                       : -1);
}

Answer Writer::remove(const Call& call) {
  Seen seen;
  if (auto answer = see(call, 0, false, seen)) return *answer;
  if (seen.place.name == ".") return not_mine();
  if (!seen.exists) return failed(ENOENT);
  const Identity identity{seen.status.st_dev, seen.status.st_ino};
  // What only leads elsewhere may go, as git worktree and submodules do: without it, what it was in
  // is a directory whose names are guarded all the same.
  const NameRule* rule = places_.rule_of(seen.place);
  const bool leads =
      rule != nullptr && (rule->what == What::gitfile || rule->what == What::backlink ||
                          rule->what == What::commondir || rule->what == What::index);
  if (!seen.is(S_IFDIR) && !leads && !made_.contains(identity)) {
    if (auto answer = refuse_name(seen)) return *answer;
  }
  if (seen.place.slash && !seen.is(S_IFDIR)) return failed(ENOTDIR);
  Answer answer = answer_of(::unlinkat(seen.place.directory.get(), seen.place.name.c_str(),
                                       static_cast<int>(call.flags & AT_REMOVEDIR)));
  if (answer.kind == Kind::done && !seen.is(S_IFDIR)) {
    made_.erase(identity);
    if (seen.status.st_nlink <= 1) linked_.erase(identity);
  }
  return answer;
}

/// What is not about a name: mode, owner, times; and whether it could be written.
Answer Writer::change(const Call& call) {
  Seen seen;
  if (auto answer = see(call, 0, (call.flags & AT_SYMLINK_NOFOLLOW) == 0, seen)) return *answer;
  if (!seen.exists) return failed(ENOENT);
  if (seen.place.slash && !seen.is(S_IFDIR)) return failed(ENOTDIR);
  const int directory = seen.place.directory.get();
  const char* name = seen.place.name.c_str();
  // Their mode changes nothing: git init tries the executable bit on a configuration.
  const NameRule* rule = places_.rule_of(seen.place);
  const bool matters = call.act == Act::access || call.act == Act::owner || call.act == Act::mode;
  const bool harmless = rule != nullptr && call.act != Act::access &&
                        (rule->what == What::config || rule->what == What::index);
  if (matters && !harmless && !seen.is(S_IFDIR)) {
    auto answer = refuse_name(seen);
    if (!answer && call.act == Act::mode) answer = refuse_alias(seen);
    // Who asks whether a guarded file could be written has not tried to.
    if (answer && call.act == Act::access) return failed(EACCES);
    if (answer) return *answer;
  }
  switch (call.act) {
    case Act::mode:
      if (seen.is(S_IFLNK)) return failed(EOPNOTSUPP);
      return answer_of(::fchmodat(directory, name, call.mode, 0));
    case Act::owner:
      return answer_of(::fchownat(directory, name, call.owner, call.group, AT_SYMLINK_NOFOLLOW));
    case Act::times:
      return answer_of(::utimensat(directory, name, call.times, AT_SYMLINK_NOFOLLOW));
    case Act::attribute:
      return failed(EOPNOTSUPP);
    case Act::access:
      return answer_of(::faccessat(directory, name, static_cast<int>(call.mode), 0));
    default:
      return not_mine();
  }
}

}  // namespace dirbox::guard
