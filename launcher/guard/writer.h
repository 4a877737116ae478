#pragma once
#include <sys/stat.h>

#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "launcher/base/unique_fd.h"
#include "launcher/guard/call.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/place.h"

/// Makes changes in guarded trees on behalf of the command, which cannot make any itself.
namespace dirbox::guard {

/// Theory of operation. For the command the trees are read-only mounts; the Writer lives in a mount
/// namespace in which they are not, and is else confined like the command
/// (launcher/sandbox/writer.h). The supervisor's side copies the arguments of a call once and sends
/// them here; what they name is resolved here, once, to a directory by descriptor and one last
/// component, judged by the path that the kernel gives for that descriptor, and done with the same
/// descriptor and component. So nothing depends on the caller's memory, and since every change of
/// the trees by the command comes through this one thread, none happens between the look and the
/// act. What it does not want to do it leaves to the kernel, for which the tree is read-only: that
/// is always safe.
///
/// What is kept, for a tree without guarded changes at the start:
///   * A guarded file is not opened for writing, replaced, removed, renamed or linked to. An alias
///     of one could be: so a file with more names than this process gave it is not opened either.
///   * A git configuration is replaced by rename(2), as git does, when what it says is harmless: by
///     a copy, since the caller may still have what it renamed open. One that was made so may go.
///   * An index of git is replaced in the same way, and may go.
///   * What git writes in place into a `.git` file, `gitdir` or `commondir` that is not there goes
///   to
///     a file without a name, and is given its name, as a copy, with the next call that comes here,
///     when it is what git writes (deferred.cpp).
///   * A directory is moved only between places where the same names in it are guarded, and nothing
///     that a configuration leads to moves with it.
///   * A directory becomes a bare git directory only when what is guarded in one is harmless or
///     absent.
/// The host may change the trees meanwhile, and so may another sandbox, through a Writer of its
/// own.
class Writer {
 public:
  static constexpr std::size_t kMostHooks = 256;    ///< of a directory that becomes a git directory
  static constexpr std::size_t kMostLooked = 4096;  ///< names in such a one, and beneath it

  Writer(std::vector<std::string> trees, Indirect indirect)
      : places_(std::move(trees), std::move(indirect)) {}

  /// `descriptor` is valid after an open that succeeded.
  Answer act(const Call& call, UniqueFd& descriptor);
  /// Answers on `sockets` until the other end of the first is closed. What comes over one of them
  /// does not delay the others for longer than it takes.
  void serve(std::span<const int> sockets);

 private:
  using Identity = std::pair<dev_t, ino_t>;
  struct Seen {
    Place place;
    bool exists = false;
    struct stat status {};
    bool is(mode_t type) const { return exists && (status.st_mode & S_IFMT) == type; }
  };

  bool answer(int socket);
  std::optional<Answer> see(const Call& call, int which, bool follow, Seen& out) const;
  Answer open(const Call& call, UniqueFd& descriptor);
  Answer make_directory(const Call& call);
  Answer make_node(const Call& call);
  Answer link(const Call& call);
  Answer symlink(const Call& call);
  Answer rename(const Call& call);
  Answer remove(const Call& call);
  Answer change(const Call& call);
  Answer replace_config(const Call& call, const Seen& from, const Seen& to);
  Answer replace_index(const Seen& from, const Seen& to);

  std::optional<Answer> defer(const Call& call, const Seen& seen, UniqueFd& descriptor);
  void settle();
  bool is_harmless(const Place& place, What what, const std::string& text) const;
  int put(const Place& place, const std::string& text, mode_t mode);

  std::optional<Answer> refuse_name(const Seen& seen) const;
  std::optional<Answer> refuse_alias(const Seen& seen) const;
  static std::optional<Answer> refuse_link(const Seen& from, const Seen& to);
  std::optional<Answer> refuse_move(const Seen& from, const Seen& to) const;
  std::optional<Answer> refuse_git(const Seen& seen);
  std::optional<std::string> find_danger(const Entry& entry, const NameRule& rule,
                                         const std::string& before, const Place& at) const;
  bool put_over(const Entry& entry, const Place& to, bool own, int& err);

  /// A file that is written and has no name yet.
  struct Deferred {
    Place place;
    const NameRule* rule;
    UniqueFd content;
    mode_t mode;
  };
  static constexpr std::size_t kMostDeferred = 64;

  Places places_;
  std::vector<Deferred> deferred_;
  std::optional<Answer> refused_;  ///< what settle() dropped, for the next answer
  std::set<Identity> linked_;      ///< files all of whose names were made here
  std::set<Identity> made_;        ///< configurations that were made here and where none was
};

}  // namespace dirbox::guard
