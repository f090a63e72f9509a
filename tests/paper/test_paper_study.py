"""Studies of bench.paper: tuning, kept cells, killed runs, the command line and the report."""

import csv
import dataclasses
import html
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("seaborn", reason="bench.paper needs qpsbgd[paper]")
pytest.importorskip("mlxtend")
pytest.importorskip("dwave.system")

import bench.paper.__main__ as command
from bench.paper import tables
from bench.paper.results import Results, run_cases
from bench.paper.rosenbrock import Rosenbrock
from bench.paper.study import MAX_POINTS, TUNING_SEEDS, Case, Experiment, Outcome, curve, grid
from bench.paper.tables import PUBLISHED
from qpsbgd.errors import MissingDataError

pytestmark = pytest.mark.slow  # bench.paper is not part of the package

ROOT = Path(__file__).parents[2]


class Toy(Experiment):
    """Scores are the rate plus a hundredth of the seed; case "two" is tuned the other way round."""

    name, title, measure = "toy", "Toys & more", "test accuracy"
    axes = {"accuracy": ("epoch", "accuracy")}  # noqa: RUF012
    details = {"hits": "hits <of> B"}  # noqa: RUF012
    remarks = {"sound": ["a < b"], "paper": []}  # noqa: RUF012

    def __init__(self):
        self.ran = []

    def cases(self, setting, quick):
        return ["one", "two"]

    def grids(self, case, setting):
        if setting == "paper":
            return {"QP-SBGD": ({},), "B": ({},)}
        equal = {"lr": 0.4}, {"lr": 0.4, "again": 1}, {"lr": 0.2}
        return {"QP-SBGD": grid(lr=(0.1, 0.3, 0.2)), "B": equal}

    def protocol(self, case, setting, quick):
        return {"num_epochs": 1 if quick else 3}

    def run(self, cell):
        self.ran.append(cell)
        score = cell.options.get("lr", 0.5) + cell.seed % 100 / 100
        validation = -score if cell.case == "two" else score
        details = {"hits": 3.0} if cell.method == "B" else {}
        return Outcome(score, validation, {"accuracy": curve([0.1, score])}, details)


@pytest.fixture
def toy(monkeypatch):
    toy = Toy()
    monkeypatch.setattr(command, "EXPERIMENTS", {"toy": toy})
    return toy


def cases_of(toy, setting="sound", num_seeds=3, quick=False):
    return [
        Case(toy, name, setting, num_seeds, quick, toy.protocol(name, setting, quick))
        for name in toy.cases(setting, quick)
    ]


def run(toy, folder, *args, **kwargs):
    results, cases = Results(folder), cases_of(toy, *args, **kwargs)
    run_cases(toy, cases, results, jobs=1)
    return cases, results


def test_the_option_with_the_best_validation_has_the_final_runs(toy, tmp_path):
    (one, two), results = run(toy, tmp_path)
    assert [case.choose("QP-SBGD", results)["lr"] for case in (one, two)] == [0.3, 0.1]
    assert [case.choose("B", results) for case in (one, two)] == [{"lr": 0.4}, {"lr": 0.2}]
    finals = [cell for cell in toy.ran if cell.stage == "final"]
    assert {cell.seed for cell in finals} == {0, 1, 2}
    assert {cell.seed for cell in toy.ran if cell.stage == "tune"} == set(TUNING_SEEDS)
    assert len(toy.ran) == 2 * 2 * (2 * 3 + 3)
    scores = [results[cell.key]["score"] for cell in one.final_cells(results)]
    assert scores == pytest.approx([0.3, 0.31, 0.32, 0.4, 0.41, 0.42])


def test_without_a_choice_nothing_is_tuned(toy, tmp_path):
    run(toy, tmp_path, "paper")
    assert {cell.stage for cell in toy.ran} == {"final"}


