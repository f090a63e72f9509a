"""The Ising problem of one call: from neurons to qubits and back.

A chain shares the linear bias of its variable evenly, and the couplers between two chains share
their coupling, as in ``dwave.embedding.embed_bqm``. Each copy has its own gauge, which inverts some
of its spins, and its own scale: the largest factor with which its biases are in the machine's
ranges. Neither changes which state is the lowest.

An ancilla replaces linear biases: each variable is coupled to it by its bias, and inverting all
spins changes no energy. Relative to the ancilla, the lowest states are those of the problem.
"""

from dataclasses import dataclass
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.hardware.annealer.machine import Ranges
from qpsbgd.hardware.programming.layout import Layout
from qpsbgd.projection.models import GradientBQMs

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]
Spins = npt.NDArray[np.int8]

#: Passes over the groups of couplers. Each shrinks all copies of a group that is out of range;
#: couplings of opposite signs may need a few passes.
_GROUP_PASSES = 20
#: Shares of the ranges of sums that stay free. The machine adds in an order of its own, and a sum
#: must not exceed its range by rounding. Sums of groups converge to their range in passes.
_QUBIT_MARGIN, _GROUP_MARGIN = 1e-12, 1e-9


@dataclass(frozen=True)
class QubitProblem:
    """Ising problem on qubits that holds one neuron in each copy of a layout.

    Attributes:
        layout: the qubits and couplers.
        neurons: ``(copies,)``: neuron in each copy.
        gauges: ``(copies, variables)`` of +-1: spins of -1 are inverted.
        scales: ``(copies,)``: factors of the biases.
        h: ``(qubits,)``: linear biases.
        J: ``(couplers,)``: couplings, in the order of ``layout.couplers``.
    """

    layout: Layout
    neurons: Ints
    gauges: Spins
    scales: Floats
    h: Floats
    J: Floats

    @classmethod
    def of_neurons(
        cls,
        layout: Layout,
        bqms: GradientBQMs,
        neurons: Ints,
        gauges: Spins,
        *,
        chain_strength: float,
        ranges: Ranges,
    ) -> "QubitProblem":
        """Return the problem of a neuron in each copy.

        Args:
            layout: qubits and couplers.
            bqms: problems of the layer.
            neurons: ``(copies,)``: neuron in each copy.
            gauges: ``(copies, variables)`` of +-1.
            chain_strength: coupling in chains, for problems of factor 1.
            ranges: ranges of the machine's biases.

        Raises:
            ValueError: no scales put every group of couplers into its range.
        """
        copies, signs = layout.copy_of, gauges.reshape(-1).astype(np.float64)  # (Q,), (C * V,)
        factors = bqms.factors[neurons]  # (C,)
        fields = bqms.fields[neurons]  # (C, V), or (C, V - 1) with an ancilla
        strengths = factors[:, None] * bqms.values  # (C, pairs)
        h = np.zeros(len(copies))  # (Q,)
        if layout.has_ancilla:
            strengths = np.concatenate([strengths, fields], axis=1)
        else:
            h = (fields * gauges / layout.chain_lengths)[copies, layout.variable_of]
        inside, between = np.split(layout.couplers, [layout.num_chain_couplers])  # (A, 2), (K, 2)
        first, second = between.T
        products = (
            signs[copies[first] * layout.num_variables + layout.variable_of[first]]
            * signs[copies[second] * layout.num_variables + layout.variable_of[second]]
        )  # (K,)
        couplings = strengths[copies[first], layout.coupling_of] * layout.share * products  # (K,)
        chains = -chain_strength * factors[copies[inside[:, 0]]]  # (A,)
        if chain_strength == 0.0:
            # Without couplings between variables, the largest field of a neuron holds its chains.
            shares = np.abs(fields) / layout.chain_lengths[:, : fields.shape[1]]
            chains = -shares.max(axis=1, initial=0.0)[copies[inside[:, 0]]]
        J = np.concatenate([chains, couplings])  # (A + K,)
        scales = _scales(layout, ranges, h, J)  # (C,)
        # Scaled biases exceed the ranges by rounding at most.
        h = np.clip(h * scales[copies], *ranges.h)
        J = np.clip(J * scales[layout.copy_of_coupler], *ranges.J)
        return cls(layout, np.asarray(neurons), gauges, scales, h, J)

    def bqm(self) -> dimod.BinaryQuadraticModel:
        """Return the problem as a model of vartype SPIN whose variables are the qubits."""
        first, second = self.layout.couplers.T
        return dimod.BinaryQuadraticModel.from_numpy_vectors(
            self.h, (first, second, self.J), 0.0, "SPIN", variable_order=self.layout.qubits.tolist()
        )

    def read(self, samples: Spins, occurrences: Ints) -> tuple[Spins, Floats]:
        """Return the spins of the variables by majority vote in each chain, without gauges.

        The first qubit of a chain decides a tie.

        Args:
            samples: ``(samples, qubits)`` of +-1, columns in the order of ``layout.qubits``.
            occurrences: ``(samples,)``: number of reads that each sample represents.

        Returns:
            Spins ``(copies, samples, variables)`` without an ancilla, and the share of broken
            chains in each copy, ``(copies,)``.
        """
        layout = self.layout
        voted, is_broken = self.votes(samples)
        broken = occurrences @ is_broken.mean(axis=2) / occurrences.sum()  # (copies,)
        spins = (voted * self.gauges).transpose(1, 0, 2)  # (copies, samples, variables)
        if layout.has_ancilla:
            spins = spins[:, :, :-1] * spins[:, :, -1:]
        return spins, broken

    def votes(self, samples: Spins) -> tuple[Spins, npt.NDArray[np.bool_]]:
        """Return the majority of each chain in the gauge of its copy, and which chains are broken.

        Args:
            samples: ``(samples, qubits)`` of +-1, columns in the order of ``layout.qubits``.

        Returns:
            Two arrays ``(samples, copies, variables)``.
        """
        layout = self.layout
        shape = (len(samples), layout.num_copies, layout.num_variables)
        sums = np.add.reduceat(samples, layout.starts, axis=1, dtype=np.int32).reshape(shape)
        first = samples[:, layout.starts].reshape(shape)
        voted = np.where(sums == 0, first, np.sign(sums)).astype(np.int8)
        return voted, np.abs(sums) != layout.chain_lengths

    def initial_state(self, states: Spins) -> dict[int, int]:
        """Return the spins of the qubits that represent a state of each copy's variables.

        Args:
            states: ``(copies, variables)`` of +-1, without gauges and without an ancilla.
        """
        layout = self.layout
        if layout.has_ancilla:
            states = np.concatenate([states, np.ones_like(states[:, :1])], axis=1)
        spins = (states * self.gauges)[layout.copy_of, layout.variable_of]  # (Q,)
        return dict(zip(layout.qubits.tolist(), spins.tolist(), strict=True))


