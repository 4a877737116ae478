#include "launcher/broker/docker/build.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "launcher/broker/docker/build_context.h"
#include "launcher/broker/docker/dockerfile.h"
#include "tests/unit/docker/support.h"

using namespace dirbox;
using namespace dirbox::docker;

namespace {

const FilterSpec kSpec = make_spec();

using Images = std::vector<std::string>;

/// An entry without the archive's end.
std::string entry(std::string_view name, std::string_view content) {
  std::string whole = BuildContext::make_end(name, content);
  return whole.substr(0, whole.size() - 1024);
}

std::string value_of(const BuildQuery& build, std::string_view key) {
  for (const Parameter& p : build.query)
    if (p.key == key) return p.value;
  return "absent";
}

}  // namespace

TEST_CASE("labels that give orders come by no image either") {
  auto judged = [](const std::string& lines) {
    return parse_dockerfile("FROM alpine\n" + lines + "\n").has_value();
  };
  for (const char* good :
       {"LABEL a=b", "LABEL a b", "LABEL version=$V maintainer=\"me <me@example.org>\"",
        "LABEL d=\"costs $5\"", "LABEL org.opencontainers.image.source=https://example.org/x"})
    CHECK_MESSAGE(judged(good), good);
  for (const char* bad :
       {"LABEL traefik.enable=true", "label traefik.enable true", "LABEL a=b ofelia.job=c",
        "LABEL \"traefik.enable\"=true", "LABEL 'traefik.enable'=true", "LABEL tra\\efik.x=y",
        "LABEL tra\\\nefik.x=y", "LABEL $A=b", "LABEL a=b ${A}efik.x=y", "ONBUILD LABEL caddy=x",
        "LABEL a=\"b c\" \\\n  com.centurylinklabs.watchtower.enable=true", "LABEL dirbox.x=y",
        "RUN a \\\\\nLABEL traefik.enable=true"})
    CHECK_MESSAGE(!judged(bad), bad);
  const auto build = [](const std::string& labels) {
    return rebuild_build({{"labels", labels}}, kSpec, {}).has_value();
  };
  CHECK(build("{\"a\":\"b\"}"));
  CHECK_FALSE(build("{\"traefik.enable\":\"true\"}"));
}

TEST_CASE("a Dockerfile's images are found, its stages are none") {
  auto images = parse_dockerfile(
      "# syntax=docker/dockerfile:1\nARG V=1\nFROM node:20 AS base\nRUN apt-get \\\n  add x \\\n"
      "# comment\n  more\nCOPY --chown=1:1 . /app\nFROM base\nFROM alpine\n"
      "COPY --from=0 /a /b\nCOPY --from=BASE /a /b\nCOPY --from=busybox:1 /a /b\nFROM scratch\n"
      "ADD local.tar /x\nONBUILD RUN true\nCMD [\"x\"]\n");
  REQUIRE(images);
  CHECK(*images == Images{"alpine", "busybox:1", "node:20"});
}