def test_a_diverged_option_is_not_chosen(toy, tmp_path):
    outcome = toy.run

    def diverging(cell):
        found = outcome(cell)
        is_bad = cell.options["lr"] in (0.3, 0.4)
        return dataclasses.replace(found, validation=math.nan) if is_bad else found

    toy.run = diverging
    (one, _), results = run(toy, tmp_path)
    assert [one.choose(method, results)["lr"] for method in ("QP-SBGD", "B")] == [0.2, 0.2]


def test_grids_have_one_size(toy, tmp_path):
    toy.grids = lambda case, setting: {"A": grid(lr=(1, 2)), "B": grid(lr=(1, 2, 3)), "C": ({},)}
    with pytest.raises(ValueError, match=r"one: tuned grids must have one size, .*'A': 2, 'B': 3"):
        run(toy, tmp_path)
    assert toy.ran == []


def test_finished_cells_are_kept(toy, tmp_path):
    _, first = run(toy, tmp_path)
    before = len(toy.ran)
    _, again = run(toy, tmp_path)
    assert len(toy.ran) == before
    assert dict(again) == dict(first)
    run(toy, tmp_path, num_seeds=4)
    assert [cell.seed for cell in toy.ran[before:]] == [3] * 4


def test_cells_of_another_protocol_or_version_are_run_again(toy, tmp_path, monkeypatch):
    run(toy, tmp_path)
    before = len(toy.ran)
    toy.protocol = lambda case, setting, quick: {"num_epochs": 5 if case == "two" else 3}
    run(toy, tmp_path)
    assert {cell.case for cell in toy.ran[before:]} == {"two"}
    assert len(toy.ran) == 1.5 * before
    monkeypatch.setattr("bench.paper.study.__version__", "0")
    run(toy, tmp_path)
    assert len(toy.ran) == 2.5 * before


def test_every_part_of_a_cell_is_in_its_key(toy):
    cell = cases_of(toy)[0].tuning_cells()[0]
    others = [
        dataclasses.replace(cell, **{field.name: "other"}) for field in dataclasses.fields(cell)
    ]
    assert len({each.key for each in [cell, *others]}) == 1 + len(others)


@pytest.mark.parametrize("damage", ["cut", "changed", "garbage", "list"])
def test_a_damaged_record_is_run_again(toy, tmp_path, damage):
    _, first = run(toy, tmp_path)
    before = len(toy.ran)
    path = tmp_path / "cells.jsonl"
    lines = path.read_bytes().strip().split(b"\n\n")
    if damage == "changed":
        lines[-1] = lines[-1].replace(b'"score": 0.', b'"score": 1.')
    else:
        lines[-1] = {"cut": lines[-1][:-9], "garbage": b"\xff{", "list": b"[1]"}[damage]
    path.write_bytes(b"\n".join(lines))
    _, again = run(toy, tmp_path)
    assert len(toy.ran) == before + 1
    assert dict(Results(tmp_path)) == dict(again)
    assert again.keys() == first.keys()


KILLED = """
import os, signal, sys
from pathlib import Path
from bench.paper.results import Results, run_cases
from bench.paper.rosenbrock import Rosenbrock
from bench.paper.study import Case

class Killed(Rosenbrock):
    def run(self, cell):
        if len(results) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(cell)

results, experiment = Results(Path(sys.argv[1])), Killed()
protocol = experiment.protocol("n = 2", "paper", True)
run_cases(experiment, [Case(experiment, "n = 2", "paper", 1, True, protocol)], results, 1)
"""


def small_case():
    experiment = Rosenbrock()
    protocol = experiment.protocol("n = 2", "paper", True)
    return Case(experiment, "n = 2", "paper", 1, True, protocol)


def scores_of(folder, jobs=1):
    case, results = small_case(), Results(folder)
    run_cases(case.experiment, [case], results, jobs)
    return {key: record["score"] for key, record in results.items()}


def python(code, *args):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip


