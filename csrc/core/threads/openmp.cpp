#include "core/threads/openmp.hpp"

#if defined(__linux__)
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#endif

namespace qpsbgd {

#if defined(__linux__)
namespace {

// Returns whether this process was forked and has not called exec() since, or whether that is
// unknown. Such a process has none of its parent's threads, but its OpenMP library may wait for
// them for ever.
bool may_be_forked() {
  constexpr unsigned kForkedWithoutExec = 0x40;  // PF_FORKNOEXEC of the kernel
  char text[1024];
  std::FILE* file = std::fopen("/proc/self/stat", "r");
  if (file == nullptr) return true;
  const std::size_t size = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  text[size] = '\0';
  // The second field is the program's name in parentheses, and the ninth has the flags.
  const char* name_end = std::strrchr(text, ')');
  unsigned flags = 0;
  return name_end == nullptr ||
         std::sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1 ||
         (flags & kForkedWithoutExec) != 0;
}

// The last process that was found to be not forked.
std::atomic<pid_t> unforked{0};

}  // namespace

void rest_openmp_threads() {
  // Not kept from call to call: the library may be loaded later than this one.
  using Pause = int (*)(int);
  const auto pause = reinterpret_cast<Pause>(dlsym(RTLD_DEFAULT, "omp_pause_resource_all"));
  if (pause == nullptr) return;
  if (unforked != getpid()) {
    if (may_be_forked()) return;
    unforked = getpid();
  }
  constexpr int kSoft = 1;  // omp_pause_soft
  pause(kSoft);
}
#else
void rest_openmp_threads() {}
#endif

}  // namespace qpsbgd
