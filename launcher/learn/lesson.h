#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/log/event.h"

/// From what a run was refused to the grants that it lacked. Pure.
///
/// Theory of operation: what is hidden stays hidden, and is only listed; so is what no grant could
/// allow. Everything else becomes an entry of a list of the profile. Entries are then widened where
/// single ones would be a guess at what a second run needs, and no further:
///
/// * many siblings become their directory, unless that is a place where everything is kept (the
///   home, ~/.config, /etc…) or something hidden lies in it;
/// * hosts become a bundle that has two of them, or `*.parent` for three that differ in their first
///   label, unless strangers have names beside them;
/// * a port other than 80 and 443 stays a port.
///
/// What is often asked for and rarely needed, or dangerous, is written as a comment: the reader
/// decides.
namespace dirbox::learn {

/// What the run was, as far as it matters here.
struct Setting {
  std::string home, cwd;            ///< without symlinks
  std::vector<std::string> hidden;  ///< paths that the base profile hides
  bool failed = false;              ///< the command did not succeed
};

enum class List { read, write, sockets, allow, syscalls };
constexpr std::size_t kLists = 5;

struct Grant {
  List list{};
  std::string text;  ///< the entry as a profile has it: "~/.cache", "example.com:5432"
  std::string why;   ///< for a comment, safe for a terminal
  bool active = true;
  bool dangerous = false;  ///< sockets: needs `dangerous = true`
};

/// What stays refused.
struct Refusal {
  std::string what;  ///< "read ~/.ssh/id_rsa"; safe for a terminal
  std::string why;
  bool secret = false;
  std::string toml;  ///< a setting that would allow it, and is not for a program to choose
};

struct Lesson {
  std::vector<Grant> grants;  ///< sorted by list and text
  std::vector<Refusal> refusals;
  bool empty() const { return grants.empty(); }
};

Lesson generalise(const std::vector<log::Event>& events, const Setting& setting);

/// Parts of it.
struct PathNeed {
  std::string path;  ///< what would have to be granted, absolute
  std::string why;
};
/// Entries for `needs`: reduced and widened as above. `covered`: what is granted otherwise already.
std::vector<Grant> generalise_paths(std::vector<PathNeed> needs, List list, const Setting& setting,
                                    const std::vector<std::string>& covered = {});
struct HostNeed {
  std::string host;  ///< "host" or "host:port"
  std::string why;
};
std::vector<Grant> generalise_hosts(const std::vector<HostNeed>& needs);

/// True for a name under which people keep keys, tokens and passwords.
bool looks_secret(std::string_view path);
/// True where the host executes what lies at, above or beneath `path`: start files, services,
/// programs. Not for what is in the working directory, which is guarded.
bool runs_later(const std::string& path, const Setting& setting);

struct Header {
  std::string base;     ///< for `extends`
  std::string command;  ///< as it was given
};
/// The profile as commented TOML; it loads as it is.
std::string render_lesson(const Lesson& lesson, const Header& header);

}  // namespace dirbox::learn
