"""Problems on qubits: against Ocean's embedding, ranges, gauges and scales, and the way back."""

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.embedding import embed_bqm, unembed_sampleset
from dwave.system.coupling_groups import coupling_groups

import qpsbgd
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.annealer.machine import Ranges
from qpsbgd.hardware.embedding import ideal_graph, pack_cliques, pack_graph
from qpsbgd.hardware.programming.layout import Layout
from qpsbgd.hardware.programming.qubit_problem import QubitProblem

GRAPHS = {"chimera": (4, 4, 4), "pegasus": (4,), "zephyr": (3, 4)}
OPEN = Ranges()


def problems(rng, objective, n=6, m=5, num_samples=4):
    X = rng.choice([-1.0, 1.0], (num_samples, n)).astype(np.float32)
    return qpsbgd.gradient_bqms(
        X, rng.normal(size=(num_samples, m)).astype(np.float32), objective=objective
    )


def layout_for(bqms, topology="pegasus", max_copies=4):
    graph = ideal_graph(topology, GRAPHS[topology])
    if bqms.objective == "quadratic":
        packing = pack_cliques(graph, bqms.num_inputs, max_copies=max_copies)
    else:
        edges = list(zip(bqms.rows.tolist(), bqms.columns.tolist(), strict=True))
        packing = pack_graph(graph, edges, bqms.num_variables, max_copies=2)
    return Layout(packing, graph, bqms), graph


def problem_of(layout, bqms, neurons, gauges, chain_strength, ranges=OPEN):
    return QubitProblem.of_neurons(
        layout, bqms, neurons, gauges, chain_strength=chain_strength, ranges=ranges
    )


def plain_problem(layout, bqms, chain_strength=2.0, ranges=OPEN):
    """Neurons in order, no gauge."""
    neurons = np.arange(layout.num_copies) % len(bqms)
    gauges = np.ones((layout.num_copies, layout.num_variables), np.int8)
    return problem_of(layout, bqms, neurons, gauges, chain_strength, ranges)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("topology", GRAPHS)
def test_a_copy_is_what_ocean_embeds(rng, topology, objective):
    bqms = problems(rng, objective)
    layout, graph = layout_for(bqms, topology)
    problem = plain_problem(layout, bqms)
    whole = problem.bqm()
    for copy, embedding in enumerate(layout.packing.embeddings):
        neuron = problem.neurons[copy]
        twin = embed_bqm(
            bqms[neuron],
            {v: list(chain) for v, chain in embedding.items()},
            graph.adj,
            chain_strength=2.0 * bqms.factors[neuron],
        )
        for qubit, bias in twin.linear.items():
            assert whole.linear[qubit] == pytest.approx(bias, abs=1e-12)
        for (u, v), bias in twin.quadratic.items():
            # A coupling of 0 need not be there.
            assert whole.adj[u].get(v, 0.0) == pytest.approx(bias, abs=1e-12)
    assert set(whole.variables) == {
        q for e in layout.packing.embeddings for c in e.values() for q in c
    }
    assert all(graph.has_edge(u, v) for u, v in whole.quadratic)


def test_majority_vote_is_oceans(rng):
    bqms = problems(rng, "quadratic", n=9)
    layout, _ = layout_for(bqms, "chimera")
    problem = plain_problem(layout, bqms)
    samples = rng.choice([-1, 1], (20, layout.num_qubits)).astype(np.int8)
    occurrences = rng.integers(1, 5, 20)
    spins, broken = problem.read(samples, occurrences)
    sampleset = dimod.SampleSet.from_samples(
        (samples, layout.qubits.tolist()),
        vartype="SPIN",
        energy=0.0,
        num_occurrences=occurrences,
    )
    for copy, embedding in enumerate(layout.packing.embeddings):
        own = sampleset  # unembedding takes what it needs
        twin = unembed_sampleset(
            own, {v: list(c) for v, c in embedding.items()}, bqms[problem.neurons[copy]],
            chain_break_fraction=True,
        )  # fmt: skip
        order = [list(twin.variables).index(v) for v in range(9)]
        voted = twin.record.sample[:, order]
        chains = [list(embedding[v]) for v in range(9)]
        columns = {q: i for i, q in enumerate(layout.qubits.tolist())}
        sums = np.array([samples[:, [columns[q] for q in chain]].sum(1) for chain in chains]).T
        decided = sums != 0
        np.testing.assert_array_equal(spins[copy][decided], voted[decided])
        first = samples[:, [columns[chain[0]] for chain in chains]]
        np.testing.assert_array_equal(spins[copy][~decided], first[~decided])
        expected = np.average(twin.record.chain_break_fraction, weights=occurrences)
        assert broken[copy] == pytest.approx(expected)


