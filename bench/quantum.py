"""Annealers with a transverse field against dwave-samplers: one thread, same problem and schedule.

Path integrals: nanoseconds of an update of one qubit's worldline in one read, of the samplers'
cores, conversions left out on both sides. Both libraries divide imaginary time into 65536 slices
and an update draws all of them from one and the same distribution, so the ratio is also that of a
slice's spin. A sweep of both makes as many updates as there are qubits; dwave-samplers draws the
qubits with replacement. The last columns are means over the final states of all reads and rounds:
energies a qubit with their standard errors, and breaks a worldline. They check that the work is the
same. Sixteen reads or a multiple of it fill the lanes.

Rotors: nanoseconds of an update of one angle, by the default rule, in the order of the variables.
Energies are those of the cosines, and the last column has means of the sines.
"""

import argparse
import itertools
import json
import time

import dwave.graphs
import networkx as nx
import numpy as np
from dwave.samplers.sqa.pimc_annealing import simulated_annealing
from dwave.samplers.sqa.rotormc_annealing import simulated_annealing as rotor_annealing

from qpsbgd import _core
from qpsbgd.samplers.problem.ising import Problem


def dense(rng):
    """Return the Sherrington-Kirkpatrick model of 512 qubits: number, rows, columns, couplings."""
    n = 512
    rows, columns = np.triu_indices(n, 1)
    return n, rows, columns, rng.normal(size=len(rows)) / np.sqrt(n)


def zephyr(rng):
    """Return couplings +-1 on the Zephyr graph Z4, of 576 qubits."""
    graph = nx.convert_node_labels_to_integers(dwave.graphs.zephyr_graph(4))
    rows, columns = np.array(graph.edges).T
    return len(graph), rows, columns, rng.choice([-1.0, 1.0], len(rows))


GRAPHS = {"dense-512": (dense, 20), "zephyr-4": (zephyr, 100)}
#: Last inverse temperature of an anneal, and the transverse field at its start.
COLD, STRONG = 3.0, 3.0


def schedules(num_steps):
    """Return problem and transverse fields by name: constant ones, and an anneal."""
    time_left = np.linspace(1, 0, num_steps)
    constant = {
        f"Hd = {field}": (np.ones(num_steps), np.full(num_steps, float(field)))
        for field in (0, 1, 3, 10)
    }
    return {**constant, "anneal": (COLD * (1 - time_left), STRONG * time_left)}


def run_dwave(problem, starts, fields, seed):
    """Return the final states, their breaks and the seconds."""
    n = problem.core.num_variables
    states, numbers = starts.copy(), np.zeros(starts.shape, np.intc)
    buffer = np.zeros(64 * starts.size, np.intc)
    start = time.process_time()
    simulated_annealing(
        len(states), problem.linear, *problem.pairs, problem.quadratic, 1, *fields, 1.0, 1.0, 1, 1,
        seed, states, True, False, numbers, np.zeros(1, np.intc), buffer, 0,
    )  # fmt: skip
    seconds = time.process_time() - start
    assert states.shape == (len(starts), n)
    return states, numbers, seconds


def run_ours(problem, starts, fields, seed):
    """Return the final states, their breaks and the seconds."""
    start = time.process_time()
    states, _, _, numbers, *_ = _core.anneal_paths(
        problem.core, starts, None, None, problem_fields=fields[0].tolist(),
        transverse_fields=fields[1].tolist(), sweeps_per_step=1, chain_length=1,
        chain_coupling=0.0, update_chains=False, sample_interval=0, return_breaks=True, seed=seed,
        num_threads=1, time_limit=np.inf, watch=None,
    )  # fmt: skip
    return states, numbers, time.process_time() - start


def run_dwave_rotors(problem, starts, fields, seed):
    """Return the final cosines, their sines and the seconds."""
    angles = (64 - 64 * starts.astype(int)).astype(np.uint8)
    start = time.process_time()
    rotor_annealing(
        len(angles), problem.linear, *problem.pairs, problem.quadratic, np.ones(starts.shape[1]), 1,
        *fields, seed, angles, False, "MetropolisUniform", 0,
    )  # fmt: skip
    seconds = time.process_time() - start
    return *cosines_and_sines(angles), seconds


