"""The interface of the couplings J of a batch, whichever form stores them."""

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
States: TypeAlias = npt.NDArray[np.int8]
#: Some problems of a batch, by their numbers.
Selection: TypeAlias = slice | npt.NDArray[np.intp]


class Couplings(Protocol):
    """Couplings of all problems of a batch.

    ``h`` is always float64 ``(B, n)``, and ``states`` are int8 ``(B, R, n)``.
    """

    @property
    def is_shared(self) -> bool:
        """Whether all problems have the same couplings."""
        ...

    def for_spins(self, h: Floats) -> tuple[Floats, "Couplings"]:
        """Return h and J over spins s of problems over x = (1 + s) / 2, up to a constant."""
        ...

    def select(self, problems: Selection) -> "Couplings":
        """Return the couplings of some problems."""
        ...

    def core(self) -> Any:
        """Return the arrays that ``_core.solve_batch`` takes."""
        ...

    def magnitudes(self, h: Floats, num_threads: int) -> tuple[Floats, Floats]:
        """Return each problem's largest bias and its mean of sqrt(h_i^2 + sum_j J_ij^2), (B,)."""
        ...

    def reach(self, h: Floats) -> Floats:
        """Return the largest magnitude ``(B, n)`` of each local field, or an upper bound of it."""
        ...

    def has_couplings(self) -> bool:
        """Return whether any coupling is not zero."""
        ...

    def fields(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h + J x`` of states x, ``(B, R, n)``."""
        ...

    def energies(self, h: Floats, states: States, num_threads: int) -> Floats:
        """Return ``h.x + x.J x / 2`` of states x, ``(B, R)``."""
        ...
