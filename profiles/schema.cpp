#include "profiles/schema.h"

#include <algorithm>
#include <type_traits>

#include "launcher/base/text.h"
#include "profiles/docker_rules.h"

namespace dirbox::profiles {
namespace {

constexpr std::uint64_t kPage = 4096;  // the least that a tmpfs can be limited to; 0 is "no limit"
constexpr std::uint64_t kTiB = 1ULL << 40;     // far above any RAM, far below overflow
constexpr std::uint64_t kMostFiles = 1 << 20;  // the kernel's default ceiling, proc(5) fs.nr_open

// clang-format off
constexpr Row kRows[] = {
  {"", "description", Kind::text, &Profile::description, Merge::replace, "",
   "One line that profile list shows; not inherited.", "\"my work profile\"",
   {}, 0, check_plain},
  {"", "extends", Kind::names, std::monostate{}, Merge::replace, "",
   "The profiles, by name or path, that this one adds to, merged in this order before it.",
   "[\"director\", \"./team.toml\"]", {}, 0, check_plain},

  {"filesystem", "home", Kind::choice, &Profile::home, Merge::replace, "\"private\"",
   "The home directory inside: an empty one in which only granted paths appear, the real one read-only "
   "without what hide names, or the real one writable without what hide names.",
   "\"masked\"", "private|masked|host"},
  {"filesystem", "read", Kind::paths, &Profile::read, Merge::append, "",
   "Paths that can be read and executed.", "[\"?~/.gitconfig\", \"/srv/data\"]", {}, kOptional, check_path},
  {"filesystem", "write", Kind::paths, &Profile::write, Merge::append, "",
   "Paths that can be read, executed and written.",
   "[\"${CWD}\", {path = \"~/.swarm\", create = true}]", {}, kOptional | kCreate, check_path},
  {"filesystem", "hide", Kind::paths, &Profile::hide, Merge::append, "",
   "Paths that are absent inside, under every name that leads to them; * stands for a part of a name, ** for directories.",
   "[\"~/.ssh\", \"${PROJECT}/**/.env\"]", {}, kOptional, check_path_pattern},
  {"filesystem", "protect", Kind::paths, &Profile::protect, Merge::append, "",
   "Paths within a writable one that stay read-only; wildcards as in hide.", "[\"?${PROJECT}/.git/hooks\"]",
   {}, kOptional, check_path_pattern},
  {"filesystem", "copy", Kind::paths, &Profile::copy, Merge::append, "",
   "Files of which the private home holds a copy, to be changed and replaced inside; the host's stay as they are.",
   "[\"?~/.config/tool/state.json\"]", {}, kOptional, check_path},
  {"filesystem", "sync", Kind::paths, &Profile::sync, Merge::append, "",
   "Files of which the private home holds a copy that is brought back to the host, those that are missing as well.",
   "[\"?~/.claude.json\"]", {}, kOptional, check_path},
  {"filesystem", "sockets", Kind::paths, &Profile::sockets, Merge::append, "",
   "Unix sockets of the host that can be connected to; a known one that gives away the host is refused "
   "without dangerous = true.", "[\"/run/postgresql/.s.PGSQL.5432\"]",
   {}, kOptional | kDangerous, check_path},
  {"filesystem", "devices", Kind::paths, &Profile::devices, Merge::append, "",
   "Device nodes beyond null, zero, full, random, urandom, tty and the own ptys; * stands for a part of the last name.",
   "[\"?/dev/dri\", \"?/dev/nvidia*\"]", {}, kOptional | kDangerous, check_device},
  {"filesystem", "swarm_state", Kind::choice, &Profile::swarm_state, Merge::replace, "\"shared\"",
   "Whether a ~/.swarm that write lists is the host's, or a directory of this project alone in its place.",
   "\"private\"", "shared|private"},
  {"filesystem", "worktrees", Kind::boolean, &Profile::worktrees, Merge::replace, "false",
   "Whether the directory ${PROJECT}-worktrees, in which swarm makes worktrees, can be written where it is the "
   "project's.", "true"},
  {"filesystem", "guard", Kind::choice, &Profile::guard, Merge::replace, "\"quarantine\"",
   "What happens to changes in writable directories that a program of the host would execute, such as a git "
   "hook: nothing, a report, a report after they were undone and kept aside, or a refusal before they are made.",
   "\"report\"", "off|report|quarantine|enforce"},
  {"filesystem", "tmp_size", Kind::size, &Profile::tmp_size, Merge::replace, "\"1G\"",
   "What /tmp and /var/tmp can hold, each.", "\"4G\"", {}, 0, nullptr, kPage, kTiB},
  {"filesystem", "shm_size", Kind::size, &Profile::shm_size, Merge::replace, "\"256M\"",
   "What /dev/shm can hold.", "\"1G\"", {}, 0, nullptr, kPage, kTiB},
  {"filesystem", "run_size", Kind::size, &Profile::run_size, Merge::replace, "\"64M\"",
   "What /run can hold.", "\"16M\"", {}, 0, nullptr, kPage, kTiB},
  {"filesystem", "home_size", Kind::size, &Profile::home_size, Merge::replace, "\"1G\"",
   "What a private home can hold beside what is granted in it.", "\"4G\"", {}, 0, nullptr, kPage, kTiB},

  {"environment", "pass", Kind::names, &Profile::env_pass, Merge::append, "",
   "Variables that are passed on where the caller has them; one * at the end of a name stands for any rest.",
   "[\"EDITOR\", \"MY_*\"]", {}, kAlwaysOptional, check_env_pattern},
  {"environment", "set", Kind::assignments, &Profile::env_set, Merge::replace_by_name, "",
   "Variables with their values, in which ${CWD}, ${HOME} and ${PROJECT} are replaced; wins over pass.",
   "{PAGER = \"cat\"}", {}, 0, check_value},

  {"network", "mode", Kind::choice, &Profile::network_mode, Merge::replace, "\"none\"",
   "No network but loopback, the names that allow lists through the proxy, or the network of the host.",
   "\"none\"", "none|proxy|host"},
  {"network", "allow", Kind::names, &Profile::net_allow, Merge::append, "",
   "Rules for what can be reached with mode = \"proxy\".", "[\"github.com\", \"*.npmjs.org:443\"]",
   {}, 0, check_allow_rule},
  {"network", "deny", Kind::names, &Profile::net_deny, Merge::append, "",
   "Rules that win over allow.", "[\"gist.github.com\"]", {}, 0, check_network_rule},

  {"network", "upgrade", Kind::names, &Profile::net_upgrade, Merge::append, "",
   "Rules, allowed ones among allow, for which plain HTTP may upgrade to WebSocket.",
   "[\"live.example.com:80\"]", {}, 0, check_allow_rule},
  {"network", "tls", Kind::choice, &Profile::net_tls, Merge::replace, "\"require\"",
   "What connections to tls_ports must show: TLS whose server name is the name that was asked for, TLS "
   "with that name or none, or anything.", "\"allow-no-sni\"", "require|allow-no-sni|off"},
  {"network", "tls_ports", Kind::names, &Profile::net_tls_ports, Merge::append, "",
   "Ports on which tls is checked, beside 443.", "[\"8443\"]", {}, 0, check_port},
  {"network", "allow_ech", Kind::boolean, &Profile::net_allow_ech, Merge::replace, "false",
   "Whether a TLS hello may carry Encrypted Client Hello, which hides the name that is checked.", "true"},
  {"network", "allow_non_tls", Kind::boolean, &Profile::net_allow_non_tls, Merge::replace, "false",
   "Whether bytes that are no TLS may pass on tls_ports, where TLS is checked all the same.", "true"},
  {"network", "proxy_port", Kind::count, &Profile::net_proxy_port, Merge::replace, "3128",
   "Port of the explicit proxy (HTTP, CONNECT, SOCKS5) on 127.0.0.1 inside; 0: none.", "8118",
   {}, 0, nullptr, 0, 65535},
  {"network", "proxy_variables", Kind::boolean, &Profile::net_proxy_variables, Merge::replace, "true",
   "Whether HTTP_PROXY and its kin are set, so that a refusal can explain itself.", "false"},
  {"network", "host_ports", Kind::names, &Profile::host_ports, Merge::append, "",
   "Ports of the host's 127.0.0.1 that are reachable inside on 127.0.0.1: a port, or inside:outside.",
   "[\"5432\"]", {}, 0, check_port_forward},
  {"network", "publish", Kind::names, &Profile::publish, Merge::append, "",
   "Ports inside that are reachable from the host: a port, address:port, or address:outside:inside.",
   "[\"127.0.0.1:3000\"]", {}, 0, check_publish},
  {"network", "limits", Kind::records, &Profile::net_limits, Merge::append, "",
   "Limits in bytes for single names.", "[{name = \"*.example.com\", max_upload = \"10M\"}]"},
  {"network.limits", "name", Kind::text, &NameLimit::name, Merge::replace, "",
   "A host or *.host that a rule of allow names.", "\"*.example.com\"", {}, 0, check_network_rule, 0, 0, true},
  {"network.limits", "max_upload", Kind::size, &NameLimit::max_upload, Merge::replace, "",
   "Bytes that may leave in a session.", "\"10M\""},
  {"network.limits", "max_download", Kind::size, &NameLimit::max_download, Merge::replace, "",
   "Bytes that may arrive in a session.", "\"1G\""},
  {"network.limits", "rate", Kind::size, &NameLimit::rate, Merge::replace, "",
   "Bytes per second, both directions together.", "\"1M\""},

  {"seccomp", "allow", Kind::names, &Profile::syscalls_allow, Merge::append, "",
   "System calls and @groups that are allowed; a call's own name wins over its group's, in allow and in deny.", "[\"@ptrace\"]", {}, 0, check_syscall},
  {"seccomp", "deny", Kind::names, &Profile::syscalls_deny, Merge::append, "",
   "System calls and @groups that are denied.", "[\"io_uring_setup\"]",
   {}, 0, check_syscall},
  {"seccomp", "rules", Kind::records, &Profile::syscall_rules, Merge::append, "",
   "Rules for single system calls, with tests of their arguments.",
   "[{syscall = \"socket\", when = [\"arg0 == 16\"], action = \"errno:EAFNOSUPPORT\"}]"},
  {"seccomp.rules", "syscall", Kind::text, &SyscallRule::syscall, Merge::replace, "",
   "The system call or @group.", "\"ioctl\"", {}, 0, check_syscall, 0, 0, true},
  {"seccomp.rules", "when", Kind::column_list, &SyscallRule::when, Merge::replace, "",
   "Tests of arguments, all of which hold for the rule to apply; without it the rule always applies.",
   "[\"arg1 == 0x5412\"]", {}, 0, check_plain},
  {"seccomp.rules", "action", Kind::text, &SyscallRule::action, Merge::replace, "",
   "What happens: allow, errno:ENAME, kill, log or notify.", "\"errno:EPERM\"", {}, 0, check_action, 0, 0, true},

  {"process", "nested_userns", Kind::boolean, &Profile::nested_userns, Merge::replace, "false",
   "Whether the command can make user namespaces of its own, and mount in them.", "true"},
  {"process", "hostname", Kind::text, &Profile::hostname, Merge::replace, "\"dirbox\"",
   "The host name inside.", "\"builder\"", {}, 0, check_hostname},

  {"limits", "nofile", Kind::count, &Profile::limit_nofile, Merge::replace, "",
   "RLIMIT_NOFILE: open files of a process.", "4096", {}, 0, nullptr, 16, kMostFiles},
  {"limits", "nproc", Kind::count, &Profile::limit_nproc, Merge::replace, "",
   "RLIMIT_NPROC: processes and threads of the caller's user in the sandbox.", "512",
   {}, 0, nullptr, 2, 1 << 22},
  {"limits", "fsize", Kind::size, &Profile::limit_fsize, Merge::replace, "",
   "RLIMIT_FSIZE: the size that a written file can reach.", "\"10G\""},
  {"limits", "as", Kind::size, &Profile::limit_as, Merge::replace, "",
   "RLIMIT_AS: the address space of a process; programs that reserve much and use little, such as node, "
   "need a lot.", "\"64G\"", {}, 0, nullptr, 1 << 20},

  {"docker", "sockets", Kind::paths, &Profile::docker_sockets, Merge::append, "",
   "Sockets of container engines, tried in order; without any, $DOCKER_HOST and where dockerd and podman usually "
   "listen.", "[\"/run/user/1000/podman/podman.sock\"]", {}, kOptional | kAlwaysOptional, check_path},
  {"docker", "binds", Kind::paths, &Profile::docker_binds, Merge::append, "",
   "Paths, beside the writable ones, that containers can mount, as far as filesystem grants them.",
   "[\"~/.claude/settings.json\"]", {}, kOptional, check_path},
  {"docker", "networks", Kind::names, &Profile::docker_networks, Merge::append, "",
   "Networks of the engine that containers can be on; the first one is what they get unasked.",
   "[\"sandbox-net\"]", {}, 0, check_docker_network},
  {"docker", "images", Kind::names, &Profile::docker_images, Merge::append, "",
   "Images, as patterns with *, that containers are made from and builds begin with.", "[\"node:*\"]",
   {}, 0, check_docker_image},
  {"docker", "capabilities", Kind::names, &Profile::docker_capabilities, Merge::append, "",
   "Capabilities that containers have; every other one is dropped.", "[\"CHOWN\", \"SETUID\"]",
   {}, 0, check_docker_capability},
  {"docker", "memory", Kind::size, &Profile::docker_memory, Merge::replace, "\"4G\"",
   "Memory of a container that asks for none, and the most that one can ask for.", "\"8G\"",
   {}, 0, nullptr, 8 << 20, kTiB},
  {"docker", "cpus", Kind::text, &Profile::docker_cpus, Merge::replace, "\"2\"",
   "CPUs of a container, as memory.", "\"1.5\"", {}, 0, check_docker_cpus},
  {"docker", "pids", Kind::count, &Profile::docker_pids, Merge::replace, "512",
   "Processes of a container, as memory.", "256", {}, 0, nullptr, 1, 1 << 22},
  {"docker", "shm_size", Kind::size, &Profile::docker_shm, Merge::replace, "\"256M\"",
   "The most that a container's /dev/shm and each tmpfs can hold.", "\"64M\"", {}, 0, nullptr, kPage, kTiB},
  {"docker", "max_containers", Kind::count, &Profile::docker_containers, Merge::replace, "8",
   "How many containers of the project may exist.", "16", {}, 0, nullptr, 1, 1000},
  {"log", "observe", Kind::choice, &Profile::observe, Merge::replace, "\"writes\"",
   "What is asked about so that its refusal can be named: nothing, denied system calls and what would "
   "change files or connect, or what would read and execute files as well.", "\"none\"", "none|writes|reads"},

  {"require", "landlock", Kind::choice, &Profile::landlock_optional, Merge::replace, "\"required\"",
   "Whether dirbox refuses to run where the kernel has no Landlock, or runs without this second layer and "
   "says so.", "\"optional\"", "required|optional"},

  {"", "excluded", Kind::records, &Profile::excluded, Merge::replace_by_name, "",
   "Commands that run on the host although a program inside calls them; a later file's record of a command "
   "takes the place of an earlier one.",
   "[{command = \"docker\", mode = \"host\", allow = [\"ps [-*]\"]}]"},
  {"excluded", "command", Kind::text, &Excluded::command, Merge::replace, "",
   "The name of the command.", "\"docker\"", {}, 0, check_command, 0, 0, true},
  {"excluded", "mode", Kind::choice, &Excluded::mode, Merge::replace, "",
   "host: it runs on the host; filter: inside, against a filtered API of its daemon (docker); grammar: on the "
   "host, with arguments rebuilt from a closed grammar (tmux); inside: it is not excluded.", "\"host\"",
   "host|filter|grammar|inside", 0, nullptr, 0, 0, true},
  {"excluded", "allow", Kind::rules, &Excluded::allow, Merge::replace, "",
   "Rules for the arguments that are permitted, see dirbox-broker(5).", "[\"ps [-*]\"]", {}, 0, check_plain},
  {"excluded", "deny", Kind::rules, &Excluded::deny, Merge::replace, "",
   "Rules that win over allow; the reason reaches the caller.",
   "[{rule = \"run --privileged\", reason = \"containers stay unprivileged\"}]", {}, 0, check_plain},
  {"excluded", "env", Kind::column_list, &Excluded::env, Merge::replace, "",
   "Variables that the caller inside may set for the command.", "[\"MY_FORMAT\"]", {}, 0, check_host_variable},
  {"excluded", "max_concurrent", Kind::count, &Excluded::max_concurrent, Merge::replace, "",
   "How many executions may run at a time.", "4", {}, 0, nullptr, 1, 1000},
  {"excluded", "timeout", Kind::count, &Excluded::timeout, Merge::replace, "",
   "Seconds after which an execution is ended.", "600", {}, 0, nullptr, 1, 1'000'000},
  {"excluded", "sessions", Kind::column_list, &Excluded::sessions, Merge::replace, "",
   "Patterns for the tmux sessions whose windows can be listed and captured.", "[\"swarm-*\"]",
   {}, 0, check_session_pattern},
  {"excluded", "profile", Kind::text, &Excluded::profile, Merge::replace, "",
   "The profile of the panes that tmux opens; without it they get the profile and options of this run.",
   "\"worker\"", {}, 0, check_plain},

  {"", "verify", Kind::records, &Profile::verify, Merge::append, "",
   "Commands that dirbox verify runs inside, and what is to come of them.",
   "[{run = \"cat ~/.ssh/id_rsa\", expect = \"blocked\", why = \"ssh keys are hidden\"}]"},
  {"verify", "run", Kind::text, &VerifyCheck::run, Merge::replace, "",
   "The command line, for sh -c.", "\"git --version\"", {}, 0, check_plain, 0, 0, true},
  {"verify", "expect", Kind::choice, &VerifyCheck::blocked, Merge::replace, "",
   "ok: it exits with 0; blocked: it does not.", "\"blocked\"", "ok|blocked", 0, nullptr, 0, 0, true},
  {"verify", "why", Kind::text, &VerifyCheck::why, Merge::replace, "",
   "The promise that the line checks, for the report.", "\"ssh keys are hidden\"", {}, 0, check_plain},
};
// clang-format on

constexpr Exclusive kExclusive[] = {
    {"filesystem", "hide", "read"},    {"filesystem", "hide", "write"},
    {"filesystem", "hide", "protect"}, {"filesystem", "hide", "copy"},
    {"filesystem", "hide", "sync"},    {"filesystem", "copy", "sync"},
    {"filesystem", "hide", "sockets"}, {"filesystem", "hide", "devices"},
    {"filesystem", "write", "read"},   {"filesystem", "write", "protect"},
    {"network", "allow", "deny"},      {"seccomp", "allow", "deny"},
};

template <class T>
T parse_fallback(const Row& row) {
  std::string_view text = row.fallback;
  if (text.size() >= 2 && text.front() == '"') text = text.substr(1, text.size() - 2);
  if constexpr (std::is_same_v<T, std::string>) {
    return std::string(text);
  } else if constexpr (std::is_enum_v<T> || std::is_same_v<T, bool>) {
    if (row.choices.empty()) return static_cast<T>(text == "true");
    auto words = choices_of(row);
    return static_cast<T>(std::find(words.begin(), words.end(), text) - words.begin());
  } else {
    if (text.empty()) return T{};
    return T(parse_size(text).value());
  }
}

}  // namespace

std::string Row::full_name() const {
  return section.empty() ? std::string(key) : std::string(section) + "." + std::string(key);
}

std::span<const Row> schema() { return kRows; }
std::span<const Exclusive> exclusive_lists() { return kExclusive; }

const Row* find_row(std::string_view section, std::string_view key) {
  for (const Row& row : kRows) {
    if (row.key == key && row.section == section) return &row;
  }
  return nullptr;
}

std::vector<std::string_view> choices_of(const Row& row) {
  std::vector<std::string_view> words;
  std::string_view rest = row.choices;
  while (!rest.empty()) {
    std::size_t bar = std::min(rest.find('|'), rest.size());
    words.push_back(rest.substr(0, bar));
    rest.remove_prefix(std::min(bar + 1, rest.size()));
  }
  return words;
}

bool is_section(std::string_view name) {
  return std::any_of(std::begin(kRows), std::end(kRows), [name](const Row& row) {
    return !name.empty() && row.section == name && find_row("", name) == nullptr &&
           name.find('.') == name.npos;
  });
}

std::vector<std::string_view> keys_of(std::string_view section) {
  std::vector<std::string_view> keys;
  for (const Row& row : kRows) {
    if (row.section == section) keys.push_back(row.key);
    bool repeated = std::find(keys.begin(), keys.end(), row.section) != keys.end();
    if (section.empty() && !repeated && is_section(row.section)) keys.push_back(row.section);
  }
  return keys;
}

Profile default_profile() {
  Profile out;
  for (const Row& row : kRows) {
    std::visit(
        [&](auto target) {
          if constexpr (std::is_invocable_v<decltype(target), Profile&>) {
            auto& place = out.*target;
            if constexpr (requires { place.value; }) {
              place.value = parse_fallback<std::decay_t<decltype(place.value)>>(row);
            }
          }
        },
        row.target);
  }
  return out;
}

}  // namespace dirbox::profiles
