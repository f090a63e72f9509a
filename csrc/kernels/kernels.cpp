// Compiled once per instruction set with QPSBGD_ISA set to its name; exports one symbol.
#include "kernels.hpp"
#include "energies.hpp"
#include "enumerate.hpp"
#include "gemm.hpp"
#include "random.hpp"
#include "steepest_flip.hpp"
#include "sweep_float64.hpp"
#include "sweep_problems.hpp"
#include "sweep_rows.hpp"
#include "sweep_sign.hpp"
#include "sweep_sparse.hpp"
#include "sweep_variables.hpp"
#include "tabu_moves.hpp"

#define QPSBGD_STRING_(x) #x
#define QPSBGD_STRING(x) QPSBGD_STRING_(x)

namespace qpsbgd::QPSBGD_ISA {

extern const KernelTable kTable;
const KernelTable kTable = {
    .isa = QPSBGD_STRING(QPSBGD_ISA),
    .panel_columns = kPanelColumns,
    .gemm = gemm,
    .margins64 = margins64,
    .to_spins = to_spins,
    .from_spins = from_spins,
    .step_along = step_along,
    .largest_magnitude = largest_magnitude,
    .quadratic_fields = quadratic_fields,
    .quadratic_descent = quadratic_descent,
    .quadratic_anneal = quadratic_anneal,
    .dense_anneal_float = dense_anneal<BlockFlips, QuadraticTile>,
    .dense_anneal_int16 = dense_anneal<SignedFlips, NarrowTile>,
    .quadratic_anneal_random = quadratic_anneal_random,
    .wide_fields = wide_fields,
    .wide_anneal = wide_anneal,
    .wide_anneal_random = wide_anneal_random,
    .wide_energy = wide_energy,
    .interleaved = {.pack = interleave,
                    .fields = interleaved_fields,
                    .anneal = interleaved_anneal,
                    .energies = interleaved_energies,
                    .keep = interleaved_keep},
    .matrix_double = kMatrix<double>,
    .matrix_float = kMatrix<float>,
    .factor_energies = factor_energies,
    .factor_fields = factor_fields,
    .energy = energy,
    .sparse_double = kSparse<double>,
    .sparse_float = kSparse<float>,
    .sparse_int16 = kSparse<std::int16_t>,
    .sparse_int8 = kSparse<std::int8_t>,
    .steepest_descent_float = steepest_descent<float>,
    .steepest_descent_double = steepest_descent<double>,
    .lowest_double = lowest_energy<double>,
    .lowest_float = lowest_energy<float>,
    .lowest_int16 = lowest_energy<std::int16_t>,
    .narrow = narrow,
    .tabu_int16 = kTabu<std::int16_t>,
    .tabu_float = kTabu<float>,
    .tabu_double = kTabu<double>,
    .tabu_largest_int16 = tabu_largest,
    .sparse_tabu_float = kSparseTabu<float>,
    .sparse_tabu_double = kSparseTabu<double>,
    .sign_descent = sign_descent,
    .sign_anneal = sign_anneal,
    .sign_anneal_lanes = sign_anneal_lanes,
    .multiply_adds = multiply_adds,
    .exponential = exponential_values,
};

}  // namespace qpsbgd::QPSBGD_ISA
