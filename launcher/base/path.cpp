#include "launcher/base/path.h"

namespace dirbox {

std::vector<std::string_view> path_components(std::string_view path) {
  std::vector<std::string_view> parts;
  std::size_t at = 0;
  while (at < path.size()) {
    std::size_t end = path.find('/', at);
    if (end == std::string_view::npos) end = path.size();
    std::string_view part = path.substr(at, end - at);
    if (!part.empty() && part != ".") parts.push_back(part);
    at = end + 1;
  }
  return parts;
}

std::string path_normalize(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view part : path_components(path)) {
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(part);
    }
  }
  std::string out;
  for (std::string_view part : kept) {
    out += '/';
    out += part;
  }
  return out.empty() ? "/" : out;
}

std::string path_join(std::string_view base, std::string_view rest) {
  if (!rest.empty() && rest.front() == '/') return std::string(rest);
  std::string out(base);
  if (rest.empty()) return out;
  if (out.empty() || out.back() != '/') out += '/';
  out += rest;
  return out;
}

std::string path_parent(std::string_view path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  if (slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

std::string_view path_name(std::string_view path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool path_is_beneath(std::string_view path, std::string_view ancestor) {
  if (ancestor == "/") return !path.empty() && path.front() == '/';
  if (path.substr(0, ancestor.size()) != ancestor) return false;
  return path.size() == ancestor.size() || path[ancestor.size()] == '/';
}

std::string_view path_relative(std::string_view path, std::string_view ancestor) {
  if (path.size() == ancestor.size()) return {};
  if (ancestor == "/") return path.substr(1);
  return path.substr(ancestor.size() + 1);
}

}  // namespace dirbox
