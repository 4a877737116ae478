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
  int ipc_key = 0;           ///< of a shared memory segment, a semaphore and a message queue
  std::string terminal;      ///< /dev/pts/…, open here; empty where none could be made
  std::string shm_path;      ///< /dev/shm/…; empty where the host has no such directory
  std::string tmp_path;      ///< /tmp/…
  UniqueFd tmp_write_only;   ///< tmp_path, for writing only
  std::string directory;     ///< beside tmp_path; for what verify itself needs

  /// Of a POSIX message queue, and of a key in this process's session keyring, where the kernel has
  /// them: the control tells.
  std::string queue_name() const { return "/dirbox-verify-" + token; }
  /// A file that nobody makes, but a command that runs on the host against its rules.
  std::string run_path() const { return directory + "/ran"; }
  /// Of the sandbox under attack.
  std::string state_directory() const { return directory + "/state"; }
  /// True while `victim` lives.
  bool victim_lives() const;
  /// True when a connection to `abstract_socket` waits, which is accepted and closed.
  bool take_abstract() const;

 private:
  Canaries() = default;
  Result<void> make_files();
  Result<void> make_listeners();
  Result<void> make_ipc();
  void make_optional();
  int shm_ = -1, sem_ = -1, msg_ = -1;
  UniqueFd queue_, terminal_;
};

}  // namespace dirbox::verify
