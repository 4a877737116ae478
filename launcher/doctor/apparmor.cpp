#include "launcher/doctor/apparmor.h"

#include <fmt/format.h>

#include "launcher/base/file.h"

namespace dirbox::doctor {
namespace {

/// As text between quotes of an AppArmor rule, where it names exactly this file
/// (apparmor.d(5), FILE GLOBBING; '@' begins a variable).
std::string quote_path(const std::string& path) {
  std::string out;
  for (char c : path) {
    if (std::string_view("\\\"*?[]{}^@,").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string profile_name(const std::string& path) {
  if (path == "/usr/bin/dirbox") return "dirbox";
  return "dirbox." + sha256_hex(path).substr(0, 8);
}

}  // namespace

std::string apparmor_profile(const std::string& path) {
  return fmt::format(
      "abi <abi/4.0>,\n"
      "include <tunables/global>\n\n"
      "profile {} \"{}\" flags=(unconfined) {{\n"
      "  userns,\n"
      "}}\n",
      profile_name(path), quote_path(path));
}

std::string apparmor_file(const std::string& path) {
  return "/etc/apparmor.d/" + profile_name(path);
}

std::vector<std::string> apparmor_commands(const std::string& path, const std::string& sudo) {
  const std::string file = apparmor_file(path);
  return {fmt::format("{}tee {} >/dev/null <<'END'\n{}END", sudo, file, apparmor_profile(path)),
          fmt::format("{}apparmor_parser -r {}", sudo, file)};
}

}  // namespace dirbox::doctor
