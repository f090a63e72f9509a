// Compiled once per instruction set with QPSBGD_ISA set to its name; exports one symbol.
#include "dense.hpp"
#include "descent.hpp"
#include "exhaustive.hpp"
#include "exponential.hpp"
#include "gemm.hpp"
#include "interleaved.hpp"
#include "matrix.hpp"
#include "quadratic.hpp"
#include "sign.hpp"
#include "sparse.hpp"
#include "table.hpp"
#include "tabu.hpp"

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
    .sparse_float = kSparse<float>,
    .sparse_int16 = kSparse<std::int16_t>,
    .sparse_int8 = kSparse<std::int8_t>,
    .steepest_descent = steepest_descent,
    .lowest_double = lowest_energy<double>,
    .lowest_float = lowest_energy<float>,
    .lowest_int16 = lowest_energy<std::int16_t>,
    .narrow = narrow,
    .tabu_pick_int16 = tabu_pick<std::int16_t>,
    .tabu_move_int16 = tabu_move<std::int16_t>,
    .tabu_flip_int16 = tabu_flip<std::int16_t>,
    .tabu_largest_int16 = tabu_largest,
    .tabu_pick_float = tabu_pick<float>,
    .tabu_move_float = tabu_move<float>,
    .tabu_flip_float = tabu_flip<float>,
    .tabu_pick_sparse = tabu_pick_sparse,
    .tabu_flip_sparse = tabu_flip_sparse,
    .sign_descent = sign_descent,
    .sign_anneal = sign_anneal,
    .sign_anneal_lanes = sign_anneal_lanes,
    .multiply_adds = multiply_adds,
    .exponential = exponential_values,
};

}  // namespace qpsbgd::QPSBGD_ISA
