#include "launcher/sync/merge.h"

#include <algorithm>

namespace dirbox::sync {
namespace {

bool same_or_absent(const Json* a, const Json* b) {
  return a == nullptr || b == nullptr ? a == b : is_same(*a, *b);
}

/// nullptr: absent. The result borrows from its arguments, or is made in `made`.
const Json* merge_member(const Json* base, const Json* theirs, const Json* ours, Json& made) {
  if (same_or_absent(theirs, ours) || same_or_absent(base, ours)) return theirs;
  if (same_or_absent(base, theirs)) return ours;
  if (theirs == nullptr || ours == nullptr) return theirs != nullptr ? theirs : ours;
  if (theirs->as_object() == nullptr || ours->as_object() == nullptr) return ours;
  made = merge_json(base != nullptr ? *base : Json(), *theirs, *ours);
  return &made;
}

}  // namespace

Members::Members(const Json* json) {
  const JsonObject* object = json != nullptr ? json->as_object() : nullptr;
  if (object == nullptr) return;
  for (const auto& [key, value] : *object) members_.emplace(key, &value);
}

const Json* Members::find(std::string_view key) const {
  auto found = members_.find(key);
  return found == members_.end() ? nullptr : found->second;
}

bool is_same(const Json& a, const Json& b) {
  if (const JsonObject* left = a.as_object()) {
    const JsonObject* right = b.as_object();
    if (right == nullptr || left->size() != right->size()) return false;
    const Members members(&b);
    return std::all_of(left->begin(), left->end(), [&](const JsonMember& member) {
      const Json* other = members.find(member.first);
      return other != nullptr && is_same(member.second, *other);
    });
  }
  if (const JsonArray* left = a.as_array()) {
    const JsonArray* right = b.as_array();
    return right != nullptr &&
           std::equal(left->begin(), left->end(), right->begin(), right->end(), is_same);
  }
  auto equal = [](const auto* left, const auto* right) { return right && *left == *right; };
  if (const bool* left = a.as_bool()) return equal(left, b.as_bool());
  if (const auto* left = a.as_string()) return equal(left, b.as_string());
  if (const auto* left = a.as_int()) return equal(left, b.as_int());
  if (const auto* left = a.as_double()) return equal(left, b.as_double());
  return b.is_null();
}

Json merge_json(const Json& base, const Json& theirs, const Json& ours) {
  if (is_same(base, ours)) return theirs;
  if (is_same(base, theirs) || theirs.as_object() == nullptr || ours.as_object() == nullptr)
    return ours;
  const Members before(&base), outside(&theirs), inside(&ours);
  JsonObject out;
  auto add = [&](const std::string& key) {
    Json made;
    const Json* kept = merge_member(before.find(key), outside.find(key), inside.find(key), made);
    if (kept == &made) {
      out.emplace_back(key, std::move(made));
    } else if (kept != nullptr) {
      out.emplace_back(key, *kept);
    }
  };
  for (const auto& [key, value] : *theirs.as_object()) add(key);
  for (const auto& [key, value] : *ours.as_object()) {
    if (outside.find(key) == nullptr) add(key);
  }
  return out;
}

}  // namespace dirbox::sync
