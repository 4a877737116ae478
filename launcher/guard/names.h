#pragma once
#include <string_view>

/// Names of files as file systems compare them.
namespace dirbox::guard {

/// True when a file system that ignores case could take `name`, in UTF-8, for `plain`, in ASCII: by
/// the case folding of Unicode (CaseFolding.txt: a long s, the sign of the kelvin, ligatures) and
/// without the characters that are ignored (Default_Ignorable_Code_Point), as ext4 and f2fs do
/// where it is switched on for a directory, and others always. Pure.
bool is_same_name(std::string_view plain, std::string_view name);

/// The same, for very many names of which nearly all begin otherwise: letters of ASCII that are the
/// same but for case differ in one bit at most.
inline bool is_same_name_quickly(std::string_view plain, std::string_view name) {
  if (!plain.empty() && !name.empty() && static_cast<unsigned char>(name.front()) < 0x80 &&
      (plain.front() | 0x20) != (name.front() | 0x20)) {
    return false;
  }
  return is_same_name(plain, name);
}

}  // namespace dirbox::guard