def test_a_killed_study_continues(tmp_path, monkeypatch):
    done = python(KILLED, str(tmp_path / "killed"))
    assert done.returncode == -signal.SIGKILL, done.stderr
    path = tmp_path / "killed" / "cells.jsonl"
    assert len(Results(path.parent)) == 3
    path.write_bytes(path.read_bytes()[:-20])  # A kill may come within a line.
    ran, run = [], Rosenbrock.run
    monkeypatch.setattr(
        Rosenbrock, "run", lambda self, cell: (ran.append(cell), run(self, cell))[1]
    )
    found = scores_of(tmp_path / "killed")
    assert len(found) == 5
    assert len(ran) == 3
    assert found == scores_of(tmp_path / "whole")


def test_ctrl_c_ends_a_study_that_can_continue(toy, tmp_path, capsys):
    def interrupted(cell):
        if len(toy.ran) == 4:
            raise KeyboardInterrupt
        return run(cell)

    run, toy.run = toy.run, interrupted
    assert command.main(["toy", "--out", str(tmp_path)]) == 130
    assert "The same command continues" in capsys.readouterr().err
    toy.run = run
    results = Results(tmp_path)
    assert len(results) == 4
    run_cases(toy, cases_of(toy), results, jobs=1)
    assert len({cell.key for cell in toy.ran}) == len(toy.ran)


def test_jobs_run_in_parallel(tmp_path):
    assert scores_of(tmp_path / "1") == scores_of(tmp_path / "2", jobs=2)


def page_of(folder):
    return (folder / "report.html").read_text()


def test_the_page(toy, tmp_path, monkeypatch):
    rows = [("toy", "one", "QP-SBGD", "score", 0.25, "best .3"), ("toy", "one", "B", "hits", 2, "")]
    paper = tables.pd.DataFrame(rows, columns=[*PUBLISHED.index.names, *PUBLISHED.columns])
    monkeypatch.setattr(tables, "PUBLISHED", paper.set_index(PUBLISHED.index.names))
    monkeypatch.setattr("bench.paper.pictures.PUBLISHED", tables.PUBLISHED)
    assert command.main(["toy", "--seeds", "3", "--out", str(tmp_path)]) == 0
    text = page_of(tmp_path)
    order = ['<h2 id="summary">', "<h2>Contents</h2>", '<h2 id="toy-sound">', '<h2 id="toy-paper">']
    assert sorted(order, key=text.index) == order
    # One file: pictures are in it, and nothing is fetched.
    assert text.count("<svg") == text.count("</svg>") == 4
    assert not re.search(r'src=|href="(?!#|https://arxiv)', text)
    # Ours, and the published numbers beside.
    assert "<td class=number>0.3100 ± 0.0100<td class=number>0.2500 (best .3)" in text
    assert "<td class=number>3.0000 ± 0.0000<td class=number>2.0000" in text
    assert "0.4100 ± 0.0100 (B)<td class=number>-0.1000 ± 0.0082<td class=number>0.2500" in text
    assert "Toys &amp; more" in text
    assert "a &lt; b" in text
    assert "hits &lt;of&gt; B" in text
    assert text.count("<summary>Tuning</summary>") == 2
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(toy.ran)
    assert [row["stage"] for row in rows[:15]] == ["tune"] * 12 + ["final"] * 3
    assert {(row["method"], row["hits"]) for row in rows} == {("QP-SBGD", ""), ("B", "3.0")}
    assert json.loads(rows[12]["options"]) == {"lr": 0.3}


@pytest.mark.parametrize("lost", ["QP-SBGD", "B"])
@pytest.mark.parametrize("lower", [False, True])
def test_a_diverged_method_is_not_the_best(toy, tmp_path, lost, lower):
    outcome, toy.lower_is_better = toy.run, lower
    toy.run = lambda cell: dataclasses.replace(
        outcome(cell), score=math.nan if cell.method == lost else 0.5
    )
    args = ["toy", "--setting", "paper", "--seeds", "2", "--out", str(tmp_path)]
    assert command.main(args) == 0
    best = re.findall(r"<tr class=best><td>([\w-]+)", page_of(tmp_path))
    assert best == [{"B": "QP-SBGD", "QP-SBGD": "B"}[lost]] * 2


