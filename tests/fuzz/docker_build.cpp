#include <algorithm>

#include "launcher/broker/docker/build_context.h"
#include "launcher/broker/docker/dockerfile.h"
#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::docker;

namespace {

/// Fed in pieces of `piece` bytes: what came out, and "!" at an error.
std::string feed(BuildContext& context, std::string_view bytes, std::size_t piece) {
  std::string out;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    if (!context.feed(bytes.substr(0, piece), out)) return out + "!";
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  if (auto images = parse_dockerfile(bytes)) {
    for (const std::string& image : *images) expect(image.find('$') == std::string::npos);
  }
  BuildContext whole(""), parts("");
  expect(feed(whole, bytes, bytes.size() + 1) == feed(parts, bytes, 7));
  expect(whole.complete() == parts.complete());
  if (!whole.complete()) return 0;
  if (auto content = whole.dockerfile()) expect(content->size() <= kMaxDockerfile);
  return 0;
}
