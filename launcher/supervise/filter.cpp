#include "launcher/supervise/supervisor.h"
#include "seccomp/compile.h"

namespace dirbox::supervise {

Result<void> prepare_filter(const plan::Plan& plan, const std::string&,
                            sandbox::RunOptions& options) {
  seccomp::Filter filter = TRY(seccomp::compile_filter(plan.syscalls));
  options.filter = std::move(filter.program);
  options.filter_notifies = filter.notifies;
  return {};
}

}  // namespace dirbox::supervise
