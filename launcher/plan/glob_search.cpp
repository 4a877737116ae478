#include "launcher/plan/glob_search.h"

#include <fmt/format.h>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

constexpr const char* kDoing = "look for what a pattern names";

class Search {
 public:
  Search(const FileView& files, const Glob& glob) : files_(files), glob_(glob) {}

  Result<GlobMatches> run(const std::vector<std::string>& roots) {
    for (const std::string& root : roots) {
      Glob::States states = glob_.begin();
      for (std::string_view name : path_components(root)) states = glob_.step(states, name);
      if (states != 0) TRY_VOID(visit(root, files_.stat(root).type, states));
    }
    return std::move(out_);
  }

 private:
  Result<void> visit(const std::string& path, FileType type, Glob::States states) {
    if (!glob_.is_match(states))
      return type == FileType::directory ? walk(path, states) : Result<void>();
    if (out_.paths.size() == kMaxMatches) {
      return fail(kDoing, "", fmt::format("more than {} matches", kMaxMatches),
                  "name the directory that holds them");
    }
    out_.paths.push_back(path);
    return {};
  }

  Result<void> walk(const std::string& directory, Glob::States states) {
    if (const std::string_view name = glob_.only_name(states); !name.empty()) {
      const std::string path = path_join(directory, name);
      const FileType type = files_.stat(path).type;
      return type == FileType::missing ? Result<void>()
                                       : visit(path, type, glob_.step(states, name));
    }
    if (++out_.listed > kMaxListed) {
      return fail(kDoing, "", fmt::format("more than {} directories to look through", kMaxListed),
                  "begin it with the directory that is meant");
    }
    int err = 0;
    const std::vector<Child> children = files_.list(directory, err);
    // A sandbox can have taken the right away, to give it back inside.
    if (err != 0) {
      return fail_errno(kDoing, escape_for_terminal(directory), err,
                        "make it readable, or hide it by its name");
    }
    for (const Child& child : children) {
      const Glob::States next = glob_.step(states, child.name);
      if (next != 0) TRY_VOID(visit(path_join(directory, child.name), child.type, next));
    }
    return {};
  }

  const FileView& files_;
  const Glob& glob_;
  GlobMatches out_;
};

}  // namespace

Result<GlobMatches> find_matches(const FileView& files, const Glob& glob,
                                 const std::vector<std::string>& roots) {
  return Search(files, glob).run(roots);
}

}  // namespace dirbox::plan
