#include "core/paths/worldlines.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace qpsbgd {
namespace {

// Breaks and cuts of a qubit for which there is room at first.
constexpr std::size_t kFirstCapacity = 8;
// Steps of an update's inner loop between two polls of Stop: some milliseconds.
constexpr double kUpdateRun = 2e6;

float finite_float(double value) {
  return static_cast<float>(
      std::min(value, static_cast<double>(std::numeric_limits<float>::max())));
}

// Copies the first 2 num_pairs[i] rows of each qubit i.
void copy_breaks(const Buffer<std::int16_t>& from, std::size_t from_capacity,
                 Buffer<std::int16_t>& to, std::size_t to_capacity,
                 const Buffer<std::uint32_t>& num_pairs) {
  for (std::size_t i = 0; i < num_pairs.size(); ++i) {
    std::copy_n(from.data() + i * from_capacity * kLanes, 2 * std::size_t{num_pairs[i]} * kLanes,
                to.data() + i * to_capacity * kLanes);
  }
}

}  // namespace

Worldlines::Worldlines(const KernelTable& kernels, const Ising& problem, const PathChains& chains)
    : kernels_(kernels),
      problem_(problem),
      chains_(chains),
      spins_(problem.num_variables() * kLanes),
      num_breaks_(problem.num_variables() * kLanes),
      num_pairs_(problem.num_variables()),
      neighbours_(problem.num_variables() + 1) {
  std::fill_n(num_pairs_.data(), num_pairs_.size(), 0u);
  reserve(kFirstCapacity);
}

std::size_t Worldlines::num_units() const {
  return chains_.are_units ? problem_.num_variables() / chains_.length : problem_.num_variables();
}

void Worldlines::reserve(std::size_t capacity) {
  Buffer<std::int16_t> breaks(problem_.num_variables() * capacity * kLanes);
  copy_breaks(breaks_, capacity_, breaks, capacity, num_pairs_);
  breaks_ = std::move(breaks);
  capacity_ = capacity;
  const std::size_t length = chains_.are_units ? chains_.length : 1;
  cuts_ = Buffer<std::int16_t>(length * rows() * kLanes);
  integrals_ = Buffer<float>(length * rows() * kLanes);
  proposals_ = Buffer<std::int16_t>(rows() * kLanes);
  masks_ = Buffer<std::uint16_t>(2 * rows());
  if (!chains_.are_units) return;
  num_cuts_ = Buffer<std::int32_t>(length * kLanes);
  most_cuts_ = Buffer<std::uint32_t>(length);
  segment_noise_ = Buffer<float>(length * rows() * kLanes);
  bond_noise_ = Buffer<float>(length * 2 * rows() * kLanes);
  distances_ = Buffer<std::int32_t>(length * rows());
  segments_ = Buffer<std::int8_t>(length * rows());
  energies_ = Buffer<float>(length * rows());
  parents_ = Buffer<std::uint32_t>(length * rows());
}

void Worldlines::start(const PathView& reads, std::size_t count) {
  const std::size_t n = problem_.num_variables();
  std::fill_n(num_pairs_.data(), n, 0u);
  std::fill_n(num_breaks_.data(), n * kLanes, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      spins_[i * kLanes + lane] = reads.spins[(lane < count ? lane : 0) * n + i];
    }
  }
  if (reads.num_breaks == nullptr) return;
  std::size_t most = 0;
  for (std::size_t k = 0; k < count * n; ++k) {
    most = std::max(most, static_cast<std::size_t>(reads.num_breaks[k]));
  }
  if (most > capacity_) reserve(round_up(most, 2));
  std::fill_n(breaks_.data(), breaks_.size(), kLastPosition);
  const std::int32_t* next = reads.breaks;
  for (std::size_t lane = 0; lane < count; ++lane) {
    for (std::size_t i = 0; i < n; ++i) {
      const std::int32_t number = reads.num_breaks[lane * n + i];
      num_breaks_[i * kLanes + lane] = number;
      num_pairs_[i] = std::max(num_pairs_[i], static_cast<std::uint32_t>(number / 2));
      for (std::int32_t k = 0; k < number; ++k) {
        breaks_[(i * capacity_ + static_cast<std::size_t>(k)) * kLanes + lane] =
            static_cast<std::int16_t>(*next++ + kFirstPosition);
      }
    }
  }
}

bool Worldlines::sweep(const PathFields& fields, const std::uint32_t* order, const StreamKey* keys,
                       Stop& stop) {
  const double slice = fields.problem / kNumSlices;
  const WorldlineFields scaled{
      .energy_factor = finite_float(2.0 * slice / problem_.scale()),
      .mean_gap = fields.transverse > 0.0 ? finite_float(kNumSlices / fields.transverse)
                                          : std::numeric_limits<float>::infinity(),
      .chain_factor = finite_float(2.0 * std::fabs(chains_.coupling) * slice),
      .is_ferromagnetic = chains_.coupling < 0.0,
  };
  const auto update = chains_.are_units ? kernels_.chains.update : kernels_.worldlines.update;
  const double breaks = 1.0 + fields.transverse;
  const double steps = (30.0 + problem_.degree()) * breaks * breaks *
                       static_cast<double>(chains_.are_units ? chains_.length : 1);
  const auto run = static_cast<std::size_t>(std::clamp(kUpdateRun / steps, 1.0, 1e6));
  const std::size_t count = num_units();
  for (std::size_t first = 0; first < count;) {
    if (stop.poll()) return false;
    const std::size_t last = std::min(count, first + run);
    const std::size_t place = update(tile(), order, first, last, scaled, keys);
    if (place == kSweepDone) {
      first = last;
    } else {
      first = place;
      reserve(2 * capacity_);
    }
  }
  return true;
}

void Worldlines::spins(std::size_t read, std::int8_t* out) const {
  for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
    out[i] = spins_[i * kLanes + read] > 0.0f ? 1 : -1;
  }
}

void Worldlines::breaks(std::size_t read, std::int32_t* numbers,
                        std::vector<std::int32_t>& places) const {
  for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
    numbers[i] = num_breaks_[i * kLanes + read];
    for (std::int32_t k = 0; k < numbers[i]; ++k) {
      const std::size_t row = i * capacity_ + static_cast<std::size_t>(k);
      places.push_back(breaks_[row * kLanes + read] - kFirstPosition);
    }
  }
}

WorldlineTile Worldlines::tile() {
  const bool is_sparse = problem_.form() == Ising::Form::kSparse;
  return {
      .offsets = is_sparse ? problem_.offsets() : nullptr,
      .neighbours = is_sparse ? problem_.neighbours() : nullptr,
      .couplings = problem_.couplings(),
      .ld = problem_.ld(),
      .linear = problem_.linear(),
      .spins = spins_.data(),
      .breaks = breaks_.data(),
      .num_breaks = num_breaks_.data(),
      .num_pairs = num_pairs_.data(),
      .capacity = capacity_,
      .num_variables = problem_.num_variables(),
      .chain_length = chains_.are_units ? chains_.length : 1,
      .scratch =
          {
              .cuts = cuts_.data(),
              .integrals = integrals_.data(),
              .proposals = proposals_.data(),
              .masks = masks_.data(),
              .neighbours = neighbours_.data(),
              .num_cuts = num_cuts_.data(),
              .most_cuts = most_cuts_.data(),
              .segment_noise = segment_noise_.data(),
              .bond_noise = bond_noise_.data(),
              .distances = distances_.data(),
              .spins = segments_.data(),
              .energies = energies_.data(),
              .parents = parents_.data(),
          },
  };
}

}  // namespace qpsbgd
