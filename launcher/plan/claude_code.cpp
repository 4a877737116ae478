#include "launcher/plan/claude_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

constexpr std::size_t kMaxName = 200;  // characters before the hash, in Claude Code 2.1

/// UTF-8 to UTF-16 units; a byte that is not UTF-8 becomes U+FFFD.
std::u16string to_utf16(std::string_view text) {
  std::u16string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    std::uint32_t code = length == 1 ? first : first & (0xffU >> (length + 1));
    bool good = (first < 0x80 || first >= 0xc2) && first < 0xf5 && at + length <= text.size();
    for (std::size_t i = 1; good && i < length; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      good = (next & 0xc0) == 0x80;
      code = code << 6 | (next & 0x3f);
    }
    at += good ? length : 1;
    if (!good) code = 0xfffd;
    if (code >= 0x10000) {
      out += static_cast<char16_t>(0xd7c0 + (code >> 10));
      code = 0xdc00 | (code & 0x3ff);
    }
    out += static_cast<char16_t>(code);
  }
  return out;
}

/// The hash of Java's strings, without its sign, in base 36.
std::string hash_of(const std::u16string& text) {
  std::uint32_t hash = 0;
  for (char16_t unit : text) hash = hash * 31 + unit;
  std::uint32_t rest = hash >> 31 != 0 ? 0 - hash : hash;
  std::string digits;
  do {
    digits += "0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36];
    rest /= 36;
  } while (rest != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

bool turns_sandbox_on(const FileView& files, const std::string& path) {
  constexpr std::size_t kMaxSettings = 1 << 20;
  const std::string text = files.head(path, kMaxSettings);
  if (text.find("\"sandbox\"") == text.npos) return false;
  auto settings = Json::parse(text);
  if (!settings) return false;  // Claude Code does not take it either
  const Json* sandbox = settings->find("sandbox");
  const Json* enabled = sandbox != nullptr ? sandbox->find("enabled") : nullptr;
  return enabled != nullptr && enabled->as_bool() != nullptr && *enabled->as_bool();
}

}  // namespace

std::string claude_project_directory(std::string_view home, std::string_view cwd) {
  const std::u16string units = to_utf16(cwd);
  std::string name;
  for (char16_t unit : units) {
    const bool kept = (unit >= u'a' && unit <= u'z') || (unit >= u'A' && unit <= u'Z') ||
                      (unit >= u'0' && unit <= u'9');
    name += kept ? static_cast<char>(unit) : '-';
  }
  if (name.size() > kMaxName) name = name.substr(0, kMaxName) + "-" + hash_of(units);
  return path_join(path_join(home, ".claude/projects"), name);
}

void note_inner_sandbox(const HostFacts& facts, Plan& plan) {
  if (plan.spec.nested_userns || plan.spec.argv.empty() ||
      path_name(plan.spec.argv.front()) != "claude") {
    return;
  }
  const std::string user = path_join(facts.home, ".claude"), here = path_join(plan.cwd, ".claude");
  for (const std::string& path :
       {path_join(user, "settings.json"), path_join(here, "settings.json"),
        path_join(here, "settings.local.json"),
        std::string("/etc/claude-code/managed-settings.json")}) {
    if (!turns_sandbox_on(*facts.files, path)) continue;
    plan.warnings.push_back(
        {fmt::format("{} turns Claude Code's own sandbox on: it is off inside, where this sandbox "
                     "confines every tool",
                     escape_for_terminal(path)),
         {}});
    return;
  }
}

}  // namespace dirbox::plan
