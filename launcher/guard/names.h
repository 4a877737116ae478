#pragma once
#include <string_view>

/// Names of files as file systems compare them.
namespace dirbox::guard {

/// True when a file system that ignores case could take `name`, in UTF-8, for `plain`, in ASCII: by
/// the case folding of Unicode (CaseFolding.txt: a long s, the sign of the kelvin, ligatures) and
/// without the characters that are ignored (Default_Ignorable_Code_Point), as ext4 and f2fs do
/// where it is switched on for a directory, and others always. Pure.
bool is_same_name(std::string_view plain, std::string_view name);

}  // namespace dirbox::guard
