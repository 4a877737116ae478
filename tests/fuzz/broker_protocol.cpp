// What a shim may send: any datagram, and any body of a request. A request that is accepted reads
// the same after it has been written again.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "launcher/broker/protocol.h"

using namespace dirbox::broker;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  if (data[0] % 2 == 0) {
    auto packet = parse_packet(bytes);
    if (!packet) return 0;
    auto control = parse_control(*packet);
    if (control && control->type == wire::Type::signal && !is_relayed_signal(control->signal)) {
      std::abort();
    }
    return 0;
  }
  std::uint32_t flags = data[0] >> 1;
  auto request = parse_exec(flags, bytes);
  if (!request) return 0;
  if (request->argv.empty() || request->argv.size() > wire::kMaxArguments) std::abort();
  auto again = encode_exec(*request);
  if (again.size() != bytes.size() || !std::equal(again.begin(), again.end(), bytes.begin())) {
    std::abort();
  }
  return 0;
}
