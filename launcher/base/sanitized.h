#pragma once

namespace dirbox {

/// Whether AddressSanitizer is compiled in; g++ defines a macro, clang has a feature. Its system
/// calls come at any time and are the sanitizer's own, so that a filter of what this program calls
/// cannot name them.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace dirbox
