#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/origin.h"
#include "launcher/base/result.h"

/// Which profile a directory gets: the user's projects.toml. Pure; the text is read and written by
/// the caller.
///
///     [projects]
///     "/home/u/work" = "worker"
namespace dirbox::profiles {

/// In the user's directory of profiles, where no profile can have this name.
inline constexpr std::string_view kSelectionFile = "projects.toml";
inline constexpr std::string_view kSelectionName = "projects";

struct Selection {
  std::string directory;  ///< absolute, normalized
  std::string profile;    ///< a name
  Origin origin;
  std::string leads_to{};  ///< where `directory` is without symlinks; "": there are none on the way
  bool planted = false;    ///< a sandbox may have made one of them
};

/// An entry and the place, of its two, where it holds a directory.
struct Held {
  const Selection* selection = nullptr;  ///< none
  std::string_view place{};              ///< a part of the selection
};

/// Errors have the operand "file:line:col": bad TOML, a key that is not [projects], a directory
/// that is not absolute and normalized, a value that is no profile's name.
Result<std::vector<Selection>> parse_selections(std::string_view text, std::string_view file);

/// The entry of which one place is `directory` or the nearest above it, by component. `otherwise`
/// is the profile where there is none. Errors: entries of different profiles hold the same place;
/// one that a planted symlink leads here would change what the others say.
Result<Held> decide_selection(std::span<const Selection> selections, std::string_view directory,
                              std::string_view otherwise);

/// `text` with `directory` set to `profile`, everything else as it stands, comments too.
/// Errors: those of parse_selections; a directory that TOML cannot hold (not UTF-8); an entry in a
/// form that only its author can change, such as an inline table.
Result<std::string> set_selection(std::string_view text, std::string_view file,
                                  const std::string& directory, const std::string& profile);
/// `text` without the line of `directory`. An Error where there is none.
Result<std::string> unset_selection(std::string_view text, std::string_view file,
                                    const std::string& directory);

}  // namespace dirbox::profiles
