#pragma once
#include "launcher/base/result.h"

namespace dirbox::sandbox {

/// Empties every capability set of this process for good: bounding and ambient, then permitted,
/// effective and inheritable; locks the secure bits so that uid 0 regains nothing at exec
/// (capabilities(7)). Fails unless all of them read back as empty.
Result<void> drop_capabilities();

}  // namespace dirbox::sandbox
