#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"

/// One file per subcommand; main picks from the table.
namespace dirbox::cli {

constexpr int kFailed = 125;  ///< dirbox itself failed and nothing ran

struct Syntax;  // options.h
using SyntaxVisitor = std::function<void(const Syntax&)>;

/// The command line after the subcommand's name: what stands before the first "--" is dirbox's,
/// what stands behind it is the command's.
struct Arguments {
  std::vector<std::string> own;
  std::vector<std::string> command;
  bool has_command = false;  ///< there was a "--"
  char** raw = nullptr;      ///< main's argv
  int raw_count = 0;
  /// Set: parse_options() passes the Syntax to it and tells the subcommand to end.
  const SyntaxVisitor* describe = nullptr;
};

struct Subcommand {
  const char* name;
  const char* summary;
  int (*run)(const Arguments&);
};

int run_command(const Arguments& arguments);
int log_command(const Arguments& arguments);
int why_command(const Arguments& arguments);
int shell_command(const Arguments& arguments);
int bundle_command(const Arguments& arguments);
int ps_command(const Arguments& arguments);
int attach_command(const Arguments& arguments);
int grant_command(const Arguments& arguments);
int revoke_command(const Arguments& arguments);
int profile_command(const Arguments& arguments);
int completion_command(const Arguments& arguments);
int project_command(const Arguments& arguments);
int trust_command(const Arguments& arguments);
int guard_command(const Arguments& arguments);
int import_command(const Arguments& arguments);

/// The table, in the order of the help.
std::span<const Subcommand> subcommands();
/// A subcommand of subcommands: `parent` is its name, the first own argument that of the verb.
int run_verb(std::string_view parent, std::span<const Subcommand> verbs,
             const Arguments& arguments);
/// Shows the Syntax of every subcommand and verb.
void describe_all(const SyntaxVisitor& visitor);
int verify_command(const Arguments& arguments);
int doctor_command(const Arguments& arguments);
int learn_command(const Arguments& arguments);
/// What `verify` runs inside its sandbox: answers probes on its standard input and output.
int probe_command(const Arguments& arguments);

/// Prints an Error as the user reads it. Returns kFailed.
int report(const Error& error);

}  // namespace dirbox::cli
