#include "launcher/guard/foresee.h"

#include <algorithm>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"

namespace dirbox::guard {
namespace {

const NameRule* rule_of(std::string_view tree, std::string_view path) {
  const std::string_view top = path_name(tree);
  const Folder* folder =
      is_special(tree_folder(), top) ? find_folder(tree_folder(), top) : &tree_folder();
  const NameRule* rule = nullptr;  // of the last name
  for (std::string_view name : path_components(path_relative(path, tree))) {
    rule = find_name(*folder, name);
    folder = &folder_in(*folder, name);
  }
  return rule;
}

}  // namespace

std::optional<Foreseen> foresee(const Spec& spec, std::string_view path) {
  if (spec.mode == Mode::off) return std::nullopt;
  const auto tree = std::find_if(spec.trees.begin(), spec.trees.end(), [&](const std::string& at) {
    return path != at && path_is_beneath(path, at);
  });
  if (tree == spec.trees.end()) return std::nullopt;
  if (const NameRule* rule = rule_of(*tree, path); rule != nullptr && !is_told(rule->what))
    return Foreseen{rule->why, rule->what == What::whole};
  for (const std::string& text : spec.globs) {
    const auto glob = Glob::parse(text);
    if (glob && !glob->find_in(path).empty())
      return Foreseen{"the pattern " + text + " keeps it away", true};
  }
  return std::nullopt;
}

}  // namespace dirbox::guard
