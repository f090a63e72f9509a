"""One layer in one step: its calls, their answers, and the native solver where calls fail."""

import dataclasses
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qpsbgd._checks.choices import checked_choice
from qpsbgd._checks.numbers import checked_count, checked_nonnegative, checked_real, checked_threads
from qpsbgd.errors import (
    BudgetExceededError,
    CallError,
    InvalidSampleSetError,
    UnembeddableError,
    UnsupportedInputsError,
)
from qpsbgd.hardware.annealer.client import redacted
from qpsbgd.hardware.annealer.machine import Machine, access_time_us, check_run_time
from qpsbgd.hardware.annealer.parameters import is_reverse, protocol
from qpsbgd.hardware.calls import Call, call_label
from qpsbgd.hardware.programming.chain_strength import (
    ChainStrength,
    chain_strength,
    checked_chain_strength,
)
from qpsbgd.hardware.programming.layout import Layout, Layouts
from qpsbgd.hardware.programming.qubit_problem import QubitProblem
from qpsbgd.hardware.service.delivery import cancel
from qpsbgd.hardware.service.locks import Lock
from qpsbgd.projection import LayerProblem
from qpsbgd.projection.encoding import checked_penalty_factor, encode
from qpsbgd.projection.native import minimise
from qpsbgd.projection.sample_sets import Ranking, linear_minimisers, never_worse

Spins = npt.NDArray[np.int8]
OnUnembeddable = Literal["native", "error"]
OnFailure = Literal["retry", "native", "error"]


@dataclass(frozen=True)
class CallOptions:
    """Checked options of a projector's calls.

    The attributes are the arguments of :class:`~qpsbgd.hardware.DWaveProjector` that have the same
    names, and ``parameters``: the parameters of the sampler apart from ``num_reads`` and ``label``.
    """

    num_reads: int
    parameters: Mapping[str, Any]
    chain_strength: ChainStrength | None
    polish: bool
    on_unembeddable: OnUnembeddable
    on_failure: OnFailure
    max_retries: int
    retry_wait: float
    target_eps: float
    penalty_factor: float
    num_threads: int | None
    run: str

    def __post_init__(self) -> None:
        """Check all options but ``parameters``, which the machine checks; convert the numbers."""
        checked_choice("on_unembeddable", self.on_unembeddable, get_args(OnUnembeddable))
        checked_choice("on_failure", self.on_failure, get_args(OnFailure))
        checked_threads(self.num_threads)
        numbers = {
            "num_reads": checked_count("num_reads", self.num_reads, 1),
            "chain_strength": checked_chain_strength(self.chain_strength),
            "max_retries": checked_count("max_retries", self.max_retries, 0),
            "retry_wait": checked_real("retry_wait", self.retry_wait),
            "target_eps": checked_nonnegative("target_eps", self.target_eps),
            "penalty_factor": checked_penalty_factor(self.penalty_factor),
        }
        if not 0.0 <= self.retry_wait < math.inf:
            raise ValueError(
                f"retry_wait is {self.retry_wait!r}, but must be finite and at least 0"
            )
        for name, value in numbers.items():
            object.__setattr__(self, name, value)  # the class is frozen


