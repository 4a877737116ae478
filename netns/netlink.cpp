#include "netns/netlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>

#include "launcher/base/unique_fd.h"
#include "netns/socket_address.h"

namespace dirbox::netns {
namespace {

/// One request with a fixed body and room for three attributes.
template <class Body>
struct Request {
  nlmsghdr header{};
  Body body{};
  alignas(NLMSG_ALIGNTO) unsigned char attributes[64]{};

  Request(int type, int flags) {
    header.nlmsg_len = NLMSG_LENGTH(sizeof body);
    header.nlmsg_type = static_cast<std::uint16_t>(type);
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    header.nlmsg_seq = 1;
  }
  void add(unsigned short type, std::span<const std::uint8_t> value) {
    auto* at = reinterpret_cast<unsigned char*>(&header) + NLMSG_ALIGN(header.nlmsg_len);
    rtattr attribute{};
    attribute.rta_type = type;
    attribute.rta_len = static_cast<unsigned short>(RTA_LENGTH(value.size()));
    std::memcpy(at, &attribute, sizeof attribute);
    std::memcpy(at + RTA_LENGTH(0), value.data(), value.size());
    header.nlmsg_len = NLMSG_ALIGN(header.nlmsg_len) + RTA_ALIGN(attribute.rta_len);
  }
};

/// Sends and waits for the acknowledgement; its errno, 0 for success.
Result<int> exchange(const nlmsghdr& request) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket.valid()) return fail_errno("open a netlink socket", "");
  if (::send(socket.get(), &request, request.nlmsg_len, 0) < 0) {
    return fail_errno("send a netlink request", "");
  }
  alignas(nlmsghdr) unsigned char reply[512];
  ssize_t n = ::recv(socket.get(), reply, sizeof reply, 0);
  if (n < 0) return fail_errno("receive a netlink reply", "");
  nlmsghdr header;
  nlmsgerr error;
  if (static_cast<std::size_t>(n) < NLMSG_LENGTH(sizeof error)) {
    return fail("receive a netlink reply", "", "short reply");
  }
  std::memcpy(&header, reply, sizeof header);
  std::memcpy(&error, reply + NLMSG_HDRLEN, sizeof error);
  if (header.nlmsg_type != NLMSG_ERROR) return fail("receive a netlink reply", "", "no ack");
  return -error.error;
}

std::span<const std::uint8_t> as_attribute(const std::uint32_t& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

}  // namespace

Result<void> apply_loopback_up() {
  Request<ifinfomsg> request(RTM_NEWLINK, 0);
  request.body.ifi_family = AF_UNSPEC;
  request.body.ifi_index = static_cast<int>(::if_nametoindex("lo"));
  request.body.ifi_flags = IFF_UP;
  request.body.ifi_change = IFF_UP;
  int err = TRY(exchange(request.header));
  if (err != 0) return fail_errno("set the loopback interface up", "lo", err);
  return {};
}

Result<void> apply_local_route(std::span<const std::uint8_t> address, unsigned length) {
  Request<rtmsg> request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  bool v6 = address.size() == 16;
  constexpr std::size_t kMetricBytes = RTA_LENGTH(sizeof kLocalCongestionControl - 1);
  struct {
    rtattr attribute{static_cast<unsigned short>(kMetricBytes), RTAX_CC_ALGO};
    char name[sizeof kLocalCongestionControl]{};
  } metric;
  std::memcpy(metric.name, kLocalCongestionControl, sizeof kLocalCongestionControl);
  request.body.rtm_family = v6 ? AF_INET6 : AF_INET;
  request.body.rtm_dst_len = static_cast<unsigned char>(length);
  request.body.rtm_table = RT_TABLE_LOCAL;
  request.body.rtm_protocol = RTPROT_STATIC;
  request.body.rtm_scope = v6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST;
  request.body.rtm_type = RTN_LOCAL;
  request.add(RTA_DST, address);
  std::uint32_t lo = ::if_nametoindex("lo");
  request.add(RTA_OIF, as_attribute(lo));
  request.add(RTA_METRICS, std::span(reinterpret_cast<const std::uint8_t*>(&metric), kMetricBytes));
  int err = TRY(exchange(request.header));
  if (err == 0 || err == EEXIST) return {};
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, address.data(), text, sizeof text);
  return fail_errno("add a local route", std::string(text) + "/" + std::to_string(length), err);
}

}  // namespace dirbox::netns
