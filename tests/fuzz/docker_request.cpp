#include "launcher/broker/docker/endpoint.h"
#include "launcher/broker/docker/request.h"
#include "netns/http1.h"
#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::docker;

/// What is let through is plain, and says the same when it is written again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  auto length = netns::HttpHeadScanner().scan(bytes);
  if (!length || !*length) return 0;
  auto request = parse_request(bytes.substr(0, **length));
  if (!request) return 0;
  expect(!request->path.empty());
  for (const std::string& segment : request->path) expect(is_segment(segment));
  expect(request->version == 0 || request->version >= kOldestVersion);
  expect(request->version <= kNewestVersion);
  auto route = find_route(*request);
  if (!route) return 0;
  auto query = check_query(*route->endpoint, *request);
  if (!query) return 0;
  std::string version =
      request->version != 0 ? "/v1." + std::to_string(request->version) : std::string();
  std::string text = encode_query(*query);
  auto again =
      parse_request(request->method + " " + version + "/" + request->path_text() +
                    (text.empty() ? "" : "?" + text) + " HTTP/1.1\r\nHost: docker\r\n\r\n");
  expect(again.has_value());
  expect(again->path == request->path && again->query == *query);
  expect(again->version == request->version);
  return 0;
}
