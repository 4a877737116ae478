#include "netns/tls_hello.h"

#include <algorithm>

#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

TlsHelloReader read(std::string_view stream, std::size_t piece) {
  TlsHelloReader reader;
  for (; !stream.empty(); stream.remove_prefix(std::min(piece, stream.size())))
    reader.feed(bytes_of(stream.substr(0, piece)));
  return reader;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view stream = text_of(data, size);
  TlsHelloReader whole = read(stream, stream.size() + 1);
  for (std::size_t piece : {1, 3}) {
    TlsHelloReader pieces = read(stream, piece);
    expect(pieces.status() == whole.status());
    expect(pieces.hello().server_name == whole.hello().server_name);
    expect(pieces.hello().alpn == whole.hello().alpn && pieces.hello().ech == whole.hello().ech);
  }
  if (whole.status() == TlsHelloStatus::complete && whole.hello().server_name) {
    expect(parse_hostname(whole.hello().server_name->text()).value() == *whole.hello().server_name);
  }
  // The same bytes as one handshake message, so that mutations need not keep the record lengths.
  auto message = parse_client_hello({data, size});
  expect(!message || (size > 4 && data[0] == 1));
  return 0;
}
