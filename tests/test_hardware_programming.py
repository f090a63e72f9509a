"""Problems on qubits: against Ocean's embedding, ranges, gauges and scales, and the way back."""

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.embedding import embed_bqm, unembed_sampleset
from dwave.system.coupling_groups import coupling_groups

import qpsbgd
from qpsbgd.errors import UnembeddableError
from qpsbgd.hardware.embedding import ideal_graph, pack_cliques, pack_graph
from qpsbgd.hardware.programming import Program, Ranges

GRAPHS = {"chimera": (4, 4, 4), "pegasus": (4,), "zephyr": (3, 4)}
OPEN = Ranges()


def problems(rng, objective, n=6, m=5, num_samples=4):
    X = rng.choice([-1.0, 1.0], (num_samples, n)).astype(np.float32)
    return qpsbgd.gradient_bqms(
        X, rng.normal(size=(num_samples, m)).astype(np.float32), objective=objective
    )


def program_for(bqms, topology="pegasus", ranges=OPEN, max_copies=4):
    graph = ideal_graph(topology, GRAPHS[topology])
    if bqms.objective == "quadratic":
        packing = pack_cliques(graph, bqms.num_inputs, max_copies=max_copies)
    else:
        edges = list(zip(bqms.rows.tolist(), bqms.columns.tolist(), strict=True))
        packing = pack_graph(graph, edges, bqms.num_variables, max_copies=2)
    return Program(packing, graph, bqms, ranges), graph


def plain_call(program, bqms, chain_strength=2.0):
    """Neurons in order, no gauge."""
    neurons = np.arange(program.num_copies) % len(bqms)
    gauges = np.ones((program.num_copies, program.num_variables), np.int8)
    return program.call(bqms, neurons, gauges, chain_strength)


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("topology", GRAPHS)
def test_a_copy_is_what_ocean_embeds(rng, topology, objective):
    bqms = problems(rng, objective)
    program, graph = program_for(bqms, topology)
    call = plain_call(program, bqms)
    whole = call.bqm()
    for copy, embedding in enumerate(program.packing.embeddings):
        neuron = call.neurons[copy]
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
        q for e in program.packing.embeddings for c in e.values() for q in c
    }
    assert all(graph.has_edge(u, v) for u, v in whole.quadratic)


def test_majority_vote_is_oceans(rng):
    bqms = problems(rng, "quadratic", n=9)
    program, _ = program_for(bqms, "chimera")
    call = plain_call(program, bqms)
    samples = rng.choice([-1, 1], (20, program.num_qubits)).astype(np.int8)
    occurrences = rng.integers(1, 5, 20)
    spins, broken = call.read(samples, occurrences)
    sampleset = dimod.SampleSet.from_samples(
        (samples, program.qubits.tolist()),
        vartype="SPIN",
        energy=0.0,
        num_occurrences=occurrences,
    )
    for copy, embedding in enumerate(program.packing.embeddings):
        own = sampleset  # unembedding takes what it needs
        twin = unembed_sampleset(
            own, {v: list(c) for v, c in embedding.items()}, bqms[call.neurons[copy]],
            chain_break_fraction=True,
        )  # fmt: skip
        order = [list(twin.variables).index(v) for v in range(9)]
        voted = twin.record.sample[:, order]
        chains = [list(embedding[v]) for v in range(9)]
        columns = {q: i for i, q in enumerate(program.qubits.tolist())}
        sums = np.array([samples[:, [columns[q] for q in chain]].sum(1) for chain in chains]).T
        decided = sums != 0
        np.testing.assert_array_equal(spins[copy][decided], voted[decided])
        first = samples[:, [columns[chain[0]] for chain in chains]]
        np.testing.assert_array_equal(spins[copy][~decided], first[~decided])
        expected = np.average(twin.record.chain_break_fraction, weights=occurrences)
        assert broken[copy] == pytest.approx(expected)


