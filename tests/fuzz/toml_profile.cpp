// Any bytes as a profile: an error with a position or a Profile, which is then shown in every form.
#include <cstdint>
#include <cstdlib>

#include "profiles/decode.h"
#include "profiles/show.h"

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

/// Nothing that reaches a terminal has control characters, but for the ends of lines.
void require_printable(std::string_view text) {
  for (unsigned char c : text) {
    if ((c < 0x20 && c != '\n') || c == 0x7f) std::abort();
  }
}

void check_error(const Error& error) {
  require_printable(error.message());
  require_printable(error.hint);
  if (error.message().empty() || !error.operand.starts_with("fuzz.toml")) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto tree = parse_toml(text, "fuzz.toml");
  if (!tree) {
    check_error(tree.error());
    return 0;
  }
  auto layer = decode_layer(*tree, "fuzz.toml");
  if (!layer) {
    check_error(layer.error());
    return 0;
  }
  Profile profile = default_profile();
  auto merged = merge_layer(profile, std::move(*layer));
  if (!merged) {
    check_error(merged.error());
    return 0;
  }
  require_printable(show_profile(profile));
  if (!diff_profiles(profile, profile).empty()) std::abort();
  if (!Json::parse(to_json(profile).dump(), {std::size_t{1} << 24, 64, false})) std::abort();
  const Variables variables{"/home/u", "/work", "/work"};
  for (const auto* list : {&profile.read, &profile.write, &profile.hide, &profile.protect}) {
    for (const Entry& entry : *list) {
      if (canonical_path(entry.text) != entry.text || check_path(entry.text)) std::abort();
      if (expand_path(entry.text, variables).front() != '/') std::abort();
    }
  }
  return 0;
}
