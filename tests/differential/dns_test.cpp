#include "netns/dns.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "launcher/base/unique_fd.h"

/// dig as the other side of DNS: what it asks is understood, with each of its options, and what we
/// answer is what it prints. The server is a thread on a loopback port.
using namespace dirbox;
using namespace dirbox::netns;

namespace {

std::vector<std::byte> answer(std::span<const std::byte> message) {
  auto query = parse_dns_query(message);
  if (!query) return encode_dns_parse_failure(message, query.error());
  if (query->edns_version != 0) return encode_dns_rcode(*query, DnsRcode::bad_version);
  if (query->qclass != kDnsClassIn) return encode_dns_rcode(*query, DnsRcode::refused);
  if (query->name && dns_reverse_address(*query->name))
    return encode_dns_pointer(*query, parse_hostname("allowed.test").value());
  if (!query->name || query->name->text() != "allowed.test")
    return encode_dns_blocked(*query, "no rule allows this name");
  if (query->type != dns_type::kA) return encode_dns_no_data(*query);
  return encode_dns_address(*query, parse_ip("198.18.0.7").value());
}

class Server {
 public:
  Server() {
    // The port that the kernel chose for one may be taken for the other.
    for (int attempt = 0; attempt < 100 && !tcp_.valid(); ++attempt) {
      udp_ = make(SOCK_DGRAM, 0);
      tcp_ = make(SOCK_STREAM, port());
    }
    REQUIRE(tcp_.valid());
    REQUIRE(listen(tcp_.get(), 8) == 0);
    int pipe[2];
    REQUIRE(pipe2(pipe, O_CLOEXEC) == 0);
    stop_read_.reset(pipe[0]);
    stop_write_.reset(pipe[1]);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    stop_write_.reset();
    thread_.join();
  }
  std::uint16_t port() const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    return ntohs(address.sin_port);
  }

 private:
  static UniqueFd make(int type, std::uint16_t port) {
    UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const bool bound = bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    REQUIRE((bound || errno == EADDRINUSE));
    return bound ? std::move(fd) : UniqueFd();
  }

  void serve() {
    while (true) {
      pollfd fds[] = {
          {stop_read_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
      if (poll(fds, 3, -1) < 0 || fds[0].revents) return;
      if (fds[1].revents) serve_datagram();
      if (fds[2].revents) serve_stream();
    }
  }
  void serve_datagram() {
    std::vector<std::byte> buffer(65536);
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    auto* address = reinterpret_cast<sockaddr*>(&peer);
    ssize_t n = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, address, &length);
    if (n < 0) return;
    auto out = answer(std::span(buffer).first(static_cast<std::size_t>(n)));
    if (!out.empty()) sendto(udp_.get(), out.data(), out.size(), 0, address, length);
  }
  /// Messages of one connection until its end; dig opens one at a time.
  void serve_stream() {
    UniqueFd peer(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::vector<std::byte> buffer;
    std::byte chunk[512];
    for (ssize_t n; (n = read(peer.get(), chunk, sizeof chunk)) > 0;) {
      buffer.insert(buffer.end(), chunk, chunk + n);
      while (true) {
        auto message = dns_tcp_message(buffer);
        if (!message || !*message) break;
        auto out = dns_tcp_frame(answer(**message));
        if (write(peer.get(), out.data(), out.size()) < 0) return;
        buffer.erase(buffer.begin(),
                     buffer.begin() + static_cast<std::ptrdiff_t>((*message)->size() + 2));
      }
    }
  }

  UniqueFd udp_, tcp_, stop_read_, stop_write_;
  std::thread thread_;
};

std::string dig(const Server& server, const std::string& arguments) {
  std::string command = "dig -r @127.0.0.1 -p " + std::to_string(server.port()) +
                        " +tries=1 +time=10 " + arguments + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out;
  char buffer[4096];
  for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  pclose(pipe);
  return out;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("dig reads what we answer, over UDP and TCP") {
  REQUIRE_MESSAGE(system("dig -v >/dev/null 2>&1") == 0, "dig is missing: package bind9-dnsutils");
  Server server;
  for (std::string transport : {"+notcp ", "+tcp "}) {
    CAPTURE(transport);
    auto ask = [&](const std::string& what) {
      std::string out = dig(server, transport + what);
      CAPTURE(out);
      CHECK_FALSE(has(out, "WARNING"));
      CHECK_FALSE(has(out, ";; Got bad"));
      CHECK_FALSE(has(out, "malformed"));
      return out;
    };
    CHECK(ask("+short allowed.test A") == "198.18.0.7\n");
    CHECK(ask("+short AlLoWeD.tEsT. A") == "198.18.0.7\n");
    CHECK(ask("+short -x 198.18.0.7") == "allowed.test.\n");
    for (std::string type : {"AAAA", "HTTPS", "SVCB", "TXT", "ANY", "MX"}) {
      CAPTURE(type);
      std::string out = ask("allowed.test " + type);
      CHECK(has(out, "status: NOERROR"));
      CHECK(has(out, "ANSWER: 0, AUTHORITY: 1"));
      CHECK(has(out, "IN\tSOA\t. . 1 3600 600 86400 5"));
    }
    for (std::string name :
         {"evil.test", "secret.evil.test", "'a\\ b.test'", "'\\000.allowed.test'", "."}) {
      CAPTURE(name);
      std::string out = ask(name + " A");
      CHECK(has(out, "status: NXDOMAIN"));
      CHECK(has(out, "EDE: 15 (Blocked): (no rule allows this name)"));
    }
    CHECK_FALSE(has(ask("+noedns evil.test A"), "EDE"));
    CHECK(has(ask("-c CH version.bind TXT"), "status: REFUSED"));
    CHECK(has(ask("+edns=1 +noednsneg allowed.test A"), "status: BADVERS"));
    CHECK(has(dig(server, transport + "+opcode=NOTIFY allowed.test SOA"), "status: NOTIMP"));
    CHECK(has(dig(server, transport + "+header-only"), "status: FORMERR"));
  }
}

TEST_CASE("every option of dig is understood or refused, and none changes the answer") {
  Server server;
  for (std::string option :
       {"+dnssec", "+cookie", "+cookie=0123456789abcdef", "+nsid", "+subnet=192.0.2.0/24",
        "+padding=468", "+keepalive +tcp", "+expire", "+bufsize=512", "+bufsize=65535", "+noedns",
        "+noadflag", "+cdflag", "+norecurse", "+ednsopt=65001:0102030405", "+ednsflags=0x4000"}) {
    CAPTURE(option);
    CHECK(dig(server, "+short " + option + " allowed.test A") == "198.18.0.7\n");
  }
  for (std::string option : {"+aaflag", "+tcflag", "+zflag"}) {
    CAPTURE(option);
    CHECK(has(dig(server, option + " allowed.test A"), "status: FORMERR"));
  }
}
