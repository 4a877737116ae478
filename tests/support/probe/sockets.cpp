#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "tests/support/probe/probe.h"

namespace probe {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address internet_address(const std::string& host, const std::string& port) {
  Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  const uint16_t port_number = htons(static_cast<uint16_t>(number(port)));
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = port_number;
    address.size = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port_number;
    address.size = sizeof v6;
  }
  return address;
}

/// A leading '@' means the abstract namespace.
Address unix_address(const std::string& name) {
  Address address;
  auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, name.data(), std::min(name.size(), sizeof un.sun_path));
  if (name[0] == '@') un.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  return address;
}

/// Socket, connect, optionally one datagram or message, close.
Outcome connect_to(int type, int protocol, const Address& address, const std::string& text = {}) {
  const int fd = socket(address.get()->sa_family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) return {errno, "socket"};
  Outcome outcome;
  if (connect(fd, address.get(), address.size) < 0)
    outcome = {errno, "connect"};
  else if (!text.empty() && send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0)
    outcome = {errno, "send"};
  close(fd);
  return outcome;
}

Outcome verb_connect_tcp(const Arguments& a) {
  return connect_to(SOCK_STREAM, 0, internet_address(a[0], a[1]));
}
Outcome verb_connect_mptcp(const Arguments& a) {
  constexpr int kMptcp = 262;
  return connect_to(SOCK_STREAM, kMptcp, internet_address(a[0], a[1]));
}
Outcome verb_send_udp(const Arguments& a) {
  return connect_to(SOCK_DGRAM, 0, internet_address(a[0], a[1]), "probe");
}
Outcome verb_connect_unix(const Arguments& a) {
  return connect_to(SOCK_STREAM, 0, unix_address(a[0]), "probe");
}
Outcome verb_send_unix(const Arguments& a) {
  return connect_to(SOCK_DGRAM, 0, unix_address(a[0]), "probe");
}

/// Without connect(): the address travels with the datagram.
Outcome verb_sendto_udp(const Arguments& a) {
  const Address address = internet_address(a[0], a[1]);
  const int fd = socket(address.get()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {errno, "socket"};
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0) return {errno, "setsockopt"};
  Outcome outcome = from_call(sendto(fd, "probe", 5, 0, address.get(), address.size));
  close(fd);
  return outcome;
}

Outcome verb_socket(const Arguments& a) {
  const int fd = socket(static_cast<int>(number(a[0])), static_cast<int>(number(a[1])),
                        static_cast<int>(number(a[2])));
  if (fd >= 0) close(fd);
  return from_call(fd);
}

Outcome verb_socketpair(const Arguments& a) {
  int fds[2];
  if (socketpair(static_cast<int>(number(a[0])), SOCK_STREAM, 0, fds) < 0) return {errno, {}};
  close(fds[0]);
  close(fds[1]);
  return {};
}

/// The family's high bits set: the kernel takes 32 bits, a filter that compares 64 sees another
/// number.
Outcome verb_socket_high_bits(const Arguments& a) {
  return from_call(syscall(SYS_socket, (1ULL << 32) | number(a[0]), SOCK_RAW, 0));
}

Outcome verb_listen_tcp(const Arguments& a) {
  const Address address = internet_address(a[0], a[1]);
  const int fd = socket(address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {errno, "socket"};
  Outcome outcome = from_call(bind(fd, address.get(), address.size));
  if (outcome.err == 0) outcome = from_call(listen(fd, 1));
  close(fd);
  return outcome;
}

Outcome verb_connect_vsock(const Arguments& a) {
  Address address;
  auto& vm = reinterpret_cast<sockaddr_vm&>(address.storage);
  vm.svm_family = AF_VSOCK;
  vm.svm_cid = static_cast<unsigned>(number(a[0]));
  vm.svm_port = static_cast<unsigned>(number(a[1]));
  address.size = sizeof vm;
  return connect_to(SOCK_STREAM, 0, address);
}

/// Adds an address to the loopback device: a change that needs CAP_NET_ADMIN in the network
/// namespace.
Outcome verb_netlink_change(const Arguments&) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return {errno, "socket"};
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.info.ifi_index = 1;
  request.info.ifi_change = 1;
  if (send(fd, &request, sizeof request, 0) < 0) return {errno, "send"};
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[256];
  } answer{};
  const ssize_t n = recv(fd, &answer, sizeof answer, 0);
  close(fd);
  if (n < 0) return {errno, "recv"};
  return {-answer.error.error, "answer"};
}

Outcome verb_shmget(const Arguments& a) {
  const int id = shmget(static_cast<key_t>(number(a[0])), 0, 0);
  if (id < 0) return {errno, "shmget"};
  const void* at = shmat(id, nullptr, SHM_RDONLY);
  if (at == reinterpret_cast<void*>(-1)) return {errno, "shmat"};
  return {0, std::string(static_cast<const char*>(at), 8)};
}
Outcome verb_semget(const Arguments& a) {
  return from_call(semget(static_cast<key_t>(number(a[0])), 0, 0));
}
Outcome verb_msgget(const Arguments& a) {
  return from_call(msgget(static_cast<key_t>(number(a[0])), 0));
}
Outcome verb_mq_open(const Arguments& a) { return from_call(mq_open(a[0].c_str(), O_RDONLY)); }
/// By number, without a key lookup: an id learnt elsewhere must be useless as well.
Outcome verb_shmat_id(const Arguments& a) {
  const void* at = shmat(static_cast<int>(number(a[0])), nullptr, SHM_RDONLY);
  return at == reinterpret_cast<void*>(-1) ? Outcome{errno, {}} : Outcome{};
}

/// Receives a descriptor over the socket FD and reads what it refers to.
Outcome verb_receive_fd(const Arguments& a) {
  char byte = 0;
  iovec vec{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &vec;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  if (recvmsg(static_cast<int>(number(a[0])), &message, 0) < 0) return {errno, "recvmsg"};
  return CMSG_FIRSTHDR(&message) == nullptr ? Outcome{ENODATA, {}} : Outcome{};
}

}  // namespace

const std::vector<Verb> kSocketVerbs = {
    {"connect-tcp", "ADDRESS PORT", verb_connect_tcp},
    {"connect-mptcp", "ADDRESS PORT", verb_connect_mptcp},
    {"send-udp", "ADDRESS PORT", verb_send_udp},
    {"sendto-udp", "ADDRESS PORT", verb_sendto_udp},
    {"listen-tcp", "ADDRESS PORT", verb_listen_tcp},
    {"connect-unix", "PATH|@NAME", verb_connect_unix},
    {"send-unix", "PATH|@NAME", verb_send_unix},
    {"connect-vsock", "CID PORT", verb_connect_vsock},
    {"socket", "FAMILY TYPE PROTOCOL", verb_socket},
    {"socket-high-bits", "FAMILY", verb_socket_high_bits},
    {"socketpair", "FAMILY", verb_socketpair},
    {"netlink-change", "", verb_netlink_change},
    {"shmget", "KEY", verb_shmget},
    {"shmat-id", "ID", verb_shmat_id},
    {"semget", "KEY", verb_semget},
    {"msgget", "KEY", verb_msgget},
    {"mq-open", "NAME", verb_mq_open},
    {"receive-fd", "FD", verb_receive_fd},
};

}  // namespace probe
