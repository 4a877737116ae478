#include "launcher/plan/policy_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

using sandbox::Mount;
using sandbox::MountKind;

/// JSON into one string.
class Writer {
 public:
  explicit Writer(std::size_t capacity) { out_.reserve(capacity); }
  std::string take() { return std::move(out_); }

  Writer& raw(std::string_view text) {
    out_ += text;
    return *this;
  }
  Writer& string(std::string_view text) {
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
      return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    });
    if (!plain) {
      out_ += Json(text).dump();
      return *this;
    }
    (out_ += '"') += text;
    out_ += '"';
    return *this;
  }
  /// The directory of a profile may be a hidden one.
  Writer& origin(const Origin& origin) {
    const std::string text = origin.text();
    return string(origin.file.starts_with('/') ? path_name(text) : std::string_view(text));
  }
  /// [TEXT, ORIGIN]
  Writer& pair(std::string_view text, const Origin& from) {
    return raw("[").string(text).raw(",").origin(from).raw("]");
  }
  template <class List, class Put>
  Writer& list(std::string_view name, const List& list, Put put) {
    raw(",\n\"").raw(name).raw("\":[");
    bool first = true;
    for (const auto& item : list) {
      const std::size_t before = out_.size();
      if (!first) out_ += ',';
      const std::size_t begun = out_.size();
      put(item);
      if (out_.size() == begun) {
        out_.resize(before);
      } else {
        first = false;
      }
    }
    return raw("]");
  }

 private:
  std::string out_;
};

bool is_private(const Mount& mount) {
  return (mount.kind == MountKind::tmpfs && (mount.mode & 0200) != 0) ||
         mount.kind == MountKind::proc || mount.kind == MountKind::devpts;
}

bool is_writable(const Mount& mount) { return mount.writable || mount.devices; }

/// What a mount is, in the file: a word, and "" for what is not told.
std::string_view word_of(const Mount& mount) {
  switch (mount.kind) {
    case MountKind::bind:
      return is_writable(mount) ? "write" : "read";
    case MountKind::tmpfs:
      // Empty and closed: over a hidden directory.
      return is_private(mount) ? "private" : "made";
    case MountKind::proc:
    case MountKind::devpts:
      return "private";
    case MountKind::directory:
      return "made";
    case MountKind::copy:
    case MountKind::file:
    case MountKind::synced:
      return "file";
    case MountKind::symlink:
      return "link";
    case MountKind::shim:
      return "host";
    case MountKind::read_only:
      return "closed";
    case MountKind::mask:
      break;
  }
  return {};
}

/// What is read-only within a writable tree because the host executes it.
std::vector<std::string_view> list_protected(const Plan& plan) {
  std::vector<std::string_view> out;
  for (const PathRule& rule : plan.rules) {
    if (rule.access == PathAccess::protect) out.push_back(rule.path);
  }
  return out;
}

std::string make_json(const profiles::Profile& profile, const Plan& plan) {
  Writer w(24 << 10);
  w.raw("{\"version\":1,\"profile\":").string(path_name(plan.profile));
  w.raw(",\"session\":").string(plan.session);
  w.raw(",\"home\":").string(plan.home).raw(",\"cwd\":").string(plan.cwd);
  w.raw(",\"landlock\":").raw(plan.spec.landlock ? "true" : "false");
  w.raw(",\"nested_userns\":").raw(plan.spec.nested_userns ? "true" : "false");
  constexpr std::string_view kModes[] = {"none", "proxy", "host"};
  w.raw(",\"network\":").string(kModes[static_cast<int>(plan.network.mode)]);
  const auto protect = list_protected(plan);
  w.list("mounts", plan.spec.mounts, [&](const Mount& mount) {
    std::string_view word = word_of(mount);
    if (word.empty()) return;
    if (word == "read" && std::find(protect.begin(), protect.end(), mount.target) != protect.end())
      word = "protect";
    w.raw("\n[").string(mount.target).raw(",").string(word).raw(",").origin(mount.origin);
    if (word == "host") w.raw(",").string(mount.source);
    w.raw("]");
  });
  const auto rule = [&](const auto& item) { w.pair(item.text, item.origin); };
  w.list("allow", plan.network.allow, rule).list("deny", plan.network.deny, rule);
  w.list("environment", plan.environment,
         [&](const EnvironmentVariable& item) { w.pair(item.name, item.origin); });
  w.list("syscalls_allow", profile.syscalls_allow, rule);
  w.list("syscalls_deny", profile.syscalls_deny, rule);
  w.list("syscall_rules", profile.syscall_rules, [&](const profiles::SyscallRule& item) {
    w.raw("[").string(item.syscall).raw(",").string(item.action).raw(",").origin(item.origin);
    for (const std::string& when : item.when) w.raw(",").string(when);
    w.raw("]");
  });
  w.list("excluded", plan.excluded, [&](const Excluded& excluded) {
    const bool grammar = excluded.policy.mode == broker::Mode::grammar;
    w.raw("{\"command\":").string(excluded.policy.command);
    w.raw(",\"mode\":").string(grammar ? "grammar" : "host");
    w.raw(",\"origin\":").origin(excluded.policy.origin);
    w.raw(",\"no_panes\":").string(excluded.no_panes);
    w.raw(",\"refused\":").string(excluded.refused);
    w.list("allow", excluded.policy.allow, rule).list("deny", excluded.policy.deny, rule).raw("}");
  });
  return w.raw("}\n").take();
}

