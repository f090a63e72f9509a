#include <algorithm>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/annealing/read_rows.hpp"
#include "core/support/streams.hpp"

namespace qpsbgd {
namespace {

// Variables that are swept between two polls of Stop.
constexpr std::size_t kSparseRun = 1 << 13;

// Lists of neighbours in the layout of SparseTile.
template <class Value>
struct SparseEdges {
  explicit SparseEdges(const Ising& problem)
      : unit(sizeof(Value) < sizeof(float) ? static_cast<float>(problem.unit()) : 1.0f),
        offsets(problem.num_variables() + 1) {
    const std::size_t n = problem.num_variables();
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t count = problem.offsets()[i + 1] - problem.offsets()[i];
      offsets[i + 1] = offsets[i] + round_up(count, kEdgeGroup);
    }
    edges = Buffer<SparseEdge<Value>>(offsets[n]);
    const auto twice = [this, &problem](std::size_t e) {
      if constexpr (std::is_same_v<Value, double>) {
        return 2.0 / unit * problem.scale() * problem.sparse_couplings64()[e];
      } else {
        return static_cast<Value>(2.0f / unit * problem.couplings()[e]);
      }
    };
    for (std::size_t i = 0; i < n; ++i) {
      SparseEdge<Value>* edge = edges.data() + offsets[i];
      for (std::size_t e = problem.offsets()[i]; e < problem.offsets()[i + 1]; ++e, ++edge) {
        edge->field = static_cast<std::uint32_t>(problem.neighbours()[e] * kLanes);
        std::fill(std::begin(edge->twice), std::end(edge->twice), twice(e));
      }
      std::fill(edge, edges.data() + offsets[i + 1],
                SparseEdge<Value>{static_cast<std::uint32_t>(n * kLanes), {}});
    }
  }

  float unit;
  std::vector<std::size_t> offsets;
  Buffer<SparseEdge<Value>> edges;
};

// Fields and couplings are floats, doubles, or int16 in units of the problem.
template <class Value>
class SparseRows final : public ReadRows {
 public:
  using Linear = typename SparseTile<Value>::Linear;
  static constexpr bool kOwnLinear = std::is_same_v<Value, double>;

  SparseRows(const SparseKernels<Value>& kernels, const Ising& problem,
             const AnnealOptions& options, std::shared_ptr<const SparseEdges<Value>> edges)
      : kernels_(kernels),
        problem_(problem),
        options_(options),
        edges_(std::move(edges)),
        linear_(kOwnLinear || problem.num_problems() > 1 ? problem.num_variables() * kLanes : 0),
        fields_((problem.num_variables() + 1) * kLanes),
        spins_(problem.num_variables() + 1),
        kept_(problem.num_variables()) {}

  // A lane without a read repeats the start of the last read.
  bool start(std::int8_t* states, std::size_t rows, std::size_t, const std::size_t* problems,
             Stop& stop) override {
    states_ = states;
    rows_ = rows;
    const std::size_t n = problem_.num_variables();
    for (std::size_t lane = 0; linear_.size() > 0 && lane < kLanes; ++lane) {
      const std::size_t problem = problems[std::min(lane, rows - 1)];
      for (std::size_t i = 0; i < n; ++i) {
        if constexpr (kOwnLinear) {
          linear_[i * kLanes + lane] = problem_.scale() * problem_.linear64(problem)[i];
        } else {
          linear_[i * kLanes + lane] = problem_.linear(problem)[i];
        }
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      unsigned spins = 0;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        spins |= unsigned{states[std::min(lane, rows - 1) * n + i] > 0} << lane;
      }
      spins_[i] = kept_[i] = static_cast<std::uint16_t>(spins);
    }
    spins_[n] = 0;
    std::fill_n(&fields_[n * kLanes], kLanes, Value{});
    return refresh_fields(stop);
  }

  bool refresh_fields(Stop& stop) override {
    return in_runs(stop, [&](std::size_t first, std::size_t last) {
      kernels_.set_fields(make_tile(), first, last);
    });
  }

