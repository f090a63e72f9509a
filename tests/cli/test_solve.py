"""``qpsbgd solve``: one instance, one solution, whatever ends the search."""

import itertools
import json
import os
import select
import signal
import struct
import subprocess
import sys
import types
from pathlib import Path

import dimod
import pytest

click_testing = pytest.importorskip("click.testing")
pytest.importorskip("tqdm")

from qpsbgd import __version__, _core, atomic, cli, formats, samplers, solve, strategies

K4 = "4 6\n1 2 3\n1 3 1\n1 4 2\n2 3 1\n2 4 2\n3 4 5\n"  # the best cut: 11
GKA = "3 4\n1 1 -3\n2 2 1\n1 2 2\n2 3 -2\n"  # the least: -3


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "k4.rudy"
    path.write_text(K4)
    return path


def run(*args, expect=0):
    """The command in this process."""
    result = click_testing.CliRunner().invoke(cli.main, ["solve", *map(str, args)])
    assert result.exit_code == expect, (result.output, result.exception)
    return result


def optimum(instance):
    bqm = instance.bqm
    states = itertools.product(sorted(bqm.vartype.value), repeat=bqm.num_variables)
    return instance.objective(min(bqm.energies((list(states), bqm.variables))))


@pytest.mark.parametrize("solver", solve.SOLVERS)
@pytest.mark.parametrize(
    ("name", "content"), [("a.rudy", K4), ("a.sparse", GKA)], ids=["rudy", "biqmac"]
)
@pytest.mark.parametrize("sense", ["maximise", "minimise"])
def test_optimum_of_small_problems(tmp_path, solver, name, content, sense):
    path = tmp_path / name
    path.write_text(content)
    instance = formats.read(path, sense=sense)
    solution = solve.solve(instance, solver, time_limit=0.1, seed=1)
    assert solution.objective == optimum(instance)
    state = dict(zip(instance.bqm.variables, solution.assignment, strict=True))
    assert instance.bqm.energy(state) == solution.energy
    assert solution.optimal == (solver in ("exhaustive", "portfolio"))  # so few are enumerated


