#include "core/dispatch.hpp"

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
  // These also ask the operating system whether it saves the wide registers (xgetbv).
  if (__builtin_cpu_supports("x86-64-v3")) tables.push_back(&v3::kTable);
  if (__builtin_cpu_supports("x86-64-v4")) tables.push_back(&v4::kTable);
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
