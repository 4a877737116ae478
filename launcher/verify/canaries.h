#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/verify/listener.h"
#include "launcher/verify/servers.h"

/// Things outside that nothing inside may reach; all gone with the object.
namespace dirbox::verify {

class Canaries {
 public:
  static Result<Canaries> make();
  Canaries(Canaries&&) noexcept;
  Canaries& operator=(Canaries&&) = delete;
  ~Canaries();

  std::string token;             ///< in the name of each
  pid_t victim = -1;             ///< a process that waits to be killed
  pid_t decoy = -1;              ///< another one, which the control kills
  Listener loopback;             ///< on 127.0.0.1
  std::optional<Listener> host;  ///< on an address of the host that others can reach
  std::string private_name;      ///< of the host's own file of names, for `named`; "": none
  std::optional<Listener> named;
  Servers servers;
  UniqueFd abstract_socket;  ///< listens on the abstract name of `token`
  int ipc_key = 0;           ///< of a shared memory segment and a semaphore
  std::string shm_path;      ///< /dev/shm/…; empty where the host has no such directory
  std::string tmp_path;      ///< /tmp/…
  UniqueFd tmp_write_only;   ///< tmp_path, for writing only

  /// True while `victim` lives.
  bool victim_lives() const;
  /// True when a connection to `abstract_socket` waits, which is accepted and closed.
  bool take_abstract() const;

 private:
  Canaries() = default;
  Result<void> make_files();
  Result<void> make_listeners();
  Result<void> make_ipc();
  int shm_ = -1, sem_ = -1;
};

}  // namespace dirbox::verify
