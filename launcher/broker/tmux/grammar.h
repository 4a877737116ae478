#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"

/// What the sandbox may ask of the user's tmux server: a closed grammar. Pure.
namespace dirbox::broker::tmux {

/// What must hold of the target before the request is carried out.
enum class Need {
  nothing,
  sees_session,  ///< the profile opens it, or the project has a window in it
  sees_window,   ///< the same, and the window exists
  owns_window,   ///< the project made it
  owns_pane,     ///< and what runs in the pane is the sandbox that it was made with
  owns_session,  ///< the project made all of its windows
};

/// SESSION, SESSION:WINDOW or SESSION:WINDOW.PANE; empty parts were not given.
struct Target {
  std::string session, window, pane;
};
/// Errors: ids (%1), marks ({last}, +), patterns, anything but letters, digits, '_' and '-'.
Result<Target> parse_target(std::string_view text);
/// For -t, matching exactly.
std::string target_text(const Target& target);

/// A request, from which arguments for tmux are built anew.
struct Request {
  std::string verb;  ///< canonical; "" for tmux -V
  Need need = Need::nothing;
  Target target;
  std::vector<std::string> flags;     ///< without -t, in a form of their own
  std::vector<std::string> operands;  ///< keys, or a format
  // new-session, new-window
  std::string name;
  std::string directory;             ///< as given; "" for none
  std::vector<std::string> command;  ///< one word: for sh -c; several: an argv; none: a shell
};

/// `arguments` are those after "tmux". Errors, whose detail is a sentence for the caller: every
/// verb and option that is not in the grammar, arguments that end in ";" or hold "#(", formats of
/// other than harmless variables.
Result<Request> parse_request(std::span<const std::string> arguments);

/// A format of plain text and harmless variables, such as "#{window_name}" or "#S".
Result<void> check_format(std::string_view text);

/// One argument as tmux takes it literally at the end of the client's argv: a ";" there would
/// begin another command.
std::string escape_argument(std::string argument);
/// A path for -c, in which tmux would expand formats.
std::string escape_directory(std::string_view path);

/// "swarm-*" against a name.
bool matches_session(std::span<const std::string> patterns, std::string_view name);

}  // namespace dirbox::broker::tmux
