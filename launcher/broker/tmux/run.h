#pragma once
#include <span>
#include <string>
#include <vector>

#include "launcher/base/result.h"

/// Carries out a request of the sandbox on the user's tmux server.
namespace dirbox::broker::tmux {

/// What the launcher decides, in the argv of the helper.
struct Setting {
  std::string tmux;                   ///< the host's program
  std::string key;                    ///< of the project, see plan::project_key
  std::vector<std::string> sessions;  ///< patterns
  std::string directory;              ///< in which panes compile their plan: that of this run
  std::vector<std::string> launcher;  ///< dirbox, run and its options, for panes
};
/// The arguments of `dirbox __tmux` before those of the caller.
std::vector<std::string> encode_setting(const Setting& setting);

/// `dirbox __tmux`: `arguments` as encode_setting() makes them and then the caller's. A process of
/// its own on the host: it may wait for the server. Execs tmux, or returns an exit status.
///
/// Theory of operation. What the project owns is written on the server, where only the user and
/// this program can write: @dirbox of a window is the key of the project that made it, and
/// @dirbox-pane of its pane is the pid of the sandbox in it. So a director that is restarted in a
/// new sandbox finds its windows again; a window of another project is a stranger's; and in a
/// pane that the user split off or respawned nothing is typed. A target is looked up once and then
/// named by its id, which the server never uses again.
int run_helper(std::span<const std::string> arguments);

}  // namespace dirbox::broker::tmux
