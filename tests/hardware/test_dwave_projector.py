"""A layer on a (mock) annealer: quality, calls, budget, failures, records."""

import contextlib
import copy
import json
import logging
import pickle

import dimod
import numpy as np
import pytest

pytest.importorskip("dwave.system", reason="dwave-system is not installed")

from dwave.cloud.exceptions import RequestTimeout, SolverFailureError, SolverOfflineError
from dwave.system import DWaveSampler
from dwave.system.testing import MockDWaveSampler

import qpsbgd
from qpsbgd import LayerProblem, ProjectionOptions
from qpsbgd.errors import CallError, UnembeddableError, UnsupportedInputsError
from qpsbgd.hardware import BudgetExceededError, DWaveProjector, mock_annealer

SMALL = {"chimera": (4, 4, 4), "pegasus": (4,), "zephyr": (3, 4)}


@pytest.fixture
def machine():
    return mock_annealer("pegasus", (3,))


@pytest.fixture
def make(machine, tmp_path):
    """A projector on a small mock, its embeddings in a folder of the test."""

    def projector(sampler=None, **options):
        options = {"num_reads": 20, "retry_wait": 0.0, "cache": tmp_path / "cache", **options}
        return DWaveProjector(machine if sampler is None else sampler, **options)

    return projector


def data(rng, num_samples=12, n=6, m=5, binary=False):
    X = rng.normal(size=(num_samples, n)).astype(np.float32)
    if binary:
        X = np.where(X > 0, np.float32(1), np.float32(-1))
    return X, rng.normal(size=(num_samples, m)).astype(np.float32)


class Failing(MockDWaveSampler):
    """A mock some of whose calls go wrong: by number, an error or a change to the answer."""

    def __init__(self, faults, **options):
        super().__init__(topology_type="pegasus", topology_shape=[3], **options)
        self.faults, self.num_calls = faults, 0

    def sample(self, bqm, **kwargs):
        fault = self.faults.get(self.num_calls)
        self.num_calls += 1
        if isinstance(fault, BaseException):
            raise fault
        found = super().sample(bqm, **kwargs)
        return found if fault is None else fault(found)


@pytest.mark.parametrize("topology", SMALL)
@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_the_optimum_is_found(rng, make, topology, objective):
    X, T = data(rng, num_samples=5, n=5, binary=objective == "sign")
    projector = make(mock_annealer(topology, SMALL[topology], num_sweeps=500), num_reads=100)
    found = projector(X, T, ProjectionOptions(objective=objective, seed=0))
    best = qpsbgd.project(X, T, objective=objective, num_reads=200, num_sweeps=50)
    energies, least = (
        qpsbgd.projection_energy(X, T, rows, objective=objective) for rows in (found, best)
    )
    np.testing.assert_allclose(energies, least, rtol=1e-6)


@pytest.mark.slow
def test_64_neurons_of_16_inputs_in_one_call_on_p16(rng, make, shared_cache):
    X, T = data(rng, num_samples=100, n=16, m=64)
    cache = shared_cache / "qpsbgd" / "embeddings"
    projector = make(mock_annealer("pegasus"), num_reads=100, cache=cache)
    found = projector(X, T, ProjectionOptions(seed=0))
    assert len(projector.last_calls) == 1
    assert projector.last_calls[0]["neurons"] == 64
    bqms = qpsbgd.gradient_bqms(X, T)
    exact = qpsbgd.ExhaustiveSampler()
    least = np.array([exact.sample(bqm).first.energy for bqm in bqms])
    energies = qpsbgd.projection_energy(X, T, found)
    assert (energies <= least * (1 + 1e-6)).mean() >= 0.95
    start = qpsbgd.project(X, T, num_sweeps=0)
    assert (energies <= qpsbgd.projection_energy(X, T, start)).all()


