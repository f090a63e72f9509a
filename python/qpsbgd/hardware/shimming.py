"""Flux biases that balance the chains of an embedding.

A qubit without a bias should be found up as often as down. Imperfect calibration, and the strong
couplings in chains, make it prefer one side. A small flux bias on each qubit restores the balance.
The biases belong to the qubits: the gauges of a call do not change them.

Reference: K. Chern et al., "Tutorial: Calibration refinement in quantum annealing",
Frontiers in Computer Science 5 (2023).
"""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from qpsbgd._checks.numbers import checked_count, checked_real
from qpsbgd.hardware.annealer.machine import access_time_us, check_run_time
from qpsbgd.hardware.annealer.parameters import is_reverse
from qpsbgd.hardware.calls import Call, call_label
from qpsbgd.hardware.programming.qubit_problem import QubitProblem
from qpsbgd.hardware.projector import DWaveProjector
from qpsbgd.projection import gradient_bqms
from qpsbgd.projection.sample_sets import checked_spins

#: Flux bias, in flux quanta, that takes one step of a single qubit from always up to balance. It is
#: about the effective temperature at freeze-out times dwave.system.temperatures.h_to_fluxbias(1).
DEFAULT_STEP = 4e-5


def shim_flux_biases(
    projector: DWaveProjector,
    num_inputs: int,
    *,
    num_calls: int = 10,
    step: float = DEFAULT_STEP,
) -> dict[int, float]:
    """Find flux biases that balance the chains for layers of a size, and use them from now on.

    Each call holds the chains alone, without linear biases and without couplings between chains.
    Chains that are up more often than down get a lower flux bias, and the others a higher one. The
    calls have the projector's reads, count in its budget and have lines in its log. More reads
    measure the balance better. Flux biases in the projector's ``sample_kwargs`` are the start.

    A call has only the chains of one layout. For a network, call this function for each size of its
    layers, the most important last. The biases drift within hours; repeat the calls in long runs.

    Args:
        projector: projector whose machine accepts ``flux_biases``. Its later calls use the result.
        num_inputs: number of inputs of the layers, as of the quadratic objective.
        num_calls: number of calls.
        step: change of the flux bias of a single qubit that is always up, in flux quanta. The
            change of a chain is divided by its length, since all its qubits push together.

    Returns:
        The flux bias of each qubit of the layout, in flux quanta.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the machine takes no flux biases, the anneals are reverse ones, or a value is
            out of range.
        UnembeddableError: the layers do not fit the machine.
        BudgetExceededError: the next call may exceed the budget.
        CallError: a call has no answer. The biases found so far are in use.

    Example:
        >>> from qpsbgd.hardware import DWaveProjector, mock_annealer, shim_flux_biases
        >>> projector = DWaveProjector(mock_annealer("chimera", (1, 1, 4)), max_copies=1)
        >>> biases = shim_flux_biases(projector, 3, num_calls=1)
        >>> len(biases) >= 3, max(map(abs, biases.values())) <= 4e-5
        (True, True)
    """
    machine = projector.machine
    checked_count("num_inputs", num_inputs, 1)
    checked_count("num_calls", num_calls, 1)
    step = checked_real("step", step)
    if not 0.0 < step < np.inf:
        raise ValueError(f"step is {step!r}, but must be positive and finite")
    if "flux_biases" not in machine.sampler.parameters:
        raise ValueError(f"{machine.name} takes no flux_biases, which shimming has to set")
    if is_reverse(projector.options.parameters):
        raise ValueError("shimming needs forward anneals, but reverse_schedule is set")
    problem = _chains(projector, num_inputs)
    qubits = problem.layout.qubits
    lengths = problem.layout.chain_lengths[problem.layout.copy_of, problem.layout.variable_of]
    biases = projector.options.parameters.get("flux_biases")
    if biases is None:
        size = machine.properties.get("num_qubits") or 1 + max(machine.sampler.nodelist)
        biases = np.zeros(size)
    biases = np.array(biases, np.float64)
    for number in range(num_calls):
        balance = _balance(projector, problem, biases, number)  # (Q,)
        biases[qubits] -= step / lengths * balance
        parameters = {**projector.options.parameters, **_parameters(projector, biases)}
        projector.options = dataclasses.replace(projector.options, parameters=parameters)
    return dict(zip(qubits.tolist(), biases[qubits].tolist(), strict=True))


def _chains(projector: DWaveProjector, num_inputs: int) -> QubitProblem:
    """Return the problem of the chains alone, which are as strong as the machine allows."""
    X, T = np.ones((1, num_inputs), np.float32), np.ones((1, 1), np.float32)
    bqms = gradient_bqms(X, T)
    layout = projector.layouts.layout(bqms)
    free = dataclasses.replace(bqms, fields=0.0 * bqms.fields, values=0.0 * bqms.values)
    return QubitProblem.of_neurons(
        layout,
        free,
        np.zeros(layout.num_copies, np.intp),
        np.ones((layout.num_copies, layout.num_variables), np.int8),
        chain_strength=1.0,
        ranges=projector.machine.ranges,
    )


def _parameters(
    projector: DWaveProjector, biases: npt.NDArray[np.float64]
) -> dict[str, list[float] | bool]:
    """Return the parameters that flux biases add; D-Wave refuses them with its own scaling."""
    has_scaling = "auto_scale" in projector.machine.sampler.parameters
    return {"flux_biases": biases.tolist()} | ({"auto_scale": False} if has_scaling else {})


def _balance(
    projector: DWaveProjector,
    problem: QubitProblem,
    biases: npt.NDArray[np.float64],
    number: int,
) -> npt.NDArray[np.float64]:
    """Return the mean spin of each qubit's chain, ``(Q,)``, from one call."""
    machine, options, layout = projector.machine, projector.options, problem.layout
    parameters = {
        **options.parameters,
        **_parameters(projector, biases),
        "num_reads": options.num_reads,
    }
    timed = machine.properties, layout.num_qubits, options.num_reads, parameters
    check_run_time(*timed)
    estimate_us = access_time_us(*timed)
    label = call_label(options.run, "shim", layout.num_variables, number)
    record: dict[str, Any] = {
        "label": label,
        "solver": machine.name,
        "kind": machine.kind,
        "graph_id": machine.graph_id,
        "embedding": layout.packing.digest,
        "qubits": layout.num_qubits,
        "estimate_us": estimate_us,
    }
    call = Call(np.empty(0, np.intp), problem, label, parameters, estimate_us, record)
    answer = projector.solve_call(call)
    spins = checked_spins(answer, layout.qubits)  # (samples, Q)
    means = np.average(spins, axis=0, weights=answer.record.num_occurrences)  # (Q,)
    sums = np.add.reduceat(means, layout.starts)  # (C * V,)
    of_chains = sums.reshape(layout.chain_lengths.shape) / layout.chain_lengths  # (C, V)
    record["imbalance"] = float(np.sqrt((of_chains**2).mean()))
    call.write_record(projector.log)
    balance: npt.NDArray[np.float64] = of_chains[layout.copy_of, layout.variable_of]
    return balance
