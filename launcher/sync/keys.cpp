#include "launcher/sync/keys.h"

#include <algorithm>
#include <span>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/sync/merge.h"

namespace dirbox::sync {
namespace {

constexpr std::size_t kMaxText = 1024, kMaxItems = 256, kMaxNesting = 4;
constexpr std::size_t kMaxValue = 64 << 10;         ///< bytes of one that comes back, as JSON
constexpr std::string_view kHere = "<here>";        // a project of this sandbox
constexpr std::string_view kProject = "<project>";  // any

/// Of projects beneath those of this sandbox, which is free to name them: as many as these are
/// made, also by many merges, so that the host's file is not filled with them.
constexpr std::ptrdiff_t kMaxBeneath = 16;

/// The form that a value must have. null stands for "none" in all of them. A scalar's text is one
/// word, of which no path or command line can be made.
enum class Form { scalar, texts, values };

struct Returned {
  std::string_view path;  ///< components with dots between
  Form form;
};

struct Kept {
  std::string_view path;
  const char* why;
  bool elsewhere = false;  ///< of a project of this sandbox it is said by Claude Code itself
};

// Claude Code 2.1: the keys of its own list of defaults, of what it saves in a first run and a
// login, and at the end of a session.
constexpr Returned kClaudeReturned[] = {
    // who this is, and who is logged in: as ~/.claude/.credentials.json, which can be written too
    {"userID", Form::scalar},
    {"machineID", Form::scalar},
    {"oauthAccount", Form::values},
    {"primaryApiKey", Form::scalar},
    {"hasAvailableSubscription", Form::scalar},
    {"claudeCodeFirstTokenDate", Form::scalar},
    {"customApiKeyResponses.approved", Form::texts},  // about a key that the host must have first
    {"customApiKeyResponses.rejected", Form::texts},
    // questions that were asked, and that nothing but a screen depends on
    {"firstStartTime", Form::scalar},
    {"hasCompletedOnboarding", Form::scalar},
    {"lastOnboardingVersion", Form::scalar},
    {"lastReleaseNotesSeen", Form::scalar},
    {"migrationVersion", Form::scalar},
    {"opusProMigrationComplete", Form::scalar},
    {"sonnet1m45MigrationComplete", Form::scalar},
    {"officialMarketplaceAutoInstallAttempted", Form::scalar},
    {"hasIdeOnboardingBeenShown", Form::values},
    {"hasUsedBackslashReturn", Form::scalar},
    {"hasSeenTasksHint", Form::scalar},
    {"hasUsedStash", Form::scalar},
    {"hasUsedBackgroundTask", Form::scalar},
    {"subscriptionNoticeCount", Form::scalar},
    {"seenNotifications", Form::values},
    {"feedbackSurveyState", Form::values},
    // how it looks
    {"theme", Form::scalar},
    {"verbose", Form::scalar},
    {"editorMode", Form::scalar},
    {"preferredNotifChannel", Form::scalar},
    {"autoCompactEnabled", Form::scalar},
    {"autoScrollEnabled", Form::scalar},
    {"showTurnDuration", Form::scalar},
    {"showMessageTimestamps", Form::scalar},
    {"showExpandedTodos", Form::scalar},
    {"todoFeatureEnabled", Form::scalar},
    {"briefTranscript", Form::scalar},
    {"terminalProgressBarEnabled", Form::scalar},
    {"messageIdleNotifThresholdMs", Form::scalar},
    // counters
    {"numStartups", Form::scalar},
    {"memoryUsageCount", Form::scalar},
    {"promptQueueUseCount", Form::scalar},
    {"btwUseCount", Form::scalar},
    {"queuedCommandUpHintCount", Form::scalar},
    {"tipsHistory", Form::values},
    {"skillUsage", Form::values},
    // what the last session in this directory cost, and which one it was
    {"projects.<here>.lastCost", Form::scalar},
    {"projects.<here>.lastAPIDuration", Form::scalar},
    {"projects.<here>.lastAPIDurationWithoutRetries", Form::scalar},
    {"projects.<here>.lastToolDuration", Form::scalar},
    {"projects.<here>.lastDuration", Form::scalar},
    {"projects.<here>.lastLinesAdded", Form::scalar},
    {"projects.<here>.lastLinesRemoved", Form::scalar},
    {"projects.<here>.lastTotalInputTokens", Form::scalar},
    {"projects.<here>.lastTotalOutputTokens", Form::scalar},
    {"projects.<here>.lastTotalCacheCreationInputTokens", Form::scalar},
    {"projects.<here>.lastTotalCacheReadInputTokens", Form::scalar},
    {"projects.<here>.lastTotalWebSearchRequests", Form::scalar},
    {"projects.<here>.lastFpsAverage", Form::scalar},
    {"projects.<here>.lastFpsLow1Pct", Form::scalar},
    {"projects.<here>.lastGracefulShutdown", Form::scalar},
    {"projects.<here>.lastVersionBase", Form::scalar},
    {"projects.<here>.lastModelUsage", Form::values},
    {"projects.<here>.lastSessionMetrics", Form::values},
    {"projects.<here>.lastSessionId", Form::scalar},
    {"projects.<here>.projectOnboardingSeenCount", Form::scalar},
    {"projects.<here>.hasCompletedProjectOnboarding", Form::scalar},
};

constexpr Kept kClaudeKept[] = {
    {"mcpServers", "servers that Claude Code starts"},
    {"env", "variables of what Claude Code starts"},
    {"apiKeyHelper", "a command that Claude Code runs"},
    {"hooks", "commands that Claude Code runs"},
    {"statusLine", "a command that Claude Code runs"},
    {"permissions", "what Claude Code may do without a question"},
    {"bypassPermissionsModeAccepted", "lets Claude Code do all without a question"},
    {"iterm2BackupPath", "a file that Claude Code copies back"},
    {"appleTerminalBackupPath", "a file that Claude Code copies back"},
    {"remoteControlAtStartup", "lets others drive Claude Code"},
    {"projects.<project>.mcpServers", "servers that Claude Code starts"},
    {"projects.<project>.enabledMcpjsonServers", "servers that it starts without a question"},
    {"projects.<project>.enableAllProjectMcpServers", "servers that it starts without a question"},
    {"projects.<project>.allowedTools", "what Claude Code may do without a question"},
    {"projects.<project>.hasTrustDialogAccepted", "makes Claude Code run what the project says",
     true},
    {"projects.<project>.hasClaudeMdExternalIncludesApproved", "lets it read files elsewhere",
     true},
};

/// Nothing that a terminal obeys, and nothing that is read in another order: the host's Claude Code
/// shows some of it.
bool is_plain_text(std::string_view text) { return text.size() <= kMaxText && is_printable(text); }

/// Not "__proto__", which JavaScript may take for something else.
bool is_plain_key(std::string_view key) { return is_plain_text(key) && !key.starts_with("__"); }

bool is_word(std::string_view text) {
  constexpr std::string_view kChars =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:+@=-";
  return text.size() <= kMaxText && text.find_first_not_of(kChars) == std::string_view::npos;
}

bool is_here(std::string_view project, const std::vector<std::string>& here) {
  return project.starts_with('/') && is_plain_text(project) && path_normalize(project) == project &&
         std::any_of(here.begin(), here.end(),
                     [&](const std::string& at) { return path_is_beneath(project, at); });
}

bool is_beneath_here(std::string_view project, const std::vector<std::string>& here) {
  return is_here(project, here) && std::find(here.begin(), here.end(), project) == here.end();
}

using Path = std::vector<std::string_view>;
enum class Match { none, above, whole };

bool matches(std::string_view pattern, std::string_view name,
             const std::vector<std::string>& here) {
  if (pattern == kProject) return true;
  if (pattern == kHere) return is_here(name, here);
  return pattern == name;
}

/// above: `path` leads to what `pattern` names, or to something beside it.
Match match_path(std::string_view pattern, const Path& path, const std::vector<std::string>& here) {
  for (std::string_view name : path) {
    if (pattern.empty()) return Match::none;
    const std::size_t dot = std::min(pattern.find('.'), pattern.size());
    if (!matches(pattern.substr(0, dot), name, here)) return Match::none;
    pattern.remove_prefix(std::min(dot + 1, pattern.size()));
  }
  return pattern.empty() ? Match::whole : Match::above;
}

bool has_form(const Json& value, Form form, std::size_t depth = 0) {
  if (const std::string* text = value.as_string())
    return form == Form::scalar ? is_word(*text) : form == Form::values && is_plain_text(*text);
  if (const JsonArray* array = value.as_array()) {
    return form != Form::scalar && array->size() <= kMaxItems && depth < kMaxNesting &&
           std::all_of(array->begin(), array->end(), [&](const Json& item) {
             return form == Form::texts
                        ? item.as_string() != nullptr && is_plain_text(*item.as_string())
                        : has_form(item, form, depth + 1);
           });
  }
  if (const JsonObject* object = value.as_object()) {
    return form == Form::values && object->size() <= kMaxItems && depth < kMaxNesting &&
           std::all_of(object->begin(), object->end(), [&](const JsonMember& member) {
             return is_plain_key(member.first) && has_form(member.second, form, depth + 1);
           });
  }
  return form != Form::texts || value.is_null();
}

bool is_nothing(const Json& value) {
  if (const bool* flag = value.as_bool()) return !*flag;
  if (const std::string* text = value.as_string()) return text->empty();
  if (const JsonArray* array = value.as_array()) return array->empty();
  if (const JsonObject* object = value.as_object()) return object->empty();
  return value.is_null();
}

}  // namespace

struct KeyTable {
  std::span<const Returned> returned;
  std::span<const Kept> kept;
};

namespace {

constexpr KeyTable kClaude{kClaudeReturned, kClaudeKept};

class Taking {
 public:
  Taking(const KeyTable& table, const std::vector<std::string>& here)
      : table_(table), here_(here) {}

