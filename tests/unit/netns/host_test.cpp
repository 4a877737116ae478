#include "netns/host.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::string_view_literals;

TEST_CASE("a name has one canonical form") {
  struct Case {
    std::string_view in, out;
  };
  const Case cases[] = {
      {"example.com", "example.com"},
      {"EXAMPLE.Com", "example.com"},
      {"example.com.", "example.com"},
      {"localhost", "localhost"},
      {"_dmarc.my_host.test", "_dmarc.my_host.test"},
      {"r3---sn-x.test", "r3---sn-x.test"},
      {"xn--bcher-kva.test", "xn--bcher-kva.test"},
      {"XN--BCHER-KVA.test", "xn--bcher-kva.test"},
      {"1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"},
      {"127.0.0.1.nip.io", "127.0.0.1.nip.io"},
      {"3com.test", "3com.test"},
      {"0xg", "0xg"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.in);
    auto name = parse_hostname(c.in);
    REQUIRE(name);
    CHECK(name->text() == c.out);
    CHECK(parse_hostname(name->text()).value() == *name);
  }
}

TEST_CASE("what is not a name is refused") {
  const std::string long_label(64, 'a');
  std::string long_name;
  for (int i = 0; i < 64; ++i) long_name += "abc.";
  const std::string_view cases[] = {
      "",
      ".",
      "..",
      "a..b",
      ".a",
      "a..",
      "bad..wild.test",
      "example.com..",
      long_label,
      long_name,
      "evil.test\0.wild.test"sv,
      "evil.test\0"sv,
      "\0evil.test"sv,  // NUL
      "a b",
      " a",
      "a ",
      "a\t",
      "a\r\nb",
      "a\n",
      "a\x7f",
      "a\x1b[31m",
      "a%2eb",
      "a%00b",
      "user@a",
      "a:80",
      "a/b",
      "a\\b",
      "a?b",
      "a#b",
      "[a]",
      "*",
      "*.a",
      "a,b",
      "a;b",
      "a'b",
      "a\"b",
      "-a.test",
      "a-.test",
      "a.-",
      "-",
      // beyond ASCII: full-width dot and letters, ideographic dot, Kelvin sign, soft hyphen, latin
      "evil\xe3\x80\x82test",
      "evil\xef\xbc\x8etest",
      "\xef\xbd\x85vil.test",
      "\xe2\x84\xaa.test",
      "al\xc2\xadlowed.test",
      "b\303\274cher.test",
      "\xff.test",
      "\xc0\xae.test",
      // what inet_aton(3) and the URL standard read as an address
      "127.1",
      "127.0.1",
      "0x7f000001",
      "0177.0.0.1",
      "0x7f.0.0.1",
      "127.0.0.0x1",
      "2130706433",
      "0",
      "127.0.0.1",
      "127.0.0.1.",
      "0.0.0.0",
      "1.2.3.4.5",
      "256.1.1.1",
      "a.1",
      "a.0x",
      "0x",
      "0X7F000001",
      "017700000001",
      "1e3.08",
  };
  for (std::string_view text : cases) {
    CAPTURE(std::string(text));
    CHECK_FALSE(parse_hostname(text).has_value());
  }
  CHECK(parse_hostname("\xe2\x84\xaa.test").error().hint.find("A-label") != std::string::npos);
}

TEST_CASE("limits of names") {
  std::string name = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                     std::string(63, 'c') + "." + std::string(61, 'd');
  REQUIRE(name.size() == 253);
  CHECK(parse_hostname(name));
  CHECK(parse_hostname(name + "."));
  CHECK_FALSE(parse_hostname(name + "d").has_value());
  CHECK_FALSE(parse_hostname(name + "..").has_value());
}

TEST_CASE("beneath is decided by label") {
  auto name = [](std::string_view text) { return parse_hostname(text).value(); };
  CHECK(name("a.wild.test").is_beneath(name("wild.test")));
  CHECK(name("a.b.wild.test").is_beneath(name("wild.test")));
  CHECK_FALSE(name("wild.test").is_beneath(name("wild.test")));
  CHECK_FALSE(name("evilwild.test").is_beneath(name("wild.test")));
  CHECK_FALSE(name("wild.test.evil.test").is_beneath(name("wild.test")));
  CHECK_FALSE(name("test").is_beneath(name("wild.test")));
  CHECK(name("a.b.c").label_count() == 3);
}

