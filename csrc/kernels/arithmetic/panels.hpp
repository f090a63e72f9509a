// The layout of packed matrices.
#pragma once

#include "kernels/simd/lanes.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// Columns of a panel of packed B; see GemmKernels.
constexpr std::size_t kPanelColumns = 2 * kWidth<float>;

}  // namespace
}  // namespace qpsbgd::QPSBGD_ISA