def run_our_rotors(problem, starts, fields, seed):
    """Return the final cosines, their sines and the seconds."""
    angles = (64 - 64 * starts.astype(int)).astype(np.uint8)
    start = time.process_time()
    angles, *_ = _core.anneal_rotors(
        problem.core, angles, problem_fields=fields[0].tolist(),
        transverse_fields=fields[1].tolist(), transverse=np.ones(starts.shape[1], np.float32),
        proposal=_core.RotorProposal.uniform, acceptance=_core.Acceptance.Metropolis,
        draw_order=False, sweeps_per_step=1, sample_interval=0, seed=seed, num_threads=1,
        time_limit=np.inf, watch=None,
    )  # fmt: skip
    seconds = time.process_time() - start
    return *cosines_and_sines(angles), seconds


def cosines_and_sines(angles):
    """Return the cosines of angles, and the magnitudes of their sines."""
    return np.cos(np.pi * angles / 128), abs(np.sin(np.pi * angles / 128))


RUNS = {"paths": (run_dwave, run_ours), "rotors": (run_dwave_rotors, run_our_rotors)}


def energies_of(problem, states):
    """Return the energies of states, which may be cosines."""
    first, second = problem.pairs
    return (states[:, first].astype(float) * states[:, second]) @ problem.quadratic


def measure(model, graph, schedule, reads, rounds, seed):
    """Return a row of the table."""
    make, num_sweeps = GRAPHS[graph]
    n, rows, columns, values = make(np.random.default_rng(seed))
    problem = Problem.from_vectors(np.zeros(n), (rows, columns), values)
    fields = schedules(num_sweeps)[schedule]
    result = {"model": model, "graph": graph, "schedule": schedule, "form": problem.form}
    samples = {"dwave": [], "ours": []}
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        starts = rng.choice(np.array([-1, 1], np.int8), (reads, n))
        for name, run in zip(samples, RUNS[model], strict=True):
            states, numbers, seconds = run(problem, starts, fields, number + 1)
            energies = energies_of(problem, states) / n
            samples[name].append((seconds, energies, numbers.mean()))
    for name, found in samples.items():
        seconds, energies, numbers = zip(*found, strict=True)
        energies = np.concatenate(energies)
        result[name] = {
            "ns": 1e9 * min(seconds) / (reads * num_sweeps * n),
            "energy": float(energies.mean()),
            "error": float(energies.std(ddof=1) / np.sqrt(len(energies))),
            "breaks": float(np.mean(numbers)),
        }
    result["ratio"] = result["dwave"]["ns"] / result["ours"]["ns"]
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--graphs", nargs="+", choices=GRAPHS, default=list(GRAPHS))
    parser.add_argument("--reads", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.json:
        print(f"{_core.isa()}, {args.reads} reads, fastest of {args.rounds} rounds")
        print(
            f"{'model':6} {'graph':10} {'schedule':8}  {'dwave ns':>9} {'ours ns':>8} "
            f"{'ratio':>6}   {'energy a qubit, dwave':>22} {'and ours':>18} {'breaks, sines':>13}"
        )
    for model, graph, schedule in itertools.product(args.models, args.graphs, schedules(1)):
        row = measure(model, graph, schedule, args.reads, args.rounds, args.seed)
        if args.json:
            print(json.dumps(row))
            continue
        theirs, ours = row["dwave"], row["ours"]
        print(
            f"{model:6} {graph:10} {schedule:8}  {theirs['ns']:9.1f} {ours['ns']:8.1f} "
            f"{row['ratio']:6.1f}   {theirs['energy']:12.4f} +- {theirs['error']:.4f} "
            f"{ours['energy']:10.4f} +- {ours['error']:.4f} "
            f"{theirs['breaks']:6.2f} {ours['breaks']:6.2f}"
        )


if __name__ == "__main__":
    main()
