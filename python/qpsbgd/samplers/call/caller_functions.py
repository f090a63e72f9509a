"""Functions of the caller that a call asks whether to stop and tells its lowest energy."""

import math
from collections.abc import Callable
from dataclasses import dataclass

InterruptFunction = Callable[[], bool]
Progress = Callable[[float], object]


@dataclass
class CallerFunctions:
    """The functions that a caller of a sampler passes.

    Attributes:
        interrupt: asked whether to stop, or None.
        progress: called with the lowest energy, or None.
        offset: constant part of the energies.
        was_called: whether the functions have been called.
    """

    interrupt: InterruptFunction | None
    progress: Progress | None
    offset: float = 0.0
    was_called: bool = False
    _lowest: float = math.inf

    def core_watch(self) -> Callable[[float], bool] | None:
        """Return the function that the core calls, or None if there is nobody to call."""
        return self.watch if self._are_given() else None

    def are_to_be_called(self) -> bool:
        """Return whether there is a function, and none has been called yet."""
        return self._are_given() and not self.was_called

    def watch(self, energy: float) -> bool:
        """Call the caller's functions; return whether to stop.

        Args:
            energy: the lowest one of the reads that are being solved, without the offset.
        """
        self.was_called = True
        if self.progress is not None:
            self._lowest = min(self._lowest, energy)  # of reads that were solved before, too
            self.progress(float(self._lowest + self.offset))
        return self.interrupt is not None and bool(self.interrupt())

    def _are_given(self) -> bool:
        return self.interrupt is not None or self.progress is not None
