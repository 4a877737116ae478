#include "launcher/broker/options.h"

namespace dirbox::broker {
namespace {

/// What the rules may cost has a bound: one word can hold a megabyte of single letters.
constexpr std::size_t kMaxOptions = 1024;

Failure refuse(std::string_view argument, std::string_view detail) {
  return fail("parse the arguments", argument, detail);
}

/// Walks the words of one argv.
class Parser {
 public:
  Parser(const CommandTable& table, std::span<const std::string> words)
      : table_(&table), words_(words) {}

  Result<ParsedCommand> run() {
    for (const std::string& word : words_) {
      if (!table_->refused_suffix.empty() && word.ends_with(table_->refused_suffix)) {
        return refuse(word, "an argument that ends in \"" + std::string(table_->refused_suffix) +
                                "\" begins another command");
      }
    }
    TRY_VOID(parse_global());
    if (at_ < words_.size()) TRY_VOID(parse_subcommand());
    return std::move(out_);
  }

 private:
  Result<void> parse_global() {
    row_ = find_subcommand(*table_, "");
    global_ = true;
    while (at_ < words_.size() && is_option(words_[at_])) {
      if (words_[at_] == "--") return refuse("--", "in the place of a subcommand");
      TRY_VOID(parse_option());
    }
    return {};
  }

  Result<void> parse_subcommand() {
    std::string path = words_[at_++];
    if (table_->nested != nullptr && path == table_->nested_path) return enter_nested(path);
    if (is_subcommand_group(*table_, path) && find_subcommand(*table_, path) == nullptr) {
      if (at_ == words_.size()) return refuse(path, "a subcommand is missing after it");
      path += " " + words_[at_++];
    }
    row_ = path.empty() ? nullptr : find_subcommand(*table_, path);
    if (row_ == nullptr) return refuse(path, "an unknown subcommand");
    out_.subcommand = prefix_ + std::string(row_->path);
    global_ = false;
    return parse_rest();
  }

  Result<void> enter_nested(const std::string& path) {
    prefix_ += path + " ";
    table_ = table_->nested;
    TRY_VOID(parse_global());
    if (at_ == words_.size()) {
      out_.subcommand = path;
      return {};
    }
    return parse_subcommand();
  }

  Result<void> parse_rest() {
    while (at_ < words_.size()) {
      const std::string& word = words_[at_];
      if (word == "--") {
        ++at_;
        break;
      }
      if (is_option(word)) {
        TRY_VOID(parse_option());
        continue;
      }
      if (row_->stops) break;
      out_.operands.push_back(word);
      ++at_;
    }
    out_.operands.insert(out_.operands.end(), words_.begin() + static_cast<std::ptrdiff_t>(at_),
                         words_.end());
    return {};
  }

  static bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

  Result<void> parse_option() {
    std::string_view word = words_[at_++];
    return word.starts_with("--") ? parse_long(word.substr(2)) : parse_cluster(word);
  }

  Result<void> parse_long(std::string_view text) {
    std::size_t equals = text.find('=');
    std::string_view name = text.substr(0, equals);
    auto spec = name.size() > 1 ? find(name) : std::nullopt;
    if (!spec) return refuse("--" + std::string(name), "an unknown option");
    if (equals == std::string_view::npos) return take_value(*spec, "--" + std::string(name));
    std::string value(text.substr(equals + 1));
    // "--privileged=false" and its spellings: whoever means no leaves the option out.
    if (spec->arity == Arity::none && value != "true") {
      return refuse("--" + std::string(text), "an option that takes no value");
    }
    if (spec->arity == Arity::none) return add(*spec, std::nullopt);
    return add(*spec, std::move(value));
  }

  Result<void> parse_cluster(std::string_view word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      auto spec = find(word.substr(i, 1));
      std::string shown = "-" + std::string(word.substr(i, 1));
      if (!spec) return refuse(shown, "an unknown option");
      std::string_view rest = word.substr(i + 1);
      if (spec->arity == Arity::none) {
        if (rest.starts_with('=')) return refuse(word, "an option that takes no value");
        TRY_VOID(add(*spec, std::nullopt));
        continue;
      }
      if (rest.empty()) return take_value(*spec, shown);
      if (rest.starts_with('=')) {
        if (table_->style != Style::pflag || rest.size() == 1) {
          return refuse(word, "a value that versions of the command read differently");
        }
        rest.remove_prefix(1);
      }
      return add(*spec, std::string(rest));
    }
    return {};
  }

  Result<void> take_value(const FlagSpec& spec, const std::string& shown) {
    if (spec.arity != Arity::required) return add(spec, std::nullopt);
    if (at_ == words_.size()) return refuse(shown, "its value is missing");
    return add(spec, words_[at_++]);
  }

  Result<void> add(const FlagSpec& spec, std::optional<std::string> value) {
    if (out_.flags.size() == kMaxOptions)
      return refuse(spec.name, "one of more options than are looked at");
    out_.flags.push_back({std::string(spec.name), std::move(value), global_});
    return {};
  }

  std::optional<FlagSpec> find(std::string_view word) const {
    return row_ == nullptr ? std::nullopt : find_flag(row_->flags, word);
  }

  const CommandTable* table_;
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  const SubcommandRow* row_ = nullptr;
  bool global_ = true;
  std::string prefix_;
  ParsedCommand out_;
};

}  // namespace

std::optional<FlagSpec> find_flag(std::string_view flags, std::string_view word) {
  if (word == "help") return FlagSpec{"help", Arity::none};
  while (!flags.empty()) {
    std::size_t comma = flags.find(',');
    std::string_view entry = flags.substr(0, comma);
    flags.remove_prefix(comma == std::string_view::npos ? flags.size() : comma + 1);
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    FlagSpec spec;
    if (entry.ends_with('=') || entry.ends_with('?')) {
      spec.arity = entry.ends_with('=') ? Arity::required : Arity::optional;
      entry.remove_suffix(1);
    }
    std::size_t bar = entry.find('|');
    spec.name = bar == std::string_view::npos ? entry : entry.substr(bar + 1);
    bool found =
        word == spec.name || (bar != std::string_view::npos && word == entry.substr(0, bar));
    if (found && !word.empty()) return spec;
  }
  return std::nullopt;
}

Result<ParsedCommand> parse_options(const CommandTable& table,
                                    std::span<const std::string> arguments) {
  return Parser(table, arguments).run();
}

}  // namespace dirbox::broker
