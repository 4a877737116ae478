#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"
#include "profiles/profile.h"

/// Finds a profile and what it extends, and merges the chain into one Profile.
namespace dirbox::profiles {

/// A built-in profile. Origins call it "NAME.toml".
struct EmbeddedFile {
  std::string_view name;
  std::string_view text;
  std::string_view merged = {};  ///< it with all that it extends, by pack_profile(); "": not packed
};
/// profiles/*.toml, sorted by name.
std::span<const EmbeddedFile> embedded_files();

/// Where files come from: tests put texts in memory here.
class Source {
 public:
  virtual ~Source() = default;
  /// The text of the regular file at `path`; nullopt where there is none. Every other failure is an
  /// error: a profile that cannot be read must not fall back to a laxer one of the same name.
  virtual Result<std::optional<std::string>> read(const std::string& path) = 0;
  /// The directory at `path`, spelled as for every other path that leads to it; `path` itself where
  /// there is none.
  virtual std::string find_directory(const std::string& path) = 0;
  /// Names of the entries of a directory; none where it cannot be read.
  virtual std::vector<std::string> list(const std::string& directory) = 0;
};
/// The text of a file of the user's, nullopt where nothing has this name. A symlink that leads
/// nowhere is an error too: what it led to may have been stricter than what stands in for it.
Result<std::optional<std::string>> read_settings(const std::string& path);
/// The file system.
class HostSource : public Source {
 public:
  Result<std::optional<std::string>> read(const std::string& path) override;
  std::string find_directory(const std::string& path) override;
  std::vector<std::string> list(const std::string& directory) override;
};

struct Request {
  /// A name, searched for as NAME.toml in the directories below and then among the built-in ones;
  /// or the path of a file, which contains a '/' or ends in ".toml".
  std::string name = "director";
  std::string config_dir;  ///< the user's, normally ~/.config/dirbox; "" is not searched
  std::string system_dir = "/etc/dirbox";
  std::span<const EmbeddedFile> embedded = embedded_files();
};

/// The merged profile: the table's defaults, then each file of the chain. `extends` names are
/// searched for likewise, but a file that extends its own name gets the next one in the search
/// order, so that a user's director.toml can extend the built-in one. A path in `extends` is
/// relative to the file it stands in. A file that is reached twice is merged once, where it came
/// first. A built-in file none of whose chain is overridden is taken as the build merged it.
/// Errors: not found, unreadable, those of parse_toml, decode_layer and merge_layer, a
/// cycle, a chain that is too deep.
Result<Profile> load_profile(const Request& request, Source& source);
Result<Profile> load_profile(const Request& request);

/// What `profile list` shows of one profile.
struct Listed {
  std::string name;
  std::string description;
  std::string where;     ///< a path, or "built-in"
  bool shadows = false;  ///< a later place of the search order has one of the same name
  std::string error;     ///< why it does not load; then there is no description
};
/// Every profile that a name finds, sorted by name. Request::name is not used.
std::vector<Listed> list_profiles(const Request& request, Source& source);

}  // namespace dirbox::profiles