@pytest.mark.parametrize("solver", ["sa", "tabu", "pt", "exhaustive"])
def test_json(graph, tmp_path, solver):
    out = tmp_path / "solution.json"
    done = run(
        graph, "--solver", solver, "--time-limit", 0.1, "--seed", 7, "--threads", 2, "--json",
        "--out", out,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout == out.read_text()
    facts = json.loads(done.stdout)
    parameters = facts.pop("parameters")
    assert parameters["time_limit"] == 0.1
    assert parameters["target"] is None
    assert facts.pop("seconds") > 0
    assert facts.pop("stopped_by") in ("finished", "time_limit")
    spins = facts.pop("assignment")
    edges = [list(map(int, line.split())) for line in K4.splitlines()[1:]]
    assert sum(w for i, j, w in edges if spins[i - 1] != spins[j - 1]) == 11
    digest = subprocess.run(["sha256sum", graph], capture_output=True, text=True, check=True).stdout
    assert facts == {
        "file": str(graph), "format": "rudy", "sha256": digest.split()[0], "sense": "maximise",
        "sense_source": "format", "sense_reason": "a rudy file is a Max-Cut problem",
        "found_by": solver, "num_variables": 4, "num_interactions": 6, "solver": solver,
        "seed": 7, "objective": 11.0, "energy": -11.0, "optimal": solver == "exhaustive",
        "version": __version__, "isa": _core.isa(), "threads": 2, "vartype": "SPIN",
        "variables": [1, 2, 3, 4],
    }  # fmt: skip
    assert list(tmp_path.glob("*.tmp")) == []


def test_text(graph):
    done = run(graph, "--solver", "sa", "--target", 11)
    objective, sense, assignment = done.stdout.splitlines()
    assert objective.startswith("Objective 11 (maximise), stopped by target after 0.")
    assert objective.endswith(" s, seed 0")
    assert sense == "Sense: maximise, as a rudy file is a Max-Cut problem"
    assert assignment in (
        "Assignment: +-+-",
        "Assignment: -+-+",
        "Assignment: ++--",
        "Assignment: --++",
        "Assignment: +--+",
        "Assignment: -++-",
    )
    spins = {"+": 1, "-": -1}
    state = {v + 1: spins[c] for v, c in enumerate(assignment.split()[1])}
    instance = formats.read(graph)
    assert instance.objective(instance.bqm.energy(state)) == 11
    assert done.stderr == ""  # no bar where there is no terminal


QUBO = "p qubo 0 3 1 2\n0 0 -5\n0 1 2\n1 2 -1\n"


@pytest.mark.parametrize(
    ("comment", "flags", "objective", "reason"),
    [
        ("c", [], -5, "minimise, as a qubo file does not state its sense, and qbsolv minimises; "
         "the bqp instances of the OR-Library are to be maximised"),
        ("c", ["--maximize"], 0, "maximise, as --maximize was given"),
        ("c sense max", [], 0, "maximise, as line 1 of the file says so"),
        ("c sense max", ["--minimize"], -5, "minimise, as --minimize was given"),
    ],
)  # fmt: skip
def test_the_sense_and_its_reason(tmp_path, comment, flags, objective, reason):
    path = tmp_path / "a.qubo"
    path.write_text(f"{comment}\n{QUBO}")
    lines = run(path, *flags).stdout.splitlines()
    assert lines[0].startswith(f"Objective {objective} (")
    assert lines[1] == f"Sense: {reason}"


def test_an_offset_line_is_part_of_the_objective(tmp_path):
    path = tmp_path / "nodiag.qs"
    path.write_text("# ObjectiveOffset 0\n3 2\n1 2 -3\n2 3 4\n")
    lines = run(path).stdout.splitlines()
    assert lines[0].startswith("Objective -6 (minimise, optimal)")
    assert lines[2] == "Assignment: 110"
    path.write_text("# ObjectiveOffset 50\n3 3\n1 1 -1\n1 2 -3\n2 3 4\n")
    assert run(path).stdout.startswith("Objective 43 (minimise, optimal)")


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (range(64), "1" * 64),
        (range(1, 66), "1" * 64 + "... (65 variables; --out or --json writes all)"),
        (["a", ("b", 1)], "a=1 ('b', 1)=1"),
        (["line\nfeed"], "'line\\nfeed'=1"),
        (range(2, 90), " ".join(f"{v}=1" for v in range(2, 16)) + " ... (88 variables; --out or "
         "--json writes all)"),
    ],
)  # fmt: skip
def test_the_assignment_in_short(tmp_path, labels, shown):
    path = tmp_path / "model.json"
    bqm = dimod.BinaryQuadraticModel(dict.fromkeys(labels, -1), {}, 0, "BINARY")
    path.write_text(json.dumps(bqm.to_serializable()))
    assert run(path, "--target", -len(labels)).stdout.splitlines()[2] == f"Assignment: {shown}"


def one_hot(penalty, groups=8):
    """Groups of five variables of which one is to be chosen: the optimum takes costs of 1."""
    bqm = dimod.BinaryQuadraticModel("BINARY")
    for group in range(groups):
        for choice, cost in enumerate([9, 7, 5, 3, 1]):
            bqm.add_linear((group, choice), cost)
        terms = [((group, choice), 1) for choice in range(5)]
        bqm.add_linear_equality_constraint(terms, penalty, -1)
    return bqm


@pytest.mark.parametrize("seed", range(5))
def test_penalties_do_not_blind_the_default_solver(tmp_path, seed):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(one_hot(1e5).to_serializable()))
    # A limit of work, not of time: the first two rounds have to find it.
    solution = solve.solve(formats.read(path), time_limit=60, target=8, seed=seed, num_threads=2)
    assert (solution.objective, solution.stopped_by) == (8, "target")
    assert len(solution.parameters["rounds"]) <= 2
    state = dict(zip(solution.instance.bqm.variables, solution.assignment, strict=True))
    assert all(sum(state[group, choice] for choice in range(5)) == 1 for group in range(8))


