// The tables of one instruction set, each exported by one source of the kernels.
#pragma once

#include "kernels/kernels.hpp"

namespace qpsbgd::QPSBGD_ISA {

extern const GemmKernels kGemm;
extern const ElementwiseKernels kElementwise;
extern const TypedKernels<ReductionKernels, float, double> kReductions;
extern const TypedKernels<EnergyKernels, float, double> kEnergies;
extern const TypedKernels<QuadraticKernels, float, double> kQuadratic;
extern const RowKernels kRows;
extern const RowKernels kEightRowKernels;  // of kRows, for at most kEightRows rows
extern const InterleavedKernels kInterleaved;
extern const TypedKernels<SparseKernels, std::int16_t, float, double> kSparse;
extern const BitKernels kBits;
extern const ByteKernels kBytes;
extern const WorldlineKernels kWorldlines;
extern const WorldlineKernels kChains;
extern const RotorKernels kRotors;
extern const SignKernels kSign;
extern const TypedKernels<SteepestKernels, float, double> kSteepest;
extern const TypedKernels<EnumerationKernels, std::int16_t, float, double> kEnumeration;
extern const AllTabuKernels kTabu;
extern const PackedKernels kPacked;
extern const KernelTable kTable;

}  // namespace qpsbgd::QPSBGD_ISA
