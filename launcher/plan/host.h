#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/sandbox/spec.h"

/// What compilation may know of the machine. Everything comes through HostFacts, so that the same
/// Profile and the same facts give the same Plan, without privileges and without a kernel.
namespace dirbox::plan {

enum class FileType { missing, regular, directory, symlink, socket, other };

struct FileStat {
  FileType type = FileType::missing;
  sandbox::FileId id;
  std::uint32_t mode = 0;
  std::uint64_t links = 0;
  std::uint64_t size = 0;  ///< bytes; of a directory: what the file system says
  int err = 0;             ///< why it is missing: ENOENT, ENOTDIR, EACCES…
};

struct Child {
  std::string name;
  FileType type;
};

/// The one seam to the file system. Implementations do not follow a symlink in the last component.
class FileView {
 public:
  virtual ~FileView() = default;
  virtual FileStat stat(const std::string& path) const = 0;
  virtual std::string link_text(const std::string& path) const = 0;
  /// `err`: why it could not be read, where something in it can be reached nonetheless; else 0.
  virtual std::vector<Child> list(const std::string& directory, int& err) const = 0;
  std::vector<Child> list(const std::string& directory) const {
    int err = 0;
    return list(directory, err);
  }
  /// At most `limit` bytes of a regular file; empty when it cannot be read.
  virtual std::string head(const std::string& path, std::size_t limit) const = 0;
};

/// The real one.
class HostFiles : public FileView {
 public:
  FileStat stat(const std::string& path) const override;
  std::string link_text(const std::string& path) const override;
  using FileView::list;
  std::vector<Child> list(const std::string& directory, int& err) const override;
  std::string head(const std::string& path, std::size_t limit) const override;
};

/// One line of mountinfo: `root` of file system `device` is visible at `point`.
struct MountPoint {
  std::string device;  ///< "major:minor"
  std::string root;
  std::string point;
  std::string type{};  ///< of the file system: "ext4", "proc"
};

struct HostFacts {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string user, group, shell;
  std::string home;          ///< as $HOME or the password database has it
  std::string account_home;  ///< as the password database alone has it, "" where it has none
  std::string cwd;           ///< absolute, as getcwd(2) gives it: without symlinks
  sandbox::FileId cwd_id;    ///< of the directory that this process is in, whatever `cwd` names
  std::string self;          ///< this program; empty: unknown
  std::string session;
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<MountPoint> mounts;
  int landlock_abi = 0;  ///< 0: absent
  const FileView* files = nullptr;

  std::string_view variable(std::string_view name) const;
};

/// Facts of this process and machine. `files` must outlive the result.
Result<HostFacts> gather_facts(const FileView& files, char** environment);

/// Parses /proc/self/mountinfo text (proc_pid_mountinfo(5), octal escapes undone).
std::vector<MountPoint> parse_mountinfo(std::string_view text);

}  // namespace dirbox::plan
