#pragma once
#include <string>
#include <string_view>

/// Two changes of one git configuration at a time. Pure.
namespace dirbox::guard {

/// `value` as git reads it back (git-config(1), SYNTAX), in quotes.
std::string quoted_value(std::string_view value);

/// `text` and behind it, in sections of their own, the entries of `after` that neither `before` nor
/// `text` has. `text` as it is where it or `after` does not parse; a `before` that does not counts
/// as empty.
std::string add_entries(std::string text, std::string_view before, std::string_view after);

}  // namespace dirbox::guard
