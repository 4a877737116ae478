#pragma once
#include <map>
#include <string_view>

#include "launcher/base/json.h"

/// Three-way merge of JSON values. Pure.
namespace dirbox::sync {

/// The members of an object by their names, for many look-ups; empty for what is no object.
class Members {
 public:
  explicit Members(const Json* json);
  /// nullptr where there is none.
  const Json* find(std::string_view key) const;

 private:
  // Ordered: names that hash alike can be made.
  std::map<std::string_view, const Json*> members_;
};

/// Equal values; the order of an object's members does not count.
bool is_same(const Json& a, const Json& b);

/// What becomes of a file that was `base`, is `theirs` on the host and `ours` inside: both sides'
/// changes. Objects are merged member by member, at every depth; of any other value that both
/// changed, `ours` wins, which is the later writer. A change wins over a removal. Members keep the
/// order of `theirs`, and what `ours` adds follows.
Json merge_json(const Json& base, const Json& theirs, const Json& ours);

}  // namespace dirbox::sync
