#pragma once
#include <span>
#include <string_view>
#include <vector>

/// Named sets of rules for well-known services: `@npm`, `@github`…
namespace dirbox::netns {

struct BundleRow {
  std::string_view bundle;   ///< without '@'
  std::string_view rule;     ///< in the grammar of rules.h, never another bundle
  std::string_view purpose;  ///< one line
};

/// All rows, those of a bundle adjacent.
std::span<const BundleRow> bundle_rows();
/// The rows of one bundle; empty for an unknown one.
std::span<const BundleRow> find_bundle(std::string_view bundle);
/// Every name once, in the order of the table.
std::vector<std::string_view> bundle_names();

}  // namespace dirbox::netns
