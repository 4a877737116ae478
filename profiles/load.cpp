#include "profiles/load.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "profiles/decode.h"
#include "profiles/packed.h"

namespace dirbox::profiles {
namespace {

constexpr std::size_t kMaxChain = 32;  // files on the way from a profile to one it extends
constexpr std::string_view kSuffix = ".toml";

/// The places that a name is searched in, in this order.
enum Place : int { kConfigDir, kSystemDir, kEmbedded, kNowhere };

bool is_path(std::string_view name) {
  return name.find('/') != name.npos ||
         (name.size() > kSuffix.size() && name.substr(name.size() - kSuffix.size()) == kSuffix);
}

/// A path as it was written, without the "." that joining to a directory gives.
std::string shorten(std::string_view path) {
  std::string out = path.starts_with('/') ? "/" : path.starts_with("./") ? "./" : "";
  for (std::string_view part : path_components(path))
    out = out.empty() ? std::string(part) : path_join(out, part);
  return out.find('/') == out.npos ? "./" + out : out;
}

/// A file that was found, before it is parsed.
struct Found {
  std::string id;     ///< the same for the same file
  std::string shown;  ///< as Origins name it
  std::string directory;
  std::string name;        ///< when it was found by name
  Place place = kNowhere;  ///< where; kNowhere for a path
  std::string text;
  const EmbeddedFile* built_in = nullptr;  ///< then `text` is empty
};

class Loader {
 public:
  Loader(const Request& request, Source& source) : request_(request), source_(source) {}

  Result<Profile> run() {
    Found root = TRY(find(request_.name, kConfigDir, "", Origin{}));
    TRY_VOID(add(std::move(root), true));
    profile_.name = is_path(request_.name)
                        ? std::string(path_name(request_.name.substr(0, request_.name.rfind('.'))))
                        : request_.name;
    return std::move(profile_);
  }

  /// The first place from `from` on that has NAME.toml.
  Result<std::optional<Found>> find_name(const std::string& name, int from) {
    for (int place = from; place < kEmbedded; ++place) {
      const std::string& dir = place == kConfigDir ? request_.config_dir : request_.system_dir;
      if (dir.empty()) continue;
      std::string path = path_join(dir, name + std::string(kSuffix));
      if (auto text = TRY(source_.read(path))) {
        return Found{id_of(path), escape_for_terminal(path), dir,
                     name,        static_cast<Place>(place), std::move(*text),
                     {}};
      }
    }
    for (const EmbeddedFile& file : request_.embedded) {
      if (file.name != name) continue;
      std::string shown = name + std::string(kSuffix);
      return Found{embedded_id(shown), shown, "", name, kEmbedded, "", &file};
    }
    return std::nullopt;
  }

 private:
  /// A file's directory has many spellings: from here, from another file, through a symlink.
  std::string id_of(const std::string& path) {
    return path_join(source_.find_directory(path_parent(path)), path_name(path));
  }
  static std::string embedded_id(const std::string& shown) { return "built-in:" + shown; }

  /// `from` is the origin of the `extends` entry, without a file for the request itself.
  Result<Found> find(const std::string& name, int first, const std::string& directory,
                     const Origin& from) {
    if (is_path(name)) return find_path(name, directory, from);
    if (auto wrong = check_profile_name(name))
      return refuse(name, from, wrong->detail, wrong->hint);
    if (auto found = TRY(find_name(name, first))) return std::move(*found);
    auto names = known_names();
    std::vector<std::string_view> candidates(names.begin(), names.end());
    if (std::erase(candidates, name) != 0 && first > 0) {
      return refuse(name, from,
                    fmt::format("it extends its own name, and no other \"{}\" follows", name),
                    "name another profile; dirbox profile list shows all");
    }
    std::string searched;
    for (const std::string& dir : {request_.config_dir, request_.system_dir}) {
      if (!dir.empty()) searched += escape_for_terminal(dir) + ", ";
    }
    return refuse(
        name, from, fmt::format("no profile \"{}\"{}", name, did_you_mean(name, candidates)),
        fmt::format("searched in {}and among the built-in ones; dirbox profile list shows all",
                    searched));
  }

  Result<Found> find_path(const std::string& name, const std::string& directory,
                          const Origin& from) {
    const bool embedded = !from.file.empty() && directory.empty();
    if (embedded || name.front() == '~') {
      return refuse(name, from, fmt::format("\"{}\" cannot be extended", escape_for_terminal(name)),
                    "a path in extends is absolute, or relative to the file it stands in");
    }
    const std::string path = shorten(from.file.empty() ? name : path_join(directory, name));
    auto text = TRY(source_.read(path));
    if (!text)
      return refuse(path, from, fmt::format("no file \"{}\"", escape_for_terminal(path)), "");
    return Found{id_of(path), escape_for_terminal(path), path_parent(path), "",
                 kNowhere,    std::move(*text)};
  }

  static Failure refuse(const std::string& name, const Origin& from, std::string_view detail,
                        std::string_view hint) {
    return fail("read profile", from.file.empty() ? escape_for_terminal(name) : from.text(), detail,
                hint);
  }

  std::vector<std::string> known_names() {
    std::vector<std::string> names;
    for (const Listed& listed : list_names()) names.push_back(listed.name);
    return names;
  }

  Failure fail_chain(const Found& again, const Origin& from, std::string_view what) const {
    std::string chain;
    for (const std::string& shown : shown_stack_) chain += shown + " -> ";
    return fail("read profile", from.text(), fmt::format("{}: {}{}", what, chain, again.shown),
                "take one of the extends out");
  }

