#include "launcher/broker/docker/request.h"

#include <doctest/doctest.h>

#include "launcher/broker/docker/endpoint.h"
#include "tests/unit/docker/support.h"

using namespace dirbox;
using namespace dirbox::docker;

namespace {

Result<Request> line(const std::string& text, const std::string& fields = "") {
  return parse_request(text + " HTTP/1.1\r\nHost: docker\r\n" + fields + "\r\n");
}

/// Where a request goes: "ACTION subject", or the sentence of the refusal.
std::string route(const std::string& text) {
  auto request = line(text);
  if (!request) return why(request);
  auto found = find_route(*request);
  if (!found) return why(found);
  if (auto query = check_query(*found->endpoint, *request); !query) return why(query);
  return std::string(found->endpoint->path) + " " + found->subject;
}

}  // namespace

TEST_CASE("a request is read into its parts") {
  auto request = line("GET /v1.41/containers/json?all=1&filters=%7B%22a%22%3A%5B%5D%7D");
  REQUIRE(request);
  CHECK(request->method == "GET");
  CHECK(request->version == 41);
  CHECK(request->path_text() == "containers/json");
  CHECK(request->query == std::vector<Parameter>{{"all", "1"}, {"filters", "{\"a\":[]}"}});
  CHECK(request->keep_alive);
  CHECK_FALSE(request->upgrade);
  CHECK(encode_query(request->query) == "all=1&filters=%7B%22a%22%3A%5B%5D%7D");
}

TEST_CASE("paths that a router would change are refused") {
  for (const char* target : {"/containers/%63reate",
                             "/containers//json",
                             "/containers/./json",
                             "/containers/../json",
                             "/containers/json/",
                             "//containers/json",
                             "containers/json",
                             "http://x/containers/json",
                             "*",
                             "/",
                             "",
                             "/containers/a b/json",
                             "/containers/\xc5\xbf/json",
                             "/containers/a\\b/json",
                             "/v1.41",
                             "/v1.41/",
                             "/v1.041/info",
                             "/v1.4x/info",
                             "/v2.0/info",
                             "/v1./info",
                             "/v1.41/containers/json#x",
                             "/info;x"}) {
    INFO(target);
    CHECK_FALSE(line(std::string("GET ") + target));
  }
}

TEST_CASE("versions before 1.24, where start still took a HostConfig, are refused") {
  CHECK(code(line("POST /v1.23/containers/x/start")) == EPERM);
  CHECK(code(line("POST /v1.12/containers/x/start")) == EPERM);
  CHECK(line("POST /v1.24/containers/x/start"));
  // Only one version is stripped: what follows is no endpoint.
  CHECK(route("GET /v1.41/v1.12/info").find("not an endpoint") != std::string::npos);
}

TEST_CASE("framing that two parsers could read differently is refused") {
  const char* broken[] = {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                          "Content-Length: 3\r\nContent-Length: 3\r\n",
                          "Content-Length: 3, 3\r\n",
                          "Content-Length: +3\r\n",
                          "Transfer-Encoding: gzip\r\n",
                          "Transfer-Encoding: chunked, chunked\r\n",
                          "Transfer-Encoding : chunked\r\n",
                          " folded: x\r\n",
                          "Host: other\r\n",
                          "Expect: 100-continue\r\n",
                          "Connection: Upgrade\r\nUpgrade: websocket\r\n"};
  for (const char* fields : broken) {
    INFO(fields);
    CHECK_FALSE(line("POST /containers/create", fields));
  }
  auto chunked = line("POST /containers/create", "Transfer-Encoding: chunked\r\n");
  REQUIRE(chunked);
  CHECK(chunked->body.kind == netns::BodyKind::chunked);
  auto upgrade = line("POST /exec/x/start", "Connection: Upgrade\r\nUpgrade: tcp\r\n");
  REQUIRE(upgrade);
  CHECK(upgrade->upgrade);
}

TEST_CASE("BuildKit's session names the way out") {
  auto session = line("POST /session", "Connection: Upgrade\r\nUpgrade: h2c\r\n");
  REQUIRE_FALSE(session);
  CHECK(session.error().hint.find("DOCKER_BUILDKIT=0") != std::string::npos);
  CHECK(route("POST /build?version=1&session=abc").find("BuildKit") != std::string::npos);
  CHECK(route("POST /grpc").find("BuildKit") != std::string::npos);
}