TEST_CASE("a Dockerfile that reaches out is refused") {
  const char* refused[] = {
      "ADD http://127.0.0.1/x /x",
      "add HTTPS://x /x",
      "ADD [\"http://x\", \"/x\"]",
      "ADD $URL /x",
      "ADD ${URL} /x",
      "AD\\\nD http://x /x",
      "ADD \\\n http://x /x",
      "ADD git@github.com:x/y /x",
      "ADD --checksum=sha256:0 x /x",
      "ONBUILD ADD http://x /x",
      "ONBUILD ONBUILD ONBUILD ONBUILD RUN x",
      "# escape=`\nRUN x",
      "#  ESCAPE = `\nRUN x",
      "RUN --mount=type=bind,source=/ x",
      "COPY --link a b",
      "COPY <<EOF /x\nEOF",
      "RUN <<'E\\'\nRUN x \\\nE\\\nADD http://x /x",
      "RUN a 2<<-EOF\nEOF",
      "ONBUILD RUN <<EOF\nEOF",
      "ADD --from=x a b",
      "COPY --from=$X a b",
      "FROM $BASE",
      "FROM x${V}",
      "FROM --platform=linux/arm64 x",
      "FROM",
      "FROM a b",
      "NOVELTY x",
      ("\xc2\xa0"
       "ADD http://x /x"),
      "RUN x \\\v\nADD http://x /x",
      "RUN x\rADD http://x /x",
      // Builders disagree where RUN ends here.
      "RUN x \\\\\nADD http://x /x",
      "RUN x \\\n  # comment\nADD http://x /x",
      "RUN x \\\n\nADD http://x /x",
  };
  for (const char* text : refused) {
    INFO(text);
    CHECK_FALSE(parse_dockerfile(std::string("FROM a\n") + text + "\n"));
  }
  CHECK_FALSE(parse_dockerfile(""));
  CHECK_FALSE(parse_dockerfile("RUN x\n"));
  CHECK_FALSE(parse_dockerfile("FROM a\n" + std::string(kMaxDockerfile, ' ')));
  CHECK_FALSE(parse_dockerfile(std::string("FROM a\0b\n", 9)));
  CHECK(
      parse_dockerfile("\xef\xbb\xbf"
                       "FROM a\r\nRUN x \\\r\n y\r\n"));
}

TEST_CASE("triggers run where this build's stages are not") {
  auto images = parse_dockerfile(
      "FROM a AS stage\nFROM b\nONBUILD COPY --from=stage x y\nONBUILD COPY --from=0 x y\n"
      "COPY --from=stage x y\nRUN echo $((1<<2)) <<<here << x\n");
  REQUIRE(images);
  CHECK(*images == Images{"0", "a", "b", "stage"});
}

TEST_CASE("the context is passed on, and the Dockerfile found in it") {
  std::string tar = entry("./sub/../Dockerfile", "FROM old\n") + entry("a", std::string(700, 'x')) +
                    entry("Dockerfile", "FROM new\n");
  std::string whole = tar + std::string(1024, '\0') + "trailing";
  for (std::size_t piece : {std::size_t{1}, std::size_t{511}, std::size_t{513}, whole.size()}) {
    BuildContext context("");
    std::string out;
    for (std::size_t at = 0; at < whole.size(); at += piece)
      REQUIRE(context.feed(std::string_view(whole).substr(at, piece), out));
    CHECK(context.complete());
    CHECK(out == tar);
    // The engine keeps the last one of a name.
    CHECK(*context.dockerfile() == "FROM new\n");
  }
  BuildContext other("sub/Other");
  std::string out;
  REQUIRE(other.feed(tar, out));
  CHECK(other.complete());
  CHECK(code(other.dockerfile()) == EPERM);
}

TEST_CASE("what is no plain tar is refused") {
  std::string out;
  CHECK_FALSE(BuildContext("").feed(std::string(512, 'x'), out));
  CHECK_FALSE(BuildContext("").feed("\x1f\x8b" + std::string(600, '\0'), out));
  std::string bad = entry("Dockerfile", "FROM a\n");
  bad[0] = 'E';  // the checksum is another's
  CHECK_FALSE(BuildContext("").feed(bad, out));
  BuildContext cut("");
  REQUIRE(cut.feed(std::string_view(entry("a", std::string(700, 'x'))).substr(0, 1024), out));
  CHECK_FALSE(cut.complete());
  BuildContext link("");
  std::string symlink = entry("Dockerfile", "");
  symlink[156] = '2';
  symlink[148] = '\0';
  CHECK_FALSE(link.feed(symlink, out));
}

namespace {

/// An entry of another type, with a sound checksum. `size`: what its field says, in octal.
std::string special(char type, std::string_view content, std::string size = {}) {
  std::string tar = entry("a", content);
  tar[156] = type;
  if (size.empty()) size = fmt::format("{:011o}", content.size());
  size.resize(12, '\0');
  tar.replace(124, 12, size);
  tar.replace(148, 8, "        ");
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[i]);
  tar.replace(148, 6, fmt::format("{:06o}", sum));
  tar[154] = '\0';
  return tar;
}

