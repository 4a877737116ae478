#pragma once
#include <string>
#include <vector>

namespace dirbox::doctor {

/// An AppArmor profile that lets the program at `path` make user namespaces and changes nothing
/// else about it: what a machine with kernel.apparmor_restrict_unprivileged_userns = 1 wants
/// (Ubuntu 24.04 and later; https://ubuntu.com/blog, "unprivileged user namespaces").
std::string apparmor_profile(const std::string& path);

/// The file in /etc/apparmor.d for it; programs at different paths have different ones.
std::string apparmor_file(const std::string& path);

/// Shell commands that write and load it. `sudo`: "" or "sudo ".
std::vector<std::string> apparmor_commands(const std::string& path, const std::string& sudo);

}  // namespace dirbox::doctor
