#pragma once
#include <string>
#include <string_view>

#include "launcher/plan/plan.h"
#include "profiles/profile.h"

/// What a sandbox tells about itself inside: kPolicyFile for programs, kPolicyText for whoever
/// reads. Both say what is permitted; what is hidden is not named, and of a profile only the name
/// of its file. They are a courtesy: nothing that enforces anything reads them.
namespace dirbox::plan {

inline constexpr std::string_view kPolicyFile = "/run/dirbox/policy.json";
inline constexpr std::string_view kPolicyText = "/run/dirbox/policy.txt";

/// Adds both to the mounts. After everything else: what they say is read from the Plan, and the
/// system calls from the profile. Pure; on the way of every start, so written without a tree of
/// values in between.
void add_policy_files(const profiles::Profile& profile, Plan& plan);

/// A Plan with what explain.h and excluded.h ask for, as far as the text of kPolicyFile tells:
/// mounts, network, system calls, excluded commands, names of variables. Errors: not such a text.
Result<Plan> parse_policy(std::string_view text);

}  // namespace dirbox::plan