/// Whether `tar` is taken, with what was sent of it.
std::pair<bool, std::string> taken(const std::string& tar) {
  BuildContext context("");
  std::string out;
  const bool fed = context.feed(tar + std::string(1024, '\0'), out).has_value();
  return {fed && context.complete(), out};
}

}  // namespace

TEST_CASE("nothing in the context changes the Dockerfile that ends it") {
  const std::string file = entry("Dockerfile", "FROM a\n");
  const std::string mtime = special('x', "16 mtime=1.5555\n");
  CHECK(taken(mtime + file).first);
  CHECK(taken(special('L', std::string("long\0", 5)) + file).first);
  CHECK(taken(special('5', "") + special('2', "") + file).first);
  // A header that waits for its entry.
  CHECK_FALSE(taken(file + mtime).first);
  CHECK_FALSE(taken(file + special('L', std::string("long\0", 5))).first);
  CHECK_FALSE(taken(file + special('K', std::string("long\0", 5))).first);
  // What makes another file of an entry's data.
  CHECK_FALSE(taken(special('x', "10 size=1\n") + file).first);
  CHECK_FALSE(taken(special('x', "22 GNU.sparse.major=1\n") + file).first);
  CHECK_FALSE(taken(special('x', "16 mtime=1.5555\n9 size=1\n") + file).first);
  for (const char* broken : {"x", "9 a=b\n", "6 a=b", "6 abc\n", "06 a=b\n ", "-6 a=b\n"}) {
    INFO(broken);
    CHECK_FALSE(taken(special('x', broken) + file).first);
  }
  // Data that some readers do not skip.
  for (char type : std::string("123456")) CHECK_FALSE(taken(special(type, "data") + file).first);
  for (char type : std::string("S7VMNDA") + '\0')
    CHECK_FALSE(taken(special(type, "data") + file).first);
  CHECK_FALSE(taken(special('0', "data",
                            std::string("\0"
                                        "4\0",
                                        3)) +
                    file)
                  .first);
  CHECK_FALSE(taken(special('0', "data", "4 4") + file).first);
  CHECK(taken(special('0', "data", "     4 ") + file).first);
  // A global header is dropped.
  auto [sound, sent] = taken(special('g', "14 comment=ab\n") + file);
  CHECK(sound);
  CHECK(sent == file);
}

TEST_CASE("a build's network, limits and labels are the profile's") {
  auto build = rebuild_build({{"t", "x:1"},
                              {"networkmode", "default"},
                              {"labels", R"({"a":"b"})"},
                              {"memory", "0"},
                              {"dockerfile", "D"},
                              {"buildargs", R"({"A":"1","B":null})"}},
                             kSpec, {});
  REQUIRE(build);
  CHECK(value_of(*build, "networkmode") == "none");
  CHECK(value_of(*build, "labels") == R"({"a":"b","dirbox.project":"","dirbox.image":"p1"})");
  CHECK(value_of(*build, "memory") == "536870912");
  CHECK(value_of(*build, "memswap") == "536870912");
  CHECK(value_of(*build, "cpuquota") == "200000");
  CHECK(value_of(*build, "dockerfile") == "absent");
  CHECK(build->dockerfile == "D");
  CHECK(build->tags == Images{"x:1"});
  CHECK_FALSE(rebuild_build({{"networkmode", "host"}}, kSpec, {}));
  CHECK_FALSE(rebuild_build({{"networkmode", "container:x"}}, kSpec, {}));
  CHECK_FALSE(rebuild_build({{"version", "2"}}, kSpec, {}));
  CHECK_FALSE(rebuild_build({{"labels", R"({"dirbox.project":"p1"})"}}, kSpec, {}));
  CHECK(value_of(*rebuild_build({{"memory", "1000000000000"}}, kSpec, {}), "memory") ==
        "536870912");
}
