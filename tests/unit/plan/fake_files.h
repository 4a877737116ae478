#pragma once
#include <map>
#include <string>
#include <vector>

#include "launcher/base/path.h"
#include "launcher/plan/host.h"

/// A file system in memory.
class FakeFiles : public dirbox::plan::FileView {
 public:
  using FileType = dirbox::plan::FileType;
  struct Node {
    FileType type = FileType::directory;
    std::string text;  ///< content, or what a symlink points to
    unsigned mode = 0;
    std::uint64_t inode = 0;
    std::uint64_t links = 1;
  };

  FakeFiles() { put("/", {FileType::directory, {}, 0755}); }
  void directory(const std::string& path, unsigned mode = 0755) {
    put(path, {FileType::directory, {}, 040000 | mode});
  }
  void file(const std::string& path, const std::string& text = "", unsigned mode = 0644) {
    put(path, {FileType::regular, text, 0100000 | mode});
  }
  void program(const std::string& path, const std::string& text = "\177ELF") {
    file(path, text, 0755);
  }
  void link(const std::string& path, const std::string& text) {
    put(path, {FileType::symlink, text, 0120777});
  }
  void socket(const std::string& path) { put(path, {FileType::socket, {}, 0140755}); }
  void other(const std::string& path, unsigned mode) { put(path, {FileType::other, {}, mode}); }
  Node& at(const std::string& path) { return nodes_.at(path); }

  dirbox::plan::FileStat stat(const std::string& path) const override {
    dirbox::plan::FileStat out;
    auto found = nodes_.find(path);
    if (found == nodes_.end()) {
      out.err = ENOENT;
      return out;
    }
    const Node& node = found->second;
    out.type = node.type;
    out.id = {1, node.inode};
    out.mode = node.mode;
    out.links = node.links;
    out.size = node.text.size();
    return out;
  }
  std::string link_text(const std::string& path) const override { return nodes_.at(path).text; }
  using FileView::list;
  std::vector<dirbox::plan::Child> list(const std::string& directory, int& err) const override {
    err = 0;
    std::vector<dirbox::plan::Child> children;
    for (const auto& [path, node] : nodes_) {
      if (path != "/" && dirbox::path_parent(path) == directory)
        children.push_back({std::string(dirbox::path_name(path)), node.type});
    }
    return children;
  }
  std::string head(const std::string& path, std::size_t limit) const override {
    auto found = nodes_.find(path);
    if (found == nodes_.end() || found->second.type != FileType::regular) return {};
    return found->second.text.substr(0, limit);
  }

 private:
  void put(const std::string& path, Node node) {
    if (path != "/" && !nodes_.contains(dirbox::path_parent(path)))
      directory(dirbox::path_parent(path));
    node.inode = ++last_inode_;
    nodes_[path] = std::move(node);
  }
  std::map<std::string, Node> nodes_;
  std::uint64_t last_inode_ = 0;
};
