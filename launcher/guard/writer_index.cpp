#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "launcher/base/file.h"
#include "launcher/guard/answers.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/git_index.h"
#include "launcher/guard/indexes.h"
#include "launcher/guard/writer.h"

// What the writer knows of git's index, which git replaces at each change.

namespace dirbox::guard {
namespace {

/// Copies the first `size` bytes, or as many as there are. False, and errno.
bool copy(int from, int to, std::uint64_t size) {
  constexpr std::size_t kPiece = 1 << 20;
  std::string buffer(std::min<std::uint64_t>(kPiece, size), '\0');
  while (size > 0) {
    const ssize_t n = ::read(from, buffer.data(), std::min<std::uint64_t>(buffer.size(), size));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0;
    const auto piece = static_cast<std::size_t>(n);
    if (auto done = write_all(to, {buffer.data(), piece}, "index"); !done) {
      errno = done.error().err;
      return false;
    }
    size -= piece;
  }
  return true;
}

}  // namespace

/// By a copy, since the caller may still have what it renamed open, and of that what was judged.
/// With its time, by which git tells what has changed since.
Answer Writer::replace_index(const Seen& from, const Seen& to) {
  const NameRule& rule = *places_.rule_of(to.place);
  if (to.exists && !to.is(S_IFREG)) return guarded(to.place, rule.why);
  const UniqueFd source(::openat(from.place.directory.get(), from.place.name.c_str(),
                                 O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!source.valid() || ::fstat(source.get(), &status) != 0) return failed(errno);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || size > kMaxIndex)
    return guarded(to.place, fmt::format("an index of more than {} MiB", kMaxIndex >> 20));
  const int directory = to.place.directory.get();
  const std::string temporary = temporary_name(to.place.name);
  const UniqueFd file(::openat(directory, temporary.c_str(),
                               O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  auto give_up = [&](Answer answer) {
    ::unlinkat(directory, temporary.c_str(), 0);
    return answer;
  };
  if (!file.valid()) return give_up(failed(errno));
  if (!copy(source.get(), file.get(), size)) return give_up(failed(errno));
  if (auto danger = judge_index(file.get(), directory, *to.place.folder, to.place.name))
    return give_up(guarded(to.place, fmt::format("{}: {}", *danger, rule.why)));
  const struct timespec times[] = {status.st_atim, status.st_mtim};
  if (::fchmod(file.get(), status.st_mode & 0777) != 0 || ::futimens(file.get(), times) != 0 ||
      ::renameat(directory, temporary.c_str(), directory, to.place.name.c_str()) != 0) {
    return give_up(failed(errno));
  }
  return answer_of(::unlinkat(from.place.directory.get(), from.place.name.c_str(), 0));
}

}  // namespace dirbox::guard
