#include "profiles/docker_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace dirbox::profiles {
namespace {

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool consists_of(std::string_view text, std::string_view more) {
  return std::all_of(text.begin(), text.end(), [more](char c) {
    return is_alnum(c) || more.find(c) != std::string_view::npos;
  });
}

/// capabilities(7). Not here: what reaches devices, mounts, other processes or the network's
/// set-up.
constexpr std::string_view kCapabilities[] = {
    "CHOWN",   "DAC_OVERRIDE", "FOWNER",     "FSETID",          "KILL", "SETGID", "SETUID",
    "SETPCAP", "SETFCAP",      "SYS_CHROOT", "NET_BIND_SERVICE"};

}  // namespace

std::optional<std::uint64_t> parse_cpus(std::string_view text) {
  constexpr std::uint64_t kNano = 1'000'000'000, kMost = 1024;
  std::size_t point = std::min(text.find('.'), text.size());
  std::string_view whole = text.substr(0, point);
  std::string_view part = text.substr(std::min(point + 1, text.size()));
  auto digits = [](std::string_view t) {
    return std::all_of(t.begin(), t.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (whole.empty() || whole.size() > 4 || part.size() > 9 || !digits(whole) || !digits(part) ||
      (point < text.size() && part.empty()))
    return std::nullopt;
  std::uint64_t value = 0;
  for (char c : whole) value = value * 10 + static_cast<unsigned>(c - '0');
  std::uint64_t fraction = 0;
  for (std::size_t i = 0; i < 9; ++i)
    fraction = fraction * 10 + (i < part.size() ? static_cast<unsigned>(part[i] - '0') : 0);
  value = value * kNano + fraction;
  if (value == 0 || value > kMost * kNano) return std::nullopt;
  return value;
}

std::optional<Complaint> check_docker_cpus(std::string_view text) {
  if (parse_cpus(text)) return std::nullopt;
  return Complaint{fmt::format("\"{}\" is no number of CPUs", text), "for example \"1.5\""};
}

std::optional<Complaint> check_docker_network(std::string_view text) {
  if (text == "host" || text.starts_with("container"))
    return Complaint{fmt::format("the network {} would not be the container's own", text),
                     "name a network of the engine, or \"none\""};
  if (!text.empty() && is_alnum(text[0]) && consists_of(text, "_.-")) return std::nullopt;
  return Complaint{fmt::format("\"{}\" is no name of a network", text), "see docker network ls"};
}

std::optional<Complaint> check_docker_image(std::string_view text) {
  if (!text.empty() && text.size() <= 255 && consists_of(text, "_.:@/-*")) return std::nullopt;
  return Complaint{fmt::format("\"{}\" is no pattern for images", text), "for example \"node:*\""};
}

std::optional<Complaint> check_docker_capability(std::string_view text) {
  if (std::find(std::begin(kCapabilities), std::end(kCapabilities), text) !=
      std::end(kCapabilities))
    return std::nullopt;
  return Complaint{fmt::format("the capability \"{}\" is not offered", text),
                   fmt::format("offered: {}", fmt::join(kCapabilities, ", "))};
}

}  // namespace dirbox::profiles