  bool sweep(double beta, const StreamKey* keys, Stop& stop) override {
    const float threshold = threshold_of(problem_, beta);
    StreamKey order[kLanes];
    std::transform(keys, keys + kLanes, order, order_key);
    return in_runs(stop, [&](std::size_t first, std::size_t last) {
      if (options_.random_order) {
        kernels_.anneal_random(make_tile(), first, last, options_.acceptance, threshold, keys,
                               order);
      } else {
        kernels_.anneal(make_tile(), first, last, options_.acceptance, threshold, keys);
      }
    });
  }

  bool sweep_each(const double* betas, const StreamKey* keys, Stop& stop) override {
    const LaneThresholds thresholds(problem_, betas, rows_);
    return in_runs(stop, [&](std::size_t first, std::size_t last) {
      kernels_.anneal_each(make_tile(), first, last, options_.acceptance, thresholds.values, keys);
    });
  }

  void copy_state(std::size_t row, std::int8_t* out) const override {
    for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
      out[i] = spins_[i] >> row & 1 ? 1 : -1;
    }
  }

  std::uint16_t* spin_bits() override { return spins_.data(); }

  // Writes the energies of all lanes.
  void energies(double* out) override { kernels_.energies(make_tile(), out); }

  void keep(const bool* chosen) override {
    unsigned mask = 0;
    for (std::size_t r = 0; r < rows_; ++r) mask |= unsigned{chosen[r]} << r;
    for (std::size_t i = 0; i < problem_.num_variables(); ++i) {
      kept_[i] = static_cast<std::uint16_t>((spins_[i] & mask) | (kept_[i] & ~mask));
    }
  }

  void finish() override {
    const std::size_t n = problem_.num_variables();
    for (std::size_t r = 0; r < rows_; ++r) {
      for (std::size_t i = 0; i < n; ++i) states_[r * n + i] = kept_[i] >> r & 1 ? 1 : -1;
    }
  }

 private:
  template <class Body>
  bool in_runs(Stop& stop, const Body& body) {
    const std::size_t n = problem_.num_variables();
    for (std::size_t first = 0; first < n; first += kSparseRun) {
      if (stop.poll()) return false;
      body(first, std::min(first + kSparseRun, n));
    }
    return true;
  }

  const Linear* linear() const {
    if constexpr (kOwnLinear) {
      return linear_.data();
    } else {
      return linear_.size() > 0 ? linear_.data() : problem_.linear();
    }
  }

  SparseTile<Value> make_tile() const {
    return {.offsets = edges_->offsets.data(),
            .edges = edges_->edges.data(),
            .linear = linear(),
            .has_linear_in_lanes = linear_.size() > 0,
            .fields = const_cast<Value*>(fields_.data()),
            .spins = const_cast<std::uint16_t*>(spins_.data()),
            .num_variables = problem_.num_variables(),
            .unit = edges_->unit,
            .reach = static_cast<float>(problem_.reach_in_units())};
  }

  const SparseKernels<Value>& kernels_;
  const Ising& problem_;
  const AnnealOptions& options_;
  const std::shared_ptr<const SparseEdges<Value>> edges_;
  std::int8_t* states_ = nullptr;
  std::size_t rows_ = 0;
  Buffer<Linear> linear_;        // (n, kLanes): float64, or where lanes differ
  Buffer<Value> fields_;         // (n + 1, kLanes)
  Buffer<std::uint16_t> spins_;  // (n + 1)
  Buffer<std::uint16_t> kept_;   // (n)
};

template <class Value>
RowsMaker rows_of(const SparseKernels<Value>& kernels, const Ising& problem,
                  const AnnealOptions& options) {
  return [&, edges = std::make_shared<const SparseEdges<Value>>(problem)] {
    return std::make_unique<SparseRows<Value>>(kernels, problem, options, edges);
  };
}

}  // namespace

RowsMaker sparse_rows(const KernelTable& kernels, const Ising& problem,
                      const AnnealOptions& options, Precision precision) {
  switch (precision) {
    case Precision::kInt16:
      return rows_of(kernels.sparse.of<std::int16_t>(), problem, options);
    case Precision::kFloat64:
      return rows_of(kernels.sparse.of<double>(), problem, options);
    default:
      return rows_of(kernels.sparse.of<float>(), problem, options);
  }
}

}  // namespace qpsbgd
