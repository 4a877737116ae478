#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/writer.h"

// Files whose content git writes in place, so that nobody knows it when they are made. The caller
// gets a file without a name; what is in it by the next call is copied under the name, or dropped.

namespace dirbox::guard {
namespace {

constexpr std::string_view kCommon = "../..";
constexpr std::size_t kMostText = 8192;  // of one path and some words

std::string_view trimmed(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  return end == text.npos ? std::string_view() : text.substr(0, end + 1);
}

std::string content_of(const UniqueFd& file) {
  std::array<char, kMostText> text;
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

/// Where a gitfile leads within the trees, what is guarded in a git directory is guarded.
bool Writer::is_harmless(const Place& place, What what, const std::string& text) const {
  std::string_view target = trimmed(text);
  if (text.size() == kMostText || target.find_first_of("\n\r") != target.npos ||
      target.find('\0') != target.npos) {
    return false;
  }
  if (what == What::gitfile) {
    constexpr std::string_view kMark = "gitdir: ";
    if (!target.starts_with(kMark)) return false;
    target.remove_prefix(kMark.size());
  }
  const std::string path = path_normalize(path_join(place.parent, target));
  return places_.is_inside(path) && (what == What::gitfile || path_name(path) == ".git");
}

/// Makes the file, which is not there, at once and as a whole. 0 or an errno.
int Writer::put(const Place& place, const std::string& text, mode_t mode) {
  const int directory = place.directory.get();
  UniqueFd file(
      ::openat(directory, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, static_cast<mode_t>(0600)));
  if (!file.valid()) return errno;
  struct stat status {};
  const std::string link = "/proc/self/fd/" + std::to_string(file.get());
  if (auto done = write_all(file.get(), text, place.name); !done) return done.error().err;
  if (::fchmod(file.get(), mode & 0777) != 0 || ::fstat(file.get(), &status) != 0 ||
      ::linkat(AT_FDCWD, link.c_str(), directory, place.name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return errno;
  }
  made_.insert({status.st_dev, status.st_ino});
  return 0;
}

/// nullopt: the name is not one of these.
std::optional<Answer> Writer::defer(const Call& call, const Seen& seen, UniqueFd& descriptor) {
  const NameRule* rule = places_.rule_of(seen.place);
  if (rule == nullptr || seen.exists || call.act != Act::open ||
      (call.flags & O_ACCMODE) == O_RDONLY) {
    return std::nullopt;
  }
  const bool common = rule->what == What::commondir && seen.place.folder->kind == "worktree";
  if (rule->what != What::gitfile && rule->what != What::backlink && !common) return std::nullopt;
  const mode_t mode = call.mode & ~call.mask & 0777;
  descriptor.reset(::openat(seen.place.directory.get(), ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  if (!descriptor.valid()) return Answer{Answer::Kind::failed, errno, {}, {}};
  if (common) {
    // There is one thing that git writes, and the next that it does is to read it.
    const int err = put(seen.place, std::string(kCommon) + "\n", mode);
    if (err != 0) return Answer{Answer::Kind::failed, err, {}, {}};
    return Answer{Answer::Kind::done, 0, {}, {}};
  }
  if (deferred_.size() == kMostDeferred) deferred_.erase(deferred_.begin());
  UniqueFd directory(::fcntl(seen.place.directory.get(), F_DUPFD_CLOEXEC, 0));
  UniqueFd content(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, 0));
  if (!directory.valid() || !content.valid()) return Answer{Answer::Kind::failed, EMFILE, {}, {}};
  deferred_.push_back(
      {{std::move(directory), seen.place.parent, seen.place.name, false, seen.place.folder},
       rule,
       std::move(content),
       mode});
  return Answer{Answer::Kind::done, 0, {}, {}};
}

/// Before each call: what has been written by then. The directory may have been moved meanwhile,
/// and what it holds is judged from where it was: it was guarded in the same way there.
void Writer::settle() {
  std::vector<Deferred> rest;
  for (Deferred& file : deferred_) {
    const std::string text = content_of(file.content);
    if (text.empty()) {
      rest.push_back(std::move(file));
    } else if (!is_harmless(file.place, file.rule->what, text)) {
      refused_ = Answer{Answer::Kind::guarded, EPERM, file.place.path(), file.rule->why};
    } else if (put(file.place, text, file.mode) != 0) {
      refused_ = Answer{Answer::Kind::guarded, EPERM, file.place.path(), "it could not be made"};
    }
  }
  deferred_ = std::move(rest);
}

}  // namespace dirbox::guard
