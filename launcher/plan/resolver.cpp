#include "launcher/plan/resolver.h"

#include <algorithm>
#include <functional>

#include "launcher/base/path.h"

/// Theory of operation: a compilation asks for hundreds of names, most of them in a few directories
/// and not there. Names are nodes of a tree, found by one hash table; after some questions a
/// directory that is not large is read once, and what it does not list costs nothing any more.
/// Start time is why: a map from path to answer was half of the cost of a compilation.
namespace dirbox::plan {
namespace {

/// Takes the next component off `rest`; empty at the end. Empty components and "." are skipped.
std::string_view next_component(std::string_view& rest) {
  for (;;) {
    const std::size_t begin = rest.find_first_not_of('/');
    if (begin == rest.npos) return rest = {};
    const std::size_t end = std::min(rest.find('/', begin), rest.size());
    std::string_view part = rest.substr(begin, end - begin);
    rest.remove_prefix(end);
    if (part != ".") return part;
  }
}

bool is_at_end(std::string_view rest) { return next_component(rest).empty(); }

/// False when a component of `path` is empty, "." or "..", and of a few others.
bool is_plain(std::string_view path) {
  return !path.ends_with('/') && !path.ends_with("/.") && path.find("//") == path.npos &&
         path.find("/./") == path.npos && path.find("/..") == path.npos;
}

}  // namespace

Resolver::Resolver(const FileView& files) : files_(files), table_(512, kNone), listings_(1) {
  nodes_.emplace_back();
}

std::string Resolver::path_of(Index index) const {
  std::size_t size = 0;
  for (Index at = index; at != kRoot; at = nodes_[at].parent) size += nodes_[at].name.size() + 1;
  if (size == 0) return "/";
  std::string path(size, '/');
  for (Index at = index; at != kRoot; at = nodes_[at].parent) {
    const std::string& name = nodes_[at].name;
    size -= name.size();
    path.replace(size--, name.size(), name);
  }
  return path;
}

Resolver::Index* Resolver::place_of(Index parent, std::string_view name) {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = std::hash<std::string_view>()(name) + parent * 0x9e3779b97f4a7c15u;
  for (;; ++at) {
    Index& place = table_[at & mask];
    if (place == kNone || (nodes_[place].parent == parent && nodes_[place].name == name)) {
      return &place;
    }
  }
}

void Resolver::grow_table() {
  table_.assign(table_.size() * 2, kNone);
  for (Index index = 1; index < nodes_.size(); ++index) {
    *place_of(nodes_[index].parent, nodes_[index].name) = index;
  }
}

bool Resolver::read_directory(Index index) {
  constexpr std::uint64_t kLargeDirectory = 64 << 10;  // bytes: some thousand entries on ext4
  Node& directory = nodes_[index];
  if (!directory.known || directory.stat.type != FileType::directory || index == kRoot ||
      directory.stat.size > kLargeDirectory) {
    return false;
  }
  std::vector<Child> children = files_.list(path_of(index));
  if (children.empty()) return false;  // perhaps it may be searched but not read
  std::sort(children.begin(), children.end(),
            [](const Child& a, const Child& b) { return a.name < b.name; });
  directory.listing = static_cast<std::uint16_t>(listings_.size());
  listings_.push_back(std::move(children));
  return true;
}

Resolver::Index Resolver::child_of(Index parent, std::string_view name) {
  constexpr int kPatience = 8;  // lstat(2)s cost about as much as reading a directory
  Index* place = place_of(parent, name);
  if (*place != kNone) return *place;
  Node& directory = nodes_[parent];
  // Asked once: a directory that cannot be read is not tried again.
  if (directory.listing == 0 && ++directory.questions == kPatience) read_directory(parent);
  if (directory.listing != 0) {
    const std::vector<Child>& children = listings_[directory.listing];
    auto found = std::lower_bound(
        children.begin(), children.end(), name,
        [](const Child& child, std::string_view wanted) { return child.name < wanted; });
    if (found == children.end() || found->name != name) return kNone;
  }
  const Index index = static_cast<Index>(nodes_.size());
  *place = index;
  Node& node = nodes_.emplace_back();
  node.parent = parent;
  node.name = name;
  if (nodes_.size() * 2 > table_.size()) grow_table();
  return index;
}

const FileStat& Resolver::stat_of(Index index) {
  Node& node = nodes_[index];
  if (!node.known) {
    node.stat = files_.stat(path_of(index));
    node.known = true;
  }
  return node.stat;
}

/// The node to start from, with what is left of `path`: most paths share a directory with the one
/// before.
Resolver::Index Resolver::start_of(std::string_view& path) const {
  if (last_directory_.empty() || path.size() <= last_directory_.size() ||
      path[last_directory_.size()] != '/' || !path.starts_with(last_directory_)) {
    return kRoot;
  }
  path.remove_prefix(last_directory_.size());
  return last_node_;
}

Resolver::Resolution Resolver::resolve(std::string_view path) {
  constexpr int kMaxLinks = 40;  // path_resolution(7)
  constexpr FileStat kMissing{FileType::missing, {}, 0, 0, 0, ENOENT};
  Resolution out;
  std::string_view rest = path;
  std::string replaced;         // what `rest` is a part of, once a symlink was followed
  bool plain = is_plain(path);  // and no symlink so far: what is resolved is `path` itself
  Index at = start_of(rest);
  for (std::string_view part; !(part = next_component(rest)).empty();) {
    if (part == "..") {
      at = nodes_[at].parent;
      continue;
    }
    const Index child = child_of(at, part);
    out.stat = child == kNone ? kMissing : stat_of(child);
    if (plain && at != last_node_ && out.stat.type != FileType::symlink && is_at_end(rest)) {
      last_directory_ = path.substr(0, path.size() - part.size() - 1);
      last_node_ = at;
    }
    if (out.stat.type == FileType::missing) {
      // The rest is only text.
      out.path = plain ? std::string(path)
                       : path_normalize(path_of(at) + "/" + std::string(part) + std::string(rest));
      return out;
    }
    if (out.stat.type != FileType::symlink) {
      at = child;
      continue;
    }
    plain = false;
    std::string where = path_of(child);
    std::string text = files_.link_text(where);
    out.hops.push_back({where, text, is_at_end(rest)});
    if (out.hops.size() > kMaxLinks) {
      out.stat = {FileType::missing, {}, 0, 0, 0, ELOOP};
      out.path = std::move(where);
      return out;
    }
    if (text.empty()) {
      at = child;
      continue;
    }
    if (text.front() == '/') at = kRoot;
    text += rest;
    replaced = std::move(text);
    rest = replaced;
  }
  if (plain) {
    out.path = path;
    return out;
  }
  out.path = path_of(at);
  // After "..", or a symlink to a directory above, the last one seen is another.
  out.stat = stat_of(at);
  return out;
}

}  // namespace dirbox::plan
