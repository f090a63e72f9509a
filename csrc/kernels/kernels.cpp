// Joins the tables of one instruction set.
#include "kernels/kernels.hpp"
#include "kernels/tables.hpp"

#define QPSBGD_STRING_(x) #x
#define QPSBGD_STRING(x) QPSBGD_STRING_(x)

namespace qpsbgd::QPSBGD_ISA {

constinit const KernelTable kTable = {
    .isa = QPSBGD_STRING(QPSBGD_ISA),
    .gemm = kGemm,
    .elementwise = kElementwise,
    .reductions = kReductions,
    .energies = kEnergies,
    .quadratic = kQuadratic,
    .rows = kRows,
    .interleaved = kInterleaved,
    .sparse = kSparse,
    .bits = kBits,
    .bytes = kBytes,
    .worldlines = kWorldlines,
    .chains = kChains,
    .rotors = kRotors,
    .sign = kSign,
    .steepest = kSteepest,
    .enumeration = kEnumeration,
    .tabu = kTabu,
    .packed = kPacked,
};

}  // namespace qpsbgd::QPSBGD_ISA
