#include <vector>

#include "launcher/base/text.h"
#include "launcher/broker/options.h"
#include "launcher/broker/policy.h"

/// The grammar of rules: a synopsis as in a manual page. See dirbox-broker(5).
namespace dirbox::broker {
namespace {

Failure wrong(std::string_view text, std::string_view detail, std::string_view hint = {}) {
  return fail("parse a rule", text, detail, hint);
}

/// Words at blanks; '…' keeps blanks and everything else literally.
Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> out;
  bool in_word = false, quoted = false;
  for (char c : text) {
    if (c == '\'') {
      if (!in_word) out.emplace_back();
      in_word = true;
      quoted = !quoted;
    } else if (!quoted && (c == ' ' || c == '\t')) {
      in_word = false;
    } else {
      if (!in_word) out.emplace_back();
      in_word = true;
      out.back() += c;
    }
  }
  if (quoted) return wrong(text, "a quote is not closed");
  return out;
}

bool is_wild(std::string_view word) {
  return word.find('*') != std::string_view::npos || word.starts_with('<') || word == "...";
}

class RuleParser {
 public:
  RuleParser(const CommandTable& table, RuleKind kind, std::string_view text)
      : table_(&table), kind_(kind), text_(text) {
    row_ = find_subcommand(table, "");
  }

  Result<Rule> run() {
    std::vector<std::string> words = TRY(split_words(text_));
    if (words.empty()) return wrong(text_, "a rule has at least one word");
    for (at_ = words.begin(), end_ = words.end(); at_ != end_;) TRY_VOID(parse_word(*at_++));
    if (!rule_.subcommand && kind_ == RuleKind::deny && has_letter_) {
      return wrong(text_, "an option given by its letter needs its subcommand");
    }
    if (!prefix_.empty() && !rule_.subcommand) return wrong(text_, "a subcommand is missing");
    if (!rule_.subcommand && kind_ == RuleKind::allow && !rule_.flags.empty()) {
      TRY_VOID(require_no_subcommand());
    }
    return std::move(rule_);
  }

 private:
  /// "--version": options alone.
  Result<void> require_no_subcommand() {
    if (rule_.any_flag || rule_.more_operands || !rule_.operands.empty()) {
      return wrong(text_, "an allow rule with options and operands names its subcommand");
    }
    rule_.subcommand = "";
    for (FlagPattern& flag : rule_.flags) flag.global = true;
    return {};
  }

  Result<void> parse_word(const std::string& word) {
    if (rule_.more_operands) return wrong(text_, "\"...\" stands at the end");
    if (word == "...") {
      rule_.more_operands = true;
      return {};
    }
    if (word.starts_with('[')) return parse_brackets(word);
    if (word.size() > 1 && word[0] == '-') return parse_flag(word, true);
    bool first = !rule_.subcommand && rule_.operands.empty();
    if (first && !is_wild(word)) return parse_subcommand(word);
    rule_.operands.push_back(word);
    return {};
  }

  Result<void> parse_brackets(const std::string& word) {
    if (kind_ == RuleKind::deny) {
      return wrong(text_, "brackets mean nothing in a deny rule: it needs what it lists");
    }
    if (!word.ends_with(']') || word.size() < 4 || word[1] != '-') {
      return wrong(text_, "brackets hold one option, as in [--rm] or [-*]");
    }
    std::string inner = word.substr(1, word.size() - 2);
    if (inner != "-*") return parse_flag(inner, false);
    rule_.any_flag = true;
    return {};
  }

  Result<void> parse_subcommand(const std::string& word) {
    std::string path = word;
    if (table_->nested != nullptr && word == table_->nested_path) {
      prefix_ = word + " ";
      table_ = table_->nested;
      row_ = find_subcommand(*table_, "");
      return {};
    }
    if (is_subcommand_group(*table_, path) && find_subcommand(*table_, path) == nullptr) {
      if (at_ == end_) return wrong(text_, "a subcommand is missing after \"" + path + "\"");
      path += " " + *at_++;
    }
    row_ = find_subcommand(*table_, path);
    if (row_ == nullptr || path.empty()) return wrong(text_, unknown_subcommand(path));
    rule_.subcommand = prefix_ + std::string(row_->path);
    if (rule_.any_flag) return wrong(text_, "[-*] stands after the subcommand");
    for (FlagPattern& flag : rule_.flags) flag.global = true;
    return {};
  }

