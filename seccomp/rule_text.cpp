#include "seccomp/rule_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace dirbox::seccomp {
namespace {

// Longer spellings first: the parser takes the first that fits.
constexpr std::array<std::pair<std::string_view, Op>, 6> kOps = {{
    {"==", Op::eq},
    {"!=", Op::ne},
    {"<=", Op::le},
    {">=", Op::ge},
    {"<", Op::lt},
    {">", Op::gt},
}};
constexpr std::array<std::pair<std::string_view, ActionKind>, 4> kPlainActions = {{
    {"allow", ActionKind::allow},
    {"log", ActionKind::log},
    {"notify", ActionKind::notify},
    {"kill", ActionKind::kill},
}};
constexpr int kMaxErrno = 133;  // EHWPOISON, the last of asm-generic/errno.h

std::string_view op_text(Op op) {
  for (const auto& [text, value] : kOps) {
    if (value == op) return text;
  }
  return "?";
}

bool is_space(char c) { return c == ' ' || c == '\t'; }

/// A cursor over one line; every take_ skips blanks first.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  bool take(std::string_view token) {
    skip_blanks();
    if (rest_.substr(0, token.size()) != token) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  /// Decimal or 0x hexadecimal, with "-" the two's complement in 64 bits.
  std::optional<std::uint64_t> take_number() {
    bool negative = take("-");
    int base = take("0x") || take("0X") ? 16 : 10;
    std::uint64_t value = 0;
    auto [end, ec] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, base);
    if (ec != std::errc() || end == rest_.data()) return std::nullopt;
    bool octal_looking = base == 10 && rest_[0] == '0' && end - rest_.data() > 1;
    if (octal_looking) return std::nullopt;
    if (negative && value > std::uint64_t{1} << 63) return std::nullopt;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    negative_ = negative;
    return negative ? std::uint64_t{0} - value : value;
  }
  bool last_was_negative() const { return negative_; }

  bool at_end() {
    skip_blanks();
    return rest_.empty();
  }

 private:
  void skip_blanks() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }
  std::string_view rest_;
  bool negative_ = false;
};

/// `value` in the width that is compared; nullopt when it does not fit.
std::optional<std::uint64_t> fit(std::uint64_t value, bool negative, bool wide) {
  if (wide) return value;
  if (negative && value < 0xffffffff80000000U) return std::nullopt;
  if (!negative && value > 0xffffffffU) return std::nullopt;
  return value & 0xffffffffU;
}

/// Tests that always or never hold are mistakes.
const char* vacuous(const Test& test) {
  bool outside_mask = (test.value & ~test.mask) != 0;
  switch (test.op) {
    case Op::eq:
      return outside_mask ? "the value has bits outside the mask: never true" : nullptr;
    case Op::ne:
      return outside_mask ? "the value has bits outside the mask: always true" : nullptr;
    case Op::lt:
      return test.value == 0 ? "less than 0 is never true" : nullptr;
    case Op::ge:
      return test.value == 0 ? "at least 0 is always true" : nullptr;
    case Op::gt:
      return test.value >= test.mask ? "greater than the mask is never true" : nullptr;
    case Op::le:
      return test.value >= test.mask ? "at most the mask is always true" : nullptr;
  }
  return nullptr;
}

}  // namespace

bool Test::holds(const std::uint64_t (&args)[6]) const {
  std::uint64_t seen = (wide ? args[arg] : args[arg] & 0xffffffffU) & mask;
  switch (op) {
    case Op::eq:
      return seen == value;
    case Op::ne:
      return seen != value;
    case Op::lt:
      return seen < value;
    case Op::le:
      return seen <= value;
    case Op::gt:
      return seen > value;
    case Op::ge:
      return seen >= value;
  }
  return false;
}

std::string Test::text() const {
  std::uint64_t all = wide ? ~std::uint64_t{0} : 0xffffffffU;
  std::string out = fmt::format("arg{}{}", arg, wide ? ":64" : "");
  if (mask != all) out += fmt::format(" & {:#x}", mask);
  return out + fmt::format(" {} {:#x}", op_text(op), value);
}

std::string Action::text() const {
  if (kind == ActionKind::errno_) return "errno:" + errno_name(err);
  for (const auto& [text, value] : kPlainActions) {
    if (value == kind) return std::string(text);
  }
  return "?";
}

Result<Test> parse_test(std::string_view text) {
  auto bad = [&](std::string_view why) {
    return fail(
        "read argument test", text, why,
        "the form is arg0 to arg5, \":64\" for 64 bits, \"& MASK\", a comparison, a number: "
        "\"arg1 == 0x5412\"");
  };
  Cursor cursor(text);
  Test test;
  if (!cursor.take("arg")) return bad("does not start with an argument");
  bool found = false;
  for (std::uint8_t i = 0; i < 6 && !found; ++i) {
    found = cursor.take(std::string_view("012345").substr(i, 1));
    test.arg = i;
  }
  if (!found) return bad("arguments are arg0 to arg5");
  test.wide = cursor.take(":64");
  test.mask = test.wide ? ~std::uint64_t{0} : 0xffffffffU;
  if (cursor.take("&")) {
    auto mask = cursor.take_number();
    if (!mask) return bad("the mask is not a number");
    auto fitted = fit(*mask, cursor.last_was_negative(), test.wide);
    if (!fitted) return bad("the mask needs more than 32 bits (write :64 after the argument)");
    if (*fitted == 0) return bad("the mask is 0");
    test.mask = *fitted;
  }
  bool has_op = false;
  for (const auto& [spelling, op] : kOps) {
    if (!has_op && cursor.take(spelling)) {
      test.op = op;
      has_op = true;
    }
  }
  if (!has_op) return bad("the comparison is missing");
  auto value = cursor.take_number();
  if (!value) return bad("the value is not a number");
  auto fitted = fit(*value, cursor.last_was_negative(), test.wide);
  if (!fitted) return bad("the value needs more than 32 bits (write :64 after the argument)");
  test.value = *fitted;
  if (!cursor.at_end()) return bad("there is more after the value");
  if (const char* why = vacuous(test)) return bad(why);
  return test;
}

Result<Action> parse_action(std::string_view text, int notify_err) {
  for (const auto& [name, kind] : kPlainActions) {
    if (text == name) return Action{kind, kind == ActionKind::notify ? notify_err : 0};
  }
  constexpr std::string_view kErrno = "errno:";
  if (text.substr(0, kErrno.size()) == kErrno) {
    std::string_view name = text.substr(kErrno.size());
    for (int err = 1; name.substr(0, 1) == "E" && err <= kMaxErrno; ++err) {
      if (errno_name(err) == name) return Action{ActionKind::errno_, err};
    }
    return fail("read action", text, "no such errno name");
  }
  return fail("read action", text, "not an action",
              "actions are allow, log, notify, kill and errno:NAME");
}

bool exclude_each_other(const Test& a, const Test& b) {
  if (a.arg != b.arg) return false;
  std::uint64_t common = a.mask & b.mask;
  if (a.op == Op::eq && b.op == Op::eq) return (a.value & common) != (b.value & common);
  auto contradicts = [](const Test& eq, const Test& ne) {
    return eq.op == Op::eq && ne.op == Op::ne && (ne.mask & ~eq.mask) == 0 &&
           (eq.value & ne.mask) == ne.value;
  };
  return contradicts(a, b) || contradicts(b, a);
}

}  // namespace dirbox::seccomp
