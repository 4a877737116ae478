#include <fmt/format.h>

#include "launcher/base/text.h"
#include "launcher/plan/layers.h"
#include "launcher/plan/plan.h"
#include "launcher/plan/policy_file.h"

namespace dirbox::plan {
namespace {

using sandbox::Mount;
using sandbox::MountKind;

constexpr std::string_view kKindNames[] = {"bind", "copy",    "tmpfs",  "directory",
                                           "file", "symlink", "mask",   "read-only",
                                           "proc", "devpts",  "synced", "shim"};

std::string_view kind_name(MountKind kind) { return kKindNames[static_cast<int>(kind)]; }

std::string describe(const Mount& mount) {
  switch (mount.kind) {
    case MountKind::bind:
      return mount.writable ? "write" : "read";
    case MountKind::tmpfs:
      return "private, " + format_size(mount.size);
    case MountKind::symlink:
      return "-> " + escape_for_terminal(mount.source);
    case MountKind::file:
      return "made for the sandbox";
    case MountKind::mask:
      return "hidden";
    case MountKind::shim:
      return "runs on the host";
    default:
      return std::string(kind_name(mount.kind));
  }
}

void add_heading(std::string& out, std::string_view text, bool color) {
  out += (out.empty() ? "" : "\n") + paint(text, Color::bold, color) + "\n";
}

void add_notes(std::string& out, std::string_view heading, const std::vector<Note>& notes,
               bool color) {
  if (notes.empty()) return;
  add_heading(out, heading, color);
  Table table;
  for (const Note& note : notes) table.add({note.text, note.origin.text()});
  out += table.render(2);
}

void add_values(std::string& out, std::string_view heading,
                const std::vector<profiles::Value>& values, bool color) {
  if (values.empty()) return;
  add_heading(out, heading, color);
  Table table;
  std::string_view last;
  for (const profiles::Value& value : values) {
    table.add({value.key == last ? "" : value.key, value.text, value.origin.text()});
    last = value.key;
  }
  out += table.render(2);
}

Json values_to_json(const std::vector<profiles::Value>& values) {
  JsonArray out;
  for (const profiles::Value& value : values) {
    Json item;
    item.set("key", value.key);
    item.set("value", value.text);
    item.set("origin", value.origin.text());
    out.push_back(std::move(item));
  }
  return out;
}

/// What the docker filter permits.
void add_docker(std::string& out, const Plan& plan, bool color) {
  const docker::FilterSpec& spec = plan.docker;
  if (spec.project.empty()) return;
  add_heading(out, "Docker, filtered", color);
  Table table;
  auto add = [&table](std::string_view what, std::string_view value, const std::string& rule) {
    table.add({std::string(what), escape_for_terminal(value), rule});
  };
  add("engines", fmt::format("{}", fmt::join(spec.sockets, " ")), "docker.sockets");
  for (const docker::BindRoot& root : spec.binds) {
    std::string state = root.writable ? " (write)" : " (read)";
    if (!root.refusal.empty()) state = " (not: " + root.refusal + ")";
    add("mount", root.path + state, spec.binds_rule);
  }
  add("networks", fmt::format("{}", fmt::join(spec.networks.values, " ")), spec.networks.rule);
  add("images", fmt::format("{}", fmt::join(spec.images.values, " ")), spec.images.rule);
  add("capabilities", fmt::format("{}", fmt::join(spec.capabilities.values, " ")),
      spec.capabilities.rule);
  add("memory", format_size(spec.memory.value), spec.memory.rule);
  add("cpus", fmt::format("{}", static_cast<double>(spec.cpus.value) / 1e9), spec.cpus.rule);
  add("pids", std::to_string(spec.pids.value), spec.pids.rule);
  add("/dev/shm", format_size(spec.shm.value), spec.shm.rule);
  add("containers", std::to_string(spec.containers.value), spec.containers.rule);
  out += table.render(2);
}

Json notes_to_json(const std::vector<Note>& notes) {
  JsonArray out;
  for (const Note& note : notes) {
    Json item;
    item.set("text", note.text);
    item.set("origin", note.origin.text());
    out.push_back(std::move(item));
  }
  return out;
}

Json strings_to_json(const std::vector<std::string>& strings) {
  return JsonArray(strings.begin(), strings.end());
}

}  // namespace

std::string render_plan(const Plan& plan, bool color) {
  std::string out;
  add_heading(out, "Plan", color);
  Table head;
  head.add({"profile", plan.profile});
  head.add({"working directory", escape_for_terminal(plan.cwd)});
  head.add({"project", escape_for_terminal(plan.project)});
  head.add(
      {"identity", fmt::format("uid {} gid {}, no capabilities", plan.spec.uid, plan.spec.gid)});
  head.add({"network", !plan.spec.own_network                    ? "the host's"
                       : plan.network.mode == netns::Mode::proxy ? "hosts that a rule allows"
                                                                 : "loopback only"});
  head.add({"landlock", plan.spec.landlock ? "on" : "off"});
  head.add({"nested user namespaces", plan.spec.nested_userns ? "allowed" : "refused"});
  if (!plan.spec.argv.empty()) {
    head.add({"command", escape_for_terminal(join_words(plan.spec.argv))});
    head.add({"executable", escape_for_terminal(plan.spec.executable)});
  }
  if (!plan.spec.attach.empty())
    head.add({"dirbox attach", "runs " + escape_for_terminal(join_words(plan.spec.attach)) +
                                   " unless told otherwise"});
  out += head.render(2);

  add_heading(out, "Files", color);
  Table files;
  for (const Mount& mount : plan.spec.mounts) {
    files.add({escape_for_terminal(mount.target), describe(mount), mount.origin.text()});
  }
  out += files.render(2);

  add_heading(out, "Hidden", color);
  Table hidden;
  for (const PathRule& rule : plan.rules) {
    if (rule.access != PathAccess::hide || rule.type == FileType::missing) continue;
    hidden.add({escape_for_terminal(rule.path), rule.origin.text()});
  }
  out += hidden.render(2);

  add_heading(out, "Environment", color);
  Table environment;
  for (const EnvironmentVariable& variable : plan.environment) {
    environment.add({escape_for_terminal(variable.name), escape_for_terminal(variable.value),
                     variable.origin.text()});
  }
  out += environment.render(2);

  add_values(out, "Network", plan.network_values, color);
  add_values(out, "Limits", plan.limit_values, color);
  add_docker(out, plan, color);
  for (const std::string& directory : plan.missing_directories) {
    out += fmt::format("\nwould be made on the host: {}\n", escape_for_terminal(directory));
  }
  add_heading(out, "Layers", color);
  out += render_layers(plan);
  add_notes(out, "Found", plan.notes, color);
  add_notes(out, "Warnings", plan.warnings, color);
  add_notes(out, "Weaker than it could be", plan.waivers, color);
  return out;
}

Json plan_to_json(const Plan& plan) {
  Json out;
  out.set("profile", plan.profile);
  out.set("chain", strings_to_json(plan.chain));
  out.set("cwd", plan.cwd);
  out.set("project", plan.project);
  out.set("home", plan.home);
  out.set("uid", plan.spec.uid);
  out.set("gid", plan.spec.gid);
  out.set("own_network", plan.spec.own_network);
  out.set("landlock", plan.spec.landlock);
  out.set("nested_userns", plan.spec.nested_userns);
  out.set("executable", plan.spec.executable);
  out.set("argv", strings_to_json(plan.spec.argv));
  if (!plan.spec.attach.empty()) out.set("attach", strings_to_json(plan.spec.attach));
  JsonArray mounts;
  for (const Mount& mount : plan.spec.mounts) {
    Json item;
    item.set("kind", kind_name(mount.kind));
    item.set("target", mount.target);
    // The policy's files say nothing but what stands here.
    const bool policy = mount.target == kPolicyFile || mount.target == kPolicyText;
    if (!mount.source.empty() && !policy) item.set("source", mount.source);
    if (mount.kind == MountKind::bind) item.set("writable", mount.writable);
    if (mount.kind == MountKind::tmpfs) item.set("size", mount.size);
    item.set("origin", mount.origin.text());
    mounts.push_back(std::move(item));
  }
  out.set("mounts", std::move(mounts));
  JsonArray rules;
  for (const PathRule& rule : plan.rules) {
    Json item;
    item.set("path", rule.path);
    item.set("access", access_name(rule.access));
    item.set("exists", rule.type != FileType::missing);
    item.set("origin", rule.origin.text());
    rules.push_back(std::move(item));
  }
  out.set("rules", std::move(rules));
  JsonArray environment;
  for (const EnvironmentVariable& variable : plan.environment) {
    Json item;
    item.set("name", variable.name);
    item.set("value", variable.value);
    item.set("origin", variable.origin.text());
    environment.push_back(std::move(item));
  }
  out.set("environment", std::move(environment));
  out.set("network", values_to_json(plan.network_values));
  out.set("limits", values_to_json(plan.limit_values));
  if (!plan.docker.project.empty()) out.set("docker", docker::spec_to_json(plan.docker));
  out.set("layers", layers_to_json(plan));
  out.set("dropped_variables", strings_to_json(plan.dropped_variables));
  out.set("missing_directories", strings_to_json(plan.missing_directories));
  out.set("notes", notes_to_json(plan.notes));
  out.set("warnings", notes_to_json(plan.warnings));
  out.set("waivers", notes_to_json(plan.waivers));
  return out;
}

}  // namespace dirbox::plan
