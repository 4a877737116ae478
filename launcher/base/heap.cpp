#include "launcher/base/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace dirbox {

void prepare_heap() {
  constexpr int kSize = 512 << 10;
  constexpr std::uintptr_t kPage = 4096;
  // One step of brk(2) instead of many, which free(3) does not take back.
  if (::mallopt(M_TOP_PAD, kSize) != 1 || ::mallopt(M_TRIM_THRESHOLD, 8 * kSize) != 1) return;
  // Below what malloc(3) maps by itself; volatile, since compilers leave out such a pair. It is the
  // first of what is free.
  void* volatile taken = std::malloc(100 << 10);
  const auto begin = reinterpret_cast<std::uintptr_t>(taken);
  std::free(taken);
  const auto end = reinterpret_cast<std::uintptr_t>(::sbrk(0));
  const std::uintptr_t first = (begin + kPage - 1) & ~(kPage - 1);
  if (begin == 0 || end <= first || end - first > 2 * kSize) return;
  const std::uintptr_t size = (end - first < kSize ? end - first : kSize) & ~(kPage - 1);
  ::madvise(reinterpret_cast<void*>(first), size, MADV_POPULATE_WRITE);
}

}  // namespace dirbox
