#pragma once
#include <string>
#include <utility>
#include <vector>

#include "launcher/base/result.h"
#include "profiles/profile.h"
#include "profiles/schema.h"
#include "profiles/toml_reader.h"

/// One file's tree, checked against the schema, as a Layer; layers merge into a Profile. Pure.
namespace dirbox::profiles {

/// "-x"
using Removal = std::pair<const Row*, Entry>;

/// What one file says. A setting that it does not name has an empty Origin.
struct Layer {
  Profile values;
  std::vector<Removal> removals;
  std::vector<Entry> extends;
};

/// Errors: unknown key or section, wrong type, out of range, malformed text, an empty list, two
/// lists that contradict each other. Their operand is "file:line:col".
Result<Layer> decode_layer(const NodeTable& root, const std::string& file);

/// Merges by each row's rule. Errors: a removal of what no earlier layer has, unless `idle` takes
/// those: who writes a project's file does not know to what it will be added.
Result<void> merge_layer(Profile& into, Layer&& layer, std::vector<Removal>* idle = nullptr);

/// Adds each of `from` behind `list`, or in the place of the entry with the same text: the later
/// entry's marks and Origin stand.
void put_entries(std::vector<Entry>& list, std::vector<Entry>&& from);

/// Settings of the command line, which come after every file.
struct Overrides {
  std::string cwd;  ///< absolute; relative paths below are relative to it
  std::vector<std::string> read{}, write{}, hide{}, sockets{}, devices{};
  std::vector<std::string> allow{}, deny{};  ///< network rules
  std::vector<std::string> env{};            ///< "NAME" passes, "NAME=value" sets
  std::vector<std::string> publish{}, host_ports{};
  std::vector<std::string> exclude{};  ///< commands that run on the host
};
/// Each value gets the Origin {"--read"}, {"--write"}…. Texts are taken literally: no "?" or "-"
/// marks, no variables but a "~" at the beginning of a path. Errors: empty or malformed texts.
Result<void> apply_overrides(Profile& profile, const Overrides& overrides);

}  // namespace dirbox::profiles
