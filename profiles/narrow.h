#pragma once
#include <vector>

#include "profiles/profile.h"
#include "profiles/show.h"

/// Whether a profile that was changed still grants no more than before. Pure.
namespace dirbox::profiles {

enum class Effect {
  none,     ///< decides about nothing that is granted
  narrows,  ///< grants the same or less
  widens,   ///< grants more, or is not known not to
  by_path,  ///< only the compiled plans tell: the longest path wins, whatever the order
};

struct Judged {
  Difference difference;
  Effect effect = Effect::widens;
};

/// What differs, each judged by itself, in the order of the schema. Every key that the table behind
/// this does not name widens.
std::vector<Judged> judge_changes(const Profile& before, const Profile& after);

}  // namespace dirbox::profiles
