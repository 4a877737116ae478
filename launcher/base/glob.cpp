#include "launcher/base/glob.h"

#include <fmt/format.h>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox {

bool is_glob(std::string_view path) { return path.find('*') != path.npos; }

bool match_name(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = pattern.npos, retry = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != pattern.npos) {
      p = star + 1;
      n = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == pattern.npos;
}

Result<Glob> Glob::parse(std::string_view path) {
  if (!path.starts_with('/'))
    return fail("read a pattern", escape_for_terminal(path), "not absolute");
  Glob out;
  for (std::string_view part : path_components(path)) out.parts_.emplace_back(part);
  if (out.parts_.size() > kMaxComponents) {
    return fail("read a pattern", escape_for_terminal(path),
                fmt::format("more than {} components", kMaxComponents));
  }
  return out;
}

/// "**" may stand for nothing, but not at the end.
Glob::States Glob::closed(States states) const {
  for (std::size_t i = 0; i + 1 < parts_.size(); ++i) {
    if ((states >> i & 1) != 0 && parts_[i] == "**") states |= States{1} << (i + 1);
  }
  return states;
}

Glob::States Glob::step(States states, std::string_view name) const {
  States next = 0;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if ((states >> i & 1) == 0 || (name == ".git" && is_glob(parts_[i]))) continue;
    if (parts_[i] == "**") {
      next |= States{i + 1 == parts_.size() ? 3U : 1U} << i;
    } else if (match_name(parts_[i], name)) {
      next |= States{1} << (i + 1);
    }
  }
  return closed(next);
}

std::string_view Glob::only_name(States states) const {
  std::string_view only;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if ((states >> i & 1) == 0) continue;
    if (!only.empty() || is_glob(parts_[i])) return {};
    only = parts_[i];
  }
  return only;
}

std::string_view Glob::find_in(std::string_view path) const {
  States states = begin();
  for (std::string_view name : path_components(path)) {
    states = step(states, name);
    if (states == 0) return {};
    if (is_match(states))
      return path.substr(0, static_cast<std::size_t>(name.data() + name.size() - path.data()));
  }
  return {};
}

}  // namespace dirbox
