// Few reads of sparse problems with small integer biases, one after the other.
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "core/annealing/chances.hpp"
#include "core/annealing/read_rows.hpp"

namespace qpsbgd {
namespace {

// Variables that are swept between two polls of Stop.
constexpr std::size_t kByteRun = 1 << 16;

// The problem in units.
struct ByteTerms {
  explicit ByteTerms(const Ising& problem)
      : edges(problem.offsets()[problem.num_variables()]), linear(problem.num_variables()) {
    const double unit = problem.unit();
    for (std::size_t e = 0; e < edges.size(); ++e) {
      edges[e] = {problem.neighbours()[e],
                  static_cast<std::int32_t>(2.0 * problem.couplings()[e] / unit)};
    }
    for (std::size_t i = 0; i < linear.size(); ++i) {
      linear[i] = static_cast<std::int8_t>(problem.linear()[i] / unit);
    }
  }

  std::vector<ByteEdge> edges;
  std::vector<std::int8_t> linear;
};

class ByteRows final : public ReadRows {
 public:
  ByteRows(const ByteKernels& kernels, const Ising& problem, const AnnealOptions& options,
           std::shared_ptr<const ByteTerms> terms)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        terms_(std::move(terms)),
        always_(options.acceptance == Acceptance::kMetropolis ? 0
                                                              : std::numeric_limits<int>::max()) {}

  bool start(std::int8_t* states, std::size_t rows, std::size_t first, const std::size_t*,
             Stop& stop) override {
    const std::size_t n = problem_.num_variables();
    states_ = states;
    first_ = first;
    energies_.resize(rows);
    if (fields_.size() != rows * n) {
      fields_ = Buffer<std::int8_t>(rows * n);
      spins_ = Buffer<std::int8_t>(rows * n);
    }
    std::copy_n(states, rows * n, spins_.data());
    for (std::size_t r = 0; r < rows; ++r) {
      if (stop.poll()) return false;
      energies_[r] = set_fields(&spins_[r * n], &fields_[r * n]);
    }
    return true;
  }

  bool refresh_fields(Stop&) override { return true; }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    set_chances(2.0 * beta * problem_.unit() / problem_.scale());
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < energies_.size(); ++r) {
      const ByteTile tile = {problem_.offsets(), terms_->edges.data(), &fields_[r * n],
                             &spins_[r * n]};
      const auto bit = static_cast<unsigned>((first_ + r) % kWordReads);
      for (std::size_t first = 0; first < n; first += kByteRun) {
        if (stop.poll()) return false;
        energies_[r] -= 2 * kernels_.anneal(tile, first, std::min(first + kByteRun, n), chances_,
                                            always_, keys[r], bit);
      }
    }
    return true;
  }

  void copy_state(std::size_t row, std::int8_t* out) const override {
    const std::size_t n = problem_.num_variables();
    std::copy_n(&spins_[row * n], n, out);
  }

  void energies(double* out) override {
    for (std::size_t r = 0; r < energies_.size(); ++r) {
      out[r] = problem_.unit() * static_cast<double>(energies_[r]);
    }
  }

  // The caller's states hold the kept ones.
  void keep(const bool* chosen) override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < energies_.size(); ++r) {
      if (chosen[r]) std::copy_n(&spins_[r * n], n, states_ + r * n);
    }
  }

 private:
  // Returns the energy in units.
  std::int64_t set_fields(const std::int8_t* spins, std::int8_t* fields) const {
    const std::size_t n = problem_.num_variables();
    std::int64_t twice_energy = 0;
    for (std::size_t i = 0; i < n; ++i) {
      int twice = 0;
      for (std::size_t e = problem_.offsets()[i]; e < problem_.offsets()[i + 1]; ++e) {
        twice += terms_->edges[e].twice * spins[terms_->edges[e].neighbour];
      }
      fields[i] = static_cast<std::int8_t>(terms_->linear[i] + twice / 2);
      twice_energy += spins[i] * (fields[i] + terms_->linear[i]);
    }
    return twice_energy / 2;
  }

  void set_chances(double step) {
    if (step == step_) return;
    step_ = step;
    constexpr int kMost = 1 << kMaxPlanes;
    const int reach = static_cast<int>(problem_.reach_in_units());
    for (int gain = -reach; gain <= reach; ++gain) {
      const std::uint32_t chance = acceptance_chance(options_.acceptance, step, gain);
      std::uint32_t reversed = 0;
      for (std::size_t digit = 0; digit < kChanceBits; ++digit) {
        reversed |= (chance >> digit & 1) << (kChanceBits - 1 - digit);
      }
      chances_[gain + kMost] = reversed;
    }
  }

  const ByteKernels& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const ByteTerms> terms_;
  const int always_;  // gains from here on need no draw
  double step_ = std::numeric_limits<double>::quiet_NaN();
  std::uint32_t chances_[std::size_t{2} << kMaxPlanes] = {};
  std::int8_t* states_ = nullptr;
  std::size_t first_ = 0;
  std::vector<std::int64_t> energies_;  // (rows), in units
  Buffer<std::int8_t> fields_, spins_;  // (rows, n)
};

}  // namespace

RowsMaker byte_rows(const KernelTable& kernels, const Ising& problem,
                    const AnnealOptions& options) {
  return [&, terms = std::make_shared<const ByteTerms>(problem)] {
    return std::make_unique<ByteRows>(kernels.bytes, problem, options, terms);
  };
}

}  // namespace qpsbgd