@pytest.mark.parametrize("objective", ["quadratic", "sign"])
def test_never_worse_than_the_linear_minimiser(rng, make, objective):
    """Whatever comes back."""

    def noise(found):
        values = rng.choice([-1, 1], found.record.sample.shape)
        return dimod.SampleSet.from_samples(
            (values, list(found.variables)),
            vartype="SPIN",
            energy=-1e9,
            num_occurrences=found.record.num_occurrences,
        )

    X, T = data(rng, binary=objective == "sign", num_samples=4)
    found = make(Failing(dict.fromkeys(range(99), noise)))(
        X, T, ProjectionOptions(objective=objective)
    )
    start = qpsbgd.project(X, T, objective=objective, num_sweeps=0)
    energies, before = (
        qpsbgd.projection_energy(X, T, rows, objective=objective) for rows in (found, start)
    )
    assert (energies <= before).all()


def test_rows_beyond_the_copies_go_in_further_calls_and_copies_left_over_in_gauges(rng, make):
    X, T = data(rng, n=6, m=7)
    projector = make(max_copies=3)
    found = projector(X, T, ProjectionOptions(seed=3))
    assert [call["neurons"] for call in projector.last_calls] == [3, 2, 2]
    assert [call["copies"] for call in projector.last_calls] == [3, 3, 3]
    assert [call["gauge_seed"] for call in projector.last_calls] == [[3, 0], [3, 1], [3, 2]]
    np.testing.assert_array_equal(found, projector(X, T, ProjectionOptions(seed=3))[: len(found)])


def test_all_calls_of_a_step_are_sent_before_the_first_is_waited_for(rng, make):
    events = []

    class Slow(MockDWaveSampler):
        def sample(self, bqm, **kwargs):
            number = len(events)
            events.append(("sent", number))
            found = super().sample(bqm, **kwargs)

            class Later:
                def done(self):
                    return True

            def resolve(_):
                events.append(("waited", number))
                return found

            return dimod.SampleSet.from_future(Later(), resolve)

    projector = make(Slow(topology_type="pegasus", topology_shape=[3]), max_copies=3)
    layers = [LayerProblem(name, 4, *data(rng, m=m)) for name, m in (("a", 4), ("b", 2))]
    binaries = projector.project_step(layers)
    assert [binary.shape for binary in binaries] == [(4, 6), (2, 6)]
    assert [kind for kind, _ in events] == ["sent"] * 3 + ["waited"] * 3
    labels = [call["label"] for call in projector.last_calls]
    assert labels == ["qpsbgd/run/4/a/0", "qpsbgd/run/4/a/1", "qpsbgd/run/4/b/0"]


def test_neurons_without_a_gradient_cost_nothing(rng, make):
    X, T = data(rng)
    T[:, [1, 3]] = 0.0
    projector = make()
    projector(X, T)
    assert projector.last_calls[0]["neurons"] == 3
    assert projector(X, np.zeros_like(T)).shape == (5, 6)
    assert projector.last_calls == []


def test_polish_is_recorded_and_ends_in_a_local_minimum(rng, make):
    X, T = data(rng, n=8, m=6)
    projector = make(MockDWaveSampler(topology_type="pegasus", topology_shape=[3]), polish=True)
    found = projector(X, T, ProjectionOptions(num_sweeps=50))
    np.testing.assert_array_equal(qpsbgd.project(X, T, initial=found, num_sweeps=1), found)
    for call in projector.last_calls:
        assert call["polished"] is True
        assert call["energy"] <= call["energy_found"]
    projector(X, T, ProjectionOptions(num_sweeps=0))
    assert not any(call["polished"] for call in projector.last_calls)


def test_chain_strength_by_number_or_function(rng, make):
    X, T = data(rng)
    seen = []

    def strength(bqm, embedding):
        seen.append((bqm.vartype, len(bqm), sorted(embedding)))
        return 7.5

    first, second = make(chain_strength=strength, max_copies=2), make(chain_strength=2)
    first(X, T), second(X, T)
    assert seen == [(dimod.SPIN, 6, list(range(6)))]  # once for three calls
    assert {call["chain_strength"] for call in first.last_calls} == {7.5}
    assert second.last_calls[0]["chain_strength"] == 2.0
    with pytest.raises(ValueError, match="chain_strength is 0, but must be positive"):
        make(chain_strength=0)


