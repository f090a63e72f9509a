"""One call to a machine: the problem of some neurons, its submission, its answer and its record."""

import hashlib
import json
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dimod
import numpy as np
import numpy.typing as npt

from qpsbgd.hardware.annealer.client import redacted
from qpsbgd.hardware.programming.qubit_problem import QubitProblem
from qpsbgd.hardware.service.submission import Submission
from qpsbgd.projection.sample_sets import Comparison, Ranking, checked_spins

Spins = npt.NDArray[np.int8]

#: The submission adds a suffix; D-Wave allows 1024 characters.
_LABEL_LENGTH = 1000
#: Records omit this prefix of the times in ``info["timing"]``: only a real machine is called QPU.
_TIMING_PREFIX = "qpu_"
#: Longer times, infinity and NaN are no times in microseconds, and JSON has no form for them.
_LONGEST_TIME = 1e15


@dataclass
class Call:
    """One call, from its problem to its record.

    Attributes:
        neurons: neurons of the layer that the call solves.
        problem: problem on the qubits.
        label: label of the call at the machine.
        parameters: parameters of the sampler's ``sample``, apart from the label.
        estimate_us: estimated access time in microseconds, which the budget reserves.
        record: what the log says of the call.
        submission: the problem on its way. It may come from an earlier attempt at the same step.
        answer: sample set of the qubits; None until it arrives.
    """

    neurons: npt.NDArray[np.intp]
    problem: QubitProblem
    label: str
    parameters: Mapping[str, Any]
    estimate_us: float
    record: dict[str, Any]
    submission: Submission | None = None
    answer: dimod.SampleSet | None = None

    @property
    def key(self) -> str:
        """Digest of the problem, which is the same when a later process repeats a step."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.problem.layout.qubits, self.problem.h, self.problem.J):
            digest.update(array.tobytes())
        names = [self.record.get("solver"), self.record.get("graph_id")]
        for part in (names, *sorted(self.parameters.items())):
            try:
                text = json.dumps(part, default=_to_json)
            except TypeError:  # such as keys that are tuples
                text = repr(part)
            digest.update(text.encode())
        return digest.hexdigest()

    def receive(self, ranking: Ranking, rows: Spins) -> int:
        """Read the answer and write the best read of each neuron into ``rows (m, n)``.

        Args:
            ranking: order of the reads of a neuron.
            rows: rows of all neurons of the layer.

        Returns:
            Number of reads of the answer.

        Raises:
            CallError: the submission has no answer.
            BudgetExceededError: another attempt exceeded the budget.
            OSError: the ledger could not be read or written before another attempt.
            ValueError: the ledger is damaged.
            InvalidSampleSetError: the answer does not fit the problem.
        """
        assert self.submission is not None
        submission, layout = self.submission, self.problem.layout
        self.record.update(
            attempts=submission.num_attempts,
            problem_id=submission.problem_id,
            billed_us=submission.billed_us,
        )
        if submission.error is not None:
            raise submission.error
        sampleset = submission.sampleset
        assert sampleset is not None
        self.record["timing_us"] = _timing_us(sampleset.info.get("timing"))
        samples = checked_spins(sampleset, layout.qubits)  # (samples, qubits)
        occurrences = np.asarray(sampleset.record.num_occurrences, np.intp)
        self.answer = sampleset
        spins, broken = self.problem.read(samples, occurrences)
        num_inputs = rows.shape[1]
        for neuron in self.neurons.tolist():
            copies = self.problem.neurons == neuron
            reads = spins[copies, :, :num_inputs].reshape(-1, num_inputs)
            rows[neuron] = ranking.best(neuron, reads)
        num_reads = int(occurrences.sum())
        self.record.update(
            reads=num_reads,
            chain_break_fraction=float(broken.mean()),
            chain_break_fraction_of_copies=broken,
        )
        return num_reads

    def abandon(self) -> None:
        """Settle the cost of a call that nobody waits for, or that was never sent."""
        if self.submission is not None:
            self.submission.abandon()
            self.record["billed_us"] = self.submission.billed_us

    def record_energies(self, comparison: Comparison, *, is_polished: bool) -> None:
        """Add the means of the objective over the call's neurons to the record."""
        own = self.neurons
        self.record.update(
            energy_start=float(comparison.before[own].mean()),
            energy_found=float(comparison.found[own].mean()),
            energy=float(comparison.after[own].mean()),
            starts_kept=int((comparison.found[own] >= comparison.before[own]).sum()),
            polished=is_polished,
        )

    def write_record(self, log: Path | None) -> None:
        """Append the record to a log as one line of JSON, if the call was sent."""
        if log is None or self.submission is None or not self.submission.num_attempts:
            return
        stamped = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **self.record}
        line = json.dumps(stamped, default=_to_json)
        try:
            with log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            # The answer is paid for: a log must not prevent its use.
            warnings.warn(f"a call has no line in {log}: {error}", stacklevel=2)


def call_label(*parts: object) -> str:
    """Return a label for D-Wave's dashboard, without spaces and characters special to HTML."""
    text = "/".join(["qpsbgd", *map(str, parts)])
    return re.sub(r"[<>&'\"\s]", "_", text)[:_LABEL_LENGTH]


def _timing_us(timing: object) -> dict[str, float]:
    """Return the times of an answer in microseconds; empty where it has none."""
    if not isinstance(timing, Mapping):
        return {}
    return {
        name.removeprefix(_TIMING_PREFIX): float(value)
        for name, value in timing.items()
        if isinstance(name, str) and isinstance(value, (int, float)) and abs(value) < _LONGEST_TIME
    }


def _to_json(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    # The answer is paid for: a record must not prevent its use, whatever a sampler puts into it.
    return redacted(repr(value))
