#pragma once
// The in-sandbox probe: one verb, one attempt, one line.
//
//   probe VERB ARG...     prints "VERB ok [detail]" or "VERB fail ERRNO [detail]"; exit 0, 1, or 2
//   for bad usage probe batch           reads such command lines from stdin, fields separated by
//   tabs; each runs in a child,
//                         so a verb that is killed prints "VERB signal N"
//
// Statically linked, so that it needs nothing from the tree it is run in. A verb that can reach the
// kernel without effect passes wrong pointers: EFAULT means that the call was not filtered.
#include <cerrno>
#include <string>
#include <vector>

namespace probe {

struct Outcome {
  int err = 0;  ///< 0 for success, else errno
  std::string detail;
};

using Arguments = std::vector<std::string>;

struct Verb {
  const char* name;
  const char* arguments;  ///< for the usage text; "..." at the end: any number follow
  Outcome (*run)(const Arguments&);
};

/// Outcome of a call that returns -1 on failure.
inline Outcome from_call(long result, std::string detail = {}) {
  return result < 0 ? Outcome{errno, {}} : Outcome{0, std::move(detail)};
}

/// A number in any C notation; 64 bits, so that high bits of ioctl requests survive.
inline unsigned long long number(const std::string& text) { return std::stoull(text, nullptr, 0); }

extern const std::vector<Verb> kFileVerbs;
extern const std::vector<Verb> kSocketVerbs;
extern const std::vector<Verb> kProcessVerbs;
extern const std::vector<Verb> kKernelVerbs;

}  // namespace probe
