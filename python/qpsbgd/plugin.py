"""Sampler for D-Wave's PyTorch plugin that solves a whole batch of conditional problems at once.

It needs the plugin (``pip install qpsbgd[plugin]``). No other part of the package imports it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qpsbgd._checks import (
    SEED_LIMIT,
    checked_choice,
    checked_count,
    checked_finite,
    checked_range,
    checked_seed,
    described,
)
from qpsbgd.samplers.batch import sample_batch
from qpsbgd.samplers.batch.options import METHODS, Method

try:
    from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
    from dwave.plugins.torch.samplers.base import TorchSampler
except ImportError as error:
    raise ImportError(
        "qpsbgd.plugin needs dwave-pytorch-plugin and einops: pip install 'qpsbgd[plugin]'"
    ) from error

__all__ = ["BatchSampler"]

Floats = npt.NDArray[np.float64]
Range = Sequence[float]

#: Options that ``sample_kwargs`` may have. ``seed`` is missing, as each call draws another one from
#: the sampler's seed. ``time_limit`` is missing, as a state that never left its start is no sample.
OPTIONS = ("num_reads", "num_sweeps", "beta_range", "keep", "num_threads", "executor")
#: Default options that differ from those of ``sample_batch``. At one temperature, that of the
#: prefactor, reads return their last states, which are samples of the model.
DEFAULTS: dict[str, dict[str, Any]] = {"sa": {"beta_range": (1.0, 1.0)}}


class BatchSampler(TorchSampler):
    """Sampler of the plugin's Boltzmann machines that replaces the plugin's ``DimodSampler``.

    ``DimodSampler`` solves the rows of a batch one after another, each as a dimod model. This
    sampler solves the rows with the same known units in one call of :func:`qpsbgd.sample_batch`:
    without these units, their problems share the couplings and differ in the linear biases alone. A
    batch whose visible units are all known takes one call. A batch whose rows all lack different
    units takes one call for each row, but builds no dimod models.

    By default ``"sa"`` makes Metropolis sweeps at inverse temperature 1 and returns the last
    states. They are samples of the model's distribution if the sweeps are numerous enough to
    forget the random start. ``sample_kwargs={"beta_range": "auto"}`` finds states of low energy
    instead.

    Each call of :meth:`sample` draws other random numbers, so that no two steps of a training loop
    share their noise. Two samplers with the same ``seed`` return the same samples if they are
    called in the same way, on any number of threads. A copy that ``to`` makes shares the random
    numbers with its original: what one draws, the other does not draw again.

    The sampler stores the couplings as a matrix. For graphs of many thousand nodes ``DimodSampler``
    with :class:`qpsbgd.SimulatedAnnealingSampler` needs less memory.

    Args:
        grbm: the model. Its parameters are read at every call.
        method: ``"sa"``, ``"tabu"`` or ``"descent"``, as in :func:`qpsbgd.sample_batch`.
        prefactor: finite factor of the linear and the quadratic biases.
        linear_range: ``(low, high)`` to which linear biases are clipped, after the prefactor and
            again after the known units have added to them; ``None`` for no clipping.
        quadratic_range: ``(low, high)`` to which quadratic biases are clipped after the prefactor;
            ``None`` for no clipping.
        sample_kwargs: options of :func:`qpsbgd.sample_batch`: ``num_reads``, ``num_sweeps``,
            ``beta_range``, ``keep``, ``num_threads`` and ``executor``. The defaults are those of
            the function, except ``beta_range=(1.0, 1.0)`` for ``"sa"``, at which reads return their
            last states. With a range that cools they return their best states, unless
            ``keep="final"`` is given.
        seed: integer in ``[0, 2**31)`` from which the seeds of the calls are drawn; drawn if
            ``None``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, or an option that is not among these.

    Example:
        >>> import torch
        >>> from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
        >>> from qpsbgd.plugin import BatchSampler
        >>> nan = float("nan")
        >>> grbm = GraphRestrictedBoltzmannMachine("abc", ["ab", "bc"], linear={"a": -2.0})
        >>> grbm.set_quadratic({("a", "b"): -9.0, ("b", "c"): 9.0})
        >>> sampler = BatchSampler(grbm, "sa", 1.0, sample_kwargs={"num_reads": 2}, seed=1)
        >>> sampler.sample(torch.tensor([[1.0, nan, nan], [nan, nan, 1.0]]))
        tensor([[[ 1.,  1., -1.],
                 [ 1.,  1., -1.]],
        <BLANKLINE>
                [[-1., -1.,  1.],
                 [-1., -1.,  1.]]])
    """

    def __init__(
        self,
        grbm: GraphRestrictedBoltzmannMachine,
        method: Method,
        prefactor: float,
        linear_range: Range | None = None,
        quadratic_range: Range | None = None,
        sample_kwargs: Mapping[str, Any] | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        if not isinstance(grbm, GraphRestrictedBoltzmannMachine):
            raise TypeError(
                f"grbm is {described(grbm)}, but must be a GraphRestrictedBoltzmannMachine"
            )
        self._grbm = grbm
        checked_choice("method", method, METHODS)
        self._method: Method = method
        self._prefactor = checked_finite("prefactor", prefactor)
        self._linear_range = checked_range("linear_range", linear_range)
        self._quadratic_range = checked_range("quadratic_range", quadratic_range)
        self._options = DEFAULTS.get(method, {}) | _checked_options(sample_kwargs)
        self._num_reads = checked_count("num_reads", self._options.pop("num_reads", 1), 1)
        self._rng = np.random.default_rng(checked_seed(seed))
        super().__init__()

    def sample(self, x: torch.Tensor | None = None) -> torch.Tensor:
        """Sample the units that are not known.

        Args:
            x: real ``(B, n)`` on any device, with columns in the order of the model's nodes: -1 or
                1 for a unit that is known, NaN for a unit to sample. ``None`` to sample all units.

        Returns:
            float32, of -1 and 1, on the device of the model's linear biases, without gradient:
            ``(B, R, n)`` with R the number of reads, or ``(R, n)`` if ``x`` is ``None``. Known
            units are as in ``x``.

        Raises:
            TypeError: ``x`` is not a real tensor, or an option is of the wrong type.
            ValueError: ``x`` has another shape or other entries, an option is out of range, or the
                model has a NaN or infinite parameter.
            KeyboardInterrupt: Ctrl-C.

        Example:
            >>> from dwave.plugins.torch.models.boltzmann_machine import (
            ...     GraphRestrictedBoltzmannMachine,
            ... )
            >>> from qpsbgd.plugin import BatchSampler
            >>> grbm = GraphRestrictedBoltzmannMachine("ab", ["ab"], linear={"a": 9.0, "b": 9.0})
            >>> BatchSampler(grbm, "descent", 1.0, seed=1).sample()
            tensor([[-1., -1.]])
        """
        n = self._grbm.n_nodes
        known = np.full((1, n), np.nan) if x is None else _checked_states(x, n)  # (B, n)
        h, J = self._biases()  # (n,), (n, n)
        clamped = ~np.isnan(known)
        fields = h + np.where(clamped, known, 0.0) @ J  # (B, n)
        if self._linear_range is not None:
            fields = fields.clip(*self._linear_range)
        samples = np.repeat(known.astype(np.float32)[:, None, :], self._num_reads, axis=1)
        patterns, pattern_of_row = np.unique(clamped, axis=0, return_inverse=True)
        seeds = self._rng.integers(SEED_LIMIT, size=len(patterns))
        for p, pattern in enumerate(patterns):
            rows, free = np.flatnonzero(pattern_of_row.ravel() == p), np.flatnonzero(~pattern)
            result = sample_batch(
                fields[np.ix_(rows, free)], J[np.ix_(free, free)], method=self._method,
                num_reads=self._num_reads, seed=int(seeds[p]), **self._options,
            )  # fmt: skip
            samples[rows[:, None, None], np.arange(self._num_reads)[:, None], free] = result.states
        tensor = torch.from_numpy(samples).to(self._grbm.linear.device)
        return tensor[0] if x is None else tensor

    def _biases(self) -> tuple[Floats, Floats]:
        """Return the biases h ``(n,)`` and J ``(n, n)``, scaled and clipped as by ``to_ising``."""
        grbm, n = self._grbm, self._grbm.n_nodes
        biases = []
        for name, parameter, bounds in (
            ("linear", grbm.linear, self._linear_range),
            ("quadratic", grbm.quadratic, self._quadratic_range),
        ):
            scaled = self._prefactor * parameter.detach()
            if bounds is not None:
                scaled = scaled.clip(*bounds)
            values = scaled.to("cpu", torch.float64).numpy()
            if not np.isfinite(values).all():
                at = int(np.flatnonzero(~np.isfinite(values))[0])
                raise ValueError(
                    f"prefactor * grbm.{name}[{at}] is {values[at]}, but must be finite"
                )
            biases.append(values)
        ends = (end.cpu().numpy().astype(np.intp) for end in (grbm.edge_idx_i, grbm.edge_idx_j))
        J = np.zeros((n, n))
        np.add.at(J, tuple(ends), biases[1])
        return biases[0], J + J.T


def _checked_options(sample_kwargs: Any) -> dict[str, Any]:
    if sample_kwargs is None:
        return {}
    if not isinstance(sample_kwargs, Mapping):
        raise TypeError(f"sample_kwargs is {sample_kwargs!r}, but must be a dict")
    for name in sample_kwargs:
        if name == "seed":
            raise ValueError("sample_kwargs has 'seed', but that is an argument of BatchSampler")
        if name not in OPTIONS:
            raise ValueError(
                f"sample_kwargs has {name!r}, but may have only {', '.join(map(repr, OPTIONS))}"
            )
    return dict(sample_kwargs)


def _checked_states(x: Any, n: int) -> Floats:
    """Return the states as float64 ``(B, n)`` of -1, 1 and NaN."""
    if not isinstance(x, torch.Tensor) or x.is_complex():
        kind = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise TypeError(f"x is a {kind}, but must be a real torch.Tensor or None")
    if x.ndim != 2 or x.shape[1] != n:
        raise ValueError(f"x has shape {tuple(x.shape)}, but must be (batch size, {n})")
    states: Floats = x.detach().to("cpu", torch.float64).numpy()
    bad = np.argwhere(~(np.isnan(states) | (np.abs(states) == 1.0)))
    if len(bad):
        at = tuple(map(int, bad[0]))
        raise ValueError(f"x[{at[0]}, {at[1]}] is {states[at]}, but must be -1, 1 or NaN")
    return states