def test_the_same_seed_gives_the_same_calls(rng, make):
    X, T = data(rng, m=9)
    rows = [
        make(mock_annealer("pegasus", (3,), num_sweeps=2), num_reads=1)(
            X, T, ProjectionOptions(seed=5)
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*rows)


# What does not fit


def test_a_layer_that_does_not_fit(rng, make):
    X, T = data(rng, n=60)
    with pytest.raises(UnembeddableError):
        make()(X, T)
    projector = make(on_unembeddable="native")
    with pytest.warns(UserWarning, match="layer 'layer' is solved natively"):
        found = projector(X, T, ProjectionOptions(num_sweeps=5, seed=0))
    np.testing.assert_array_equal(found, qpsbgd.project(X, T, num_sweeps=5, seed=0))
    assert projector.last_calls == []
    projector(X, T)  # told once


def test_the_sign_objective_of_real_inputs(rng, make):
    X, T = data(rng)
    with pytest.raises(UnsupportedInputsError, match="objective='sign' needs"):
        make()(X, T, ProjectionOptions(objective="sign"))
    projector = make(on_unembeddable="native")
    with pytest.warns(UserWarning, match="natively"):
        projector(X, T, ProjectionOptions(objective="sign"))


def test_the_sign_objective_of_padded_inputs_is_embedded_once(rng, make, monkeypatch):
    """Zeros change how many variables a sample has; one place serves all steps."""
    from qpsbgd.hardware.embedding import cache

    found, real = [], cache.pack_graph

    def counting(*args, **kwargs):
        found.append(args[2])
        return real(*args, **kwargs)

    monkeypatch.setattr(cache, "pack_graph", counting)
    projector = make(mock_annealer("pegasus", (4,), num_sweeps=500), num_reads=100)
    for _ in range(4):
        X, T = data(rng, num_samples=5, n=5, m=2, binary=True)
        X[0] = 1.0  # one sample at least has no zero
        X[1:] *= rng.random((4, 5)) > 0.3
        rows = projector(X, T, ProjectionOptions(objective="sign"))
        best = qpsbgd.project(X, T, objective="sign", num_reads=200, num_sweeps=50)
        energies, least = (
            qpsbgd.projection_energy(X, T, each, objective="sign") for each in (rows, best)
        )
        np.testing.assert_allclose(energies, least, rtol=1e-6)
    assert len(found) == 1


def test_errors_in_the_data_name_the_layer(rng, make):
    X, T = data(rng)
    X[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"layer 'deep': X\[1, 2\] is nan"):
        make().project_step([LayerProblem("deep", 0, X, T)])


# Budget


def test_a_step_that_may_exceed_the_budget_is_not_sent(rng, make):
    X, T = data(rng, m=7)
    sampler = Failing({})
    projector = make(sampler, budget_us=1.0, max_copies=3)
    with pytest.raises(BudgetExceededError, match=r"step 0 \(3 calls\) is estimated to take"):
        projector(X, T)
    assert sampler.num_calls == 0
    assert projector.budget.spent_us == projector.budget.reserved_us == 0.0
    projector.budget.limit_us = 1e9
    projector(X, T)
    assert sampler.num_calls == 3
    # The mock bills the same for every call.
    assert projector.budget.spent_us == pytest.approx(3 * 8550.28)
    assert projector.budget.reserved_us == 0.0


def test_the_ledger_is_read_again(rng, make, tmp_path):
    X, T = data(rng)
    ledger = tmp_path / "spent.json"
    first = make(ledger=ledger)
    first(X, T)
    again = make(ledger=ledger)
    assert again.budget.spent_us == first.budget.spent_us > 0


# Failures


def spoil(change):
    def spoiled(found):
        values, energies = found.record.sample.astype(float), found.record.energy.copy()
        labels = list(found.variables)
        values, energies, labels = change(values, energies, labels)
        record = np.rec.array(
            list(zip(values, energies, np.ones(len(values), int), strict=True)),
            dtype=[
                ("sample", float, (values.shape[1],)), ("energy", float),
                ("num_occurrences", int),
            ],
        )  # fmt: skip
        return dimod.SampleSet(record, labels, found.info, "SPIN")

    return spoiled


NONSENSE = {
    "NaN": spoil(lambda values, energies, labels: (values * np.nan, energies, labels)),
    "NaN energy": spoil(lambda values, energies, labels: (values, energies * np.nan, labels)),
    "a missing variable": spoil(lambda v, e, labels: (v[:, 1:], e, labels[1:])),
    "another variable": spoil(lambda v, e, labels: (v, e, ["x", *labels[1:]])),
    "no reads": spoil(lambda values, energies, labels: (values[:0], energies[:0], labels)),
}
FINAL = {"failed": SolverFailureError("broken"), "unheard of": RuntimeError("?")}


@pytest.mark.parametrize("fault", [*NONSENSE, *FINAL, "offline"])
@pytest.mark.parametrize("on_failure", ["retry", "native", "error"])
def test_a_call_that_fails(rng, make, fault, on_failure):
    X, T = data(rng, m=7)
    outcome = {**NONSENSE, **FINAL, "offline": SolverOfflineError("off")}[fault]
    always = dict.fromkeys(range(1, 9), outcome) if fault == "offline" else {1: outcome}
    sampler = Failing(always)
    projector = make(sampler, max_copies=3, on_failure=on_failure, max_retries=2)
    if on_failure == "native":
        with pytest.warns(UserWarning, match=r"call qpsbgd/run/0/layer/\d failed"):
            found = projector(X, T, ProjectionOptions(seed=1))
        start = qpsbgd.project(X, T, num_sweeps=0)
        energies, before = (qpsbgd.projection_energy(X, T, rows) for rows in (found, start))
        assert (energies <= before).all()
        assert "natively" in projector.last_calls[1].get("solved", "")
    else:
        with pytest.raises(CallError, match=r"call qpsbgd/run/0/layer/\d: ") as caught:
            projector(X, T, ProjectionOptions(seed=1))
        assert caught.value.__cause__ is not None
    assert projector.budget.reserved_us == 0.0
    assert "error" in projector.last_calls[1]
    # A useless answer was paid for and is not requested again. An offline machine is tried again if
    # the options allow it.
    tries = {"retry": 3, "native": 3, "error": 1}[on_failure]
    assert sampler.num_calls == (1 + 2 * tries if fault == "offline" else 3)


def test_an_answer_without_times_is_taken(rng, make):
    def silent(found):
        found.info["timing"] = None
        return found

    projector = make(Failing({0: silent}))
    projector(*data(rng))
    (call,) = projector.last_calls
    assert call["timing_us"] == {}
    assert call["billed_us"] == call["estimate_us"]


def test_offline_for_a_while(rng, make):
    X, T = data(rng)
    sampler = Failing({0: SolverOfflineError("off"), 1: SolverOfflineError("off")})
    projector = make(sampler)
    projector(X, T)
    assert projector.last_calls[0]["attempts"] == 3


def test_fewer_reads_than_asked_for_are_taken_and_told(rng, make):
    fewer = spoil(lambda values, energies, labels: (values[:1], energies[:1], labels))
    projector = make(Failing({0: fewer}))
    with pytest.warns(UserWarning, match="has 1 reads, but 20 were asked for"):
        projector(*data(rng))
    assert (projector.last_calls[0]["reads"], projector.last_calls[0]["reads_asked"]) == (1, 20)


def test_ctrl_c_while_sending_counts_what_may_have_been_sent(rng, make):
    X, T = data(rng, m=7)
    projector = make(Failing({1: KeyboardInterrupt()}), max_copies=3)
    with pytest.raises(KeyboardInterrupt):
        projector(X, T)
    estimate = projector.last_calls[0]["estimate_us"]
    assert projector.budget.reserved_us == 0.0
    # The third was never sent.
    assert projector.budget.spent_us == pytest.approx(2 * estimate)
    bills = [call["billed_us"] for call in projector.last_calls]
    assert bills == pytest.approx([estimate, estimate, 0.0])


def test_answers_of_a_step_that_failed_are_not_paid_for_again(rng, make):
    X, T = data(rng, m=7)
    sampler = Failing({1: SolverFailureError("broken")})
    projector = make(sampler, max_copies=3)
    with pytest.raises(CallError):
        projector(X, T, ProjectionOptions(seed=4))
    spent = projector.budget.spent_us
    assert spent == pytest.approx(2 * 8550.28)
    found = projector(X, T, ProjectionOptions(seed=4))
    assert sampler.num_calls == 4  # the one that failed, once more
    start = qpsbgd.project(X, T, num_sweeps=0)
    energies, before = (qpsbgd.projection_energy(X, T, rows) for rows in (found, start))
    assert (energies <= before).all()
    assert [call["kept"] for call in projector.last_calls] == [True, False, True]
    assert projector.budget.spent_us == pytest.approx(3 * 8550.28)
    projector(X, T, ProjectionOptions(seed=4))  # and a step that was finished is not remembered
    assert sampler.num_calls == 7


def test_a_step_that_was_interrupted_takes_up_what_it_waited_for(rng, make):
    class Later(MockDWaveSampler):
        interrupts, num_calls = 1, 0

        def sample(self, bqm, **kwargs):
            self.num_calls += 1
            found = super().sample(bqm, **kwargs)

            def resolve(_):
                if self.interrupts:
                    self.interrupts -= 1
                    raise KeyboardInterrupt
                return found

            return dimod.SampleSet.from_future(object(), resolve)

    sampler = Later(topology_type="pegasus", topology_shape=[3])
    projector, (X, T) = make(sampler, max_copies=3), data(rng, m=7)
    with pytest.raises(KeyboardInterrupt):
        projector(X, T, ProjectionOptions(seed=4))
    assert projector.budget.spent_us == pytest.approx(
        sum(call["estimate_us"] for call in projector.last_calls)
    )
    projector(X, T, ProjectionOptions(seed=4))
    assert sampler.num_calls == 3
    assert projector.budget.spent_us == pytest.approx(3 * 8550.28)
    assert all(call["kept"] for call in projector.last_calls)


def test_a_projector_can_be_pickled(rng, make):
    """Another process gets a projector with the time that this one has spent."""
    X, T = data(rng)
    projector = make()
    projector(X, T, ProjectionOptions(seed=1))
    twin = pickle.loads(pickle.dumps(projector))
    assert twin.budget.spent_us == projector.budget.spent_us
    np.testing.assert_array_equal(
        twin(X, T, ProjectionOptions(seed=2)), projector(X, T, ProjectionOptions(seed=2))
    )
    assert twin.last_call["bqm"] == projector.last_call["bqm"]


def test_a_copy_of_an_optimiser_has_the_same_budget(make):
    projector = make()
    assert copy.deepcopy(projector) is projector


def test_a_sampler_of_the_callers_is_not_closed(make):
    closed = []

    class Closing(MockDWaveSampler):
        def close(self):
            closed.append(True)

    with make(Closing(topology_type="pegasus", topology_shape=[3])):
        pass
    assert not closed


# Records


def test_a_line_a_call(rng, make, tmp_path):
    log = tmp_path / "calls.jsonl"
    projector = make(log=log, run="trial", max_copies=3)
    X, T = data(rng, m=5)
    projector(X, T, ProjectionOptions(seed=9))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 2
    first = lines[0]
    assert first["label"] == "qpsbgd/trial/0/layer/0"
    assert first["kind"] == "mock"
    assert len(first["scales"]) == 3
    assert min(first["scales"]) > 0
    for name in ("solver", "graph_id", "embedding", "chain_strength", "gauge_seed", "reads",
                 "annealing_time_us", "timing_us", "chain_break_fraction", "energy_start",
                 "energy_found", "energy", "starts_kept", "polished", "billed_us", "problem_id",
                 "attempts", "estimate_us", "time"):  # fmt: skip
        assert name in first
    start = qpsbgd.projection_energy(X, T, qpsbgd.project(X, T, num_sweeps=0))
    assert first["energy_start"] == pytest.approx(start[:3].mean())
    assert first["energy"] <= first["energy_start"]
    assert "QPU" not in log.read_text()
    assert "qpu" not in log.read_text()


def test_a_failed_call_has_a_line_too(rng, make, tmp_path):
    log = tmp_path / "calls.jsonl"
    projector = make(Failing({0: SolverFailureError("broken")}), log=log)
    with pytest.raises(CallError):
        projector(*data(rng))
    (line,) = map(json.loads, log.read_text().splitlines())
    assert "SolverFailureError: broken" in line["error"]


def test_records_and_budget_agree(rng, make, tmp_path):
    log = tmp_path / "calls.jsonl"
    faults = {1: SolverFailureError("broken"), 4: NONSENSE["NaN"]}
    projector = make(Failing(faults), max_copies=3, log=log)
    for seed in range(3):
        with contextlib.suppress(CallError):
            projector(*data(rng, m=7), ProjectionOptions(seed=seed))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 9
    assert sum(line["billed_us"] for line in lines) == pytest.approx(projector.budget.spent_us)


def test_a_log_that_cannot_be_written(rng, make, tmp_path):
    with pytest.raises(FileNotFoundError):
        make(log=tmp_path / "missing" / "calls.jsonl")
    folder = tmp_path / "folder"
    folder.mkdir()
    projector = make(log=folder / "calls.jsonl")
    (folder / "calls.jsonl").unlink()
    folder.rmdir()
    with pytest.warns(UserWarning, match="a call has no line in"):
        found = projector(*data(rng))
    assert found.shape == (5, 6)
    assert projector.budget.spent_us > 0


TOKEN, ODD_TOKEN = "ABCD-" + "0123456789abcdef" * 3, "not-the-usual-form-of-a-token"


@pytest.fixture
def secretive(monkeypatch, tmp_path, caplog, request):
    """A token in the environment, nobody at the endpoint, and a root logger at DEBUG."""
    (tmp_path / "none.conf").write_text("[defaults]\nhttp_retry_total = 0\n")
    monkeypatch.setenv("DWAVE_API_ENDPOINT", "http://127.0.0.1:9/")
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "none.conf"))
    monkeypatch.setenv("DWAVE_API_TOKEN", request.param)
    with caplog.at_level(logging.DEBUG):
        yield request.param