TEST_CASE("addresses are strict") {
  struct Case {
    std::string_view in, out;
  };
  const Case good[] = {
      {"127.0.0.1", "127.0.0.1"},
      {"255.255.255.255", "255.255.255.255"},
      {"0.0.0.0", "0.0.0.0"},
      {"::1", "::1"},
      {"::", "::"},
      {"2001:DB8::00a", "2001:db8::a"},
      {"::ffff:127.0.0.1", "::ffff:127.0.0.1"},
      {"64:ff9b::7f00:1", "64:ff9b::7f00:1"},
  };
  for (const Case& c : good) {
    CAPTURE(c.in);
    auto address = parse_ip(c.in);
    REQUIRE(address);
    CHECK(address->text() == c.out);
  }
  const std::string_view bad[] = {
      "",
      "1",
      "127.1",
      "1.2.3",
      "1.2.3.4.",
      "1.2.3.4.5",
      "01.2.3.4",
      "1.2.3.04",
      "256.1.1.1",
      "1..2.3",
      "0x7f.0.0.1",
      "+1.2.3.4",
      "1.2.3.4 ",
      " 1.2.3.4",
      "1.2.3.4\0"sv,
      "\0"sv,
      "::1%lo",
      "::1%25lo",
      "[::1]",
      ":::1",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "12345::",
      "::ffff:127.1",
      "::ffff:127.0.0.01",
      "g::",
      "::1 ",
      "1:2:3:4:5:6:7:8:",
      "::1\n",
      "\xef\xbc\x91.2.3.4",
  };
  for (std::string_view text : bad) {
    CAPTURE(std::string(text));
    CHECK_FALSE(parse_ip(text).has_value());
  }
  CHECK(parse_ip("::ffff:1.2.3.4")->unmapped().text() == "1.2.3.4");
  CHECK(parse_ip("::ffff:7f00:1")->unmapped().text() == "127.0.0.1");
  CHECK(parse_ip("::1.2.3.4")->unmapped() == parse_ip("::1.2.3.4").value());
}

TEST_CASE("hosts of URLs") {
  CHECK(std::holds_alternative<IpAddress>(parse_host("127.0.0.1").value()));
  CHECK(std::holds_alternative<IpAddress>(parse_host("[::1]").value()));
  CHECK(std::holds_alternative<Hostname>(parse_host("Allowed.test.").value()));
  for (std::string_view text :
       {"::1", "[::1", "[::1]x", "[127.0.0.1]", "[]", "[::1%25lo]", "[::1%lo]", "[a]", "127.0.0.1.",
        "0x7f000001", "127.1", "[[::1]]", "0", "a:80"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_host(text).has_value());
  }
  CHECK(host_text(parse_host("[2001:db8:0::1]").value()) == "[2001:db8::1]");
  CHECK(host_port_text(parse_host("A.test").value(), 8080, 80) == "a.test:8080");
  CHECK(host_port_text(parse_host("A.test").value(), 80, 80) == "a.test");
}

TEST_CASE("ports are plain decimal") {
  CHECK(parse_port("1").value() == 1);
  CHECK(parse_port("65535").value() == 65535);
  for (std::string_view text :
       {"", "0", "00", "0443", "65536", "65979", "99999", "443443", "-1", "+443", "443abc", " 443",
        "443 ", "0x1bb", "https", "4 3", "4294967739", "18446744073709552059"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_port(text).has_value());
  }
}

TEST_CASE("host and port together") {
  // Longer than a string holds in place: the fuzzer found it leaked when the port was refused.
  CHECK_FALSE(parse_host_port("a-name-of-more-than-fifteen-bytes.test:0").has_value());
  CHECK(parse_host_port("a.test:443")->port == 443);
  CHECK(parse_host_port("a.test")->port == std::nullopt);
  CHECK(parse_host_port("[::1]:7001")->port == 7001);
  CHECK(parse_host_port("[::1]")->port == std::nullopt);
  for (std::string_view text :
       {"a.test:", ":80", "a.test:443:80", "a.test::443", "[::1]443", "[::1]:", "[::1]]:1",
        "::1:80", "a.test:443 ", "a.test :443", "u@a.test:443", "[:80", ""}) {
    CAPTURE(text);
    CHECK_FALSE(parse_host_port(text).has_value());
  }
}
