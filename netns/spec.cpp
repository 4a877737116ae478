#include "netns/spec.h"

#include <fmt/format.h>

namespace dirbox::netns {
std::vector<ProxyVariable> proxy_environment(const NetworkSpec& spec) {
  if (spec.mode != Mode::proxy || spec.proxy_port == 0 || !spec.set_environment) return {};
  std::string http = fmt::format("http://127.0.0.1:{}", spec.proxy_port);
  std::string socks = fmt::format("socks5h://127.0.0.1:{}", spec.proxy_port);
  // Loopback is proxied by several clients unless it is named here.
  std::string direct = "localhost,127.0.0.1,::1,.localhost";
  return {
      {"HTTP_PROXY", http, "plain HTTP; a denial explains itself in a 403"},
      {"http_proxy", http, "curl reads only the lower-case form"},
      {"HTTPS_PROXY", http, "CONNECT; a denial explains itself in a 403"},
      {"https_proxy", http, "programs that read only the lower-case form"},
      {"ALL_PROXY", http, "other schemes; not socks5://, which several clients misuse"},
      {"all_proxy", http, "the same in lower case"},
      {"NO_PROXY", direct, "servers inside the sandbox are reached directly"},
      {"no_proxy", direct, "the same in lower case"},
      {"NODE_USE_ENV_PROXY", "1", "Node 22.21 and 24 honour the variables above when this is set"},
      {"DIRBOX_PROXY_PORT", std::to_string(spec.proxy_port), "for scripts"},
      {"DIRBOX_SOCKS_PROXY", socks, "for programs that take a SOCKS5 URL as an option"},
  };
}

}  // namespace dirbox::netns