@pytest.mark.parametrize("secretive", [TOKEN, ODD_TOKEN], indirect=True)
@pytest.mark.parametrize("own_sampler", [False, True])
@pytest.mark.slow
def test_no_token_in_anyones_log(secretive, caplog, capfd, own_sampler):
    with pytest.raises((ConnectionError, RequestTimeout)) as caught:
        DWaveSampler(solver="nowhere") if own_sampler else DWaveProjector(solver="nowhere")
    assert secretive not in repr(caught.value)
    # The client does say what it was configured with.
    assert any("token" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        assert secretive not in logging.Formatter().format(record)
    seen = capfd.readouterr()
    assert secretive not in seen.out + seen.err


@pytest.mark.parametrize("secretive", [TOKEN, ODD_TOKEN], indirect=True)
def test_no_token_in_records_and_errors(rng, make, tmp_path, secretive):
    log = tmp_path / "calls.jsonl"
    fault = SolverFailureError(f"headers were X-Auth-Token: {secretive}")
    sampler = Failing({0: fault, 1: fault})
    projector = make(sampler, log=log)
    with pytest.raises(CallError, match="X-Auth-Token") as caught:
        projector(*data(rng))
    projector = make(sampler, log=log, on_failure="native")
    with pytest.warns(UserWarning, match="X-Auth-Token") as warned:
        projector(*data(rng))
    files = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert files.count("X-Auth-Token") == 2
    for text in (str(caught.value), str(warned[0].message), files):
        assert secretive not in text


def test_without_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("DWAVE_API_TOKEN", raising=False)
    monkeypatch.setenv("DWAVE_CONFIG_FILE", str(tmp_path / "none.conf"))
    (tmp_path / "none.conf").write_text("")
    with pytest.raises(ValueError, match=r"no D-Wave API token: run `dwave setup`") as caught:
        DWaveProjector()
    assert "token not defined" in str(caught.value.__cause__)


# Arguments


def test_what_is_refused(make):
    with pytest.raises(TypeError, match="must be a structured dimod sampler"):
        DWaveProjector(dimod.ExactSolver())
    with pytest.raises(ValueError, match="profile, solver and region apply without a sampler"):
        make(solver="x")
    with pytest.raises(ValueError, match="on_failure is 'ignore'"):
        make(on_failure="ignore")
    with pytest.raises(ValueError, match="on_unembeddable is 'skip'"):
        make(on_unembeddable="skip")
    with pytest.raises(ValueError, match="sample_kwargs has 'beta', but mock of pegasus 3 takes"):
        make(sample_kwargs={"beta": 1})
    with pytest.raises(ValueError, match="sample_kwargs has 'auto_scale'"):
        make(sample_kwargs={"auto_scale": True})
    for name, value, message in (
        ("num_reads", 0, "num_reads is 0"),
        ("retry_wait", -1, "retry_wait is -1"),
        ("target_eps", -1, "target_eps is -1"),
        ("penalty_factor", 0.5, "penalty_factor is 0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**{name: value})
    with pytest.raises(ValueError, match="annealing_time is given twice"):
        make(annealing_time=1.0, sample_kwargs={"annealing_time": 2.0})


def test_more_reads_than_the_machine_takes_are_refused_before_a_call(rng, make):
    sampler = Failing({}, properties={"num_reads_range": [1, 10]})
    with pytest.raises(ValueError, match=r"num_reads is 20, but must lie in \[1, 10\]"):
        make(sampler)(*data(rng))
    assert sampler.num_calls == 0


def test_parameters_reach_the_machine(rng, make):
    seen = []

    class Listening(MockDWaveSampler):
        def sample(self, bqm, **kwargs):
            seen.append(kwargs)
            return super().sample(bqm, num_reads=kwargs["num_reads"])

    projector = make(
        Listening(topology_type="pegasus", topology_shape=[3]),
        annealing_time=5.0,
        sample_kwargs={"reduce_intersample_correlation": False},
    )
    projector(*data(rng))
    assert seen[0]["annealing_time"] == 5.0
    assert seen[0]["reduce_intersample_correlation"] is False
    assert seen[0]["num_reads"] == 20
    assert seen[0]["label"].startswith("qpsbgd/run/0/layer/")


def test_a_real_machine_does_not_scale_by_itself(rng, make, monkeypatch):
    """Each copy is scaled already, as much as its own biases allow."""
    seen = []

    class Listening(MockDWaveSampler):
        def sample(self, bqm, **kwargs):
            seen.append(kwargs)
            return super().sample(bqm, num_reads=kwargs["num_reads"])

    monkeypatch.setattr("qpsbgd.hardware.annealer.machine.Machine.kind", "QPU")
    projector = make(Listening(topology_type="pegasus", topology_shape=[3]))
    projector(*data(rng))
    assert seen[0]["auto_scale"] is False
    assert projector.last_calls[0]["kind"] == "QPU"


def test_a_mock_with_dead_qubits_or_given_properties():
    whole = mock_annealer("pegasus", (3,))
    dead = mock_annealer("pegasus", (3,), dead_qubits=0.1, seed=1)
    assert len(dead.nodelist) == round(0.9 * len(whole.nodelist))
    told = {name: dead.properties[name] for name in ("topology", "qubits", "couplers")}
    again = mock_annealer(properties=json.loads(json.dumps(told)))
    assert (again.nodelist, again.edgelist) == (dead.nodelist, dead.edgelist)
    with pytest.raises(ValueError, match="dead_qubits is 1"):
        mock_annealer(dead_qubits=1)
    with pytest.raises(ValueError, match="no 'couplers'"):
        mock_annealer(properties={"topology": {}, "qubits": []})