def rounds_of(monkeypatch, instance, num_rounds, **options):
    """The calls of the first rounds of a portfolio, and what it finds by then."""
    calls = []

    def counted(name):
        cls = getattr(samplers, name)
        sample = cls.sample

        def counting(self, bqm, **kwargs):
            if len(calls) == 3 * num_rounds:
                raise KeyboardInterrupt
            calls.append((name, kwargs))
            return sample(self, bqm, **kwargs)

        monkeypatch.setattr(cls, "sample", counting)

    for name in ("SteepestDescentSampler", "SimulatedAnnealingSampler", "TabuSampler"):
        counted(name)
    solution = solve.solve(instance, time_limit=None, **options)
    monkeypatch.undo()
    return calls, solution


def test_a_portfolio_makes_the_same_calls_for_one_seed(tmp_path, monkeypatch):
    instance = formats.read(ring(tmp_path, 100))
    options = {"seed": 3, "num_threads": 2}
    calls, solution = rounds_of(monkeypatch, instance, 3, **options)
    assert [name for name, _ in calls[:3]] == [
        "SteepestDescentSampler", "SimulatedAnnealingSampler", "TabuSampler"
    ]  # fmt: skip
    assert [kwargs["num_sweeps"] for _, kwargs in calls[1::3]] == [128, 256, 512]
    assert [kwargs["num_reads"] for _, kwargs in calls[::3]] == [32, 64, 128]
    assert len({kwargs["seed"] for _, kwargs in calls}) == 9
    # Tabu search begins at the best state so far.
    starts = [kwargs["initial_states"] for _, kwargs in calls[2::3]]
    energies = [instance.bqm.energy(start) for start in starts]
    assert energies == sorted(energies, reverse=True)
    assert solution.stopped_by == "interrupt"
    assert solution.parameters["rounds"][2]["num_sweeps"] == 512

    def told(calls):
        kept = ("seed", "num_reads", "num_sweeps", "num_restarts", "initial_states", "num_threads")
        return [(name, {key: kwargs.get(key) for key in kept}) for name, kwargs in calls]

    again, other = (
        rounds_of(monkeypatch, instance, 3, **{**options, "seed": seed}) for seed in (3, 4)
    )
    assert told(again[0]) == told(calls)
    assert (again[1].energy, again[1].assignment) == (solution.energy, solution.assignment)
    assert told(other[0]) != told(calls)


def test_a_portfolio_leaves_what_does_not_fit_to_tabu_search(tmp_path, monkeypatch):
    """The last round: fewer sweeps, or none, and tabu search without end."""
    now = [0.0]
    monkeypatch.setattr(solve.strategies.time, "perf_counter", lambda: now[0])
    sample = samplers.SimulatedAnnealingSampler.sample

    def slow(self, bqm, num_sweeps, **kwargs):
        now[0] += num_sweeps / 100
        return sample(self, bqm, num_sweeps=num_sweeps, **{**kwargs, "time_limit": None})

    monkeypatch.setattr(samplers.SimulatedAnnealingSampler, "sample", slow)
    monkeypatch.setattr(
        samplers.TabuSampler,
        "sample",
        lambda self, bqm, num_restarts, **kwargs: samplers.SteepestDescentSampler().sample(
            bqm, seed=kwargs["seed"]
        ),
    )
    search = solve.strategies.Search(formats.read(ring(tmp_path, 100)).bqm, 10.0, 0, 1, None, None,
                                     lambda energy: None)  # fmt: skip
    for found in solve.strategies.run_portfolio(search):
        if found.name == "tabu" and search.parameters["rounds"][-1]["num_restarts"] > 10**6:
            break
    first, second, third = search.parameters["rounds"]
    assert (first["num_sweeps"], second["num_sweeps"]) == (128, 256)  # 1.28 s and 2.56 s of 10
    assert third["num_sweeps"] == 308  # half of the 6.16 s that are left, where 512 do not fit


@pytest.mark.parametrize("solver", ["portfolio", "sa", "tabu"])
def test_the_solution_is_no_worse_than_the_start(tmp_path, solver):
    instance = formats.read(ring(tmp_path, 300))
    good = solve.solve(instance, "tabu", time_limit=0.5, seed=0)
    start = dict(zip(instance.bqm.variables, good.assignment, strict=True))
    solution = solve.solve(instance, solver, time_limit=1e-9, seed=1, initial=start)
    assert solution.energy <= good.energy
    reached = solve.solve(instance, solver, target=good.objective, seed=1, initial=start)
    assert (reached.stopped_by, reached.found_by) == ("target", "initial")
    assert reached.assignment == good.assignment


