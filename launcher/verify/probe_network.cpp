#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/verify/probe.h"

/// Attempts on the network. An answer counts where it holds the token of the servers outside
/// (servers.h), so that an error page of the proxy is none.
namespace dirbox::verify {
namespace {

constexpr timeval kWait{4, 0};  // for a peer; half of kPatience
constexpr std::size_t kMaxAnswer = 16 << 10;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_UNSPEC;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// A numeric address and a port; AF_UNSPEC when it is none.
Address make_address(const std::string& text, unsigned long long port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    address.family = v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    address.family = v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *v6;
  }
  return address;
}

Result<UniqueFd> connect_to(const std::string& text, unsigned long long port, int type) {
  Address address = make_address(text, port);
  UniqueFd fd(::socket(address.family, type | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kWait, sizeof kWait) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kWait, sizeof kWait) != 0 ||
      ::connect(fd.get(), address.get(), address.size) != 0) {
    return fail_errno("connect", text);
  }
  return fd;
}

Outcome refused_by(const Error& error) {
  // A blocked connect(2) that SO_SNDTIMEO ended.
  return refused(error.err == EINPROGRESS || error.err == EAGAIN ? ETIMEDOUT : error.err);
}

/// The errno of a peer that ended a connection without an answer.
constexpr int kClosed = ECONNRESET;