def _scales(layout: Layout, ranges: Ranges, h: Floats, J: Floats) -> Floats:
    """Return, for each copy, the largest factor with which all its biases are in range, ``(C,)``.

    Where groups of couplers have a range, the factors may be smaller than the largest.
    """
    sums = np.zeros(layout.num_qubits)  # of each qubit's couplings
    for end in layout.couplers.T:
        np.add.at(sums, end, J)
    inverse = np.zeros(layout.num_copies)
    sums *= 1.0 + _QUBIT_MARGIN
    for values, copies, (low, high) in (
        (h, layout.copy_of, ranges.h),
        (J, layout.copy_of_coupler, ranges.J),
        (sums, layout.copy_of, ranges.qubit),
    ):
        np.maximum.at(inverse, copies, np.where(values < 0, values / low, values / high))
    scales = np.divide(1.0, inverse, out=np.ones_like(inverse), where=inverse > 0)
    if not np.isfinite(ranges.group).any():
        return scales
    return _scales_of_groups(layout, ranges, J, scales)


def _scales_of_groups(layout: Layout, ranges: Ranges, J: Floats, scales: Floats) -> Floats:
    """Shrink scales until every group of couplers is in range; a group may join several copies.

    Raises:
        ValueError: groups are out of range after all passes.
    """
    couplers, groups, num_groups = layout.coupler_groups
    copies = layout.copy_of_coupler[couplers]
    low, high = np.array(ranges.group) * (1.0 - _GROUP_MARGIN)
    for _ in range(_GROUP_PASSES):
        totals = np.zeros(num_groups)
        np.add.at(totals, groups, scales[copies] * J[couplers])
        excess = np.where(totals < 0, totals / low, totals / high)
        if (excess <= 1.0 + 0.5 * _GROUP_MARGIN).all():
            return scales
        divisors = np.ones(layout.num_copies)
        np.maximum.at(divisors, copies, excess[groups])
        scales = scales / divisors
    raise ValueError(f"no scales were found that put every group of couplers into {ranges.group}")
