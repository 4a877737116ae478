#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "launcher/plan/host.h"
#include "launcher/plan/plan.h"

/// Which parts of the tree every sandbox makes itself, and what may therefore not be granted. Pure.
namespace dirbox::plan {

/// Why a path cannot be granted, and what to write in its place.
struct Refusal {
  std::string reason;
  std::string hint;
};

class OwnPlaces {
 public:
  OwnPlaces() = default;
  /// `private_home`: the home where the sandbox has one of its own, else "".
  explicit OwnPlaces(std::string private_home) : home_(std::move(private_home)) {}

  /// True for a path that is made for the sandbox: /proc, /tmp, /etc/passwd, the private home…
  bool is_own(std::string_view path) const;
  /// True when such a path lies strictly beneath `path`.
  bool lies_above(std::string_view path) const;
  /// What forbids a grant of `path` (without symlinks), if anything.
  std::optional<Refusal> refuse(std::string_view path, PathAccess access,
                                const FileStat& stat) const;

 private:
  std::string home_;
};

}  // namespace dirbox::plan