/// Everything that comes until the end, or until `enough` is in it.
std::string receive(int fd, std::string_view enough, int& err) {
  std::string text;
  while (text.size() < kMaxAnswer) {
    char chunk[2048];
    ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
    if (n <= 0) {
      err = n == 0 ? kClosed : errno == EAGAIN ? ETIMEDOUT : errno;
      return text;
    }
    text.append(chunk, static_cast<std::size_t>(n));
    if (!enough.empty() && text.find(enough) != std::string::npos) break;
  }
  return text;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\r')); }

/// Sends `bytes`; done when the answer holds `token`.
Outcome exchange(int fd, const std::string& bytes, const std::string& token) {
  if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
    return refused(errno == EPIPE ? kClosed : errno);
  int err = kClosed;
  std::string answer = receive(fd, token, err);
  if (answer.find(token) != std::string::npos) return succeeded();
  if (answer.starts_with("HTTP/1.1 ")) return refused(EACCES, first_line(answer));
  return refused(err);
}

void put16(std::string& out, std::size_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
/// `body` behind its length.
std::string counted16(const std::string& body) {
  std::string out;
  put16(out, body.size());
  return out + body;
}

/// A TLS 1.3 ClientHello (RFC 8446 4.1.2) with `name` as its server name (RFC 6066 3), which ""
/// leaves out; with `ech`, one that says that there is another, encrypted one (RFC 9849).
std::string make_hello(const std::string& name, bool ech) {
  std::string extensions;
  if (!name.empty()) {
    put16(extensions, 0);
    extensions += counted16(counted16(std::string(1, '\0') + counted16(name)));
  }
  put16(extensions, 43);  // supported_versions
  extensions += counted16(std::string("\x02\x03\x04", 3));
  if (ech) {
    put16(extensions, 0xfe0d);
    extensions += counted16(std::string(32, '\1'));
  }
  std::string body("\x03\x03", 2);
  body += std::string(32, 'r') + std::string(1, '\0');         // random, no session
  body += counted16("\x13\x01") + std::string("\x01\x00", 2);  // one cipher, no compression
  body += counted16(extensions);
  std::string message("\x01\x00", 2);
  message += counted16(body);
  return std::string("\x16\x03\x01", 3) + counted16(message);
}

/// ADDRESS PORT ["udp"]: of UDP, which sends nothing then, that there is a way.
Outcome verb_connect(const Words& words) {
  bool udp = word_at(words, 2) == "udp";
  auto fd =
      connect_to(word_at(words, 0), number(word_at(words, 1)), udp ? SOCK_DGRAM : SOCK_STREAM);
  return fd ? succeeded() : refused_by(fd.error());
}

/// ADDRESS PORT TEXT: one datagram.
Outcome verb_send(const Words& words) {
  auto fd = connect_to(word_at(words, 0), number(word_at(words, 1)), SOCK_DGRAM);
  if (!fd) return refused_by(fd.error());
  const std::string& text = word_at(words, 2);
  return from_call(::send(fd->get(), text.data(), text.size(), MSG_NOSIGNAL));
}

/// ADDRESS PORT TOKEN NAME ["ech"]
Outcome verb_tls(const Words& words) {
  auto fd = connect_to(word_at(words, 0), number(word_at(words, 1)), SOCK_STREAM);
  if (!fd) return refused_by(fd.error());
  return exchange(fd->get(), make_hello(word_at(words, 3), word_at(words, 4) == "ech"),
                  word_at(words, 2));
}

/// ADDRESS PORT TOKEN BYTES
Outcome verb_bytes(const Words& words) {
  auto fd = connect_to(word_at(words, 0), number(word_at(words, 1)), SOCK_STREAM);
  if (!fd) return refused_by(fd.error());
  return exchange(fd->get(), word_at(words, 3), word_at(words, 2));
}

/// PORT TARGET TOKEN NAME: CONNECT by the proxy on that port, then a TLS hello.
Outcome verb_tunnel(const Words& words) {
  auto fd = connect_to("127.0.0.1", number(word_at(words, 0)), SOCK_STREAM);
  if (!fd) return refused_by(fd.error());
  const std::string& target = word_at(words, 1);
  const std::string request = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n";
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return refused(errno);
  int err = kClosed;
  const std::string answer = receive(fd->get(), "\r\n\r\n", err);
  if (answer.empty()) return refused(err);
  if (!answer.starts_with("HTTP/1.1 200")) return refused(EACCES, first_line(answer));
  return exchange(fd->get(), make_hello(word_at(words, 3), false), word_at(words, 2));
}

/// PORT NAME TARGET-PORT TOKEN: SOCKS5 (RFC 1928) by the proxy on that port, then a TLS hello.
Outcome verb_socks5(const Words& words) {
  auto fd = connect_to("127.0.0.1", number(word_at(words, 0)), SOCK_STREAM);
  if (!fd) return refused_by(fd.error());
  const std::string& name = word_at(words, 1);
  std::string request("\x05\x01\x00", 3);
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return refused(errno);
  char answer[10] = {};
  if (::recv(fd->get(), answer, 2, MSG_WAITALL) != 2 || answer[1] != 0) return refused(EACCES);
  request.assign("\x05\x01\x00\x03", 4);
  request.push_back(static_cast<char>(name.size()));
  request += name;
  put16(request, number(word_at(words, 2)));
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return refused(errno);
  if (::recv(fd->get(), answer, sizeof answer, MSG_WAITALL) < 2) return refused(kClosed);
  if (answer[1] != 0) return refused(EACCES, "reply " + std::to_string(answer[1]));
  return exchange(fd->get(), make_hello(name, false), word_at(words, 3));
}

std::string make_query(const std::string& name, unsigned type) {
  std::string query("\x5a\xa5\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01", 12);
  for (std::size_t start = 0; start < name.size();) {
    std::size_t end = std::min(name.find('.', start), name.size());
    query.push_back(static_cast<char>(end - start));
    query += name.substr(start, end - start);
    start = end + 1;
  }
  query.push_back('\0');
  put16(query, type);
  put16(query, 1);
  return query + std::string("\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);  // OPT (RFC 6891)
}

std::size_t take16(std::string_view text, std::size_t at) {
  if (at + 2 > text.size()) return 0;
  return static_cast<unsigned char>(text[at]) * 256u + static_cast<unsigned char>(text[at + 1]);
}

std::size_t skip_name(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    auto length = static_cast<unsigned char>(text[at]);
    if (length == 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1u;
  }
  return at;
}

/// A first address is done; else the rcode, as "NXDOMAIN", and whether the answer says that it was
/// blocked (RFC 8914).
Outcome read_dns(std::string_view answer) {
  constexpr std::size_t kHead = 12, kError = 15, kBlocked = 15;
  if (answer.size() < kHead) return refused(EPROTO, "a short answer");
  unsigned code = static_cast<unsigned char>(answer[3]) & 15;
  std::size_t records = take16(answer, 6) + take16(answer, 8) + take16(answer, 10);
  std::size_t at = skip_name(answer, kHead) + 4;
  std::string blocked;
  for (std::size_t i = 0; i < records && at < answer.size(); ++i) {
    at = skip_name(answer, at);
    std::size_t type = take16(answer, at), length = take16(answer, at + 8);
    std::string_view data = answer.substr(std::min(at + 10, answer.size()), length);
    at += 10 + length;
    if (type == 1 && data.size() == 4) {
      char text[INET_ADDRSTRLEN] = {};
      if (::inet_ntop(AF_INET, data.data(), text, sizeof text) != nullptr) return succeeded(text);
    }
    for (std::size_t o = 0; type == 41 && o + 4 <= data.size(); o += 4 + take16(data, o + 2)) {
      if (take16(data, o) == kError && take16(data, o + 4) == kBlocked) blocked = ", blocked";
    }
  }
  if (code == 0) return refused(ENODATA, "no data");
  return refused(code == 3 ? ENOENT : EACCES,
                 (code == 3 ? "NXDOMAIN" : "rcode " + std::to_string(code)) + blocked);
}

/// SERVER NAME TYPE ["tcp"]
Outcome verb_dns(const Words& words) {
  constexpr unsigned long long kPort = 53;
  bool tcp = word_at(words, 3) == "tcp";
  auto fd = connect_to(word_at(words, 0), kPort, tcp ? SOCK_STREAM : SOCK_DGRAM);
  if (!fd) return refused_by(fd.error());
  std::string query =
      make_query(word_at(words, 1), static_cast<unsigned>(number(word_at(words, 2))));
  if (tcp) query = counted16(query);
  char answer[4096];
  if (::send(fd->get(), query.data(), query.size(), MSG_NOSIGNAL) < 0) return refused(errno);
  ssize_t n = ::recv(fd->get(), answer, sizeof answer, 0);
  if (n <= 0) return refused(n == 0 ? kClosed : errno == EAGAIN ? ETIMEDOUT : errno);
  std::string_view text(answer, static_cast<std::size_t>(n));
  return read_dns(tcp ? text.substr(std::min<std::size_t>(2, text.size())) : text);
}

/// Gives lo another address (rtnetlink(7)).
Outcome verb_add_address(const Words&) {
  struct {
    nlmsghdr head;
    ifaddrmsg message;
    rtattr attribute;
    in_addr address;
  } request{};
  request.head.nlmsg_len = sizeof request;
  request.head.nlmsg_type = RTM_NEWADDR;
  request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  request.message.ifa_family = AF_INET;
  request.message.ifa_prefixlen = 32;
  request.message.ifa_index = 1;  // lo in every network namespace
  request.attribute.rta_type = IFA_LOCAL;
  request.attribute.rta_len = RTA_LENGTH(sizeof request.address);
  request.address.s_addr = htonl(0x7f0900f9);
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.valid() || ::send(fd.get(), &request, sizeof request, 0) < 0) return refused(errno);
  struct {
    nlmsghdr head;
    nlmsgerr error;
    char more[512];
  } answer{};
  if (::recv(fd.get(), &answer, sizeof answer, 0) < 0) return refused(errno);
  return answer.error.error == 0 ? succeeded() : refused(-answer.error.error);
}

constexpr Verb kVerbs[] = {
    {"connect", verb_connect}, {"send", verb_send},
    {"tls", verb_tls},         {"bytes", verb_bytes},
    {"tunnel", verb_tunnel},   {"socks5", verb_socks5},
    {"dns", verb_dns},         {"add-address", verb_add_address},
};

}  // namespace

std::span<const Verb> network_verbs() { return kVerbs; }

}  // namespace dirbox::verify
