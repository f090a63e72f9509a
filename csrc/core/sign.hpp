// The sign objective: max_b <sign(X b + eps), t> for every neuron, without auxiliary variables.
#pragma once

#include <memory>

#include "core/layer.hpp"
#include "core/tile_solver.hpp"

namespace qpsbgd {

// eps: PAPER 0.01, in the caller's units of X.
std::unique_ptr<TileSolver> make_sign_solver(const Layer& layer, double eps,
                                             const Annealing& annealing);

}  // namespace qpsbgd
