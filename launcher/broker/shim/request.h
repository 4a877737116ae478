#pragma once
#include <linux/fcntl.h>
#include <linux/memfd.h>

#include "launcher/broker/shim/sys.h"
#include "launcher/broker/wire.h"

/// What the shim says: its request to the broker, and its complaints.
namespace dirbox::broker::sys {

// Constants whose headers clash with those above.
inline constexpr int kAfUnix = 1, kSeqpacket = 5, kCloexec = 02000000, kSolSocket = 1,
                     kScmRights = 1;
inline constexpr int kMsgNoSignal = 0x4000, kMsgCmsgCloexec = 0x40000000;
inline constexpr int kAddSeals = 1033, kSealAll = 0xf;

inline constexpr int kStatusFailed = 125;

/// wire::kTagBytes of tag, then the path; an image is made by changing it in the file.
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): its bytes are constants
extern "C" char dirbox_shim_slot[wire::kTagBytes + wire::kSocketPathBytes];

template <class T>
void fill_zero(T& value) {
  auto* bytes = reinterpret_cast<volatile char*>(&value);
  for (size_t i = 0; i < sizeof value; ++i) bytes[i] = 0;
}

inline void copy(void* to, const void* from, size_t size) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (size_t i = 0; i < size; ++i) out[i] = in[i];
}

inline const char* socket_path() {
  const char* path = dirbox_shim_slot;
  __asm__("" : "+r"(path));
  return path + wire::kTagBytes;
}

inline void put(const char* text) { write(2, text, length(text)); }

inline void put_number(long value) {
  char digits[24];
  size_t n = sizeof digits;
  digits[--n] = '\0';
  do {
    digits[--n] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0 && n > 0);
  put(digits + n);
}

[[noreturn]] inline void die(const char* doing, long negative_errno) {
  put("dirbox: ");
  put(doing);
  put(": ");
  put(socket_path());
  put(": errno ");
  put_number(-negative_errno);
  put("\nhint: the command runs on the host, and the dirbox that runs this sandbox does not "
      "answer\n");
  exit(kStatusFailed);
}

/// Collects the body of EXEC, in memory while it fits one datagram and in a memfd beyond.
class Body {
 public:
  void add(const void* data, size_t size) {
    if (used_ + size > sizeof bytes_) flush();
    if (size > sizeof bytes_) {
      spill(data, size);
    } else {
      copy(bytes_ + used_, data, size);
      used_ += size;
    }
    total_ += size;
  }
  void add(const char* text) { add(text, length(text) + 1); }

  /// Sends the request; `fds` has room for a fifth descriptor.
  void send(int socket, uint32_t flags, int (&fds)[5]) {
    size_t count = 4;
    if (memfd_ >= 0) {
      flush();
      fcntl(memfd_, kAddSeals, kSealAll);
      fds[count++] = memfd_;
      flags |= wire::kBodyInMemfd;
    }
    wire::Header header{wire::kMagic, wire::kVersion, wire::Type::exec, flags,
                        static_cast<uint32_t>(total_)};
    IoVec iov[] = {{&header, sizeof header}, {bytes_, used_}};
    alignas(CmsgHdr) char control[sizeof(CmsgHdr) + sizeof fds];
    CmsgHdr rights{sizeof(CmsgHdr) + count * sizeof(int), kSolSocket, kScmRights};
    copy(control, &rights, sizeof rights);
    copy(control + sizeof rights, fds, count * sizeof(int));
    // The kernel wants the space of the last message padded to a word.
    MsgHdr message{nullptr, 0, iov, 2, control, (rights.size + 7) & ~size_t{7}, 0};
    long sent = call(__NR_sendmsg, socket, address(&message), kMsgNoSignal);
    // A broker that refused before it read anything has closed its end; its answer can be received.
    if (sent < 0 && sent != -kEpipe && sent != -kEconnreset) {
      die("send a request to the broker", sent);
    }
    if (memfd_ >= 0) close(memfd_);
  }

 private:
  void flush() {
    spill(bytes_, used_);
    used_ = 0;
  }
  void spill(const void* data, size_t size) {
    if (memfd_ < 0) {
      memfd_ = static_cast<int>(
          call(__NR_memfd_create, address("dirbox-request"), MFD_CLOEXEC | MFD_ALLOW_SEALING));
      if (memfd_ < 0) die("make a memfd for a large request", memfd_);
    }
    const auto* at = static_cast<const char*>(data);
    while (size > 0) {
      long n = write(memfd_, at, size);
      if (n < 0) die("write a large request", n);
      at += n;
      size -= static_cast<size_t>(n);
    }
  }

  char bytes_[wire::kMaxDatagram - sizeof(wire::Header)];
  size_t used_ = 0;
  size_t total_ = 0;
  int memfd_ = -1;
};

}  // namespace dirbox::broker::sys