def aligned(layout, problem, states):
    """Qubits whose chains agree with states ``(copies, V)``, as the call's gauges have them."""
    turned = states * problem.gauges
    return turned[layout.copy_of, layout.variable_of]


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("properties", [None, "mock"])
def test_gauges_and_scales_leave_energies_as_they_were(rng, objective, properties):
    """Energies of unbroken chains agree up to each copy's scale and the constant of its chains."""
    bqms = problems(rng, objective)
    ranges = OPEN if properties is None else Ranges(h=(-4, 4), J=(-2, 1), qubit=(-18, 15))
    layout, _ = layout_for(bqms, "pegasus")
    copies, size = layout.num_copies, layout.num_variables
    gauges = rng.choice([-1, 1], (copies, size)).astype(np.int8)
    neurons = rng.integers(len(bqms), size=copies)
    problem = problem_of(layout, bqms, neurons, gauges, 3.0, ranges)
    states = rng.choice([-1, 1], (8, copies, size)).astype(np.int8)
    qubits = np.array([aligned(layout, problem, state) for state in states])
    # Read back as they were.
    spins, broken = problem.read(qubits, np.ones(8, int))
    np.testing.assert_array_equal(spins, states.transpose(1, 0, 2))
    assert (broken == 0).all()
    # Energies of the qubits, less what the chains have, are scaled energies of the models.
    energies = problem.bqm().energies((qubits, layout.qubits.tolist()))
    expected = sum(
        problem.scales[copy]
        * (bqms.energies(neurons[copy], states[:, copy]) - bqms.offsets[neurons[copy]])
        for copy in range(copies)
    )
    differences = energies - expected
    np.testing.assert_allclose(differences, differences[0], rtol=1e-9)


@pytest.mark.parametrize("topology", ["pegasus", "zephyr"])
@pytest.mark.parametrize("magnitude", [1e-6, 1.0, 1e6])
def test_every_bias_is_in_range_and_one_of_each_copy_at_its_end(rng, topology, magnitude):
    n = 10
    X = rng.normal(size=(30, n)).astype(np.float32)
    T = magnitude * rng.normal(size=(30, 7)).astype(np.float32)
    bqms = qpsbgd.gradient_bqms(X, T.astype(np.float32))
    ranges = Ranges(h=(-4.0, 3.0), J=(-2.0, 1.0), qubit=(-9.0, 6.0))
    layout, _ = layout_for(bqms, topology)
    gauges = rng.choice([-1, 1], (layout.num_copies, n)).astype(np.int8)
    neurons = np.arange(layout.num_copies) % 7
    bqm = problem_of(layout, bqms, neurons, gauges, 5.0, ranges).bqm()
    totals = {q: sum(bqm.adj[q].values()) for q in bqm.variables}
    fullness = np.zeros(layout.num_copies)
    copy_of = dict(zip(layout.qubits.tolist(), layout.copy_of.tolist(), strict=True))

    def fill(qubit, value, low, high):
        assert low - 1e-9 <= value <= high + 1e-9
        share = value / low if value < 0 else value / high
        fullness[copy_of[qubit]] = max(fullness[copy_of[qubit]], share)

    for qubit, bias in bqm.linear.items():
        fill(qubit, bias, *ranges.h)
        fill(qubit, totals[qubit], *ranges.qubit)
    for (u, _), bias in bqm.quadratic.items():
        fill(u, bias, *ranges.J)
    np.testing.assert_allclose(fullness, 1.0, rtol=1e-9)


def test_groups_of_couplers_are_kept_in_range(rng):
    """As Advantage2 has them; a group may belong to several copies."""
    n = 8
    bqms = qpsbgd.gradient_bqms(
        rng.normal(size=(30, n)).astype(np.float32),
        rng.normal(size=(30, 6)).astype(np.float32),
        alpha="norm",
    )
    ranges = Ranges(h=(-4.0, 4.0), J=(-2.0, 1.0), group=(-3.0, 2.0))
    layout, graph = layout_for(bqms, "zephyr", max_copies=6)
    gauges = rng.choice([-1, 1], (layout.num_copies, n)).astype(np.int8)
    neurons = np.arange(layout.num_copies) % 6
    bqm = problem_of(layout, bqms, neurons, gauges, 5.0, ranges).bqm()
    totals = [
        sum(bqm.adj[u].get(v, 0.0) for u, v in group if u in bqm.variables)
        for group in coupling_groups(graph)
    ]
    assert min(totals) == pytest.approx(-3.0, rel=1e-6) or max(totals) == pytest.approx(
        2.0, rel=1e-6
    )
    assert min(totals) >= -3.0 - 1e-6
    assert max(totals) <= 2.0 + 1e-6


