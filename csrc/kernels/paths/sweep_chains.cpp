// Sweeps that update the worldlines of a chain of qubits together, by the rule of Swendsen and Wang
// (1987, doi:10.1103/PhysRevLett.58.86).
//
// Each qubit has its cuts, as in an update of one qubit. Segments of neighbours in the chain that
// obey their coupling join with a probability that grows with the time that they share, and
// segments that are joined flip together. The lanes have cuts and fields in common code, and then
// the chains of one lane after the other are built.
#include "kernels/paths/worldline_steps.hpp"
#include "kernels/tables.hpp"

namespace qpsbgd::QPSBGD_ISA {
namespace {

// The chain whose first qubit is `first`, in one lane.
class LaneOfChain {
 public:
  QPSBGD_INLINE LaneOfChain(const WorldlineTile& tile, std::size_t first, std::size_t lane)
      : tile_(tile),
        scratch_(tile.scratch),
        rows_(tile.capacity + kCutRows),
        first_(first),
        lane_(lane) {}

  QPSBGD_INLINE void update(const WorldlineFields& fields) {
    for (std::size_t q = 0; q < tile_.chain_length; ++q) make_segments(q);
    for (std::size_t q = 0; q + 1 < tile_.chain_length; ++q) join_segments(q, fields);
    draw_spins(fields.energy_factor);
    for (std::size_t q = 0; q < tile_.chain_length; ++q) store_worldline(q);
  }

 private:
  // Number of the lane's element of row r of an array (chain_length, rows, kLanes).
  QPSBGD_INLINE std::size_t at(std::size_t q, std::size_t r) const {
    return (q * rows_ + r) * kLanes + lane_;
  }
  QPSBGD_INLINE std::int32_t& num_cuts(std::size_t q) const {
    return scratch_.num_cuts[q * kLanes + lane_];
  }
  QPSBGD_INLINE std::size_t num_segments(std::size_t q) const {
    return num_cuts(q) == 0 ? 1 : static_cast<std::size_t>(num_cuts(q));
  }

  // Sets the distances of the cuts, each place once, the segments' spins, and the products of these
  // with the integrals of the field.
  QPSBGD_INLINE void make_segments(std::size_t q) {
    const std::size_t qubit = first_ + q;
    const std::int16_t* breaks = tile_.breaks + qubit * tile_.capacity * kLanes + lane_;
    const std::int32_t num_breaks = tile_.num_breaks[qubit * kLanes + lane_];
    std::int32_t* distances = scratch_.distances + q * rows_;
    std::int8_t* spins = scratch_.spins + q * rows_;
    float* energies = scratch_.energies + q * rows_;
    std::uint32_t* parents = scratch_.parents + q * rows_;
    std::int8_t spin = tile_.spins[qubit * kLanes + lane_] > 0.0f ? 1 : -1;
    const float whole = scratch_.integrals[at(q, scratch_.most_cuts[q])];
    float before = 0.0f;
    std::int32_t count = 0, broken = 0;
    for (std::int32_t k = 0; k < num_cuts(q); ++k) {
      const std::size_t cut = at(q, static_cast<std::size_t>(k));
      const std::int32_t distance = scratch_.cuts[cut] - kFirstPosition;
      if (count > 0 && distance == distances[count - 1]) continue;
      distances[count] = distance;
      spins[count] = spin;
      const float integral = scratch_.integrals[cut];
      energies[count] = integral - before;
      before = integral;
      if (broken < num_breaks &&
          breaks[static_cast<std::size_t>(broken) * kLanes] - kFirstPosition == distance) {
        spin = static_cast<std::int8_t>(-spin);
        ++broken;
      }
      ++count;
    }
    num_cuts(q) = count;
    if (count == 0) {
      spins[0] = spin;
      energies[0] = whole;
    } else {
      energies[0] += whole - before;
    }
    for (std::size_t m = 0; m < num_segments(q); ++m) {
      energies[m] *= spins[m];
      parents[m] = static_cast<std::uint32_t>(q * rows_ + m);
    }
  }

