#include "launcher/guard/git_index.h"

#include "tests/fuzz/expect.h"

/// Input: a byte, whose lowest bits choose the size of object ids and whether it is a shared index,
/// and the index.
using namespace dirbox::guard;

namespace {

std::uint32_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < size; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

/// The entries of versions 2 and 3, as git takes them, which trusts every number. What was accepted
/// has them where this looks.
void check_entries(std::string_view index, std::size_t id_size) {
  const std::uint32_t count = number(index, 8, 4);
  std::size_t at = 12;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::size_t name = at + 40 + id_size + 2;
    expect(name < index.size());
    const std::uint32_t flags = number(index, name - 2, 2);
    if ((flags & 0x4000) != 0) name += 2;
    const std::size_t end = index.find('\0', name);
    expect(end < index.size() - id_size);
    const std::string_view path = index.substr(name, end - name);
    expect((flags & 0xfff) == 0xfff || (flags & 0xfff) == path.size());
    expect(!path.starts_with('/') && !path.starts_with("../") && path != "..");
    expect(path.find("/../") == path.npos && !path.ends_with("/.."));
    expect(!path.starts_with(".git/") && path.find("/.git/") == path.npos && path != ".git");
    at += (end - at + 8) & ~std::size_t{7};
  }
  expect(at <= index.size() - id_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view index = text_of(data + 1, size - 1);
  const std::size_t id_size = (data[0] & 1) != 0 ? kSha256Size : kSha1Size;
  const bool shared = (data[0] & 2) != 0;
  const auto danger = find_index_danger(bytes_of_index(index), id_size, shared);
  if (danger) {
    expect(!danger->empty());
  } else if (index[7] != 4) {
    check_entries(index, id_size);
  }
  return 0;
}
