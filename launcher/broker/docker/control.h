#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/broker/docker/spec.h"

/// What the supervisor and `dirbox __docker` say to each other, over one SOCK_SEQPACKET pair.
///
///   supervisor                               filter
///   start: spec (memfd), listener ────────►
///                                       ◄── ready | failed        once
///                                       ◄── refused | unserved    any time
///   end of file ──────────────────────────►
///                                       ◄── left                  then it exits
///
/// The filter reads hostile bytes, so its messages have one fixed form.
namespace dirbox::docker {

// The supervisor's side.

/// The listener is duplicated into the message: the caller closes its own.
Result<void> send_start(int control, const FilterSpec& spec, int listener);

struct Report {
  enum class Kind : std::uint8_t {
    ready,
    failed,    ///< `text`; it exits
    refused,   ///< `what`: "POST /containers/create"; `text`: why
    unserved,  ///< the same, where the engine is not there or does not answer as one
    left,      ///< `text`: the project's containers that run on with a writable mount; empty: none
    gone,      ///< end of file
  };
  Kind kind = Kind::gone;
  std::string what, text;
};
/// nullopt when a non-blocking `control` has nothing. A malformed message is an error: kill the
/// filter. Texts may hold any byte but NUL: escape_for_terminal before printing.
Result<std::optional<Report>> receive_report(int control);

// The filter's side.

struct Start {
  FilterSpec spec;
  UniqueFd listener;
};
/// Blocks.
Result<Start> receive_start(int control);
/// Cuts texts to what fits. EAGAIN when the supervisor does not read.
Result<void> send_report(int control, const Report& report);

}  // namespace dirbox::docker