@pytest.mark.parametrize("topology", ["pegasus", "zephyr"])
def test_sums_of_couplings_do_not_exceed_their_range_by_rounding(rng, topology):
    """In whatever order they are added; a machine refuses one unit in the last place."""
    n = 8
    for seed in range(8):
        bqms = qpsbgd.gradient_bqms(
            rng.normal(size=(30, n)).astype(np.float32),
            rng.normal(size=(30, 6)).astype(np.float32),
            alpha="norm",
        )
        name = "group" if topology == "zephyr" else "qubit"
        ranges = Ranges(h=(-4.0, 4.0), J=(-2.0, 1.0), **{name: (-2.7, 1.3)})
        layout, graph = layout_for(bqms, topology, max_copies=6)
        gauges = rng.choice([-1, 1], (layout.num_copies, n)).astype(np.int8)
        neurons = np.arange(layout.num_copies) % 6
        problem = problem_of(layout, bqms, neurons, gauges, 5.0, ranges)
        ends = layout.qubits[layout.couplers].tolist()
        J = {frozenset(pair): J for pair, J in zip(ends, problem.J.tolist(), strict=True)}
        groups = (
            list(coupling_groups(graph))
            if topology == "zephyr"
            else [graph.edges(q) for q in layout.qubits.tolist()]
        )
        totals = []
        for group in groups:
            values = [J[frozenset(edge)] for edge in group if frozenset(edge) in J]
            orders = (values, values[::-1], sorted(values), sorted(values, key=abs))
            totals += [sum(order) for order in orders]
        assert min(totals) >= -2.7
        assert max(totals) <= 1.3
        fullest = max(max(totals) / 1.3, min(totals) / -2.7)
        assert fullest == pytest.approx(1.0, abs=2e-9), seed  # the range binds


def test_ranges_of_properties():
    told = {"h_range": [-4, 4], "j_range": [-1, 1], "per_qubit_coupling_range": [-18, 15]}
    assert Ranges.from_properties(told) == Ranges((-4, 4), (-1, 1), (-18, 15))
    assert Ranges.from_properties({**told, "extended_j_range": [-2, 1]}).J == (-2, 1)
    assert Ranges.from_properties({"per_group_coupling_range": [-13, 10]}) == Ranges(
        group=(-13, 10)
    )


def test_chains_hold_where_nothing_is_coupled(rng):
    """Orthogonal inputs: the problem is its fields alone, and chains still must not break."""
    bqms = qpsbgd.gradient_bqms(
        np.eye(8, dtype=np.float32), rng.normal(size=(8, 2)).astype(np.float32)
    )
    layout, _ = layout_for(bqms, "chimera", max_copies=2)
    assert layout.chain_lengths.max() > 1
    ranges = Ranges(h=(-4, 4), J=(-2, 1))
    problem = plain_problem(layout, bqms, chain_strength=0.0, ranges=ranges)
    sampleset = qpsbgd.SimulatedAnnealingSampler().sample(problem.bqm(), num_reads=20, seed=0)
    order = [list(sampleset.variables).index(q) for q in layout.qubits.tolist()]
    spins, broken = problem.read(sampleset.record.sample[:, order], np.ones(20, int))
    assert (broken == 0).all()
    np.testing.assert_array_equal(spins[:, 0], -np.sign(bqms.fields[[0, 1]]))


def test_one_variable_needs_no_coupler():
    bqms = qpsbgd.gradient_bqms(np.ones((2, 1), np.float32), np.ones((2, 3), np.float32))
    layout, _ = layout_for(bqms, "chimera", max_copies=3)
    problem = plain_problem(layout, bqms)
    assert len(problem.bqm().quadratic) == 0
    assert layout.num_qubits == 3


def test_too_large_a_problem_is_told():
    with pytest.raises(UnembeddableError):
        pack_cliques(ideal_graph("chimera", (2, 2, 4)), 40)
