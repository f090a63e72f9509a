"""Mark in ``.grad`` of a claimed weight, by which a capture learns that gradients were reset.

A claimed weight has no gradient of its own, as its optimiser takes the step from samples. The
backward pass leaves a tensor of negative zeros in its ``.grad`` instead. A negative zero is 0 in
all arithmetic, so it adds nothing to norms, sums and other gradients. It is still -0 after
everything that scales gradients: unscaling, clipping and averaging over ranks. Whatever resets
gradients removes it: ``.grad`` becomes None, or positive zeros.
"""

import weakref
from typing import Any

import torch
from torch import Tensor


class GradMark:
    """Mark in ``.grad`` of one weight.

    Args:
        weight: the weight, a parameter.
    """

    def __init__(self, weight: Any) -> None:
        self._weight: Any = weight
        self._last_pass = -1
        self._is_known = False
        # .grad as backward passes alone have made it, and its version
        self._left: tuple[weakref.ref[Tensor], int] | None = None

    @torch.no_grad()
    def is_present(self) -> bool:
        """Return whether ``.grad`` has an entry other than +0, and so was not reset."""
        grad = self._weight.grad
        if grad is None or not grad.numel():
            return grad is not None
        first = grad[(0,) * grad.dim()]
        if bool(first.signbit()) or bool(first):  # nearly always decides
            return True
        return bool(grad.any()) or bool(grad.signbit().any())

    def place(self) -> None:
        """Place the mark during a backward pass, and once more at its end."""
        task = torch._C._current_graph_task_id()
        is_first = task != self._last_pass
        if is_first:
            self._last_pass = task
            self._is_known = self._is_as_left() or not self.is_present()
        self._write()
        if is_first:
            mark = weakref.ref(self)
            queue = torch.autograd.Variable._execution_engine.queue_callback

            def end() -> None:
                alive = mark()
                if alive is not None:
                    alive._end_pass()

            # A penalty with a gradient of +0 removes the mark during the pass. So does
            # DistributedDataParallel, which writes averages in a callback that it queues later.
            queue(lambda: queue(end))

    @torch.no_grad()
    def add_to_first(self, value: Tensor) -> None:
        """Add a number to the first entry of ``.grad``."""
        # view(-1) fails where the weight is not row-major.
        self._weight.grad[(0,) * self._weight.dim()] += value

    @torch.no_grad()
    def has_foreign_values(self) -> bool:
        """Return whether ``.grad`` has values that are not of the passes with a mark.

        Those passes must have had no gradient but 0. A NaN counts as 0, because it stands for
        samples that overflowed.
        """
        grad = self._weight.grad
        return grad is not None and not self._is_as_left() and bool((grad.abs() > 0).any())

    def _is_as_left(self) -> bool:
        grad: Any = self._weight.grad
        if self._left is None or grad is None:
            return False
        left, version = self._left
        return bool(grad._version == version) and left() is grad

    def _write(self) -> None:
        """Mark ``.grad`` without changing its value."""
        with torch.no_grad():
            if self._weight.grad is None:
                self._weight.grad = torch.full_like(self._weight, -0.0)
            elif not self.is_present():
                self._weight.grad[(0,) * self._weight.dim()] = -0.0

    def _end_pass(self) -> None:
        grad = self._weight.grad
        if grad is not None:
            self._write()
            self._left = (weakref.ref(grad), grad._version) if self._is_known else None
