#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "launcher/guard/spec.h"
#include "launcher/guard/table.h"

namespace dirbox::guard {

struct Foreseen {
  std::string why;    ///< what a program of the host would do with the file
  bool whole = true;  ///< false: only some content of it is guarded
};

/// What is guarded at `path`, absolute and without symlinks, by its name alone: what becomes a
/// repository or what a configuration leads to is seen by the guard and not here. Pure.
std::optional<Foreseen> foresee(const Spec& spec, std::string_view path);

}  // namespace dirbox::guard
