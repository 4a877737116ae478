#pragma once

namespace dirbox {

/// Takes half a MiB for the heap in one piece. A start uses about as much, and each of its pages
/// would otherwise be asked for by a fault of its own, half a microsecond each. Best effort: where
/// the kernel cannot do it (MADV_POPULATE_WRITE is of Linux 5.14) the faults come as ever.
void prepare_heap();

}  // namespace dirbox