class OnceWarner:
    """Function that warns once per kind of event."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._lock = Lock()

    def __call__(self, kind: str, message: str) -> None:
        """Warn with ``message``, unless there was a warning of this kind."""
        with self._lock:
            is_new = kind not in self._kinds
            self._kinds.add(kind)
        if is_new:
            warnings.warn(message, stacklevel=2)


class LayerCalls:
    """Problems of one layer in one step, divided into calls.

    Args:
        layer: problems of the layer.
        machine: machine that solves them.
        layouts: layouts of problems on the machine.
        options: options of the calls.
        warn: function that warns once per kind of event.

    Attributes:
        calls: the calls in order; empty where the layer is solved natively, or has no gradient.

    Raises:
        UnembeddableError: the problems do not fit the machine, under ``on_unembeddable="error"``.
        UnsupportedInputsError: the sign objective does not allow the inputs, under the same option.
        ValueError: the data or the options are invalid.
    """

    def __init__(
        self,
        layer: LayerProblem,
        machine: Machine,
        layouts: Layouts,
        options: CallOptions,
        warn: OnceWarner,
    ) -> None:
        layer = _with_defaults(layer, options)
        self._layer, self._machine, self._options, self._warn = layer, machine, options, warn
        self._rows = np.ones(layer.shape, np.int8)  # (m, n), answers of the calls
        self._native_rows: Spins | None = None
        self._starts: Spins | None = None  # (m, V), from which reverse anneals start
        self._is_native = False
        self.calls: list[Call] = []
        try:
            self._bqms = encode(layer.X, layer.T, layer.options, options.penalty_factor)
            layout = layouts.layout(self._bqms)
        except (UnembeddableError, UnsupportedInputsError) as error:
            if options.on_unembeddable == "error":
                raise type(error)(
                    f"layer {layer.name!r}: {error}; with on_unembeddable='native' it is solved "
                    "without the annealer"
                ) from error
            warn(layer.name, f"layer {layer.name!r} is solved natively: {error}")
            self._is_native = True
            return
        except ValueError as error:
            raise ValueError(f"layer {layer.name!r}: {error}") from error
        self._ranking = Ranking(self._bqms, layer)
        self._divide(layout)

    def _divide(self, layout: Layout) -> None:
        """Divide the neurons into calls."""
        active = np.flatnonzero(self._layer.T.any(axis=0))  # other neurons have no gradient
        if not len(active):
            return
        options = self._options
        if is_reverse(options.parameters):
            self._starts = self._bqms.complete(linear_minimisers(self._layer))
        timed = self._machine.properties, layout.num_qubits, options.num_reads, options.parameters
        check_run_time(*timed)
        estimate_us = access_time_us(*timed)
        strength = chain_strength(options.chain_strength, self._bqms, layout)
        num_calls = math.ceil(len(active) / layout.num_copies)
        for number, neurons in enumerate(np.array_split(active, num_calls)):
            self.calls.append(self._call(number, neurons, layout, strength, estimate_us))

    def _call(
        self,
        number: int,
        neurons: npt.NDArray[np.intp],
        layout: Layout,
        strength: float,
        estimate_us: float,
    ) -> Call:
        layer, options = self._layer, self._options
        # Spare copies repeat neurons under other gauges.
        in_copies = neurons[np.arange(layout.num_copies) % len(neurons)]
        gauge_seed = [layer.options.seed, number]
        bits = np.random.default_rng(gauge_seed).integers(
            2, size=(layout.num_copies, layout.num_variables), dtype=np.int8
        )
        problem = QubitProblem.of_neurons(
            layout,
            self._bqms,
            in_copies,
            2 * bits - np.int8(1),
            chain_strength=strength,
            ranges=self._machine.ranges.with_gains(options.parameters.get("h_gain_schedule", ())),
        )
        label = call_label(options.run, layer.step, layer.name, number)
        parameters = {**options.parameters, "num_reads": options.num_reads}
        if self._starts is not None:
            parameters["initial_state"] = problem.initial_state(self._starts[in_copies])
        record = {
            "label": label,
            "solver": self._machine.name,
            "kind": self._machine.kind,
            "graph_id": self._machine.graph_id,
            "embedding": layout.packing.digest,
            "objective": layer.options.objective,
            "neurons": len(neurons),
            "copies": layout.num_copies,
            "qubits": layout.num_qubits,
            "longest_chain": layout.packing.longest_chain,
            "chain_strength": strength,
            "gauge_seed": gauge_seed,
            "scales": problem.scales,
            "reads_asked": options.num_reads,
            "protocol": protocol(options.parameters),
            "annealing_time_us": options.parameters.get("annealing_time"),
            "estimate_us": estimate_us,
        }
        return Call(neurons, problem, label, parameters, estimate_us, record)

    def receive(self, call: Call) -> Exception | None:
        """Read the answer of a call that was delivered.

        Returns:
            The error that the step has to raise; None where the call was answered, or its neurons
            were solved natively.
        """
        options = self._options
        try:
            num_reads = call.receive(self._ranking, self._rows)
        except (CallError, InvalidSampleSetError) as error:
            return self._after_failure(call, error)
        except (BudgetExceededError, OSError, ValueError) as error:
            _record_error(call, error)
            return error
        if num_reads < options.num_reads:
            self._warn(
                "reads",
                f"call {call.label} has {num_reads} reads, but {options.num_reads} were asked for",
            )
        return None

    def _after_failure(self, call: Call, error: Exception) -> Exception | None:
        """Record the failure; return the error to raise, or solve the call's neurons natively."""
        message = _record_error(call, error)
        is_invalid = isinstance(error, InvalidSampleSetError)
        if call.submission is not None and (is_invalid or self._options.on_failure == "native"):
            call.submission.is_useless = True
            cancel([call.submission])
        if self._options.on_failure != "native":
            failure = CallError(f"call {call.label}: {message}", getattr(error, "problem_id", None))
            failure.__cause__ = error if is_invalid else error.__cause__
            return failure
        self._warn(
            "failed", f"call {call.label} failed, its neurons are solved natively: {message}"
        )
        if self._native_rows is None:
            self._native_rows = self._solve_natively()
        self._rows[call.neurons] = self._native_rows[call.neurons]
        call.record["solved"] = "natively"
        return None

    def finish(self) -> Spins:
        """Return the binary gradient ``(m, n)``; no row is worse than the linear minimiser."""
        if self._is_native:
            return self._solve_natively()
        polish = self._options.polish
        comparison = never_worse(self._layer, self._rows, polish=polish)
        is_polished = polish and self._layer.options.num_sweeps > 0
        for call in self.calls:
            call.record_energies(comparison, is_polished=is_polished)
        return comparison.binary

    def _solve_natively(self) -> Spins:
        options = self._layer.options
        options = dataclasses.replace(options, num_sweeps=max(options.num_sweeps, 1))
        return minimise(self._layer.X, self._layer.T, options)


def _record_error(call: Call, error: Exception) -> str:
    """Write an error into the record of a call; return its message without secrets."""
    message = redacted(str(error))
    call.record["error"] = f"{type(error).__name__}: {message}"
    return message


def _with_defaults(layer: LayerProblem, options: CallOptions) -> LayerProblem:
    """Return the layer with the projector's values in the place of options that are None."""
    # The option is the native solver's number of reads; the calls have a number of their own.
    projection = dataclasses.replace(layer.options, num_reads=None)
    projection = projection.filled(target_eps=options.target_eps, num_threads=options.num_threads)
    return dataclasses.replace(layer, options=projection)
