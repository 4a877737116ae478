#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Peers outside that answer, in a process of their own: what only a filter stands before.
namespace dirbox::verify {

/// Theory of operation: an attempt that must be stopped half-way, by the proxy or by the filter of
/// docker's API, proves something only where it would arrive otherwise. So verify lets the sandbox
/// under test dial servers of its own: one on 127.0.0.1 that answers a TLS hello, an HTTP request
/// or any other bytes with the token, and one that answers as a container engine without
/// containers. Neither needs the internet, and neither does anything but count.
class Servers {
 public:
  /// `path`: of the engine's socket, which is made. `token`: what the first server answers.
  static Result<Servers> make(const std::string& path, const std::string& token);
  Servers() = default;
  Servers(Servers&& other) noexcept;
  Servers& operator=(Servers&& other) noexcept;
  ~Servers();

  std::uint16_t port() const { return port_; }
  const std::string& engine() const { return engine_path_; }
  unsigned answered() const;  ///< clients of the first server that sent something
  unsigned asked() const;     ///< requests that the engine got
  unsigned made() const;      ///< those among them that make or change something

 private:
  struct Counts;
  [[noreturn]] void serve(const std::string& token, pid_t parent);
  void answer(const std::string& token);
  void answer_engine();
  void end();

  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
  std::string engine_path_;
  UniqueFd tcp_, engine_;
  Counts* counts_ = nullptr;  ///< shared with the process
};

}  // namespace dirbox::verify
