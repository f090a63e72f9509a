#include "core/support/dispatch.hpp"

#include <cstdlib>
#include <stdexcept>

namespace qpsbgd {

namespace baseline {
extern const KernelTable kTable;
}
#if defined(QPSBGD_WITH_X86_LEVELS)
namespace v3 {
extern const KernelTable kTable;
}
namespace v4 {
extern const KernelTable kTable;
}
#endif

namespace {

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables = {&baseline::kTable};
#if defined(QPSBGD_WITH_X86_LEVELS)
  // Tests features, because Clang knows the names of the levels only from version 18 on. The
  // features of a level that are not tested (LZCNT, MOVBE, F16C) came to processors with or before
  // these. The compiler's run time also tests whether the operating system saves the wide registers
  // (xgetbv).
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_v3) tables.push_back(&v3::kTable);
  if (has_v4) tables.push_back(&v4::kTable);
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
