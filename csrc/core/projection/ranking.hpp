// Comparison of states by their objective in float64, computed from the data and not from
// increments.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/layers/gram_layer.hpp"
#include "core/layers/sample_layer.hpp"
#include "core/support/buffer.hpp"
#include "core/threads/stop.hpp"

namespace qpsbgd {

enum class Objective {
  kQuadratic,  // ||t^ - alpha X b||^2
  kSign,       // ||sign(X b + eps) - t||^2
};

// Ranks of states; the lower rank is better. Holds scratch space: each thread needs its own.
class Ranking {
 public:
  virtual ~Ranking() = default;
  // Writes ranks (rows) of the states (rows, n) of the layer's rows from first_row on. If `stop`
  // ends the call, the result is incomplete; `stop` may be null.
  virtual void rank(std::size_t first_row, std::size_t rows, const std::int8_t* states,
                    double* ranks, Stop* stop) = 0;
};

class SampleRanking final : public Ranking {
 public:
  SampleRanking(const SampleLayer& layer, Objective objective, double alpha, double eps);

  // Returns the objective.
  double energy(std::size_t row, const std::int8_t* state, Stop* stop);
  void rank(std::size_t first_row, std::size_t rows, const std::int8_t* states, double* ranks,
            Stop* stop) override;

 private:
  double agreement(std::size_t row, const std::int8_t* state, Stop* stop);
  void set_margins(const std::int8_t* state, Stop* stop);
  double target(std::size_t row, std::size_t i) const {
    return layer_.view().targets[i * layer_.num_neurons() + row];
  }
  double output(std::size_t i) const { return margins_[i] + eps_ >= 0.0 ? 1.0 : -1.0; }

  const SampleLayer& layer_;
  Objective objective_;
  double alpha_;
  double eps_;
  Buffer<double> margins_;  // (num_samples)
};

// Ranks of a layer given as products: the quadratic objective without its constant,
// alpha^2 b^T (G - diag(G)) b - 2 alpha b^T X^T t^. Sums of integral data are exact.
class GramRanking final : public Ranking {
 public:
  GramRanking(const GramLayer& layer, double alpha);

  void rank(std::size_t first_row, std::size_t rows, const std::int8_t* states, double* ranks,
            Stop* stop) override;

 private:
  void rank_lanes(std::size_t first_row, std::size_t rows, const std::int8_t* states,
                  double* ranks);

  const GramLayer& layer_;
  double alpha_;
  Buffer<double> states_;  // (n, kLanes)
  Buffer<double> zeros_;   // (n, kLanes)
};

}  // namespace qpsbgd
