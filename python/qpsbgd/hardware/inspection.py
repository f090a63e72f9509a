"""Calls in the form that D-Wave's problem inspector shows.

The inspector draws a chip with its qubits, and beside it the problem that is embedded there. Both
are in the gauge and the scale of the call, so that values of qubits and variables agree.
"""

from typing import Any

import dimod
import numpy as np
from dwave.system.warnings import WarningAction, WarningHandler

from qpsbgd.hardware.programming.qubit_problem import QubitProblem
from qpsbgd.projection.sample_sets import checked_spins


def inspector_arguments(
    problem: QubitProblem, answer: dimod.SampleSet, sampler: dimod.Sampler
) -> dict[str, Any]:
    """Return the arguments of ``dwave.inspector.show`` for a call.

    Variables are called ``"copy/variable"``. The inspector needs a solver of D-Wave's service. If
    it was imported before the call, it has captured the values of all qubits and shows broken
    chains. Otherwise it shows the majority of each chain.

    Args:
        problem: problem of the call.
        answer: sample set of its qubits.
        sampler: sampler that answered.

    Returns:
        ``bqm``, the problem of all copies; ``sampleset``, its samples, whose ``info`` has the
        identifier and the times of the call, the embedding with its chain strengths, and warnings;
        and ``sampler``.

    Example:
        >>> import numpy as np
        >>> from qpsbgd.hardware import DWaveProjector, mock_annealer
        >>> projector = DWaveProjector(mock_annealer("chimera", (1, 1, 4)), max_copies=1)
        >>> X, T = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
        >>> _ = projector(X, T)
        >>> list(projector.last_call["bqm"].variables)
        ['0/0', '0/1', '0/2']
        >>> sorted(projector.last_call)
        ['bqm', 'sampler', 'sampleset']
    """
    layout = problem.layout
    size = layout.num_variables
    labels = [f"{copy}/{v}" for copy in range(layout.num_copies) for v in range(size)]
    owners = layout.copy_of * size + layout.variable_of  # (Q,)
    h = np.bincount(owners, problem.h, len(labels))  # (C * V,)
    inside, J = layout.num_chain_couplers, problem.J
    first, second = owners[layout.couplers[inside:]].T
    bqm = dimod.BinaryQuadraticModel.from_numpy_vectors(h, (first, second, J[inside:]), 0.0, "SPIN")
    bqm.relabel_variables(dict(enumerate(labels)))
    strengths = np.zeros(layout.num_copies)  # chains of one qubit have none
    strengths[layout.copy_of_coupler[:inside]] = -J[:inside]
    chains = np.split(layout.qubits, layout.starts[1:])
    embedding = {label: chain.tolist() for label, chain in zip(labels, chains, strict=True)}
    context = {
        "embedding": embedding,
        "chain_strength": dict(zip(labels, np.repeat(strengths, size).tolist(), strict=True)),
        "chain_break_method": "majority_vote",
    }
    voted, is_broken = problem.votes(checked_spins(answer, layout.qubits))
    sampleset = dimod.SampleSet.from_samples_bqm(
        (voted.reshape(len(voted), -1), labels),
        bqm,
        num_occurrences=answer.record.num_occurrences,
    )
    sampleset = dimod.append_data_vectors(
        sampleset, chain_break_fraction=is_broken.mean(axis=(1, 2)).tolist()
    )
    warnings = WarningHandler(WarningAction.SAVE)
    warnings.chain_length(embedding)
    warnings.chain_break(answer, embedding)
    warnings.too_few_samples(sampleset)
    sampleset.info.update(
        answer.info,
        embedding_context=context,
        warnings=[*answer.info.get("warnings", ()), *warnings.saved],
    )
    return {"bqm": bqm, "sampleset": sampleset, "sampler": sampler}
