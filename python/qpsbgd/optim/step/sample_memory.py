"""Samples of past steps, which join the samples of small batches."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

#: A step of fewer than ``memory / SMALL_SHARE`` samples is filled up to ``memory`` samples.
SMALL_SHARE = 4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PastSamples:
    """Samples of one layer's last steps, oldest first.

    Attributes:
        inputs: X ``(K, n)`` of all steps.
        targets: T ``(K, m)`` of all steps.
        sizes: number of samples of each step; their sum is K.

    Example:
        >>> import numpy as np
        >>> from qpsbgd.optim.step.sample_memory import PastSamples
        >>> past = None
        >>> for step in range(5):
        ...     X, T = np.full((2, 3), step, np.float32), np.ones((2, 1), np.float32)
        ...     past = PastSamples.joined(past, X, T, memory=6)
        >>> past.inputs[:, 0].tolist(), past.sizes
        ([2.0, 2.0, 3.0, 3.0, 4.0, 4.0], [2, 2, 2])
    """

    inputs: Floats
    targets: Floats
    sizes: list[int] = field(default_factory=list)

    @classmethod
    def joined(
        cls, past: "PastSamples | None", inputs: Floats, targets: Floats, memory: int
    ) -> "PastSamples":
        """Return the samples of a step behind those of as many past steps as are needed.

        Args:
            past: samples of the past steps, or None.
            inputs: X ``(N, n)`` of the step.
            targets: T ``(N, m)`` of the step.
            memory: number of samples from which on no more past steps are needed.
        """
        sizes = [len(inputs)]
        for size in reversed(past.sizes if past is not None else []):
            if sum(sizes) >= memory:
                break
            sizes.insert(0, size)
        first = None if past is None else len(past.inputs) - sum(sizes[:-1])
        # This copies: the caller may change its input in place after the step.
        parts = [] if past is None else [(past.inputs[first:], past.targets[first:])]
        all_inputs, all_targets = zip(*parts, (inputs, targets), strict=True)
        return cls(np.concatenate(all_inputs), np.concatenate(all_targets), sizes)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "PastSamples | None":
        """Return the samples in the optimiser's state of a weight, or None."""
        if "past_sizes" not in state:
            return None
        # load_state_dict gives the tensors the dtype and device of the weight.
        inputs, targets = (
            state[name].to("cpu", torch.float32).numpy() for name in ("past_inputs", "past_targets")
        )
        return cls(inputs, targets, list(state["past_sizes"]))

    def to_state(self, state: dict[str, Any]) -> None:
        """Store the samples in the optimiser's state of a weight."""
        state["past_inputs"] = torch.from_numpy(self.inputs)
        state["past_targets"] = torch.from_numpy(self.targets)
        state["past_sizes"] = list(self.sizes)


def drop_past(state: dict[str, Any]) -> None:
    """Remove the samples of past steps from the optimiser's state of a weight."""
    for name in ("past_inputs", "past_targets", "past_sizes"):
        state.pop(name, None)
