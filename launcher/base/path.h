#pragma once
#include <string>
#include <string_view>
#include <vector>

/// Lexical path functions. Paths are compared by component, never by string prefix.
/// None of these touches the file system.
namespace dirbox {

/// Splits at '/', dropping empty components and ".". ".." is kept.
std::vector<std::string_view> path_components(std::string_view path);

/// Absolute `path` without "//", "." and ".." (".." above the root stays at the root, as in the
/// kernel). Only right for a path that has no symlinks, or for display.
std::string path_normalize(std::string_view path);

/// `base` + "/" + `rest`; `rest` alone when it is absolute.
std::string path_join(std::string_view base, std::string_view rest);

/// Directory part: "/" for "/x", "." for "x".
std::string path_parent(std::string_view path);

/// Last component; empty for "/".
std::string_view path_name(std::string_view path);

/// True when `path` equals `ancestor` or lies below it, by component. Both normalized and absolute.
bool path_is_beneath(std::string_view path, std::string_view ancestor);

/// `path` relative to `ancestor` ("" when equal). Requires path_is_beneath.
std::string_view path_relative(std::string_view path, std::string_view ancestor);

}  // namespace dirbox