@pytest.mark.parametrize("solver", ["portfolio", "sa", "tabu"])
def test_samplers_begin_at_the_start(tmp_path, monkeypatch, solver):
    instance = formats.read(ring(tmp_path, 100))
    start = {v: 1 - 2 * (v % 3 == 0) for v in instance.bqm.variables}
    name = {
        "portfolio": "SteepestDescentSampler", "sa": "SimulatedAnnealingSampler",
        "tabu": "TabuSampler",
    }[solver]  # fmt: skip
    seen = []

    def seeing(self, bqm, **kwargs):
        seen.append(kwargs["initial_states"])
        raise KeyboardInterrupt

    monkeypatch.setattr(getattr(samplers, name), "sample", seeing)
    solution = solve.solve(instance, solver, seed=0, initial=start)
    assert seen == [start]
    assert (solution.found_by, solution.stopped_by) == ("initial", "interrupt")
    assert solution.assignment == list(start.values())


def test_initial_takes_what_out_writes(tmp_path):
    path, out = tmp_path / "ring.rudy", tmp_path / "out.json"
    bqm = formats.read(ring(tmp_path, 60)).bqm
    run(path, "--solver", "tabu", "--time-limit", 0.3, "--out", out)
    best = json.loads(out.read_text())
    again = json.loads(run(path, "--initial", out, "--target", best["objective"], "--json").stdout)
    assert (again["found_by"], again["assignment"]) == ("initial", best["assignment"])
    # The same model over 0 and 1, its variables in another order.
    other = bqm.change_vartype("BINARY", inplace=False)
    order = list(other.variables)[::-1]
    linear = {v: other.linear[v] for v in order}
    other = dimod.BinaryQuadraticModel(linear, {}, other.offset, "BINARY")
    other.add_quadratic_from(bqm.change_vartype("BINARY", inplace=False).quadratic)
    start = formats.read_start(out, other)
    assert list(start) == order
    assert other.energy(start) == pytest.approx(best["energy"])


@pytest.mark.parametrize(
    ("text", "spins"),
    [
        ("1 -1 1 1\n", [1, -1, 1, 1]),
        ("# a start\n1\n0\n+1\n1\n", [1, -1, 1, 1]),
        ("1011", [1, -1, 1, 1]),
        ("+-++\n", [1, -1, 1, 1]),
        ("1 1 1 1", [1, 1, 1, 1]),
        ("0000", [-1, -1, -1, -1]),
    ],
)
def test_plain_values_of_a_start(graph, tmp_path, text, spins):
    path = tmp_path / "start.txt"
    path.write_text(text)
    bqm = formats.read(graph).bqm
    assert formats.read_start(path, bqm) == dict(zip(bqm.variables, spins, strict=True))
    binary = bqm.change_vartype("BINARY", inplace=False)
    assert list(formats.read_start(path, binary).values()) == [(spin + 1) // 2 for spin in spins]


START = {"variables": [1, 2, 3, 4], "assignment": [1, -1, 1, 1], "vartype": "SPIN"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "start has 0 values, but must have 4"),
        ("1 1 1", "start has 3 values, but must have 4"),
        ("1 1 1 2", "start has the value '2', but must have -1 and 1, or 0 and 1"),
        ("1 0 -1 1", "start has values of -1 and of 0"),
        ("{", "start is not JSON"),
        ("{}", "start has no 'variables'"),
        (json.dumps({**START, "assignment": [1, 0, 1, 1]}), "has the value 0, but must have -1 or"),
        (json.dumps({**START, "assignment": [1, -1, 1, True]}), "has the value True, but must"),
        (json.dumps({**START, "assignment": [1, -1, 1]}), "has 4 variables and 3 values"),
        (json.dumps({**START, "variables": [1, 2, 3, 5]}), "has no value of the variable 4"),
        (json.dumps({**START, "variables": [1, 2, 3, {}]}), "variables is"),
        (json.dumps({**START, "vartype": "X"}), "vartype is 'X', but must be 'SPIN' or 'BINARY'"),
        (json.dumps({**START, "variables": [1, 2, 3, 4, 5], "assignment": [1] * 5}), "has 5 val"),
    ],
)  # fmt: skip
def test_a_start_that_is_none(graph, tmp_path, text, message):
    path = tmp_path / "start"
    path.write_text(text)
    done = run(graph, "--initial", path, expect=2)
    assert message in done.stderr
    assert done.stderr.startswith(f"Error: {path}")
    assert len(done.stderr.splitlines()) == 1


