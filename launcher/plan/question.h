#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/plan/excluded.h"
#include "launcher/plan/explain.h"
#include "launcher/plan/resolver.h"

/// Questions as people put them to a Plan, and answers for people and for programs.
namespace dirbox::plan {

/// What questions are answered with.
struct Ground {
  const Plan& plan;
  Resolver& resolver;
  /// Whether the user himself may do it to an existing file.
  std::function<bool(const std::string& path, Want want)> may;
  /// The plan is that of parse_policy(), and what `resolver` and `may` see is inside.
  bool inside = false;
};

/// `text`: absolute, from the working directory, or "~/…". Symlinks are followed, and must be there
/// inside as well. What the user could not do outside is refused inside, too.
Answer explain_path(const Ground& ground, std::string_view text, Want want);

/// What executing `argv` inside comes to. Errors: no words.
Result<Answer> explain_command(const Ground& ground, std::span<const std::string> argv);

/// Fills in what would permit `arguments` (after the command's name), which `decision` refuses.
void add_excluded_cure(Answer& answer, const Excluded& excluded, const broker::Decision& decision,
                       std::span<const std::string> arguments);

/// The layers behind an answer, by their names in events: each of them alone refuses it; or the one
/// that permits it.
std::vector<std::string> layers_of(const Plan& plan, const Answer& answer, Want want);

/// An answer with its question: "read", "connect"…
struct Told {
  std::string operation;
  Answer answer;
  std::vector<std::string> layers;
};
/// The verdict, and a line for each thing to know; safe for a terminal.
std::string render_told(const Told& told, bool color);
Json told_to_json(const Told& told);

}  // namespace dirbox::plan
