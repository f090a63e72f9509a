"""The plugin's Ising layer, for which a whole batch is sampled in one call."""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt
import torch
from dwave.plugins.torch.nn.modules.ising import Ising as PluginIsing
from dwave.plugins.torch.nn.modules.ising import SpinStatistic
from dwave.system.temperatures import maximum_pseudolikelihood_temperature

from qpsbgd._checks.kinds import check_instance
from qpsbgd._checks.numbers import SEED_LIMIT, checked_count, checked_positive, checked_seed
from qpsbgd.plugin.edge_couplings import EdgeCouplings
from qpsbgd.plugin.expectation import expected_statistics
from qpsbgd.plugin.sampling_options import checked_options, with_defaults
from qpsbgd.samplers.base import StateSampler
from qpsbgd.samplers.batch import sample_batch
from qpsbgd.samplers.batch.batch_options import Method
from qpsbgd.samplers.tempering import ParallelTemperingSampler


class Ising(PluginIsing):
    """Layer from the biases of Ising models to expected statistics of their spins.

    It replaces the plugin's layer of the same name. The plugin's layer calls its sampler for each
    row of a batch, with a dict of all biases. This layer samples all rows in one call of
    :func:`qpsbgd.sample_batch` if ``sampler`` is a :class:`~qpsbgd.SimulatedAnnealingSampler`, a
    :class:`~qpsbgd.TabuSampler` or a :class:`~qpsbgd.SteepestDescentSampler`. It samples row by
    row, as the plugin's layer does, with any other sampler, such as a quantum annealer.

    The outputs are means over reads, and the gradients are those of the plugin's layer: sample
    covariances of the statistics with the spins and their products. A backward pass needs at least
    two reads. The state dict is that of the plugin's layer.

    By default annealing makes Gibbs sweeps at the inverse temperature ``beta`` and returns last
    states. As the biases are divided by ``beta``, they are samples of ``exp(-E)`` for the energies
    E of the inputs, whatever ``beta`` is, if the sweeps are numerous enough to forget the random
    start.

    Each forward pass draws other random numbers, and no two rows share theirs. Two layers with the
    same ``seed`` return the same outputs if they are called in the same way, on any number of
    threads. A deep copy of a layer repeats the random numbers of its original. The state dict does
    not hold them.

    Args:
        nodes: labels of the n nodes, in the order of the linear biases.
        edges: pairs of nodes, in the order of the k quadratic biases.
        sampler: the sampler.
        sample_params: options of :func:`qpsbgd.sample_batch`: ``num_reads``, ``num_sweeps``,
            ``beta_range``, ``keep``, ``proposal_acceptance_criteria``, ``num_threads`` and
            ``executor``; and ``seed``, an integer in ``[0, 2**31)`` from which the seeds of the
            calls are drawn. The defaults are those of the function, with two exceptions for
            annealing: ``beta_range=(beta, beta)``, and ``proposal_acceptance_criteria="Gibbs"`` if
            the range is a single temperature. Other samplers than those above take the arguments of
            their ``sample``.
        beta: effective inverse temperature of the sampler, > 0. Biases are divided by it.
        statistic: function of the spins; their identity if ``None``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a value out of range, an edge between a node and itself, two equal nodes, or an
            option that is not among these.

    Reference:
        M. J. Wainwright, M. I. Jordan, "Graphical Models, Exponential Families, and Variational
        Inference", Foundations and Trends in Machine Learning 1 (2008) 1.

    Example:
        >>> import torch
        >>> from qpsbgd import SimulatedAnnealingSampler
        >>> from qpsbgd.plugin import Ising
        >>> sample_params = {"num_reads": 1000, "num_sweeps": 50, "seed": 1}
        >>> layer = Ising("ab", ["ab"], SimulatedAnnealingSampler(), sample_params, beta=1.0)
        >>> linear = torch.tensor([[1.0, 0.0], [0.0, -1.0]], requires_grad=True)
        >>> quadratic = torch.zeros((2, 1), requires_grad=True)
        >>> means = layer(linear, quadratic)
        >>> bool((means - torch.tanh(-linear)).abs().max() < 0.1)
        True
        >>> means.sum().backward()
        >>> linear.grad.shape, quadratic.grad.shape
        (torch.Size([2, 2]), torch.Size([2, 1]))
    """

    def __init__(
        self,
        nodes: Iterable[Hashable],
        edges: Iterable[tuple[Hashable, Hashable]],
        sampler: dimod.Sampler,
        sample_params: dict[str, Any],
        beta: float,
        statistic: SpinStatistic | None = None,
    ) -> None:
        _checked_params(sampler, sample_params)
        beta = checked_positive("beta", beta)
        nodes, edges = list(nodes), list(edges)
        known = set(nodes)
        for place, edge in enumerate(edges):
            for node in edge:
                if node not in known:
                    raise ValueError(f"edges[{place}] is {edge!r}, but {node!r} is not in nodes")
        super().__init__(nodes, edges, sampler, sample_params, beta, statistic)
        if len(set(self.nodes)) < self.num_nodes:
            raise ValueError(f"nodes is {self.nodes!r}, but must have no two equal nodes")
        self._couplings = EdgeCouplings(
            self.num_nodes, self.node_idx_of_edges_1.tolist(), self.node_idx_of_edges_2.tolist()
        )
        self._rng = self._new_generator()

    def set_sampler(self, sampler: dimod.Sampler) -> None:
        """Set the sampler.

        Raises:
            ValueError: the sampling parameters do not fit the sampler.
        """
        _checked_params(sampler, self.sample_params)
        super().set_sampler(sampler)

    def set_sample_params(self, sample_params: dict[str, Any]) -> None:
        """Set the sampling parameters. The random numbers begin anew from the ``seed`` among them.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: a value out of range, or a name that the sampler does not take.
        """
        _checked_params(self.sampler, sample_params)
        super().set_sample_params(sample_params)
        self._rng = self._new_generator()

    def forward(self, linear: torch.Tensor, quadratic: torch.Tensor) -> torch.Tensor:
        """Estimate the expected statistics of the models of a batch.

        Args:
            linear: linear biases, real ``(B, n)`` on any device.
            quadratic: quadratic biases, real ``(B, k)``.

        Returns:
            float32 ``(B, d)`` on the device of ``linear``, with d the number of statistics.

        Raises:
            ValueError: another shape, a bias that is NaN or infinite after the division by
                ``beta``, or a :class:`~qpsbgd.ParallelTemperingSampler` whose ``sample_betas`` is
                not ``beta``.
            KeyboardInterrupt: Ctrl-C.
        """
        for name, biases in (("linear", linear), ("quadratic", quadratic)):
            check_instance(name, biases, torch.Tensor, "a torch.Tensor")
        if _batch_method(self.sampler) is None:
            _check_tempering(self.sampler, self.sample_params, float(self.beta))
            output: torch.Tensor = super().forward(linear, quadratic)
            return output
        spins = self._sample_spins(linear, quadratic, self.beta).to(linear.device)  # (B, R, n)
        return expected_statistics(
            spins, self.statistic(spins), linear, quadratic,
            self.node_idx_of_edges_1, self.node_idx_of_edges_2,
        )  # fmt: skip

    def estimate_betas(
        self, linear_biases: torch.Tensor, quadratic_biases: torch.Tensor
    ) -> torch.Tensor:
        """Estimate the inverse temperature of the samples of each model by pseudo-likelihood.

        The biases are sampled as they are, without a division by ``beta``.

        Args:
            linear_biases: linear biases, real ``(B, n)``.
            quadratic_biases: quadratic biases, real ``(B, k)``.

        Returns:
            float32 ``(B,)``.

        Raises:
            ValueError: another shape, or a NaN or infinite bias.
        """
        if _batch_method(self.sampler) is None:
            estimates: torch.Tensor = super().estimate_betas(linear_biases, quadratic_biases)
            return estimates
        spins = self._sample_spins(linear_biases, quadratic_biases, None).numpy()
        betas = []
        for linear, quadratic, states in zip(
            linear_biases.tolist(), quadratic_biases.tolist(), spins, strict=True
        ):
            bqm = dimod.BinaryQuadraticModel.from_ising(
                dict(zip(self.nodes, linear, strict=True)),
                dict(zip(self.edges, quadratic, strict=True)),
            )
            temperature = maximum_pseudolikelihood_temperature(bqm, (states, self.nodes))[0]
            betas.append(1 / float(temperature))
        return torch.tensor(betas)

    def _sample_spins(
        self, linear: torch.Tensor, quadratic: torch.Tensor, divisor: torch.Tensor | None
    ) -> torch.Tensor:
        """Return spins of the models of a batch, float32 ``(B, R, n)`` on the CPU."""
        h, values = self._checked_biases(linear, quadratic, divisor)
        options = dict(self.sample_params)
        num_reads = checked_count("num_reads", options.pop("num_reads", 1), 1)
        options.pop("seed", None)
        seed = int(self._rng.integers(SEED_LIMIT))
        if len(h) == 0:
            return torch.empty((0, num_reads, self.num_nodes))
        method = _batch_method(self.sampler)
        assert method is not None
        result = sample_batch(
            h, self._couplings.of_biases(values), method=method, num_reads=num_reads, seed=seed,
            **with_defaults(method, options, float(self.beta)),
        )  # fmt: skip
        return torch.from_numpy(result.states).to(torch.float32)

    def _to_tensor(
        self, sample_sets: Iterable[dimod.SampleSet], device: torch.device | None = None
    ) -> torch.Tensor:
        """Return the spins of other samplers' answers, each as often as it occurred."""
        spins: torch.Tensor = super()._to_tensor([_one_row_a_read(s) for s in sample_sets], device)
        return spins

    def _checked_biases(
        self, linear: torch.Tensor, quadratic: torch.Tensor, divisor: torch.Tensor | None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the biases over the divisor, ``(B, n)`` and ``(B, k)``."""
        arrays = []
        for name, biases, size in (
            ("linear", linear, self.num_nodes),
            ("quadratic", quadratic, self.num_edges),
        ):
            if biases.ndim != 2:
                raise ValueError(f"{name}.ndim should be exactly 2. {name}.ndim is {biases.ndim}")
            if biases.shape != (len(linear), size):
                raise ValueError(
                    f"{name} has shape {tuple(biases.shape)}, but must be ({len(linear)}, {size})"
                )
            values = biases.detach() if divisor is None else biases.detach() / divisor
            dtype = torch.float64 if values.dtype is torch.float64 else torch.float32
            array = values.to("cpu", dtype).numpy()
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                at = tuple(map(int, bad[0]))
                division = "" if divisor is None else " / beta"
                raise ValueError(
                    f"{name}[{at[0]}, {at[1]}]{division} is {array[at]}, but must be finite"
                )
            arrays.append(array)
        return arrays[0], arrays[1]

    def _new_generator(self) -> np.random.Generator:
        """Return the generator of the seeds of all calls."""
        has_seed = _batch_method(self.sampler) is not None
        return np.random.default_rng(
            checked_seed(self.sample_params.get("seed") if has_seed else None)
        )


def _one_row_a_read(sampleset: dimod.SampleSet) -> dimod.SampleSet:
    """Return a sample set whose rows occurred once each."""
    counts = sampleset.record.num_occurrences
    if (counts == 1).all():
        return sampleset
    rows = np.repeat(np.arange(len(counts)), counts)
    return dimod.SampleSet.from_samples(
        (sampleset.record.sample[rows], sampleset.variables),
        energy=sampleset.record.energy[rows], vartype=sampleset.vartype,
    )  # fmt: skip


def _batch_method(sampler: dimod.Sampler) -> Method | None:
    """Return the method of ``sample_batch`` that does what a sampler does, or None."""
    return sampler.batch_method if isinstance(sampler, StateSampler) else None


def _checked_params(sampler: dimod.Sampler, sample_params: Mapping[str, Any]) -> None:
    """Raise an error if the parameters are not for the sampler. Values are checked at each call."""
    if _batch_method(sampler) is None:
        return
    options = checked_options("sample_params", sample_params, others=("seed",))
    checked_count("num_reads", options.get("num_reads", 1), 1)
    checked_seed(options.get("seed"))


def _check_tempering(sampler: dimod.Sampler, sample_params: Mapping[str, Any], beta: float) -> None:
    """Raise ValueError if parallel tempering would return other states than samples at ``beta``."""
    if not isinstance(sampler, ParallelTemperingSampler):
        return
    sampled = sample_params.get("sample_betas")
    betas = [] if sampled is None else np.ravel(sampled).tolist()
    # The layer's beta is float32.
    if len(betas) != 1 or not math.isclose(betas[0], beta, rel_tol=1e-6):
        raise ValueError(
            f"sample_params has sample_betas={sampled!r}, but ParallelTemperingSampler returns "
            f"samples of the layer's models only with sample_betas={beta:g}, its beta"
        )
