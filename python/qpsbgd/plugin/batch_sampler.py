"""Sampler for the plugin's Boltzmann machines that solves a whole batch at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from dwave.plugins.torch.models.boltzmann_machine import GraphRestrictedBoltzmannMachine
from dwave.plugins.torch.samplers.base import TorchSampler

from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import (
    SEED_LIMIT,
    checked_count,
    checked_finite,
    checked_range,
    checked_seed,
)
from qpsbgd.plugin.machines import checked_machine, checked_states, rows_by_pattern, scaled_biases
from qpsbgd.plugin.sampling_options import checked_options, with_defaults
from qpsbgd.samplers.batch import sample_batch
from qpsbgd.samplers.batch.batch_options import METHODS, Method

Range = Sequence[float]


class BatchSampler(TorchSampler):
    """Sampler of the plugin's Boltzmann machines that replaces the plugin's ``DimodSampler``.

    ``DimodSampler`` solves the rows of a batch one after another, each as a dimod model. This
    sampler solves the rows with the same known units in one call of :func:`qpsbgd.sample_batch`:
    without these units, their problems share the couplings and differ in the linear biases alone. A
    batch whose visible units are all known takes one call. A batch whose rows all lack different
    units takes one call for each row, but builds no dimod models.

    By default ``"sa"`` makes Gibbs sweeps at inverse temperature 1 and returns the last states.
    They are samples of the model's distribution if the sweeps are numerous enough to forget the
    random start. ``sample_kwargs={"beta_range": "auto"}`` finds states of low energy instead.

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
            ``beta_range``, ``keep``, ``proposal_acceptance_criteria``, ``num_threads`` and
            ``executor``. The defaults are those of the function, with two exceptions for ``"sa"``:
            ``beta_range=(1.0, 1.0)``, and ``proposal_acceptance_criteria="Gibbs"`` if the range is
            a single temperature. At a single temperature reads return their last states. With a
            range that cools they return their best states, unless ``keep="final"`` is given.
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
        self._grbm = checked_machine(grbm)
        checked_choice("method", method, METHODS)
        self._method: Method = method
        self._prefactor = checked_finite("prefactor", prefactor)
        self._linear_range = checked_range("linear_range", linear_range)
        self._quadratic_range = checked_range("quadratic_range", quadratic_range)
        options = {} if sample_kwargs is None else sample_kwargs
        if isinstance(options, Mapping) and "seed" in options:
            raise ValueError("sample_kwargs has 'seed', but that is an argument of BatchSampler")
        self._options = with_defaults(method, checked_options("sample_kwargs", options), beta=1.0)
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
        known = np.full((1, n), np.nan) if x is None else checked_states(x, n)  # (B, n)
        h, J = scaled_biases(
            self._grbm, self._prefactor, self._linear_range, self._quadratic_range
        )  # (n,), (n, n)
        is_known = ~np.isnan(known)
        fields = h + np.where(is_known, known, 0.0) @ J  # (B, n)
        if self._linear_range is not None:
            fields = fields.clip(*self._linear_range)
        samples = np.repeat(known.astype(np.float32)[:, None, :], self._num_reads, axis=1)
        groups = rows_by_pattern(is_known)
        seeds = self._rng.integers(SEED_LIMIT, size=len(groups))
        for (rows, free), seed in zip(groups, seeds, strict=True):
            result = sample_batch(
                fields[np.ix_(rows, free)], J[np.ix_(free, free)], method=self._method,
                num_reads=self._num_reads, seed=int(seed), **self._options,
            )  # fmt: skip
            samples[rows[:, None, None], np.arange(self._num_reads)[:, None], free] = result.states
        tensor = torch.from_numpy(samples).to(self._grbm.linear.device)
        return tensor[0] if x is None else tensor
