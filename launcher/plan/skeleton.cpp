#include "launcher/plan/skeleton.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/claude_code.h"
#include "launcher/plan/paths.h"

namespace dirbox::plan {
namespace {

using sandbox::Access;
using sandbox::Mount;
using sandbox::MountKind;

const Origin kBuiltIn{"built in", 0, 0};

Mount make(MountKind kind, std::string target, std::string source = {}) {
  Mount mount;
  mount.kind = kind;
  mount.target = std::move(target);
  mount.source = std::move(source);
  mount.is_directory = kind != MountKind::file;
  mount.origin = kBuiltIn;
  return mount;
}

void add_tmpfs(Plan& plan, const std::string& target, const profiles::Setting<std::uint64_t>& size,
               unsigned mode) {
  Mount mount = make(MountKind::tmpfs, target);
  mount.size = size.value;
  mount.mode = mode;
  mount.origin = size.origin;
  plan.spec.mounts.push_back(mount);
  plan.spec.landlock_rules.push_back({target, Access::write});
}

struct ProcRow {
  const char* path;
  bool root_only;  ///< its mode already keeps everybody but uid 0 out
};

/// Written by host tools with uid 0, which a root caller keeps inside: runc's readonlyPaths.
constexpr ProcRow kReadOnlyProc[] = {
    {"/proc/sys", false},    {"/proc/sysrq-trigger", true},
    {"/proc/irq", true},     {"/proc/bus", true},
    {"/proc/fs", true},      {"/proc/mtrr", true},
    {"/proc/driver", true},  {"/proc/dynamic_debug", true},
    {"/proc/profile", true}, {"/proc/lock_stat", true},
};
/// Kernel memory, keys and timers: runc's maskedPaths and Docker's defaults.
constexpr ProcRow kMaskedProc[] = {
    {"/proc/kcore", true},      {"/proc/keys", false},         {"/proc/key-users", false},
    {"/proc/timer_list", true}, {"/proc/sched_debug", true},   {"/proc/kmsg", true},
    {"/proc/kallsyms", false},  {"/proc/acpi", false},         {"/proc/scsi", true},
    {"/proc/interrupts", true}, {"/proc/latency_stats", true}, {"/proc/timer_stats", true},
    {"/proc/asound", true},     {"/proc/vmallocinfo", true},   {"/proc/slabinfo", true},
    {"/proc/kpagecount", true}, {"/proc/kpageflags", true},    {"/proc/kpagecgroup", true},
};

/// What add_devices() makes, and the terminals, through which a command types for the user.
bool is_own_device(std::string_view path) {
  constexpr std::string_view kOwn[] = {"/dev/pts", "/dev/ptmx",   "/dev/shm",
                                       "/dev/fd",  "/dev/mqueue", "/dev/console"};
  return std::any_of(std::begin(kOwn), std::end(kOwn),
                     [&](std::string_view own) { return path_is_beneath(path, own); }) ||
         (path.starts_with("/dev/tty") && path != "/dev/tty" && !path.starts_with("/dev/ttyUSB") &&
          !path.starts_with("/dev/ttyACM")) ||
         path.starts_with("/dev/vcs");
}

bool gives_away_host(const Resolver::Resolution& device) {
  constexpr std::string_view kMemory[] = {"/dev/mem",  "/dev/kmem",   "/dev/port", "/dev/kmsg",
                                          "/dev/disk", "/dev/mapper", "/dev/block"};
  return S_ISBLK(device.stat.mode) || S_ISSOCK(device.stat.mode) ||
         std::any_of(std::begin(kMemory), std::end(kMemory),
                     [&](std::string_view path) { return path_is_beneath(device.path, path); });
}

void add_node(const std::string& path, const FileStat& stat, const Origin& origin, Plan& plan) {
  Mount mount = make(MountKind::bind, path, path);
  mount.is_directory = stat.type == FileType::directory;
  mount.id = stat.id;
  mount.writable = mount.devices = true;
  mount.origin = origin;
  plan.spec.mounts.push_back(std::move(mount));
}

/// The device nodes that `entry` stands for, with a wildcard in its last component.
Result<std::vector<std::string>> find_devices(const profiles::Entry& entry, Resolver& resolver) {
  constexpr std::size_t kMost = 64;  // each is a mount
  std::vector<std::string> out;
  const std::string directory = path_parent(entry.text);
  for (const Child& child : resolver.files().list(resolver.resolve(directory).path)) {
    if (!match_name(path_name(entry.text), child.name)) continue;
    const std::string path = path_join(directory, child.name);
    const unsigned mode = resolver.resolve(path).stat.mode;
    if (S_ISCHR(mode) || S_ISBLK(mode)) out.push_back(path);
  }
  if (out.size() > kMost) {
    return fail("grant a device", entry.origin.text() + ": " + escape_for_terminal(entry.text),
                fmt::format("it names more than {} devices", kMost));
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// `path` is what `entry` says, or one that its wildcard stands for.
Result<void> add_device(const profiles::Entry& entry, const std::string& path, Resolver& resolver,
                        Plan& plan) {
  const std::string where = entry.origin.text() + ": " + escape_for_terminal(path);
  Resolver::Resolution found = resolver.resolve(path);
  if (found.stat.type == FileType::missing) {
    if (entry.optional) return {};
    return fail_errno("grant a device", where, found.stat.err);
  }
  if (!path_is_beneath(found.path, "/dev") || found.path == "/dev") {
    return fail("grant a device", where, "not beneath /dev");
  }
  if (is_own_device(found.path)) {
    return fail("grant a device", where, "the sandbox has its own, or the user's terminals");
  }
  if (gives_away_host(found)) {
    if (!entry.dangerous) {
      return fail("grant a device", where, "it gives away disks or memory of the host",
                  "if that is meant, a profile says so: devices = [{path = …, dangerous = true}]");
    }
    plan.waivers.push_back({fmt::format("device {}: it gives away disks or memory of the host",
                                        escape_for_terminal(found.path)),
                            entry.origin});
  }
  const bool known = std::any_of(plan.spec.mounts.begin(), plan.spec.mounts.end(),
                                 [&](const Mount& mount) { return mount.target == found.path; });
  if (!known) add_node(found.path, found.stat, entry.origin, plan);
  return {};
}

}  // namespace

Result<void> add_private_directories(const profiles::Profile& profile, const HostFacts& facts,
                                     Resolver& resolver, Plan& plan) {
  add_tmpfs(plan, "/tmp", profile.tmp_size, 01777);
  add_tmpfs(plan, "/var/tmp", profile.tmp_size, 01777);
  add_tmpfs(plan, "/run", profile.run_size, 0755);
  add_tmpfs(plan, "/dev/shm", profile.shm_size, 01777);
  plan.spec.mounts.push_back(make(MountKind::symlink, "/var/run", "../run"));
  if (profile.home.value != profiles::HomeMode::private_home) return {};
  std::string home = resolver.resolve(facts.home).path;
  if (home == "/") return fail("make a private home", facts.home, "the home directory is the root");
  add_tmpfs(plan, home, profile.home_size, 0700);
  return {};
}

void add_etc(const HostFacts& facts, Plan& plan) {
  auto field = [](const std::string& text, const char* otherwise) {
    const bool fits = !text.empty() && text.find_first_of(":\n") == text.npos;
    return fits ? text : std::string(otherwise);
  };
  const std::string shell = field(facts.shell, "/bin/sh"), home = field(facts.home, "/");
  const std::string& host = plan.spec.hostname;
  struct File {
    const char* path;
    std::string text;
  };
  std::vector<File> files = {
      {"/etc/passwd",
       fmt::format("{0}:x:{1}:{2}:{0}:{3}:{4}\n", facts.user, facts.uid, facts.gid, home, shell)},
      {"/etc/group", fmt::format("{}:x:{}:\n", facts.group, facts.gid)},
      {"/etc/hostname", host + "\n"},
      {"/etc/hosts", fmt::format("127.0.0.1 localhost {0}\n::1 localhost {0}\n", host)},
      {"/etc/nsswitch.conf",
       "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: "
       "files\n"
       "services: files\nethers: files\nrpc: files\n"},
  };
  if (plan.spec.own_network) {
    files.push_back(
        {"/etc/resolv.conf", "nameserver 127.0.0.1\noptions edns0 timeout:5 attempts:2\n"});
  } else {
    files.push_back({"/etc/resolv.conf", facts.files->head("/etc/resolv.conf", 64 << 10)});
  }
  if (!plan.spec.nested_userns)
    files.push_back({kClaudeSettings.data(), std::string(kClaudeSettingsText)});
  for (File& file : files) {
    Mount mount = make(MountKind::file, file.path, std::move(file.text));
    mount.mode = 0444;
    plan.spec.mounts.push_back(std::move(mount));
  }
  plan.spec.mounts.push_back(make(MountKind::symlink, "/etc/mtab", "../proc/self/mounts"));
  plan.spec.landlock_rules.push_back({"/etc", Access::read});
}

Result<void> add_devices(const profiles::Profile& profile, const HostFacts& facts,
                         Resolver& resolver, Plan& plan) {
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
    std::string path = path_join("/dev", name);
    FileStat stat = facts.files->stat(path);
    if (stat.type == FileType::missing) return fail_errno("find a device", path, stat.err);
    add_node(path, stat, kBuiltIn, plan);
  }
  for (const profiles::Entry& entry : profile.devices) {
    if (!is_glob(path_name(entry.text))) {
      TRY_VOID(add_device(entry, entry.text, resolver, plan));
      continue;
    }
    const std::vector<std::string> found = TRY(find_devices(entry, resolver));
    for (const std::string& path : found) TRY_VOID(add_device(entry, path, resolver, plan));
    if (found.empty() && !entry.optional)
      plan.warnings.push_back({escape_for_terminal(entry.text) + " names no device", entry.origin});
  }
  plan.spec.mounts.push_back(make(MountKind::devpts, "/dev/pts"));
  struct Link {
    const char *path, *text;
  };
  constexpr Link kLinks[] = {{"/dev/ptmx", "pts/ptmx"},
                             {"/dev/fd", "/proc/self/fd"},
                             {"/dev/stdin", "/proc/self/fd/0"},
                             {"/dev/stdout", "/proc/self/fd/1"},
                             {"/dev/stderr", "/proc/self/fd/2"}};
  for (const Link& link : kLinks) {
    plan.spec.mounts.push_back(make(MountKind::symlink, link.path, link.text));
  }
  plan.spec.landlock_rules.push_back({"/dev", Access::write});
  return {};
}

void add_proc(const HostFacts& facts, Plan& plan) {
  plan.spec.mounts.push_back(make(MountKind::proc, "/proc"));
  plan.spec.landlock_rules.push_back({"/proc", Access::write});
  bool root = facts.uid == 0;
  for (const ProcRow& row : kReadOnlyProc) {
    if ((row.root_only && !root) || facts.files->stat(row.path).type == FileType::missing) continue;
    Mount view = make(MountKind::read_only, row.path);
    view.in_root = false;
    plan.spec.mounts.push_back(view);
  }
  for (const ProcRow& row : kMaskedProc) {
    FileStat stat = facts.files->stat(row.path);
    if ((row.root_only && !root) || stat.type == FileType::missing) continue;
    Mount mask = make(MountKind::mask, row.path);
    mask.is_directory = stat.type == FileType::directory;
    mask.in_root = false;
    plan.spec.mounts.push_back(mask);
  }
}

}  // namespace dirbox::plan
