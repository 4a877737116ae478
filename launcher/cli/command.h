#pragma once
#include <string>
#include <vector>

#include "launcher/base/result.h"

/// One file per subcommand; main picks from the table.
namespace dirbox::cli {

/// `dirbox __options` prints "subcommand --option" lines, from which a test checks the manuals.
constexpr const char* kListOptions = "__options";

constexpr int kFailed = 125;  ///< dirbox itself failed and nothing ran

/// The command line after the subcommand's name: what stands before the first "--" is dirbox's,
/// what stands behind it is the command's.
struct Arguments {
  std::vector<std::string> own;
  std::vector<std::string> command;
  bool has_command = false;  ///< there was a "--"
  char** raw = nullptr;      ///< main's argv
  int raw_count = 0;
};

struct Subcommand {
  const char* name;
  const char* summary;
  int (*run)(const Arguments&);
};

int run_command(const Arguments& arguments);
int shell_command(const Arguments& arguments);

/// Prints an Error as the user reads it. Returns kFailed.
int report(const Error& error);

}  // namespace dirbox::cli
