#include "launcher/supervise/supervisor.h"
#include "seccomp/cache.h"
#include "seccomp/compile.h"

namespace dirbox::supervise {

Result<void> prepare_filter(const plan::Plan& plan, const std::string& cache_directory,
                            sandbox::RunOptions& options) {
  seccomp::Filter filter;
  if (cache_directory.empty() || plan.foreign_cache) {
    filter = TRY(seccomp::compile_filter(plan.syscalls));
  } else {
    filter = TRY(seccomp::cached_filter(plan.syscalls, cache_directory)).filter;
  }
  options.filter = std::move(filter.program);
  options.filter_notifies = filter.notifies;
  return {};
}

}  // namespace dirbox::supervise
