#include "launcher/broker/docker/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/base/unique_fd.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

std::string shown(std::string_view path) { return escape_for_terminal(path.substr(0, 256)); }

/// Absolute and nothing that a resolution would change but symlinks. "" when it is not so.
std::string plain_path(std::string_view path) {
  if (path.size() > 4096 || path.empty() || path[0] != '/') return {};
  if (std::any_of(path.begin(), path.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == ':';
      }))
    return {};
  std::string normal = path_normalize(path);
  if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return normal == path ? normal : std::string();
}

/// What a container may not see or write beneath `target`, where `root` is mounted.
void add_masks(const BindRoot& root, const std::string& target, bool writable,
               BodyContext& context) {
  for (const Mask& mask : root.masks) {
    if (!mask.hidden && !writable) continue;
    std::string at = path_join(target, mask.path);
    if (mask.directory) {
      // podman copies into a tmpfs what it covers.
      context.masks.emplace_back(
          at, context.engine.podman ? "ro,size=4k,mode=755,notmpcopyup" : "ro,size=4k,mode=755");
    } else {
      context.binds.emplace_back(fmt::format("/dev/null:{}:ro", at));
    }
  }
}

Result<void> put_bind(std::string_view source, std::string_view target, bool writable,
                      BodyContext& context) {
  const BindRoot& root = *TRY(find_bind_root(context.spec, source));
  if (writable && !root.writable) {
    return refuse(
        fmt::format("{} is read-only in this sandbox ({})", shown(source), context.spec.binds_rule),
        "mount it with :ro");
  }
  std::string at = TRY(check_target(target));
  if (at == "/") return refuse("a mount over / is refused");
  context.binds.emplace_back(fmt::format("{}:{}:{}", root.path, at, writable ? "rw" : "ro"));
  add_masks(root, at, writable, context);
  return {};
}

/// The size in tmpfs options, which is what limits it; every other option must be a known one.
Result<std::uint64_t> size_of_tmpfs(std::string_view options, std::uint64_t most) {
  std::uint64_t size = most;
  while (!options.empty()) {
    std::size_t comma = std::min(options.find(','), options.size());
    std::string_view option = options.substr(0, comma);
    options.remove_prefix(std::min(comma + 1, options.size()));
    if (option.starts_with("size=")) {
      auto parsed = parse_size(option.substr(5));
      // Docker writes k, m and g.
      std::string upper(option.substr(5));
      std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
      if (!parsed) parsed = parse_size(upper);
      if (!parsed || *parsed == 0) return refuse_form("an unusual size of a tmpfs");
      size = *parsed;
    } else if (option != "rw" && option != "ro" && option != "nosuid" && option != "nodev" &&
               option != "noexec" && option != "exec" && !option.starts_with("mode=")) {
      return refuse(fmt::format("the tmpfs option {} is refused", shown(option)));
    }
  }
  return size;
}

}  // namespace

Result<std::string> check_target(std::string_view target) {
  std::string plain = plain_path(target);
  if (plain.empty()) return refuse_form("a target of a mount that is no plain absolute path");
  return plain;
}

Result<const BindRoot*> find_bind_root(const FilterSpec& spec, std::string_view source) {
  std::string path = plain_path(source);
  for (const BindRoot& root : spec.binds) {
    if (root.path != path) continue;
    if (!root.refusal.empty())
      return refuse(fmt::format("{} cannot be mounted: {}", shown(source), root.refusal));
    return &root;
  }
  std::string allowed;
  for (const BindRoot& root : spec.binds)
    if (root.refusal.empty()) allowed += (allowed.empty() ? "" : ", ") + root.path;
  return refuse(fmt::format("the bind source {} is none of those permitted by {}", shown(source),
                            spec.binds_rule),
                allowed.empty() ? "no path can be mounted"
                                : fmt::format("exactly these can be: {}", allowed));
}

