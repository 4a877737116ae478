#pragma once
#include <optional>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/plan/compare.h"
#include "launcher/plan/plan.h"
#include "profiles/decode.h"
#include "profiles/profile.h"

/// .dirbox.toml in the top directory of a project: settings that come with the code. It may narrow
/// what the profile grants; what widens needs the user's trust in exactly this content.
namespace dirbox::cli {

inline constexpr const char* kProjectFile = ".dirbox.toml";

struct ProjectFile {
  std::string path, text, hash;
  profiles::Profile profile;          ///< with it
  std::vector<plan::Change> changes;  ///< against the profile without it
  std::vector<plan::Note> idle;       ///< what it removes, and the profile has not
  bool widens() const;
};

/// Reads and judges the file of the project around the working directory; nullopt where there is
/// none. `options`: what the command line adds to the profile; the file is judged on top of it, so
/// that it does not uncover what `profile` keeps from a directory that an option grants. Errors: it
/// is no regular file (a symlink is none), it is malformed, it has `extends`, or one of the two
/// profiles does not compile.
Result<std::optional<ProjectFile>> find_project_file(const profiles::Profile& profile,
                                                     const profiles::Overrides& options,
                                                     const plan::HostFacts& facts);

/// Where the file of the project around the working directory is, or would be.
std::string project_file_path(const plan::HostFacts& facts);

/// Such files in the working directory and above, up to the home, that do not hold here, and why. A
/// sandbox that makes a repository in its directory gets rid of the one above that way.
std::vector<plan::Note> find_idle_files(const plan::HostFacts& facts);

/// "widens  write /home/u/x (before: not visible)  file:line" lines.
std::string render_changes(const std::vector<plan::Change>& changes);

/// Where what was trusted is recorded: one file for each project, in the user's state directory.
bool check_trusted(const ProjectFile& file);
Result<void> record_trust(const ProjectFile& file);
struct Trusted {
  std::string path, hash;
  std::string state;  ///< of the file: "trusted", "changed", "gone", or "unreadable"
};
/// What is recorded and in force, sorted by path. Errors: a record is malformed.
Result<std::vector<Trusted>> list_trusted();
/// An Error when it was not trusted. The file itself may be gone.
Result<void> forget_trust(const std::string& path);

}  // namespace dirbox::cli
