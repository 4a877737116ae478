#include "launcher/plan/sockets.h"

#include <fnmatch.h>

namespace dirbox::plan {
namespace {

struct Danger {
  const char* pattern;  ///< fnmatch(3) over the whole path; '*' matches '/' too
  const char* reason;
};

constexpr const char* kEngine = "a container engine mounts any host directory for its clients";
constexpr const char* kMachines = "it starts virtual machines and containers with host directories";
constexpr const char* kBus = "D-Bus starts host programs, and systemd takes commands over it";
constexpr const char* kSystemd = "systemd starts host programs for its clients";
constexpr const char* kAgent = "it signs and decrypts with the user's keys";
constexpr const char* kSecrets = "it hands out the user's passwords";
constexpr const char* kX11 = "X11 clients read every key and type into every window";
constexpr const char* kWayland = "a Wayland client reads the clipboard, and some record the screen";
constexpr const char* kTerminals = "it runs commands in host terminals";
constexpr const char* kEditor = "an editor's server runs commands on the host";
constexpr const char* kDesktop = "it runs commands on the host's desktop";
constexpr const char* kSound = "it records the microphone";
constexpr const char* kSnap = "snapd installs and runs programs as root";
constexpr const char* kWsl = "it starts Windows programs";
constexpr const char* kMonitor = "a monitor's socket controls a virtual machine and its host files";

constexpr Danger kDangers[] = {
    {"*/*docker*.sock", kEngine},
    {"*/docker/*.sock", kEngine},
    {"*/.docker/*", kEngine},
    {"*/*podman*", kEngine},
    {"*/containerd*", kEngine},
    {"*/*nerdctl*", kEngine},
    {"*/buildkit*", kEngine},
    {"*/crio*", kEngine},
    {"*/cri-dockerd*", kEngine},
    {"*/balena-engine*", kEngine},
    {"*/k3s/*", kEngine},
    {"*/.colima/*", kEngine},
    {"*/.orbstack/*", kEngine},
    {"*/.rd/*", kEngine},
    {"*/lxd/*", kMachines},
    {"*/lxd-user/*", kMachines},
    {"*/incus/*", kMachines},
    {"*/libvirt*", kMachines},
    {"*/.lima/*", kMachines},
    {"*/multipass*", kMachines},
    {"*/virt*d-sock*", kMachines},
    {"*/bus", kBus},
    {"*/system_bus_socket", kBus},
    {"*/dbus-*", kBus},
    {"*/dbus/*", kBus},
    {"*/at-spi*", kDesktop},
    {"*/systemd/*", kSystemd},
    {"*/S.gpg-agent*", kAgent},
    {"*/S.scdaemon*", kAgent},
    {"*/S.keyboxd", kAgent},
    {"*/S.dirmngr", kAgent},
    {"*/.gnupg/*", kAgent},
    {"*/gnupg/*", kAgent},
    {"*ssh-agent*", kAgent},
    {"*/ssh-*/agent.*", kAgent},
    {"*/.ssh/*", kAgent},
    {"*/keyring*/*", kSecrets},
    {"*/gcr/*", kAgent},
    {"*/pcscd/*", kAgent},
    {"*/*1password*", kSecrets},
    {"*/.1password/*", kSecrets},
    {"*/*keepassxc*", kSecrets},
    {"*/*bitwarden*", kSecrets},
    {"*/rbw/*", kSecrets},
    {"*/kwallet*", kSecrets},
    {"*/tpm2*", kAgent},
    {"*/.X11-unix/*", kX11},
    {"*/.ICE-unix/*", kDesktop},
    {"*/wayland-*", kWayland},
    {"*/hypr/*", kDesktop},
    {"*/sway-ipc*", kDesktop},
    {"*/i3/*", kDesktop},
    {"*/niri.*", kDesktop},
    {"*/tmux-*", kTerminals},
    {"*/tmux/*", kTerminals},
    {"*/screen/*", kTerminals},
    {"*/.screen/*", kTerminals},
    {"*/zellij*", kTerminals},
    {"*/*kitty*", kTerminals},
    {"*/wezterm*", kTerminals},
    {"*/emacs*/*", kEditor},
    {"*/.emacs.d/*", kEditor},
    {"*/nvim*", kEditor},
    {"*/vscode-*", kEditor},
    {"*/Code/*", kEditor},
    {"*/Cursor/*", kEditor},
    {"*/pulse/*", kSound},
    {"*/pipewire-*", kSound},
    {"*/snapd*.socket", kSnap},
    {"*/WSL/*", kWsl},
    {"*_interop", kWsl},
    {"*/qmp*", kMonitor},
    {"*/*monitor.sock", kMonitor},
    {"*/dirbox/*", "it is dirbox's own"},
};

}  // namespace

std::optional<std::string_view> socket_danger(const std::string& path) {
  for (const Danger& danger : kDangers) {
    if (::fnmatch(danger.pattern, path.c_str(), 0) == 0) return danger.reason;
  }
  return std::nullopt;
}

}  // namespace dirbox::plan
