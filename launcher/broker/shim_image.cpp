#include "launcher/broker/shim_image.h"

#include <cstring>

#include "launcher/broker/wire.h"

extern "C" const char dirbox_shim_begin[], dirbox_shim_end[];  // broker.cmake

namespace dirbox::broker {

std::string socket_path_of(std::string_view command) {
  return std::string(kSocketDirectory) + "/" + std::string(command) + ".sock";
}

Result<std::string> make_shim_image(std::string_view socket_path) {
  constexpr std::string_view kTag = "dirbox-shim slot";
  static_assert(kTag.size() == wire::kTagBytes);
  if (socket_path.empty() || socket_path.size() >= wire::kSocketPathBytes) {
    return fail("make a shim", socket_path, "the path of its socket must have 1 to 107 bytes");
  }
  std::string image(dirbox_shim_begin, dirbox_shim_end);
  std::size_t slot = image.find(kTag);
  if (slot == std::string::npos || image.find(kTag, slot + 1) != std::string::npos) {
    return fail("make a shim", socket_path, "the embedded image has no single slot for the path");
  }
  image.replace(slot + wire::kTagBytes, socket_path.size(), socket_path);
  return image;
}

}  // namespace dirbox::broker
