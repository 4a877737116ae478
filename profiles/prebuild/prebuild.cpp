#include <fmt/format.h>

#include <cstdio>
#include <vector>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "profiles/load.h"
#include "profiles/packed.h"
#include "profiles/toml_reader.h"

/// A tool of the build: prebuild OUTPUT FILE.toml…
/// Writes the C++ source of embedded_files(): each profile's text, and it merged and packed.

namespace dirbox::profiles {
namespace {

/// Nothing of the building machine may get into the profiles.
class NoSource : public Source {
 public:
  Result<std::optional<std::string>> read(const std::string&) override { return std::nullopt; }
  std::string find_directory(const std::string& path) override { return path; }
  std::vector<std::string> list(const std::string&) override { return {}; }
};

/// A string literal; octal escapes end after three digits, whatever follows.
std::string literal(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % 24 == 0) out += i == 0 ? "\n    \"" : "\"\n    \"";
    out += fmt::format("\\{:03o}", static_cast<unsigned char>(bytes[i]));
  }
  return out + "\"";
}

struct Input {
  std::string name, text;
};

Result<std::string> write_source(const std::vector<Input>& inputs) {
  std::vector<EmbeddedFile> files;
  files.reserve(inputs.size());
  for (const Input& input : inputs) files.push_back({input.name, input.text, {}});
  NoSource nothing;
  std::string entries;
  for (const EmbeddedFile& file : files) {
    const std::string name(file.name);
    const std::string packed =
        pack_profile(TRY(load_profile(Request{name, "", "", files}, nothing)));
    if (!unpack_profile(packed)) return fail("pack profile", name, "it does not unpack");
    entries += fmt::format("    {{\"{}\", R\"toml({})toml\",\n     {{{}, {}}}}},\n", name,
                           file.text, literal(packed), packed.size());
  }
  return fmt::format(
      "#include \"profiles/load.h\"\n\nnamespace dirbox::profiles {{\nnamespace {{\n"
      "constexpr EmbeddedFile kFiles[] = {{\n{}}};\n}}  // namespace\n"
      "std::span<const EmbeddedFile> embedded_files() {{ return kFiles; }}\n"
      "}}  // namespace dirbox::profiles\n",
      entries);
}

Result<void> run(const std::string& output, const std::vector<std::string>& paths) {
  std::vector<Input> inputs;
  for (const std::string& path : paths) {
    std::string name(path_name(path));
    std::string text = TRY(read_file(path, kMaxProfileBytes));
    inputs.push_back({name.substr(0, name.rfind('.')), std::move(text)});
  }
  return replace_file(output, TRY(write_source(inputs)), 0644);
}

}  // namespace

/// The tool has no profiles of its own: it makes them.
std::span<const EmbeddedFile> embedded_files() { return {}; }

}  // namespace dirbox::profiles

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  auto done = dirbox::profiles::run(argv[1], {argv + 2, argv + argc});
  if (done) return 0;
  fmt::print(stderr, "{}\n", done.error().message());
  return 1;
}
