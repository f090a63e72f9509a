"""``qpsbgd solve``: one instance, one solution, whatever ends the search."""

import itertools
import json
import os
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path

import dimod
import pytest

click_testing = pytest.importorskip("click.testing")
pytest.importorskip("tqdm")

from qpsbgd import __version__, _core, atomic, cli, formats, samplers, solve

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


@pytest.mark.parametrize("solver", ["sa", "tabu", "exhaustive"])
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
    assert solution.optimal == (solver == "exhaustive")
    assert solution.seconds < 5


@pytest.mark.parametrize("solver", ["sa", "tabu", "exhaustive"])
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
        "num_variables": 4, "num_interactions": 6, "solver": solver, "seed": 7, "objective": 11.0,
        "energy": -11.0, "optimal": solver == "exhaustive", "version": __version__,
        "isa": _core.isa(), "threads": 2, "vartype": "SPIN", "variables": [1, 2, 3, 4],
    }  # fmt: skip
    assert list(tmp_path.glob("*.tmp")) == []


def test_text(graph):
    done = run(graph, "--solver", "sa", "--target", 11)
    assert done.stdout.startswith("Objective 11 (maximise), stopped by target after 0.")
    assert done.stdout.endswith(" s, seed 0\n")
    assert done.stderr == ""  # no bar where there is no terminal


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


@pytest.mark.parametrize("solver", ["sa", "tabu"])
def test_target(graph, solver):
    instance = formats.read(graph)
    solution = solve.solve(instance, solver, time_limit=None, target=10.5, seed=0)
    assert (solution.stopped_by, solution.objective) == ("target", 11)
    solution = solve.solve(instance, solver, time_limit=0.1, target=12, seed=0)
    assert solution.stopped_by in ("time_limit", "finished")
    assert solution.objective == 11


def ring(tmp_path, n=3000):
    """A frustrated ring with chords: no search of it is done within a second."""
    path = tmp_path / "ring.rudy"
    edges = [(i, (i + 1) % n) for i in range(n)] + [(i, (7 * i + 3) % n) for i in range(0, n, 3)]
    edges = sorted({tuple(sorted(e)) for e in edges if e[0] != e[1]})
    path.write_text(f"{n} {len(edges)}\n" + "".join(f"{i + 1} {j + 1}\n" for i, j in edges))
    return path


@pytest.mark.parametrize("solver", ["sa", "tabu"])
def test_time_limit(tmp_path, solver):
    solution = solve.solve(formats.read(ring(tmp_path)), solver, time_limit=0.5, seed=0)
    assert solution.stopped_by == "time_limit"
    assert 0.3 < solution.seconds < 3


def test_a_limit_too_short_for_a_round_still_has_a_solution(tmp_path):
    solution = solve.solve(formats.read(ring(tmp_path)), "sa", time_limit=1e-9, seed=0)
    assert solution.stopped_by == "time_limit"
    assert len(solution.assignment) == 3000


def test_annealing_goes_on_in_longer_rounds(tmp_path):
    solution = solve.solve(formats.read(ring(tmp_path)), "sa", time_limit=1, seed=0, num_threads=1)
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


@pytest.mark.parametrize("solver", ["sa", "tabu"])
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


@pytest.mark.parametrize("solver", ["sa", "tabu"])
def test_ctrl_c_behind_a_bar_on_a_terminal(tmp_path, solver):
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    ours, theirs = pty.openpty()
    # A terminal of no size, as a new one is, has no room for a bar.
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = tmp_path / "solution.json"
    command = [
        sys.executable, "-m", "qpsbgd.cli", "solve", ring(tmp_path), "--solver", solver,
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
        (["{graph}", "--out", "no/such/folder/x"], "no/such/folder is no folder"),
        (["{graph}", "--out", "{graph}"], "must not be FILE itself"),
        (["{graph}", "--out", "{tmp}"], "is a directory"),
    ],
)  # fmt: skip
def test_bad_options(graph, tmp_path, args, message):
    done = run(*(arg.format(graph=graph, tmp=tmp_path) for arg in args), expect=2)
    assert message in " ".join(done.stderr.split())
    assert graph.read_text() == K4


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"solver": "qaoa"}, ValueError, "solver is 'qaoa', but must be 'sa' or"),
        ({"time_limit": -1}, ValueError, "time_limit is -1, but must be positive"),
        ({"target": "13"}, TypeError, "target is '13', but must be a real number"),
        ({"seed": -1}, ValueError, "seed is -1, but must lie in"),
        ({"num_threads": 0}, ValueError, "num_threads is 0, but must lie in"),
    ],
)
def test_bad_arguments(graph, changed, error, message):
    with pytest.raises(error, match=message):
        solve.solve(formats.read(graph), **{"solver": "sa", **changed})


def test_help():
    text = run("--help").stdout
    assert "[default: sa]" in text
    for word in ("rudy", "--target", "--maximize"):
        assert word in text


def known(folder, key):
    path = os.environ.get("QPSBGD_DATA")
    if not path:
        pytest.skip("QPSBGD_DATA is not set")
    path = Path(path) / "instances"
    if not path.is_dir():
        pytest.skip(f"QPSBGD_DATA is {os.environ['QPSBGD_DATA']!r}, which holds no instances")
    return path / folder, json.loads((path / "best_known.json").read_text())[folder][key]


@pytest.mark.parametrize("solver", ["sa", "tabu"])
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