  /// The members of `base`, changed, then what is only in `ours`.
  Json take(const Json& base, const Json& ours) {
    const Members before(&base), inside(&ours);
    JsonObject out;
    if (const JsonObject* object = base.as_object()) {
      for (const auto& [key, value] : *object) add(out, key, &value, inside.find(key));
    }
    auto beneath = std::count_if(out.begin(), out.end(), [&](const JsonMember& member) {
      return is_beneath_here(member.first, here_);
    });
    for (const auto& [key, value] : *ours.as_object()) {
      if (before.find(key) != nullptr) continue;
      const bool counts = is_beneath_here(key, here_);
      if (counts && beneath >= kMaxBeneath) continue;
      const std::size_t size = out.size();
      add(out, key, nullptr, &value);
      if (counts && out.size() != size) ++beneath;
    }
    return out;
  }

 private:
  const Returned* rule_of(Match& match) const {
    match = Match::none;
    for (const Returned& rule : table_.returned) {
      const Match one = match_path(rule.path, path_, here_);
      if (one == Match::none) continue;
      match = one;
      return &rule;
    }
    return nullptr;
  }

  void add(JsonObject& out, const std::string& key, const Json* base, const Json* ours) {
    path_.push_back(key);
    Match match;
    const Returned* rule = rule_of(match);
    path_.pop_back();
    if (rule == nullptr) ours = base;
    if (match == Match::whole && ours != nullptr &&
        (!has_form(*ours, rule->form) || ours->dump().size() > kMaxValue)) {
      ours = base;
    }
    if (match == Match::above) {
      const bool is_object = ours != nullptr && ours->as_object() != nullptr;
      if (is_object && (base == nullptr || base->as_object() != nullptr)) {
        path_.push_back(key);
        Json made = take(base != nullptr ? *base : Json(), *ours);
        path_.pop_back();
        if (base != nullptr || !made.as_object()->empty()) out.emplace_back(key, std::move(made));
        return;
      }
      // A removal of the whole would remove what does not come back.
      ours = base;
    }
    if (ours != nullptr) out.emplace_back(key, *ours);
  }