def test_sense_and_format(graph):
    facts = json.loads(run(graph, "--solver", "sa", "--minimize", "--target", 0, "--json").stdout)
    assert (facts["sense"], facts["objective"], facts["stopped_by"]) == ("minimise", 0, "target")
    assert len(set(facts["assignment"])) == 1
    done = run(
        graph, "--solver", "sa", "--format", "biqmac", "--maximize", "--target", 28, "--json"
    )
    facts = json.loads(done.stdout)
    assert (facts["format"], facts["assignment"]) == ("biqmac", [1, 1, 1, 1])


def test_labels(tmp_path):
    bqm = dimod.BinaryQuadraticModel({("a", 1): 1, "b": -1}, {}, 0, "BINARY")
    path = tmp_path / "model.json"
    path.write_text(json.dumps(bqm.to_serializable()))
    facts = json.loads(run(path, "--solver", "sa", "--target", -1, "--json").stdout)
    assert (facts["variables"], facts["assignment"]) == ([["a", 1], "b"], [0, 1])


@pytest.mark.parametrize("solver", ["portfolio", "sa", "tabu"])
def test_target(graph, solver):
    instance = formats.read(graph)
    solution = solve.solve(instance, solver, time_limit=None, target=10.5, seed=0)
    assert (solution.stopped_by, solution.objective) == ("target", 11)
    solution = solve.solve(instance, solver, time_limit=0.1, target=12, seed=0)
    assert solution.stopped_by in ("time_limit", "finished")
    assert solution.objective == 11


def test_target_of_a_portfolio(tmp_path):
    instance = formats.read(ring(tmp_path, 100))
    best = solve.solve(instance, "tabu", time_limit=0.5, seed=0).objective
    solution = solve.solve(instance, time_limit=None, target=best, seed=1)
    assert solution.stopped_by == "target"
    assert solution.objective >= best


def ring(tmp_path, n=3000):
    """A frustrated ring with chords: no search of it is done within a second."""
    path = tmp_path / "ring.rudy"
    edges = [(i, (i + 1) % n) for i in range(n)] + [(i, (7 * i + 3) % n) for i in range(0, n, 3)]
    edges = sorted({tuple(sorted(e)) for e in edges if e[0] != e[1]})
    path.write_text(f"{n} {len(edges)}\n" + "".join(f"{i + 1} {j + 1}\n" for i, j in edges))
    return path


@pytest.mark.parametrize("solver", ["portfolio", "sa", "tabu"])
def test_time_limit(tmp_path, solver):
    solution = solve.solve(formats.read(ring(tmp_path)), solver, time_limit=0.5, seed=0)
    assert solution.stopped_by == "time_limit"


@pytest.mark.parametrize("solver", ["portfolio", "sa"])
def test_a_limit_too_short_for_a_round_still_has_a_solution(tmp_path, solver):
    solution = solve.solve(formats.read(ring(tmp_path)), solver, time_limit=1e-9, seed=0)
    assert solution.stopped_by == "time_limit"
    assert len(solution.assignment) == 3000


