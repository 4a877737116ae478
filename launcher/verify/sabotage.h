#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/plan/plan.h"
#include "launcher/verify/canaries.h"

/// Layers left out on purpose, in test builds only: that verify notices each must be shown.
namespace dirbox::verify {

/// Names of all layers; set-up steps (sandbox::list_skippable_steps) are layers too.
std::vector<std::string> list_layers();

/// Takes the layers of the comma-separated `layers` from `plan`, and returns the set-up steps that
/// are to be skipped, with commas. Errors: an unknown layer.
Result<std::string> remove_layers(std::string_view layers, const Canaries& canaries,
                                  plan::Plan& plan);

}  // namespace dirbox::verify
