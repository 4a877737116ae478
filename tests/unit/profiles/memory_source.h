#pragma once
#include <map>
#include <string>

#include "launcher/base/path.h"
#include "profiles/load.h"

/// Files in memory for the loader.
class MemorySource : public dirbox::profiles::Source {
 public:
  std::map<std::string, std::string> files;  ///< path -> text
  std::map<std::string, int> errors;         ///< path -> errno
  std::vector<std::string> asked;

  dirbox::Result<std::optional<std::string>> read(const std::string& path) override {
    asked.push_back(path);
    if (auto found = errors.find(path); found != errors.end()) {
      return dirbox::fail_errno("open", path, found->second);
    }
    auto found = files.find(path);
    if (found == files.end()) return std::nullopt;
    return found->second;
  }
  std::string find_directory(const std::string& path) override {
    return dirbox::path_normalize(dirbox::path_join("/work", path));
  }
  std::vector<std::string> list(const std::string& directory) override {
    std::vector<std::string> names;
    for (const auto& [path, text] : files) {
      if (path.starts_with(directory + "/")) names.push_back(path.substr(directory.size() + 1));
    }
    return names;
  }
};

/// A request that finds /u/NAME.toml, /s/NAME.toml and `built_in`, in this order.
inline dirbox::profiles::Request request_for(
    std::string name, std::span<const dirbox::profiles::EmbeddedFile> built_in = {}) {
  dirbox::profiles::Request request;
  request.name = std::move(name);
  request.config_dir = "/u";
  request.system_dir = "/s";
  request.embedded = built_in;
  return request;
}