def test_annealing_goes_on_in_longer_rounds(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(seconds=0.0)
    fake = types.SimpleNamespace(perf_counter=lambda: clock.seconds)
    anneal_round = strategies._anneal_round

    def timed(search, seeds, sweeps, initial):
        result = anneal_round(search, seeds, sweeps, initial)
        clock.seconds += 1e-3 * sweeps
        return result

    monkeypatch.setattr(solve, "time", fake)
    monkeypatch.setattr(strategies, "time", fake)
    monkeypatch.setattr(strategies, "_anneal_round", timed)
    solution = solve.solve(formats.read(ring(tmp_path)), "sa", time_limit=5, seed=0, num_threads=1)
    sweeps = solution.parameters["num_sweeps"]
    assert solution.parameters["num_reads"] == 16
    assert sweeps[0] == 128
    assert sweeps[1] >= 256
    assert max(sweeps) == max(sweeps[-3:])


def test_the_same_seed_gives_the_same_solution(tmp_path):
    instance = formats.read(ring(tmp_path, 300))
    target = solve.solve(instance, "sa", time_limit=0.3, seed=0).objective - 4

    def solution(seed):
        return solve.solve(instance, "sa", 30, target, seed, num_threads=1)

    # One round, as the rounds behind the first have a length that depends on the time.
    if len(solution(5).parameters["num_sweeps"]) == 1:
        assert solution(5).energy == solution(5).energy
    assert solve.solve(instance, "sa", time_limit=0.1).seed != solve.solve(instance, "sa", 0.1).seed


@pytest.mark.parametrize("solver", ["portfolio", "sa", "tabu"])
def test_progress(tmp_path, solver):
    calls = []
    solution = solve.solve(
        formats.read(ring(tmp_path)), solver, 0.5, seed=0, progress=lambda *call: calls.append(call)
    )
    seconds, objectives = zip(*calls, strict=True)
    assert list(seconds) == sorted(seconds)
    assert list(objectives) == sorted(objectives)
    assert objectives[-1] == pytest.approx(solution.objective)


def test_ctrl_c_between_rounds_keeps_the_best_solution(graph, monkeypatch):
    sample = samplers.SimulatedAnnealingSampler.sample
    rounds = []

    def interrupted(self, *args, **kwargs):
        rounds.append(kwargs)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return sample(self, *args, **kwargs)

    monkeypatch.setattr(samplers.SimulatedAnnealingSampler, "sample", interrupted)
    solution = solve.solve(formats.read(graph), "sa", time_limit=None, seed=0)
    assert (solution.stopped_by, solution.objective) == ("interrupt", 11)
    seeds = [kwargs["seed"] for kwargs in rounds]
    assert len(set(seeds)) == 3


def test_ctrl_c_before_there_is_a_solution(graph, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "solution.json"
    monkeypatch.setattr(samplers.SimulatedAnnealingSampler, "sample", interrupted)
    done = run(graph, "--solver", "sa", "--out", out, expect=130)
    assert "Interrupted before there was a solution." in done.stderr
    assert done.stdout == ""
    assert not out.exists()


@pytest.mark.parametrize(
    "solver",
    [
        "portfolio",
        pytest.param("sa", marks=pytest.mark.slow),
        pytest.param("tabu", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_behind_a_bar_on_a_terminal(tmp_path, solver):
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    # A terminal of no size, as a new one is, has no room for a bar.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = tmp_path / "solution.json"
    command = [
        sys.executable, "-m", "qpsbgd", "solve", ring(tmp_path), "--solver", solver,
        "--time-limit", "60", "--out", out,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        bar = b""
        while b"best " not in bar and select.select([ours], [], [], 30)[0]:
            bar += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        stdout = process.communicate(timeout=30)[0]
    os.close(ours)
    assert b"/60.0 s, best " in bar
    assert "stopped by interrupt" in stdout
    assert process.returncode == 130
    assert json.loads(out.read_text())["stopped_by"] == "interrupt"


def test_an_error_while_writing_leaves_the_old_file(graph, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    out = tmp_path / "solution.json"
    out.write_text("old")
    monkeypatch.setattr(atomic.os, "fsync", full)
    done = run(graph, "--solver", "sa", "--target", 11, "--out", out, expect=1)
    assert out.read_text() == "old"
    assert "No space left on device" in done.stderr
    assert done.stdout.startswith("Objective 11 ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["no-such-file"], "does not exist"),
        (["{graph}", "--solver", "annealing"], "'annealing' is not one of"),
        (["{graph}", "--time-limit", "0"], "--time-limit"),
        (["{graph}", "--time-limit", "nan"], "time_limit is nan, but must be positive"),
        (["{graph}", "--target", "nan"], "target is nan, but must be finite"),
        (["{graph}", "--target", "inf"], "target is inf, but must be finite"),
        (["{graph}", "--seed", "2147483648"], "--seed"),
        (["{graph}", "--threads", "0"], "--threads"),
        (["{graph}", "--format", "lp"], "'lp' is not one of"),
        (["{graph}", "--format", "qubo"], "k4.rudy, line 1: '4 6', but must be 'p qubo 0"),
        (["{graph}", "--out", "no/such/folder/x"], "no/such/folder is not a folder"),
        (["{graph}", "--out", "{graph}"], "must not be FILE itself"),
        (["{graph}", "--out", "{tmp}"], "is a directory"),
        (["{graph}", "--out", ""], "'' is no name"),
        (["{graph}", "--initial", ""], "--initial"),
        (["{graph}", "--initial", "{graph}"], "k4.rudy has the value '4', but must have"),
    ],
)  # fmt: skip
def test_bad_options(graph, tmp_path, args, message):
    done = run(*(arg.format(graph=graph, tmp=tmp_path) for arg in args), expect=2)
    assert message in " ".join(done.stderr.split())
    assert graph.read_text() == K4


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"solver": "qaoa"}, ValueError, "solver is 'qaoa', but must be 'portfolio' or"),
        ({"time_limit": -1}, ValueError, "time_limit is -1, but must be positive"),
        ({"target": "13"}, TypeError, "target is '13', but must be a real number"),
        ({"seed": -1}, ValueError, "seed is -1, but must lie in"),
        ({"num_threads": 0}, ValueError, "num_threads is 0, but must lie in"),
        ({"initial": [1, 1, 1, 1]}, TypeError, "initial is a list, but must be a mapping"),
        ({"initial": {1: 1, 2: 1, 3: 1}}, ValueError, "initial has no value of 4"),
        ({"initial": dict.fromkeys(range(1, 6), 1)}, ValueError, "initial has 5, but must"),
        ({"initial": dict.fromkeys(range(1, 5), 0)}, ValueError, r"initial\[1\] is 0, but must be"),
        ({"initial": dict.fromkeys(range(1, 5), 1), "solver": "exhaustive"}, ValueError,
         "initial is a state, but must be None with solver='exhaustive'"),
    ],
)  # fmt: skip
def test_bad_arguments(graph, changed, error, message):
    with pytest.raises(error, match=message):
        solve.solve(formats.read(graph), **{"solver": "sa", **changed})


def test_help():
    text = run("--help").stdout
    assert "[default: portfolio]" in text
    for word in ("rudy", "bqpjson", "--target", "--maximize", "--initial"):
        assert word in text


def known(folder, key):
    path = os.environ.get("QPSBGD_DATA")
    if not path:
        pytest.skip("QPSBGD_DATA is not set")
    path = Path(path) / "instances"
    if not path.is_dir():
        pytest.skip(f"QPSBGD_DATA is {os.environ['QPSBGD_DATA']!r}, which holds no instances")
    return path / folder, json.loads((path / "best_known.json").read_text())[folder][key]


@pytest.mark.parametrize("solver", ["portfolio", "sa", "tabu"])
@pytest.mark.parametrize(
    ("folder", "file", "key", "args"),
    [
        ("bqp", "bqp50_1.qubo", "bqp50.1", ["--maximize"]),
        ("gka", "gka1a.sparse", "gka1a", []),
        ("be", "be100.1.sparse", "be100.1", []),
        ("gset", "G11.txt", "G11", []),
    ],
)
def test_best_known(solver, folder, file, key, args):
    path, best = known(folder, key)
    done = run(
        path / file, *args, "--solver", solver, "--target", best, "--time-limit", 60, "--json"
    )
    facts = json.loads(done.stdout)
    assert (facts["objective"], facts["stopped_by"]) == (best, "target")


def test_both_senses_contradict_each_other(tmp_path):
    (tmp_path / "graph.rudy").write_text("2 1\n1 2 1\n")
    for senses in (("--maximize", "--minimize"), ("--minimize", "--maximize")):
        result = run(tmp_path / "graph.rudy", *senses, expect=2)
        assert "--maximize and --minimize contradict each other" in result.output
