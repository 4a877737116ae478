#include "launcher/broker/docker/dockerfile.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "launcher/base/text.h"
#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

std::string_view trim(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t\r\v\f");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\v\f") - first + 1);
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    std::size_t end = std::min(text.find_first_of(" \t\r\v\f"), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

/// "# escape=`" at the top makes another character the one that continues lines.
bool is_escape_directive(std::string_view comment) {
  comment = trim(comment.substr(1));
  std::size_t equals = comment.find('=');
  return equals != std::string_view::npos && upper(trim(comment.substr(0, equals))) == "ESCAPE";
}

/// Builders disagree about which of the others is white space, and where lines end.
bool has_unusual_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c == '\r' && (i + 1 == text.size() || text[i + 1] == '\n')) continue;
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) return true;
  }
  return false;
}

/// "<<EOF", "2<<-'EOF'": a builder that knows them takes lines until EOF for a file, and then goes
/// on, where one that does not goes on at once.
bool begins_document(std::string_view word) {
  const std::size_t at = word.find_first_not_of("0123456789");
  if (at == word.npos) return false;
  word.remove_prefix(at);
  return word.starts_with("<<") && word.size() > 2 && word[2] != '<';
}

constexpr std::string_view kHarmless[] = {
    "ARG",        "CMD",   "ENTRYPOINT", "ENV",        "EXPOSE", "HEALTHCHECK", "RUN",
    "MAINTAINER", "SHELL", "USER",       "STOPSIGNAL", "VOLUME", "WORKDIR",
};
constexpr std::string_view kReaching[] = {"ADD", "COPY", "FROM", "LABEL", "ONBUILD"};

