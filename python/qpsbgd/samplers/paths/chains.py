"""Chains of qubits that a path integral updates one by one or together."""

import numpy as np

from qpsbgd import _core
from qpsbgd.samplers.problem.ising import Problem


def with_chains(problem: Problem, length: int, per_update: int, strength: float) -> _core.Ising:
    """Return the problem for the core, with the chains' couplings if qubits are updated."""
    n = len(problem.linear)
    if n % length:
        raise ValueError(
            f"qubits_per_chain is {length}, but must divide the number of variables, {n}"
        )
    if per_update > 1:
        inner = np.flatnonzero(problem.pairs[0] // length == problem.pairs[1] // length)
        if len(inner):
            u, v = (problem.variables[i] for i in problem.pairs[:, inner[0]])
            raise ValueError(
                f"qubits_per_update is {per_update}, but must be 1 as {u!r} and {v!r} of one chain "
                "have an interaction in bqm"
            )
        return problem.core
    if length == 1 or n == 0:
        return problem.core
    first = np.flatnonzero(np.arange(n) % length < length - 1)
    return Problem.from_vectors(
        problem.linear,
        (np.append(problem.pairs[0], first), np.append(problem.pairs[1], first + 1)),
        np.append(problem.quadratic, np.full(len(first), strength)),
        "dense" if problem.form == "dense" else "sparse",
    ).core