Result<void> add_bind(std::string_view text, BodyContext& context) {
  std::size_t first = text.find(':');
  if (first == std::string_view::npos) {
    return refuse(fmt::format("the volume {} is refused", shown(text)), "name a path to mount");
  }
  std::string_view source = text.substr(0, first);
  std::string_view rest = text.substr(first + 1);
  std::size_t second = std::min(rest.find(':'), rest.size());
  std::string_view target = rest.substr(0, second);
  std::string_view options = rest.substr(std::min(second + 1, rest.size()));
  if (source.empty() || source[0] != '/') {
    return refuse(fmt::format("the named volume {} is refused", shown(source)),
                  "mount the working directory, or give no name: -v /path");
  }
  bool writable = true;
  if (options == "ro" || options == "ro,rprivate" || options == "rprivate,ro") {
    writable = false;
  } else if (!options.empty() && options != "rw" && options != "rprivate") {
    return refuse(fmt::format("the mount options {} are refused", shown(options)),
                  "only ro and rw");
  }
  return put_bind(source, target, writable, context);
}

Result<void> add_tmpfs(std::string_view target, std::string_view options, BodyContext& context) {
  std::string at = TRY(check_target(target));
  const Amount& most = context.spec.shm;
  std::uint64_t size = TRY(size_of_tmpfs(options, most.value));
  if (size > most.value) {
    return refuse(fmt::format("a tmpfs of {} is more than {} ({})", format_size(size),
                              format_size(most.value), most.rule));
  }
  std::string kept = "nosuid,nodev";
  for (std::string_view word : {"ro", "noexec", "exec"}) {
    std::string list = fmt::format(",{},", options);
    if (list.find(fmt::format(",{},", word)) != std::string::npos) kept += fmt::format(",{}", word);
  }
  context.masks.emplace_back(at, fmt::format("{},size={}", kept, size));
  return {};
}

namespace {

constexpr Field kMountFields[] = {
    {"Type", Shape::text},
    {"Source", Shape::text},
    {"Target", Shape::text},
    {"ReadOnly", Shape::flag},
    {"Consistency", Shape::dropped},
    {"BindOptions", Shape::nothing, nullptr, "no propagation, and the source must exist"},
    {"VolumeOptions", Shape::nothing, nullptr, "a volume's options can name any directory"},
    {"TmpfsOptions", Shape::rule,
     [](const Json& value, BodyContext&, Json& out) -> Result<void> {
       const JsonObject* object = value.as_object();
       if (object == nullptr) return {};
       for (const auto& member : *object) {
         if (member.first != "SizeBytes" && member.first != "Mode" && !is_nothing(member.second))
           return refuse("options of a tmpfs but its size are refused");
       }
       out.set("SizeBytes", integer_at(value, "SizeBytes"));
       return {};
     }},
};

}  // namespace

Result<void> add_mount(const Json& mount, BodyContext& context) {
  Json fields = TRY(rebuild(mount, kMountFields, context, "HostConfig.Mounts."));
  std::string type = text_at(fields, "Type"), source = text_at(fields, "Source");
  std::string target = text_at(fields, "Target");
  bool read_only = flag_at(fields, "ReadOnly");
  if (type == "bind") return put_bind(source, target, !read_only, context);
  if (type == "tmpfs" && source.empty()) {
    std::int64_t size = integer_at(fields, "SizeBytes");
    if (size < 0) return refuse_form("an unusual size of a tmpfs");
    std::string options = read_only ? "ro" : "rw";
    if (size > 0) options += fmt::format(",size={}", size);
    return add_tmpfs(target, options, context);
  }
  return refuse(fmt::format("a mount of type {} is refused", shown(type)),
                "only bind and tmpfs; for an anonymous volume use -v /path");
}

Result<void> check_root_unchanged(const BindRoot& root) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, root.path.c_str(), &how, sizeof how)));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) {
    return refuse(fmt::format("{} cannot be mounted: {}", shown(root.path), errno_name(errno)));
  }
  // A file that the host's programs save by rename is another one each time.
  bool same = root.directory ? st.st_dev == root.device && st.st_ino == root.inode
                             : S_ISREG(st.st_mode) != 0;
  if (!same) {
    return refuse(fmt::format("{} is another file than when the sandbox began", shown(root.path)));
  }
  return {};
}

}  // namespace dirbox::docker
