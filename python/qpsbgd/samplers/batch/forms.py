"""Choice of the form that stores a batch's couplings, and of the precision of its fields.

docs/batch.md has the measurements behind the choice.
"""

from typing import Any

import numpy as np

from qpsbgd import _core
from qpsbgd._checks.choices import checked_choice
from qpsbgd.samplers.batch.batch_options import Form, Method, Precision
from qpsbgd.samplers.batch.couplings import Couplings, Floats
from qpsbgd.samplers.batch.dense import DenseCouplings
from qpsbgd.samplers.batch.low_rank import LowRankCouplings
from qpsbgd.samplers.batch.sparse import SparseCouplings

#: Largest number of variables of the interleaved form.
INTERLEAVED_VARIABLES = 256
#: The product of variables and reads must be smaller than this for the interleaved form.
INTERLEAVED_SPINS = 2048
#: The rank must be at most n^2 / LOW_RANK_AREA for the low-rank form.
LOW_RANK_AREA = 2048
#: The rank must also be at most n / LOW_RANK_FRACTION.
LOW_RANK_FRACTION = 3


def choose_form(
    h: Floats,
    J: Couplings,
    *,
    method: Method,
    num_reads: int,
    num_threads: int,
    form: Any,
    precision: Any,
) -> tuple[Couplings, Form, Precision]:
    """Choose the form and the precision of a batch.

    Args:
        h: fields, ``(B, n)``.
        J: couplings.
        method: ``"sa"``, ``"tabu"`` or ``"descent"``.
        num_reads: reads of each problem.
        num_threads: largest number of threads.
        form: the form that the caller wants, or ``"auto"``.
        precision: the precision that the caller wants, or None.

    Returns:
        The couplings in the chosen form, the form, and the precision.

    Raises:
        ValueError: a form or precision that does not exist, or that the couplings or the method
            do not have.
    """
    checked_choice("form", form, ("auto", "dense", "interleaved", "low_rank", "sparse"))
    checked_choice("precision", precision, ("float32", "float64", None))
    if precision == "float64" and form in ("interleaved", "low_rank"):
        raise ValueError(
            f"precision is 'float64', but form is {form!r}, which has float32 alone: leave out "
            "one of them"
        )
    n = h.shape[1]
    if isinstance(J, LowRankCouplings):
        misfit = J.misfit(h) if method == "sa" else f"method is {method!r}, but must be 'sa'"
        if form == "low_rank":
            if misfit is not None:
                raise ValueError(f"form is 'low_rank': {misfit}")
            return J, "low_rank", "float32"
        if form == "auto" and misfit is None and _is_low(J, n) and precision != "float64":
            if precision == "float32" or not _needs_float64(h, J, num_threads):
                return J, "low_rank", "float32"
            precision = "float64"
        J = J.to_dense()
    # The form comes before the precision, so that the precision of a matrix does not depend on the
    # kind of couplings that the caller passes.
    if isinstance(J, DenseCouplings) and (form == "sparse" or (form == "auto" and _is_sparse(J))):
        J = SparseCouplings.from_dense(J)
    elif isinstance(J, SparseCouplings) and form not in ("auto", "sparse"):
        J = J.to_dense(n)
    if precision is None:
        is_wide = form not in ("interleaved", "low_rank") and _needs_float64(h, J, num_threads)
        precision = "float64" if is_wide else "float32"
    if isinstance(J, SparseCouplings):
        return J, "sparse", precision
    if form == "low_rank":
        raise ValueError("form is 'low_rank', but J is no LowRank")
    can_interleave = method == "sa" and not J.is_shared
    if form == "interleaved" and not can_interleave:
        raise ValueError(
            "form is 'interleaved', but that is for method='sa' and a J of each problem's own"
        )
    is_small = n <= INTERLEAVED_VARIABLES and num_reads * n < INTERLEAVED_SPINS
    is_best = form == "auto" and can_interleave and is_small and precision == "float32"
    return J, "interleaved" if form == "interleaved" or is_best else "dense", precision


def _is_low(J: LowRankCouplings, n: int) -> bool:
    """Return whether the rank is low enough for the low-rank form to be the fastest.

    The answer must not depend on the number of problems, as the forms round differently.
    """
    rank = len(J.A)
    return LOW_RANK_AREA * rank <= n * n and LOW_RANK_FRACTION * rank <= n


def _is_sparse(J: DenseCouplings) -> bool:
    """Return whether lists of neighbours are expected to be faster, by the samplers' rule."""
    if not J.is_shared:
        return False
    return _core.better_form(len(J.J), np.count_nonzero(J.J) // 2) is _core.Form.sparse


def _needs_float64(h: Floats, J: Couplings, num_threads: int) -> bool:
    """Return whether float32 would round away the differences between states of a problem."""
    return _core.batch_needs_float64(J.core(), h, num_threads=num_threads)
