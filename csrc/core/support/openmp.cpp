#include "core/support/openmp.hpp"

#if __has_include(<dlfcn.h>)
#include <dlfcn.h>
#endif

namespace qpsbgd {

void rest_openmp_threads() {
#if __has_include(<dlfcn.h>)
  // Not cached: the library may be loaded later than this one.
  using Pause = int (*)(int);
  const auto pause = reinterpret_cast<Pause>(dlsym(RTLD_DEFAULT, "omp_pause_resource_all"));
  constexpr int kSoft = 1;  // omp_pause_soft
  if (pause != nullptr) pause(kSoft);
#endif
}

}  // namespace qpsbgd