  /// Takes a built-in file and all that it extends as merged by the build, if that is what parsing
  /// would come to: nothing is merged before it, and every name in its chain finds the built-in.
  bool add_merged(const Found& file, bool root) {
    if (file.built_in == nullptr || file.built_in->merged.empty() || !merged_.empty()) return false;
    auto chain = unpack_chain(file.built_in->merged);
    if (!chain || stack_.size() + chain->size() > kMaxChain) return false;
    for (const std::string& shown : *chain) {
      if (shown == file.shown) continue;  // found already, and perhaps as what a like-named extends
      auto found = find_name(shown.substr(0, shown.size() - kSuffix.size()), kConfigDir);
      if (!found || !*found || (*found)->place != kEmbedded) return false;
    }
    auto profile = unpack_profile(file.built_in->merged);
    if (!profile) return false;
    profile_ = std::move(*profile);
    if (!root) profile_.description = {};
    for (const std::string& shown : *chain) merged_.push_back(embedded_id(shown));
    return true;
  }

  /// Parses `file`, adds what it extends, then the file itself.
  Result<void> add(Found file, bool root) {
    if (add_merged(file, root)) return {};
    const std::string_view text = file.built_in != nullptr ? file.built_in->text : file.text;
    NodeTable tree = TRY(parse_toml(text, file.shown));
    file.text.clear();
    Layer layer = TRY(decode_layer(tree, file.shown));
    stack_.push_back(file.id);
    shown_stack_.push_back(file.shown);
    for (const Entry& base : layer.extends) {
      const bool own_name = !file.name.empty() && base.text == file.name;
      Found next =
          TRY(find(base.text, own_name ? file.place + 1 : kConfigDir, file.directory, base.origin));
      if (std::find(stack_.begin(), stack_.end(), next.id) != stack_.end()) {
        return fail_chain(next, base.origin, "profiles extend each other");
      }
      if (std::find(merged_.begin(), merged_.end(), next.id) != merged_.end()) continue;
      if (stack_.size() >= kMaxChain)
        return fail_chain(next, base.origin, "too many profiles extended");
      TRY_VOID(add(std::move(next), false));
    }
    stack_.pop_back();
    shown_stack_.pop_back();
    if (!root) layer.values.description = {};
    if (merged_.empty()) profile_ = default_profile();
    TRY_VOID(merge_layer(profile_, std::move(layer)));
    merged_.push_back(std::move(file.id));
    profile_.chain.push_back(std::move(file.shown));
    return {};
  }

 public:
  /// Names and places of everything that a name can find; nothing is parsed.
  std::vector<Listed> list_names() {
    std::map<std::string, Listed> found;
    auto note = [&](const std::string& name, const std::string& where) {
      auto [at, first] = found.try_emplace(name, Listed{name, "", where, false, ""});
      if (!first) at->second.shadows = true;
    };
    for (const std::string& dir : {request_.config_dir, request_.system_dir}) {
      if (dir.empty()) continue;
      for (const std::string& file : source_.list(dir)) {
        if (!is_path(file)) continue;
        std::string name = file.substr(0, file.size() - kSuffix.size());
        if (!check_profile_name(name)) note(name, path_join(dir, file));
      }
    }
    for (const EmbeddedFile& file : request_.embedded) note(std::string(file.name), "built-in");
    std::vector<Listed> out;
    out.reserve(found.size());
    for (auto& [name, listed] : found) out.push_back(std::move(listed));
    return out;
  }

 private:
  const Request& request_;
  Source& source_;
  Profile profile_;
  std::vector<std::string> stack_;  ///< ids from the request to the file at hand
  std::vector<std::string> shown_stack_;
  std::vector<std::string> merged_;
};

}  // namespace

Result<std::optional<std::string>> read_settings(const std::string& path) {
  auto text = read_file(path, kMaxProfileBytes);
  if (text) return std::move(*text);
  Error error = std::move(text).error();
  struct stat status {};
  const bool there = ::lstat(path.c_str(), &status) == 0;
  if (!there && (error.err == ENOENT || error.err == ENOTDIR)) return std::nullopt;
  error.operand = escape_for_terminal(error.operand);
  if (there && error.err == ENOENT) error.detail = "it is a symlink that leads nowhere";
  return Failure(std::move(error));
}

Result<std::optional<std::string>> HostSource::read(const std::string& path) {
  return read_settings(path);
}

std::string HostSource::find_directory(const std::string& path) {
  // Symlinks too: what ".." leads to is not to be told from the name alone.
  std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  return real ? std::string(real.get()) : path;
}

std::vector<std::string> HostSource::list(const std::string& directory) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), &::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) names.emplace_back(entry->d_name);
  return names;
}

Result<Profile> load_profile(const Request& request, Source& source) {
  return Loader(request, source).run();
}

Result<Profile> load_profile(const Request& request) {
  HostSource source;
  return load_profile(request, source);
}

std::vector<Listed> list_profiles(const Request& request, Source& source) {
  std::vector<Listed> all = Loader(request, source).list_names();
  for (Listed& listed : all) {
    Request one = request;
    one.name = listed.name;
    if (auto profile = load_profile(one, source)) {
      listed.description = profile->description.value;
    } else {
      listed.error = profile.error().message();
    }
  }
  return all;
}

}  // namespace dirbox::profiles
