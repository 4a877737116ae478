#pragma once
#include <cerrno>
#include <string>
#include <utility>

#include "launcher/guard/call.h"
#include "launcher/guard/place.h"

/// Answers of the writer, by what they say.
namespace dirbox::guard {

/// `result` is that of a system call.
inline Answer answer_of(int result) {
  return result == 0 ? Answer{Answer::Kind::done, 0, {}, {}}
                     : Answer{Answer::Kind::failed, errno, {}, {}};
}
inline Answer failed(int err) { return {Answer::Kind::failed, err, {}, {}}; }
inline Answer not_mine() { return {}; }
inline Answer guarded(const Place& place, std::string why) {
  return {Answer::Kind::guarded, EPERM, place.path(), std::move(why)};
}

}  // namespace dirbox::guard