  const KeyTable& table_;
  const std::vector<std::string>& here_;
  Path path_;
};

void search(const KeyTable& table, const Json* base, const Json& ours,
            const std::vector<std::string>& here, Path& path, std::vector<Danger>& out) {
  const JsonObject* object = ours.as_object();
  if (object == nullptr) return;
  const Members members(base);
  for (const auto& [key, value] : *object) {
    if (out.size() == kMaxDangers) return;
    const Json* before = members.find(key);
    path.push_back(key);
    for (const Kept& rule : table.kept) {
      const Match match = match_path(rule.path, path, here);
      if (match == Match::none) continue;
      if (match == Match::above) {
        search(table, before, value, here, path, out);
        break;
      }
      if (is_nothing(value) || (before != nullptr && is_same(*before, value))) break;
      if (rule.elsewhere && path.size() > 1 && is_here(path[1], here)) break;
      Danger danger{"", value.dump(), rule.why};
      for (std::string_view name : path)
        danger.key += (danger.key.empty() ? "" : ".") + std::string(name);
      for (std::string* shown : {&danger.key, &danger.value})
        if (shown->size() > kMaxShown) shown->resize(kMaxShown), *shown += "…";
      out.push_back(std::move(danger));
      break;
    }
    path.pop_back();
  }
}

}  // namespace

const KeyTable* find_key_table(std::string_view name) {
  return name == ".claude.json" ? &kClaude : nullptr;
}

Json take_allowed(const KeyTable& table, const Json& base, const Json& ours,
                  const std::vector<std::string>& here) {
  if (ours.as_object() == nullptr) return base;
  return Taking(table, here).take(base, ours);
}

std::vector<Danger> find_dangers(const KeyTable& table, const Json& base, const Json& ours,
                                 const std::vector<std::string>& here) {
  std::vector<Danger> out;
  Path path;
  search(table, &base, ours, here, path, out);
  return out;
}

}  // namespace dirbox::sync
