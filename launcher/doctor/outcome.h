#pragma once
#include <cerrno>
#include <string>
#include <utility>

#include "launcher/base/result.h"

namespace dirbox::doctor {

enum class State {
  ok,
  note,     ///< nothing was tried: a fact about this machine
  absent,   ///< something that nothing needs is not installed
  failed,   ///< tried, and refused
  not_run,  ///< what it builds upon failed
};

/// What came of trying one thing.
struct Outcome {
  State state = State::not_run;
  int err = 0;         ///< errno of `call`; 0 where a signal or something else ended it
  int signal = 0;      ///< that killed the process which tried
  std::string call;    ///< the system call that failed: "fsconfig"
  std::string detail;  ///< on what; or, when it worked, what was found
};

inline Outcome passed(std::string detail = {}) { return {State::ok, 0, 0, {}, std::move(detail)}; }
inline Outcome noted(std::string detail) { return {State::note, 0, 0, {}, std::move(detail)}; }
inline Outcome missing(std::string detail) { return {State::absent, 0, 0, {}, std::move(detail)}; }
inline Outcome refused(std::string call, std::string detail = {}, int err = errno) {
  return {State::failed, err, 0, std::move(call), std::move(detail)};
}
/// `call`: the one that such an Error comes from.
inline Outcome refused(std::string call, const Error& error) {
  return {State::failed, error.err, 0, std::move(call), error.operand};
}

}  // namespace dirbox::doctor