@pytest.mark.parametrize("lower", [False, True])
def test_low_scores_may_be_the_best(toy, tmp_path, lower):
    toy.lower_is_better = lower
    assert command.main(["toy", "--setting", "sound", "--out", str(tmp_path)]) == 0
    best = re.findall(r"<tr class=best><td>([\w-]+)", page_of(tmp_path))
    assert best[0] == ("QP-SBGD" if lower else "B")


def test_the_report_has_all_finished_tables_and_no_others(toy, tmp_path, monkeypatch):
    other = Toy()
    other.name, other.title = "other", "Other"
    monkeypatch.setattr(command, "EXPERIMENTS", {"toy": toy, "other": other})

    def sections(name, setting, seeds="2"):
        args = [name, "--setting", setting, "--seeds", seeds, "--out", str(tmp_path)]
        assert command.main(args) == 0
        return re.findall(r'<h2 id="([\w-]+)"', page_of(tmp_path))[1:]

    assert sections("toy", "paper") == ["toy-paper"]
    # Data of an experiment without cells are not looked for: that could download them.
    protocol, other.protocol = other.protocol, lambda *args: pytest.fail("asked for data")
    assert sections("toy", "sound") == ["toy-sound", "toy-paper"]
    other.protocol = protocol
    assert sections("other", "paper") == ["toy-sound", "toy-paper", "other-paper"]
    assert sections("other", "paper", seeds="3") == ["other-paper"]


@pytest.mark.parametrize(
    "error", [MissingDataError("put a <b> into c"), ValueError("a is damaged")]
)
def test_missing_data_are_told_at_the_end(toy, tmp_path, monkeypatch, capsys, error):
    faulty = Toy()
    faulty.name = "faulty"

    def protocol(case, setting, quick):
        if case == "two":
            raise error
        return {}

    faulty.protocol = protocol
    monkeypatch.setattr(command, "EXPERIMENTS", {"faulty": faulty, "toy": toy})
    assert command.main(["all", "--seeds", "1", "--out", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "Report: " in out
    assert err.splitlines()[-1] == f"Error: faulty: {error}"
    assert err.count(str(error)) == 1
    assert f"Left out:</strong> {html.escape(f'faulty: {error}')}" in page_of(tmp_path)
    # Other experiments, and the case whose data are there, are run in both settings.
    assert {cell.setting for cell in faulty.ran} == {"sound", "paper"}
    assert {cell.case for cell in faulty.ran} == {"one"}
    assert {cell.case for cell in toy.ran} == {"one", "two"}


def test_without_any_data_there_is_no_report(toy, tmp_path, capsys):
    def protocol(case, setting, quick):
        raise MissingDataError("nothing is there")

    toy.protocol = protocol
    assert command.main(["toy", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "Error: toy: nothing is there\n"
    assert not (tmp_path / "report.html").exists()


def test_a_file_system_error_ends_the_study(toy, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert command.main(["toy", "--out", str(tmp_path / "file" / "x")]) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    (tmp_path / "results.csv").mkdir()
    assert command.main(["toy", "--out", str(tmp_path)]) == 1
    assert "results.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("--seeds", "0"), ("--jobs", "x"), ("--setting", "a")]
)
def test_wrong_arguments_are_refused(toy, capsys, option, value):
    with pytest.raises(SystemExit) as caught:
        command.main(["all", option, value])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err


def test_missing_packages_are_told():
    done = python("import sys; sys.modules['seaborn'] = None; import bench.paper.__main__")
    assert done.returncode == 1
    assert "seaborn" in done.stderr
    assert "pip install '.[paper]'" in done.stderr


@pytest.mark.parametrize("length", [1, 10, MAX_POINTS, MAX_POINTS + 1, 200, 1000])
def test_curves_are_thinned_to_their_last_point(length):
    points = curve([float(k) for k in range(length)])
    assert len(points) <= MAX_POINTS
    assert points[-1] == (length, length - 1)
    assert all(x == y + 1 for x, y in points)


def test_a_grid_has_all_combinations():
    assert grid(lr=(1, 2), scale=(3,)) == ({"lr": 1, "scale": 3}, {"lr": 2, "scale": 3})
