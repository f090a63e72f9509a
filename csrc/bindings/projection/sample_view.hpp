// A layer's samples as the bindings receive them.
#pragma once

#include <optional>
#include <stdexcept>

#include "bindings/module.hpp"
#include "core/layers/sample_layer.hpp"

namespace qpsbgd::bindings {

inline SampleView view_of(const Array<float>& inputs, const Array<float>& targets) {
  if (inputs.ndim() != 2 || targets.ndim() != 2 || inputs.shape(0) != targets.shape(0) ||
      inputs.size() == 0 || targets.size() == 0) {
    throw std::invalid_argument(
        "inputs and targets must have shapes (N, n) and (N, m) with the same N, and no zero size");
  }
  return {.inputs = inputs.data(),
          .targets = targets.data(),
          .num_samples = static_cast<std::size_t>(inputs.shape(0)),
          .num_inputs = static_cast<std::size_t>(inputs.shape(1)),
          .num_neurons = static_cast<std::size_t>(targets.shape(1))};
}

using Steps = std::optional<Array<double>>;

// Returns the view of a layer whose rows may have steps of their own.
inline SampleView view_of(const Array<float>& inputs, const Array<float>& targets,
                          const Steps& steps) {
  SampleView view = view_of(inputs, targets);
  if (steps && static_cast<std::size_t>(steps->size()) != view.num_neurons) {
    throw std::invalid_argument("steps must have shape (m,)");
  }
  view.steps = steps ? steps->data() : nullptr;
  return view;
}

}  // namespace qpsbgd::bindings
