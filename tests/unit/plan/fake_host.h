#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "launcher/plan/plan.h"
#include "profiles/decode.h"
#include "profiles/load.h"
#include "tests/unit/plan/fake_files.h"

/// A machine with one user, "u", who works in /home/u/p.
struct FakeHost {
  FakeFiles files;
  dirbox::plan::HostFacts facts;
  dirbox::plan::Command command;

  FakeHost() {
    for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"})
      files.other(std::string("/dev/") + name, 020666);
    for (const char* path : {"/proc/sys", "/proc/fs", "/proc/acpi", "/run", "/sys", "/opt"})
      files.directory(path);
    for (const char* path : {"/proc/keys", "/proc/key-users", "/proc/kallsyms"}) files.file(path);
    files.directory("/tmp", 01777);
    files.directory("/var/tmp", 01777);
    files.program("/usr/bin/true");
    files.program("/usr/bin/python3");
    files.link("/bin", "usr/bin");
    files.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    files.file("/etc/localtime", "TZif");
    files.directory("/home/u/p/.git/hooks");
    facts.uid = facts.gid = 1000;
    facts.user = facts.group = "u";
    facts.shell = "/bin/bash";
    facts.home = "/home/u";
    facts.session = "5e5510";
    facts.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", "/home/u"}};
    facts.landlock_abi = 6;
    facts.files = &files;
    work_in("/home/u/p");
  }
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  void work_in(const std::string& cwd) {
    facts.cwd = cwd;
    facts.cwd_id = files.stat(cwd).id;
  }
  void set(const std::string& name, const std::string& value) {
    for (auto& [key, old] : facts.environment) {
      if (key == name) {
        old = value;
        return;
      }
    }
    facts.environment.emplace_back(name, value);
  }

  /// A Profile of `text` alone, which is TOML.
  static dirbox::profiles::Profile profile(const std::string& text) {
    return extended(dirbox::profiles::default_profile(), text, "t.toml");
  }
  /// One whose file says `text` and extends `base`.
  static dirbox::profiles::Profile extended(dirbox::profiles::Profile base, const std::string& text,
                                            const std::string& file) {
    using namespace dirbox::profiles;
    auto tree = parse_toml(text, file);
    REQUIRE_MESSAGE(tree.has_value(), (tree ? "" : tree.error().message()));
    auto layer = decode_layer(*tree, file);
    REQUIRE_MESSAGE(layer.has_value(), (layer ? "" : layer.error().message()));
    auto merged = merge_layer(base, std::move(*layer));
    REQUIRE_MESSAGE(merged.has_value(), (merged ? "" : merged.error().message()));
    base.name = "t";
    base.chain.push_back(file);
    return base;
  }
  auto try_compile(const dirbox::profiles::Profile& profile) {
    return dirbox::plan::compile(profile, facts, command);
  }
  /// [filesystem] with `text`, and the working directory writable.
  auto try_filesystem(const std::string& text, const std::string& write = "") {
    return try_compile(profile("[filesystem]\nwrite = [\"${CWD}\"" + write + "]\n" + text + "\n"));
  }
  dirbox::plan::Plan compile(const dirbox::profiles::Profile& profile) {
    auto plan = try_compile(profile);
    REQUIRE_MESSAGE(plan.has_value(), (plan ? "" : plan.error().error.message()));
    return *plan;
  }
  dirbox::plan::Plan filesystem(const std::string& text, const std::string& write = "") {
    auto plan = try_filesystem(text, write);
    REQUIRE_MESSAGE(plan.has_value(), (plan ? "" : plan.error().error.message()));
    return *plan;
  }
};

/// The mount that makes `target`, the last one.
inline const dirbox::sandbox::Mount* mount_at(const dirbox::plan::Plan& plan,
                                              const std::string& target) {
  const dirbox::sandbox::Mount* found = nullptr;
  for (const auto& mount : plan.spec.mounts) {
    if (mount.target == target) found = &mount;
  }
  return found;
}

/// "read", "write", "mask", "tmpfs", "link TEXT"…; "" for none.
inline std::string shown(const dirbox::plan::Plan& plan, const std::string& target) {
  using dirbox::sandbox::MountKind;
  const auto* mount = mount_at(plan, target);
  if (mount == nullptr) return "";
  switch (mount->kind) {
    case MountKind::bind:
      return mount->writable ? "write" : "read";
    case MountKind::symlink:
      return "link " + mount->source;
    case MountKind::tmpfs:
      return "tmpfs";
    case MountKind::directory:
      return "directory";
    case MountKind::mask:
      return "mask";
    case MountKind::copy:
      return "copy";
    case MountKind::file:
      return "file";
    default:
      return "other";
  }
}

inline std::string all_notes(const std::vector<dirbox::plan::Note>& notes) {
  std::string out;
  for (const auto& note : notes) out += note.text + "\n";
  return out;
}
