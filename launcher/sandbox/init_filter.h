#pragma once
#include "launcher/base/result.h"

namespace dirbox::sandbox {

/// Confines init itself, once the command runs: a short list of calls for waiting, signalling and
/// the sockets that it makes on request; any other call kills it, and with it the sandbox. The list
/// is fixed and does not depend on the profile. Needs no_new_privs.
Result<void> enter_init_filter();

/// The same for the guard's writer (writer.h): a list of calls on names below descriptors.
Result<void> enter_writer_filter();

}  // namespace dirbox::sandbox
