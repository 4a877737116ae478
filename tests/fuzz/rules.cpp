#include "netns/rules.h"

#include <algorithm>

#include "netns/address_guard.h"
#include "tests/fuzz/expect.h"

/// Input: lines. The last is a host, the others are rules; '!' in front makes a rule a deny rule.
using namespace dirbox;
using namespace dirbox::netns;

namespace {

constexpr std::uint16_t kPorts[] = {1, 22, 80, 81, 443, 8000, 65535};

bool in(const std::vector<PortRange>& ranges, std::uint16_t port) {
  return std::any_of(ranges.begin(), ranges.end(), [&](PortRange r) { return r.contains(port); });
}

void check_reads_back(const Rule& rule, bool deny) {
  auto again = parse_rules({rule.text(), {}}, deny);
  expect(again && again->size() == 1);
  expect(again->at(0).target == rule.target && again->at(0).ports == rule.ports);
}

void check_name(const RuleSet& set, const Hostname& name) {
  std::string shouted = name.text() + ".";
  for (char& c : shouted)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  auto same = parse_hostname(shouted);
  if (name.text().size() < 253 || same) expect(same && *same == name);
  auto open = set.ports_of(name);
  for (std::uint16_t port : kPorts) {
    Verdict verdict = set.decide(name, port);
    expect(verdict.allowed == (verdict.reason == Reason::allowed));
    expect(verdict.allowed == in(open, port));
    if (verdict.allowed) expect(in(set.ports(), port) && !verdict.rule->deny);
  }
  expect(set.name_allowed(name).allowed == !open.empty());
}

void check_address(const RuleSet& set, const IpAddress& address) {
  for (std::uint16_t port : kPorts) {
    Verdict verdict = set.decide(address, port);
    expect(verdict.allowed == set.decide(address.unmapped(), port).allowed);
    if (set.denies(address, port))
      expect(!verdict.allowed && guard_address(address, port, {}, set));
  }
  expect(classify_address(address).address_class ==
         classify_address(address.unmapped()).address_class);
  expect(parse_ip(address.text()).value() == address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = text_of(data, size);
  std::vector<RuleText> allow, deny;
  for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos;
       rest.remove_prefix(end + 1)) {
    std::string_view line = rest.substr(0, end);
    bool is_deny = line.starts_with('!');
    RuleText text{std::string(line.substr(is_deny)), {"fuzz", 1, 1}};
    auto rules = parse_rules(text, is_deny);
    if (!rules) continue;
    for (const Rule& rule : *rules) check_reads_back(rule, is_deny);
    if (allow.size() + deny.size() < 16) (is_deny ? deny : allow).push_back(text);
  }
  RuleSet set = RuleSet::make(allow, deny).value();
  auto host = parse_host(rest);
  if (!host) return 0;
  expect(parse_host(host_text(*host)).value() == *host);
  if (auto* name = std::get_if<Hostname>(&*host)) check_name(set, *name);
  if (auto* address = std::get_if<IpAddress>(&*host)) check_address(set, *address);
  return 0;
}
