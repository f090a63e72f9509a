"""A step's work: of each layer the calls that its neurons are divided into."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd.hardware.calls import Submission
from qpsbgd.hardware.programming import Call
from qpsbgd.hardware.record import timing_us
from qpsbgd.projection import GradientBQMs, LayerProblem
from qpsbgd.projection.sample_sets import Comparison, Ranking, checked_spins

Spins = npt.NDArray[np.int8]


@dataclass
class LayerWork:
    """A layer's neurons and the calls that they are in.

    Attributes:
        layer: its problems.
        bqms: the same as Ising problems; None where the layer is solved natively.
        found: int8 ``(m, n)``, of the calls that were received.
        native: the native solver's, where a call needed it.
        calls: in order.
    """

    layer: LayerProblem
    bqms: GradientBQMs | None = None
    found: Spins = field(init=False)
    native: Spins | None = None
    calls: list["CallWork"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = np.ones(self.layer.shape, np.int8)


@dataclass
class CallWork:
    """One call, from its sending to its record.

    Attributes:
        layer: problems of the layer.
        bqms: the same.
        neurons: of the layer that are in it.
        call: its Ising problem.
        label: that the machine is given.
        estimate_us: of its access time, reserved in the budget.
        record: what is written of it.
        submission: once it is sent; may be that of an earlier attempt at the same step.
    """

    layer: LayerProblem
    bqms: GradientBQMs
    neurons: npt.NDArray[np.intp]
    call: Call
    label: str
    estimate_us: float
    record: dict[str, Any]
    submission: Submission | None = None

    @property
    def key(self) -> bytes:
        """Of the problem: equal for a step that is taken again."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.call.program.qubits, self.call.h, self.call.j):
            digest.update(array.tobytes())
        return digest.digest()

    def receive(self, found: Spins) -> int:
        """Wait for the answer, write each neuron's best read into ``found (m, n)``.

        Returns:
            Reads that the answer has.

        Raises:
            CallError: see ``calls.py``; and so is BudgetExceededError.
            InvalidSampleSetError: see :func:`qpsbgd.projection.sample_sets.checked_spins`.
        """
        assert self.submission is not None
        submission, program = self.submission, self.call.program
        try:
            sampleset = submission.answer()
        finally:
            self.record.update(
                attempts=submission.num_attempts,
                problem_id=submission.problem_id,
                billed_us=submission.billed_us,
            )
        self.record["timing_us"] = timing_us(sampleset.info.get("timing"))
        samples = checked_spins(sampleset, program.qubits)
        occurrences = np.asarray(sampleset.record.num_occurrences, np.intp)
        spins, broken = self.call.read(samples, occurrences)
        num_inputs = self.bqms.num_inputs
        ranking = Ranking(self.bqms, self.layer)
        for neuron in self.neurons.tolist():
            reads = spins[self.call.neurons == neuron, :, :num_inputs].reshape(-1, num_inputs)
            found[neuron] = ranking.best(neuron, reads)
        num_reads = int(occurrences.sum())
        self.record.update(
            reads=num_reads,
            chain_break_fraction=float(broken.mean()),
            chain_break_fraction_of_copies=broken,
        )
        return num_reads

    def abandon(self) -> None:
        """Settle what is reserved for a call that nobody waits for any more, or never sent."""
        if self.submission is not None:
            self.submission.abandon()
            self.record["billed_us"] = self.submission.billed_us

    def compare(self, comparison: Comparison, polished: bool) -> None:
        """Add to the record what its neurons gained, as means of the objective."""
        own = self.neurons
        self.record.update(
            energy_start=float(comparison.before[own].mean()),
            energy_found=float(comparison.found[own].mean()),
            energy=float(comparison.after[own].mean()),
            starts_kept=int((comparison.found[own] >= comparison.before[own]).sum()),
            polished=polished,
        )
