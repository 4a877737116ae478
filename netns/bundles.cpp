#include "netns/bundles.h"

#include <algorithm>
#include <iterator>

namespace dirbox::netns {
namespace {

constexpr BundleRow kRows[] = {
#include "netns/bundle_table.inc"
};

}  // namespace

std::span<const BundleRow> bundle_rows() { return kRows; }

std::span<const BundleRow> find_bundle(std::string_view bundle) {
  auto is_ours = [&](const BundleRow& row) { return row.bundle == bundle; };
  auto first = std::find_if(std::begin(kRows), std::end(kRows), is_ours);
  return {first, std::find_if_not(first, std::end(kRows), is_ours)};
}

std::vector<std::string_view> bundle_names() {
  std::vector<std::string_view> names;
  for (const BundleRow& row : kRows)
    if (names.empty() || names.back() != row.bundle) names.push_back(row.bundle);
  return names;
}

}  // namespace dirbox::netns
