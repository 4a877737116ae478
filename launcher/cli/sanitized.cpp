#include "launcher/base/sanitized.h"

#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)

/// LeakSanitizer traces its own process at the end, which nothing inside a sandbox may.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return std::getenv("DIRBOX") != nullptr ? 1 : 0; }

#endif
#endif