  QPSBGD_INLINE std::uint32_t root(std::uint32_t segment) const {
    std::uint32_t* parents = scratch_.parents;
    while (parents[segment] != segment) {
      parents[segment] = parents[parents[segment]];
      segment = parents[segment];
    }
    return segment;
  }

  // Joins segments of qubits q and q + 1.
  QPSBGD_INLINE void join_segments(std::size_t q, const WorldlineFields& fields) {
    const std::int32_t* distances[2] = {scratch_.distances + q * rows_,
                                        scratch_.distances + (q + 1) * rows_};
    const std::int32_t counts[2] = {num_cuts(q), num_cuts(q + 1)};
    const float* noise = scratch_.bond_noise + q * 2 * rows_ * kLanes + lane_;
    std::int32_t next[2] = {0, 0}, start = 0;
    for (; start < kNumSlices; noise += kLanes) {
      std::int32_t end = kNumSlices;
      std::size_t segments[2];
      for (std::size_t side = 0; side < 2; ++side) {
        const bool is_cut = next[side] < counts[side];
        if (is_cut && distances[side][next[side]] < end) end = distances[side][next[side]];
        segments[side] = (q + side) * rows_ + static_cast<std::size_t>(is_cut ? next[side] : 0);
      }
      const bool are_equal = scratch_.spins[segments[0]] == scratch_.spins[segments[1]];
      if (are_equal == fields.is_ferromagnetic &&
          *noise < fields.chain_factor * static_cast<float>(end - start)) {
        const std::uint32_t a = root(static_cast<std::uint32_t>(segments[0]));
        const std::uint32_t b = root(static_cast<std::uint32_t>(segments[1]));
        scratch_.parents[a > b ? a : b] = a > b ? b : a;
      }
      for (std::size_t side = 0; side < 2; ++side) {
        next[side] += next[side] < counts[side] && distances[side][next[side]] == end;
      }
      start = end;
    }
  }

  // Flips each cluster of joined segments with the probability of its energy. Its root has the
  // lowest number.
  QPSBGD_INLINE void draw_spins(float energy_factor) {
    for_each_segment([&](std::uint32_t segment) {
      const std::uint32_t cluster = root(segment);
      if (cluster != segment) scratch_.energies[cluster] += scratch_.energies[segment];
    });
    for_each_segment([&](std::uint32_t segment) {
      const std::uint32_t cluster = root(segment);
      const float noise = scratch_.segment_noise[cluster * kLanes + lane_];
      if (!(noise >= energy_factor * scratch_.energies[cluster])) {
        scratch_.spins[segment] = static_cast<std::int8_t>(-scratch_.spins[segment]);
      }
    });
  }
  template <class Visit>
  QPSBGD_INLINE void for_each_segment(const Visit& visit) const {
    for (std::size_t q = 0; q < tile_.chain_length; ++q) {
      for (std::size_t m = 0; m < num_segments(q); ++m) {
        visit(static_cast<std::uint32_t>(q * rows_ + m));
      }
    }
  }

  QPSBGD_INLINE void store_worldline(std::size_t q) const {
    const std::size_t qubit = first_ + q;
    const std::int8_t* spins = scratch_.spins + q * rows_;
    std::int16_t* breaks = tile_.breaks + qubit * tile_.capacity * kLanes + lane_;
    tile_.spins[qubit * kLanes + lane_] = spins[0];
    std::size_t number = 0;
    const auto count = static_cast<std::size_t>(num_cuts(q));
    for (std::size_t m = 0; m < count; ++m) {
      if (spins[m] == spins[m + 1 < count ? m + 1 : 0]) continue;
      breaks[number++ * kLanes] =
          static_cast<std::int16_t>(scratch_.distances[q * rows_ + m] + kFirstPosition);
    }
    for (std::size_t k = number; k < scratch_.most_cuts[q]; ++k) breaks[k * kLanes] = kLastPosition;
    tile_.num_breaks[qubit * kLanes + lane_] = static_cast<std::int32_t>(number);
    std::uint32_t& num_pairs = tile_.num_pairs[qubit];
    const auto pairs = static_cast<std::uint32_t>(number / 2);
    num_pairs = lane_ == 0 || pairs > num_pairs ? pairs : num_pairs;
  }