/// "a, b, c"; "nothing" for none.
template <class List, class Text>
std::string enumerate(const List& list, Text text) {
  std::string out;
  for (const auto& item : list) {
    const std::string_view word = text(item);
    if (word.empty()) continue;
    if (!out.empty()) out += ", ";
    out += escape_for_terminal(word);
  }
  return out.empty() ? "nothing" : out;
}

/// The mounts for which `wanted` holds and that lie in no other such.
template <class Wanted>
std::string outermost(const Plan& plan, Wanted wanted) {
  std::string_view last = "//";
  return enumerate(plan.spec.mounts, [&](const Mount& mount) -> std::string_view {
    if (!wanted(mount) || path_is_beneath(mount.target, last)) return {};
    last = mount.target;
    return mount.target;
  });
}

bool lies_in_writable(const Plan& plan, std::string_view path) {
  return std::any_of(plan.spec.mounts.begin(), plan.spec.mounts.end(), [&](const Mount& mount) {
    return mount.kind == MountKind::bind && mount.writable && !mount.devices &&
           path_is_beneath(path, mount.target);
  });
}

std::string network_text(const Plan& plan) {
  switch (plan.network.mode) {
    case netns::Mode::none:
      return "Network: none but loopback inside.";
    case netns::Mode::host:
      return "Network: the host's, not filtered.";
    case netns::Mode::proxy:
      break;
  }
  return fmt::format(
      "Network: names resolve and connections succeed only for these hosts, on ports 80 and 443 "
      "where none is named: {}. No other host, no UDP, no ping.",
      enumerate(plan.network.allow, [](const auto& rule) { return std::string_view(rule.text); }));
}

std::string make_text(const Plan& plan) {
  const auto is_bind = [](const Mount& mount) {
    return mount.kind == MountKind::bind && mount.is_directory && !mount.devices;
  };
  std::string out = fmt::format(
      "You run in a sandbox, made by dirbox with the profile {} (session {}). What it refuses is "
      "policy, not a fault of the machine.\n\nFiles that you can change: {}.\nPrivate, and gone at "
      "the end: {}.\nReadable: {}, and parts of /etc. Everything else is absent on purpose.\n{}\n",
      escape_for_terminal(path_name(plan.profile)), plan.session,
      outermost(plan, [&](const Mount& m) { return is_bind(m) && m.writable; }),
      outermost(plan, [](const Mount& m) { return m.kind == MountKind::tmpfs && is_private(m); }),
      outermost(plan,
                [&](const Mount& m) {
                  return is_bind(m) && !m.writable && !path_is_beneath(m.target, "/etc") &&
                         !lies_in_writable(plan, m.target);
                }),
      network_text(plan));
  if (!plan.excluded.empty()) {
    out += fmt::format("Commands that run on the host, some with few arguments permitted: {}.\n",
                       enumerate(plan.excluded, [](const Excluded& e) {
                         return std::string_view(e.policy.command);
                       }));
  }
  if (!plan.docker.project.empty())
    out += "docker works, filtered: mounts only from what you can use, own containers only.\n";
  out += fmt::format(
      "There are no privileges: no root, no mounts, no tracing, no other users' processes.\n\n"
      "When something is refused (\"No such file\", \"Read-only file system\", \"Operation not "
      "permitted\", a name that does not resolve, HTTP 403 from the proxy), ask before you try "
      "another way:\n"
      "    dirbox why path /some/file [--write]\n"
      "    dirbox why host example.com:443\n"
      "    dirbox why exec -- tmux kill-server\n"
      "It names the rule and the option that would permit it, as {} has them, which can be read "
      "without it too. If you need that, tell the user the option; only they can give it, outside: "
      "at the next start, and a host at once with `dirbox grant {} HOST`. What is answered with "
      "\"never\" is not to be had.\n",
      kPolicyFile, plan.session);
  return out;
}

}  // namespace

void add_policy_files(const profiles::Profile& profile, Plan& plan) {
  const auto add = [&plan](std::string_view path, std::string text) {
    Mount mount;
    mount.kind = MountKind::file;
    mount.target = path;
    mount.source = std::move(text);
    mount.is_directory = false;
    mount.mode = 0444;
    mount.origin = {"built in", 0, 0};
    plan.spec.mounts.push_back(std::move(mount));
  };
  std::string json = make_json(profile, plan), text = make_text(plan);
  add(kPolicyFile, std::move(json));
  add(kPolicyText, std::move(text));
}

}  // namespace dirbox::plan
