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
  const auto before = reinterpret_cast<std::uintptr_t>(::sbrk(0));
  std::free(std::malloc(100 << 10));  // below what malloc(3) maps by itself
  const auto after = reinterpret_cast<std::uintptr_t>(::sbrk(0));
  const std::uintptr_t first = (before + kPage - 1) & ~(kPage - 1);
  if (after <= first || after - first > 2 * kSize) return;
  const std::uintptr_t size = (after - first < kSize ? after - first : kSize) & ~(kPage - 1);
  ::madvise(reinterpret_cast<void*>(first), size, MADV_POPULATE_WRITE);
}

}  // namespace dirbox