def aligned(program, call, states):
    """Qubits whose chains agree with states ``(copies, V)``, as the call's gauges have them."""
    turned = states * call.gauges
    return turned[program.copy_of, program.variable_of]


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
@pytest.mark.parametrize("properties", [None, "mock"])
def test_gauges_and_scales_leave_energies_as_they_were(rng, objective, properties):
    """Of unbroken chains, up to each copy's scale and the constant of its chains."""
    bqms = problems(rng, objective)
    ranges = OPEN if properties is None else Ranges(h=(-4, 4), j=(-2, 1), qubit=(-18, 15))
    program, _ = program_for(bqms, "pegasus", ranges)
    copies, size = program.num_copies, program.num_variables
    gauges = rng.choice([-1, 1], (copies, size)).astype(np.int8)
    neurons = rng.integers(len(bqms), size=copies)
    call = program.call(bqms, neurons, gauges, 3.0)
    states = rng.choice([-1, 1], (8, copies, size)).astype(np.int8)
    qubits = np.array([aligned(program, call, state) for state in states])
    # Read back as they were.
    spins, broken = call.read(qubits, np.ones(8, int))
    np.testing.assert_array_equal(spins, states.transpose(1, 0, 2))
    assert (broken == 0).all()
    # Energies of the qubits, less what the chains have, are scaled energies of the models.
    energies = call.bqm().energies((qubits, program.qubits.tolist()))
    expected = sum(
        call.scales[copy]
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
    ranges = Ranges(h=(-4.0, 3.0), j=(-2.0, 1.0), qubit=(-9.0, 6.0))
    program, _ = program_for(bqms, topology, ranges)
    gauges = rng.choice([-1, 1], (program.num_copies, n)).astype(np.int8)
    call = program.call(bqms, np.arange(program.num_copies) % 7, gauges, 5.0)
    bqm = call.bqm()
    totals = {q: sum(bqm.adj[q].values()) for q in bqm.variables}
    fullness = np.zeros(program.num_copies)
    copy_of = dict(zip(program.qubits.tolist(), program.copy_of.tolist(), strict=True))

    def fill(qubit, value, low, high):
        assert low - 1e-9 <= value <= high + 1e-9
        share = value / low if value < 0 else value / high
        fullness[copy_of[qubit]] = max(fullness[copy_of[qubit]], share)

    for qubit, bias in bqm.linear.items():
        fill(qubit, bias, *ranges.h)
        fill(qubit, totals[qubit], *ranges.qubit)
    for (u, _), bias in bqm.quadratic.items():
        fill(u, bias, *ranges.j)
    np.testing.assert_allclose(fullness, 1.0, rtol=1e-9)


def test_groups_of_couplers_are_kept_in_range(rng):
    """As Advantage2 has them; a group may belong to several copies."""
    n = 8
    bqms = qpsbgd.gradient_bqms(
        rng.normal(size=(30, n)).astype(np.float32),
        rng.normal(size=(30, 6)).astype(np.float32),
        alpha="norm",
    )
    ranges = Ranges(h=(-4.0, 4.0), j=(-2.0, 1.0), group=(-3.0, 2.0))
    program, graph = program_for(bqms, "zephyr", ranges, max_copies=6)
    gauges = rng.choice([-1, 1], (program.num_copies, n)).astype(np.int8)
    bqm = program.call(bqms, np.arange(program.num_copies) % 6, gauges, 5.0).bqm()
    totals = [
        sum(bqm.adj[u].get(v, 0.0) for u, v in group if u in bqm.variables)
        for group in coupling_groups(graph)
    ]
    assert min(totals) == pytest.approx(-3.0, rel=1e-6) or max(totals) == pytest.approx(
        2.0, rel=1e-6
    )
    assert min(totals) >= -3.0 - 1e-6
    assert max(totals) <= 2.0 + 1e-6


def test_ranges_of_properties():
    told = {"h_range": [-4, 4], "j_range": [-1, 1], "per_qubit_coupling_range": [-18, 15]}
    assert Ranges.of(told) == Ranges((-4, 4), (-1, 1), (-18, 15))
    assert Ranges.of({**told, "extended_j_range": [-2, 1]}).j == (-2, 1)
    assert Ranges.of({"per_group_coupling_range": [-13, 10]}) == Ranges(group=(-13, 10))


def test_chains_hold_where_nothing_is_coupled(rng):
    """Orthogonal inputs: the problem is its fields alone, and chains still must not break."""
    bqms = qpsbgd.gradient_bqms(
        np.eye(8, dtype=np.float32), rng.normal(size=(8, 2)).astype(np.float32)
    )
    program, _ = program_for(bqms, "chimera", Ranges(h=(-4, 4), j=(-2, 1)), max_copies=2)
    assert program.chain_lengths.max() > 1
    call = plain_call(program, bqms, chain_strength=0.0)
    sampleset = qpsbgd.SimulatedAnnealingSampler().sample(call.bqm(), num_reads=20, seed=0)
    order = [list(sampleset.variables).index(q) for q in program.qubits.tolist()]
    spins, broken = call.read(sampleset.record.sample[:, order], np.ones(20, int))
    assert (broken == 0).all()
    np.testing.assert_array_equal(spins[:, 0], -np.sign(bqms.fields[[0, 1]]))


def test_one_variable_needs_no_coupler():
    bqms = qpsbgd.gradient_bqms(np.ones((2, 1), np.float32), np.ones((2, 3), np.float32))
    program, _ = program_for(bqms, "chimera", max_copies=3)
    call = plain_call(program, bqms)
    assert len(call.bqm().quadratic) == 0
    assert program.num_qubits == 3


def test_too_large_a_problem_is_told():
    with pytest.raises(UnembeddableError):
        pack_cliques(ideal_graph("chimera", (2, 2, 4)), 40)