TEST_CASE("query parameters come once, with known keys and values") {
  CHECK(route("GET /containers/json?all=1") == "containers/json ");
  CHECK(code(line("GET /containers/json?all=1;limit=2")) == EBADMSG);
  CHECK(code(line("GET /containers/json?a%6cl=1")) == EBADMSG);
  CHECK(code(line("GET /containers/json?filters=%zz")) == EBADMSG);
  CHECK(code(line("GET /containers/json?filters=%0a")) == EBADMSG);
  CHECK(code(line("GET /containers/json?&all=1")) == EBADMSG);
  CHECK(route("GET /containers/json?all=1&all=0").find("twice") != std::string::npos);
  CHECK(route("GET /containers/json?All=1").find("not let through") != std::string::npos);
  CHECK(route("GET /containers/json?all=maybe").find("unusual value") != std::string::npos);
  CHECK(route("POST /build?t=a&t=b") == "build ");
  CHECK(route("POST /build?remote=http://127.0.0.1").find("remote") != std::string::npos);
  CHECK(route("POST /build?extrahosts=a:1").find("refused") != std::string::npos);
  CHECK(route("POST /build?cgroupparent=/").find("refused") != std::string::npos);
  CHECK(route("POST /build?volume=/:/x").find("not let through") != std::string::npos);
  CHECK(route("GET /containers/x/top?ps_args=e").find("unusual value") != std::string::npos);
  CHECK(route("POST /containers/x/start?checkpoint=c").find("refused") != std::string::npos);
}

TEST_CASE("what is not in the table is refused") {
  for (const char* text : {"POST /containers/x/update",
                           "POST /containers/prune",
                           "GET /containers/x/export",
                           "GET /containers/x/attach/ws",
                           "POST /commit",
                           "POST /images/create?fromImage=x",
                           "POST /images/load",
                           "GET /images/get",
                           "GET /images/x/get",
                           "POST /images/x/push",
                           "POST /images/x/tag",
                           "DELETE /images/x",
                           "POST /networks/create",
                           "DELETE /networks/x",
                           "POST /networks/x/connect",
                           "POST /volumes/create",
                           "DELETE /volumes/x",
                           "POST /swarm/init",
                           "GET /services",
                           "POST /services/create",
                           "GET /nodes",
                           "GET /tasks",
                           "GET /secrets",
                           "GET /configs",
                           "GET /plugins",
                           "POST /plugins/pull",
                           "GET /distribution/x/json",
                           "POST /auth",
                           "GET /system/df",
                           "POST /session",
                           "POST /grpc",
                           "POST /build/prune",
                           "GET /libpod/info",
                           "POST /libpod/containers/create",
                           "PUT /containers/create",
                           "GET /debug/vars",
                           "GET /_pings",
                           "DELETE /_ping"}) {
    INFO(text);
    std::string where = route(text);
    CHECK(where.find(' ') != std::string::npos);
    CHECK(code(find_route(*line(text))) == EPERM);
  }
}

TEST_CASE("literals win over placeholders, names may have slashes") {
  CHECK(route("GET /containers/json") == "containers/json ");
  CHECK(route("GET /containers/json/json") == "containers/{id}/json json");
  CHECK(route("POST /containers/create") == "containers/create ");
  CHECK(route("GET /images/json") == "images/json ");
  CHECK(route("GET /images/library/node:20/json") == "images/{name}/json library/node:20");
  CHECK(route("GET /images/a@sha256:0123/history") == "images/{name}/history a@sha256:0123");
  CHECK(route("GET /containers/-x/json") == "No such container: -x");
  CHECK(route("GET /volumes/x") == "no such volume: x");
}

TEST_CASE("names") {
  CHECK(is_object_name("a1_b.c-d"));
  for (const char* name : {"", ".", "-a", "a/b", "a:b", "a%b", "\xc3\xa9"})
    CHECK_FALSE(is_object_name(name));
  CHECK(is_image_name("ghcr.io:443/x/y:1@sha256:00"));
  for (const char* name : {"", "../x", "a/../b", "a//b", "/a", "a/", "a b", "-a", "a/.."})
    CHECK_FALSE(is_image_name(name));
}