  std::string unknown_subcommand(const std::string& path) const {
    std::vector<std::string_view> known;
    for (const SubcommandRow& row : table_->rows) {
      if (!row.path.empty()) known.push_back(row.path);
    }
    return std::string(table_->command) + " has no subcommand \"" + path + "\" here" +
           did_you_mean(path, known);
  }

  Result<void> parse_flag(std::string_view word, bool required) {
    bool is_long = word.starts_with("--");
    std::string_view text = word.substr(is_long ? 2 : 1);
    std::size_t equals = text.find('=');
    std::string_view names = text.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string_view::npos) value = std::string(text.substr(equals + 1));
    if (names.empty() || (!is_long && value && names.size() > 1)) {
      return wrong(text_, "one option and its value, as in -v=PATTERN");
    }
    if (is_long) return add_flag(names, value, required);
    has_letter_ = true;
    for (std::size_t i = 0; i < names.size(); ++i) {
      TRY_VOID(add_flag(names.substr(i, 1), value, required));
    }
    return {};
  }

  Result<void> add_flag(std::string_view name, const std::optional<std::string>& value,
                        bool required) {
    auto spec = find_spec(name);
    if (!spec) return wrong(text_, "an option that is not known here: " + std::string(name));
    if (value && spec->arity == Arity::none) {
      return wrong(text_, "an option that takes no value: " + std::string(name));
    }
    bool global = prefix_.empty() ? false : !rule_.subcommand;
    rule_.flags.push_back({std::string(spec->name), value, required, global});
    return {};
  }

  /// A deny rule without a subcommand may name an option of any of them.
  std::optional<FlagSpec> find_spec(std::string_view name) const {
    if (auto spec = find_flag(row_->flags, name)) return spec;
    if (rule_.subcommand || kind_ == RuleKind::allow) return std::nullopt;
    for (const SubcommandRow& row : table_->rows) {
      if (auto spec = find_flag(row.flags, name)) return spec;
    }
    return std::nullopt;
  }

  const CommandTable* table_;
  RuleKind kind_;
  std::string_view text_;
  const SubcommandRow* row_ = nullptr;
  std::string prefix_;
  bool has_letter_ = false;
  std::vector<std::string>::iterator at_, end_;
  Rule rule_;
};

Result<Rule> parse_words(RuleKind kind, std::string_view text) {
  if (kind == RuleKind::deny) {
    return wrong(text, "the options of this command are not known here, so nothing can be denied",
                 "list what is allowed; everything else is refused");
  }
  Rule rule;
  for (std::string& word : TRY(split_words(text))) {
    if (rule.more_operands) return wrong(text, "\"...\" stands at the end");
    if (word == "...") {
      rule.more_operands = true;
    } else if (word.starts_with('[')) {
      return wrong(text, "the options of this command are not known here, so none is optional");
    } else {
      rule.operands.push_back(std::move(word));
    }
  }
  if (rule.operands.empty() && !rule.more_operands) {
    return wrong(text, "a rule has at least one word");
  }
  return rule;
}

}  // namespace

Result<Rule> parse_rule(std::string_view command, RuleKind kind, std::string_view text,
                        Origin origin, std::string reason) {
  const CommandTable* table = find_command_table(command);
  Rule rule =
      table == nullptr ? TRY(parse_words(kind, text)) : TRY(RuleParser(*table, kind, text).run());
  rule.text = text;
  rule.origin = std::move(origin);
  rule.reason = std::move(reason);
  return rule;
}

}  // namespace dirbox::broker