template <std::size_t N>
bool is_among(const std::string& word, const std::string_view (&words)[N]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

class Parser {
 public:
  Result<std::vector<std::string>> run(std::string_view text) {
    if (text.size() > kMaxDockerfile) return refuse("the Dockerfile is too large");
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    if (has_unusual_control(text)) return refuse_form("a control character in the Dockerfile");
    while (!text.empty()) {
      std::size_t end = std::min(text.find('\n'), text.size());
      TRY_VOID(take_line(text.substr(0, end)));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (!pending_.empty()) TRY_VOID(take_instruction());
    if (images_.empty() && stages_ == 0) return refuse("a Dockerfile without FROM");
    return std::vector<std::string>(images_.begin(), images_.end());
  }

 private:
  /// Builders agree on where an instruction ends but for blank lines, indented comments and doubled
  /// backslashes within one. From the first of these on, a line is judged by itself too.
  Result<void> take_line(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    std::string_view trimmed = trim(line);
    const bool within = !pending_.empty();
    if (trimmed.empty()) {
      ambiguous_ = ambiguous_ || within;
      return {};
    }
    if (trimmed[0] == '#') {
      if (is_escape_directive(trimmed)) return refuse("the directive escape is refused");
      ambiguous_ = ambiguous_ || (within && line[0] != '#');
      return {};
    }
    if (within && ambiguous_) TRY_VOID(judge_alone(trimmed));
    const bool more = trimmed.back() == '\\';
    ambiguous_ = ambiguous_ || trimmed.ends_with("\\\\");
    line.remove_suffix(static_cast<std::size_t>(line.end() - trimmed.end()) + (more ? 1 : 0));
    pending_ +=
        within ? line : line.substr(static_cast<std::size_t>(trimmed.begin() - line.begin()));
    // A lone '\' begins an instruction all the same.
    if (more && pending_.empty()) pending_ = " ";
    return more ? Result<void>() : take_instruction();
  }

  Result<void> judge_alone(std::string_view line) {
    while (line.ends_with('\\')) line = trim(line.substr(0, line.size() - 1));
    std::vector<std::string> words = words_of(line);
    if (words.empty() || !is_among(upper(words.front()), kReaching)) return {};
    return judge(line, 0);
  }

  Result<void> take_instruction() {
    std::string instruction = std::move(pending_);
    pending_.clear();
    return judge(instruction, 0);
  }

  Result<void> judge(std::string_view text, int depth) {
    std::vector<std::string> words = words_of(text);
    if (words.empty()) return {};
    const std::string name = upper(words.front());
    const std::string_view rest = trim(trim(text).substr(words.front().size()));
    words.erase(words.begin());
    if (name == "ONBUILD") return depth > 2 ? refuse("nested ONBUILD") : judge(rest, depth + 1);
    if (name == "FROM") return judge_from(words);
    for (const std::string& word : words) {
      if (begins_document(word)) return refuse("here-documents are refused", "they are BuildKit's");
    }
    if (name == "ADD") return judge_add(words, rest);
    if (name == "COPY") return judge_copy(words, rest, depth > 0);
    if (name == "LABEL") return judge_label(words);
    if (name == "RUN" && rest.starts_with("--"))
      return refuse("options of RUN are refused", "they are BuildKit's");
    if (is_among(name, kHarmless)) return {};
    return refuse(
        fmt::format("the instruction {} is refused", escape_for_terminal(name.substr(0, 40))));
  }

  Result<void> take_image(std::string_view word, bool trigger = false) {
    if (word.find_first_of("$\\\"'`") != std::string_view::npos) {
      return refuse(
          fmt::format("the image {} is not written out", escape_for_terminal(word.substr(0, 128))),
          "variables in FROM and --from cannot be checked");
    }
    if (!trigger && (word == "scratch" || names_.count(upper(word)) != 0)) return {};
    images_.insert(std::string(word));
    return {};
  }

  Result<void> judge_from(std::vector<std::string>& words) {
    if (!words.empty() && words.front().starts_with("--"))
      return refuse("options of FROM are refused");
    if (words.empty() || (words.size() != 1 && words.size() != 3))
      return refuse_form("a malformed FROM");
    TRY_VOID(take_image(words[0]));
    ++stages_;
    if (words.size() == 3) names_.insert(upper(words[2]));
    return {};
  }

  /// A container has the labels of its image. Where a value has blanks, each of its words is taken
  /// for a name.
  Result<void> judge_label(const std::vector<std::string>& words) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::size_t equals = words[i].find('=');
      std::string word = words[i].substr(0, equals);
      // "LABEL name value", and "LABEL name=value …"
      if ((i == 0 || equals != word.npos) && word.find('$') != word.npos)
        return refuse("a variable in the name of a label is refused", "write the name out");
      std::erase_if(word, [](char c) { return c == '"' || c == '\'' || c == '\\'; });
      TRY_VOID(check_label(word));
    }
    return {};
  }

  /// Everything that is not a plain name may be a URL to some builder.
  Result<void> judge_add(const std::vector<std::string>& words, std::string_view rest) {
    for (const std::string& word : words) {
      if (!word.starts_with("--")) break;
      const std::string option = word.substr(0, word.find('='));
      if (option != "--chown" && option != "--chmod")
        return refuse(fmt::format("ADD {} is refused", escape_for_terminal(option.substr(0, 40))));
    }
    if (rest.find_first_of(":$\\<`") != std::string_view::npos || rest.find("git@") != rest.npos) {
      return refuse(
          "ADD of anything but plain names is refused: the engine would fetch URLs from "
          "the host's network",
          "use COPY, or RUN with a tool of the image");
    }
    return {};
  }

  /// A trigger runs in another build, where this one's stages are not: there the names are images.
  Result<void> judge_copy(const std::vector<std::string>& words, std::string_view rest,
                          bool trigger) {
    if (rest.find("<<") != std::string_view::npos)
      return refuse("here-documents are refused", "they are BuildKit's");
    for (const std::string& word : words) {
      if (!word.starts_with("--")) return {};
      std::size_t equals = std::min(word.find('='), word.size());
      std::string option = word.substr(0, equals);
      if (option == "--chown" || option == "--chmod") continue;
      if (option != "--from")
        return refuse(fmt::format("COPY {} is refused", escape_for_terminal(option.substr(0, 40))));
      std::string from = word.substr(std::min(equals + 1, word.size()));
      const bool index =
          !from.empty() && from.size() < 4 &&
          std::all_of(from.begin(), from.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (!trigger && index && std::stoi(from) < stages_) continue;
      TRY_VOID(take_image(from, trigger));
    }
    return {};
  }

  std::string pending_;  ///< of the instruction so far
  bool ambiguous_ = false;
  int stages_ = 0;
  std::set<std::string> names_;  ///< of stages, in upper case: the builder ignores case
  std::set<std::string> images_;
};

}  // namespace

Result<std::vector<std::string>> parse_dockerfile(std::string_view text) {
  return Parser().run(text);
}

}  // namespace dirbox::docker
