#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// The forms that texts in a profile take (paths, names, rules) and the variables in them. Pure.
namespace dirbox::profiles {

/// Why a text is refused, and what to write in its place.
struct Complaint {
  std::string detail;
  std::string hint;
};
using Check = std::optional<Complaint> (*)(std::string_view text);

/// What the variables stand for at run time, absolute and normalized.
struct Variables {
  std::string home;              ///< ${HOME} and ~
  std::string cwd;               ///< ${CWD}, the directory that the command starts in
  std::string project;           ///< ${PROJECT}: the top of the git work tree around CWD, else CWD
  std::string claude_project{};  ///< ${CLAUDE_PROJECT}: where Claude Code keeps the sessions of CWD
};
struct VariableDoc {
  std::string_view name;
  std::string_view doc;
};
std::span<const VariableDoc> variable_docs();

/// A path of a profile: absolute, or below ~ or a variable at its beginning. No "..", no wildcard,
/// no NUL.
std::optional<Complaint> check_path(std::string_view text);
/// The same with `*` and `**` allowed.
std::optional<Complaint> check_path_pattern(std::string_view text);
/// The same with `*` allowed in the last component of a path beneath /dev.
std::optional<Complaint> check_device(std::string_view text);
/// `text`, which check_path accepts, in its one spelling, so that equal paths are equal strings:
/// "${HOME}" becomes "~", "//", "/./" and a slash at the end go.
std::string canonical_path(std::string_view text);
/// A canonical path with its variable replaced. A text that starts with '/' is taken literally.
std::string expand_path(std::string_view text, const Variables& variables);

/// A value of environment.set: variables anywhere, no NUL. A "$" that no "{" follows is itself.
std::optional<Complaint> check_value(std::string_view text);
std::string expand_value(std::string_view text, const Variables& variables);

std::optional<Complaint> check_env_name(std::string_view text);      ///< FOO_1
std::optional<Complaint> check_env_pattern(std::string_view text);   ///< FOO or FOO_*
std::optional<Complaint> check_syscall(std::string_view text);       ///< openat or @group
std::optional<Complaint> check_action(std::string_view text);        ///< allow, errno:EPERM, …
std::optional<Complaint> check_hostname(std::string_view text);      ///< one label, RFC 1123 2.1
std::optional<Complaint> check_network_rule(std::string_view text);  ///< netns/rules.h
std::optional<Complaint> check_allow_rule(std::string_view text);    ///< without too wide wildcards
std::optional<Complaint> check_port(std::string_view text);          ///< 1 to 65535
std::optional<Complaint> check_port_forward(std::string_view text);  ///< netns::parse_port_forward
std::optional<Complaint> check_publish(std::string_view text);       ///< netns::parse_publish
std::optional<Complaint> check_plain(std::string_view text);         ///< not empty, no NUL
std::optional<Complaint> check_command(std::string_view text);  ///< a program's name without a path
std::optional<Complaint> check_host_variable(std::string_view text);    ///< broker::check_passable
std::optional<Complaint> check_session_pattern(std::string_view text);  ///< of tmux: "swarm-*"
/// A profile's name: letters, digits, '.', '-', '_'; it becomes NAME.toml in a directory.
std::optional<Complaint> check_profile_name(std::string_view text);

}  // namespace dirbox::profiles
