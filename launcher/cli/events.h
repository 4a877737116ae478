#pragma once
#include <cstdio>
#include <string>
#include <vector>

#include "launcher/log/event.h"

/// Events for people.
namespace dirbox::cli {

/// "blocked: example.com:443 (no-rule: no rule allows this host), 3 times; --allow example.com:443"
std::string summary_line(const log::Event& event);

/// A line per event that somebody should know of, and how many it leaves out: there may be
/// thousands after a night. Failures that a network or a server can cause as well are for
/// `verbose`, which has every line, and so are changes of rules, which are said elsewhere.
std::size_t print_summary(std::FILE* out, const std::vector<log::Event>& events, bool verbose);

}  // namespace dirbox::cli
