#include "core/support/dispatch.hpp"

#if defined(QPSBGD_WITH_V3) || defined(QPSBGD_WITH_V4)
#include <cpuid.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <stdexcept>

namespace qpsbgd {

namespace baseline {
extern const KernelTable kTable;
}
#if defined(QPSBGD_WITH_V3)
namespace v3 {
extern const KernelTable kTable;
}
#endif
#if defined(QPSBGD_WITH_V4)
namespace v4 {
extern const KernelTable kTable;
}
#endif

namespace {

#if defined(QPSBGD_WITH_V3) || defined(QPSBGD_WITH_V4)
// Returns the register states that the operating system saves (XCR0), or 0 without XGETBV.
std::uint32_t saved_registers() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Not __builtin_cpu_supports: it needs data of the compiler's run time, which Zig's leaves at zero,
// and the wheel would then use baseline code. The features of a level that are not tested (LZCNT,
// MOVBE, F16C) came to processors with or before those that are.
bool has_v3() {
  constexpr std::uint32_t kYmmState = 0x6;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if ((saved_registers() & kYmmState) != kYmmState) return false;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA)) return false;
  constexpr std::uint32_t kFeatures = bit_AVX2 | bit_BMI | bit_BMI2;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kFeatures) == kFeatures;
}
#endif

#if defined(QPSBGD_WITH_V4)
bool has_v4() {
  constexpr std::uint32_t kZmmState = 0xe6;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!has_v3() || (saved_registers() & kZmmState) != kZmmState) return false;
  constexpr std::uint32_t kFeatures =
      bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kFeatures) == kFeatures;
}
#endif

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables = {&baseline::kTable};
#if defined(QPSBGD_WITH_V3)
  if (has_v3()) tables.push_back(&v3::kTable);
#endif
#if defined(QPSBGD_WITH_V4)
  if (has_v4()) tables.push_back(&v4::kTable);
#endif
  return tables;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : available_tables()) names.emplace_back(table->isa);
  return names;
}

const KernelTable& kernels() {
  static const std::vector<const KernelTable*> tables = available_tables();
  const char* wanted = std::getenv("QPSBGD_ISA");
  if (wanted == nullptr || *wanted == '\0') return *tables.back();
  std::string names;
  for (const KernelTable* table : tables) {
    if (std::string(wanted) == table->isa) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument("QPSBGD_ISA is '" + std::string(wanted) +
                              "', but this build on this processor has: " + names);
}

}  // namespace qpsbgd