  const WorldlineTile& tile_;
  const WorldlineScratch& scratch_;
  const std::size_t rows_, first_, lane_;
};

// Draws the noise (count, kLanes) of the counters `first` and so on, up to a multiple of
// kDrawnCounters.
template <Acceptance kAcceptance>
QPSBGD_INLINE void draw_rows(const LaneKeys& keys, std::uint32_t first, std::size_t count,
                             float* out) {
  for (std::size_t k = 0; k < count; k += kDrawnCounters) {
    Lanes<float> noise[kDrawnCounters];
    draw_lane_noise<kAcceptance, kDrawnCounters>(keys, first + static_cast<std::uint32_t>(k),
                                                 noise);
    for (std::size_t r = 0; r < kDrawnCounters; ++r) store_lanes(out + (k + r) * kLanes, noise[r]);
  }
}

// Draws the noise that the lanes of qubit q of a chain may need.
QPSBGD_INLINE void draw_chain_noise(const WorldlineTile& tile, std::size_t q,
                                    const LaneKeys& keys) {
  const WorldlineScratch& scratch = tile.scratch;
  const std::size_t rows = tile.capacity + kCutRows;
  const std::size_t num_segments = scratch.most_cuts[q] == 0 ? 1 : scratch.most_cuts[q];
  draw_rows<Acceptance::kGibbs>(keys, kSegmentDraws, num_segments,
                                scratch.segment_noise + q * rows * kLanes);
  if (q + 1 == tile.chain_length) return;
  const std::size_t num_bonds = scratch.most_cuts[q] + scratch.most_cuts[q + 1] + 1;
  draw_rows<Acceptance::kMetropolis>(keys, kBondDraws, num_bonds,
                                     scratch.bond_noise + q * 2 * rows * kLanes);
}

// Returns false if the tile's capacity is too small.
QPSBGD_INLINE bool update_chain(const WorldlineTile& tile, std::size_t first,
                                const WorldlineFields& fields, const LaneKeys& sweep_keys) {
  const WorldlineScratch& scratch = tile.scratch;
  for (std::size_t q = 0; q < tile.chain_length; ++q) {
    Cuts cuts = cuts_of(tile, q);
    const LaneKeys keys = qubit_keys(sweep_keys, first + q);
    if (!make_cuts(tile, first + q, keys, fields.mean_gap, cuts)) return false;
    integrate_field(tile, first + q, cuts);
    store_lanes(scratch.num_cuts + q * kLanes, cuts.numbers);
    scratch.most_cuts[q] = static_cast<std::uint32_t>(cuts.largest);
  }
  for (std::size_t q = 0; q < tile.chain_length; ++q) {
    draw_chain_noise(tile, q, qubit_keys(sweep_keys, first + q));
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) LaneOfChain(tile, first, lane).update(fields);
  return true;
}

std::size_t update_chains(const WorldlineTile& tile, const std::uint32_t* order, std::size_t first,
                          std::size_t last, const WorldlineFields& fields, const StreamKey* keys) {
  const LaneKeys sweep_keys = load_keys(keys);
  for (std::size_t place = first; place < last; ++place) {
    if (!update_chain(tile, order[place] * tile.chain_length, fields, sweep_keys)) return place;
  }
  return kSweepDone;
}

}  // namespace

constinit const WorldlineKernels kChains = {.update = update_chains};

}  // namespace qpsbgd::QPSBGD_ISA
