"""Studies: tuning, seeds, what is kept, and the report; on an experiment made up for it."""

import base64
import csv
import json
import re

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from qpsbgd.experiments.reproduce import report, study
from qpsbgd.experiments.reproduce.study import (
    Axes,
    Cell,
    Method,
    Outcome,
    Published,
    Store,
    run_tables,
)


class Toy:
    """Scores are the option plus a hundredth of the seed; curves climb to them."""

    name, title, measure, higher_is_better = "toy", "Toys & more", "test accuracy", True
    axes = {"accuracy": Axes("epoch", "accuracy")}  # noqa: RUF012
    details = {}  # noqa: RUF012

    def __init__(self):
        self.ran = []

    def cases(self, setting, quick):
        return ["one", "two"]

    def methods(self, case, setting, quick):
        if setting == "paper":
            return [Method("A"), Method("B")]
        return [
            Method("A", ({"lr": 0.1}, {"lr": 0.3}, {"lr": 0.2})),
            Method("B", ({"lr": 0.4}, {"lr": 0.4, "again": 1}, {"lr": 0.2})),
        ]

    def run(self, cell):
        self.ran.append(cell)
        score = cell.options.get("lr", 0.5) + cell.seed % 100 / 100
        # What is best in tuning is not what scores best: tuning must go by validation.
        validation = -score if cell.case == "two" else score
        return Outcome(score, validation, {"accuracy": [0.1, score]}, {"steps": 2.0})

    def published(self, case):
        curve = {"accuracy": ([0, 5, 9], [0.1, 0.2, 0.3])}
        return {"A": Published(0.25, "best .3", curve), "C": Published(curves=curve)}

    def settings(self, case, setting, quick):
        return {"network": "1-1", "steps": "2"}

    def remarks(self, case, setting):
        return ["a < b"] if setting == "paper" else []


@pytest.fixture
def toy():
    return Toy()


def tables(toy, folder, setting="sound", num_seeds=3, **options):
    return list(run_tables(toy, setting, Store(folder), num_seeds=num_seeds, **options))


def test_the_best_of_the_grid_by_validation_is_run_with_the_seeds(toy, tmp_path):
    one, two = tables(toy, tmp_path)
    assert [dict(row.options) for row in one.rows] == [{"lr": 0.3}, {"lr": 0.4}]
    assert [dict(row.options) for row in two.rows] == [{"lr": 0.1}, {"lr": 0.2}]
    assert one.rows[0].scores == pytest.approx([0.3, 0.31, 0.32])
    assert one.rows[0].mean == pytest.approx(0.31)
    assert one.rows[0].deviation == pytest.approx(0.01)
    assert [len(row.tried) for row in one.rows] == [3, 3]
    finals = {(cell.seed, cell.stage) for cell in toy.ran if cell.stage == "final"}
    assert finals == {(0, "final"), (1, "final"), (2, "final")}
    assert {cell.seed for cell in toy.ran if cell.stage == "tune"} == set(study.TUNING_SEEDS)


def test_without_a_choice_nothing_is_tuned(toy, tmp_path):
    tables(toy, tmp_path, "paper")
    assert {cell.stage for cell in toy.ran} == {"final"}


@pytest.mark.parametrize("setting", ["paper", "sound"])
@pytest.mark.parametrize("quick", [False, True])
def test_cells_are_counted(toy, tmp_path, setting, quick):
    told = []
    tables(toy, tmp_path, setting, quick=quick, advance=told.append)
    assert len(told) == len(toy.ran) == study.count_cells(toy, setting, 3, quick)


def test_what_is_finished_is_kept(toy, tmp_path):
    first = tables(toy, tmp_path)
    before = len(toy.ran)
    again = tables(toy, tmp_path)
    assert len(toy.ran) == before
    assert [row.scores for t in again for row in t.rows] == [
        row.scores for t in first for row in t.rows
    ]
    # More seeds: only what is missing.
    tables(toy, tmp_path, num_seeds=4)
    assert [cell.seed for cell in toy.ran[before:]] == [3] * 4


def test_an_interrupted_study_goes_on(toy, tmp_path):
    class Stopped(Toy):
        def run(self, cell):
            if len(self.ran) == 7:
                raise KeyboardInterrupt
            return super().run(cell)

    stopped = Stopped()
    with pytest.raises(KeyboardInterrupt):
        tables(stopped, tmp_path)
    tables(toy, tmp_path)
    total = study.count_cells(toy, "sound", 3, False)
    assert len(toy.ran) == total - 7


def test_a_damaged_or_older_cell_is_run_again(toy, tmp_path):
    store = Store(tmp_path)
    cell = Cell("toy", "one", "sound", "A", {"lr": 0.1}, 0, "final")
    assert store.load(cell) is None
    store.save(cell, toy.run(cell), 1.5)
    outcome, seconds = store.load(cell)
    assert (outcome.score, seconds) == (0.1, 1.5)
    path = tmp_path / "cells" / f"{cell.key}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "version": "0"}))
    assert store.load(cell) is None
    path.write_text("{")
    assert store.load(cell) is None


def test_every_part_of_a_cell_is_in_its_name():
    base = Cell("toy", "one", "sound", "A", {"lr": 0.1}, 0, "final")
    others = [
        Cell("toy2", "one", "sound", "A", {"lr": 0.1}, 0, "final"),
        Cell("toy", "two", "sound", "A", {"lr": 0.1}, 0, "final"),
        Cell("toy", "one", "paper", "A", {"lr": 0.1}, 0, "final"),
        Cell("toy", "one", "sound", "B", {"lr": 0.1}, 0, "final"),
        Cell("toy", "one", "sound", "A", {"lr": 0.2}, 0, "final"),
        Cell("toy", "one", "sound", "A", {"lr": 0.1}, 1, "final"),
        Cell("toy", "one", "sound", "A", {"lr": 0.1}, 0, "tune"),
        Cell("toy", "one", "sound", "A", {"lr": 0.1}, 0, "final", True),
    ]
    assert len({cell.key for cell in [base, *others]}) == 9


def test_the_report(toy, tmp_path):
    found = tables(toy, tmp_path) + tables(toy, tmp_path, "paper")
    page = report.write_report(found, tmp_path, {"seeds": 3})
    text = page.read_text()
    # One file: pictures are in it, and nothing is fetched.
    assert not re.search(r'(src|href)="(?!data:)', text)
    pictures = [base64.b64decode(part) for part in re.findall(r"base64,([^\"]+)", text)]
    assert len(pictures) == 2 * len(found)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert "Toys &amp; more" in text
    assert "a &lt; b" in text
    assert "0.2500, best .3" in text
    assert text.count("Tuning: what was tried") == 2  # sound alone
    assert sorted(path.name for path in (tmp_path / "plots").iterdir())[0].startswith("toy-one")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 3
    assert rows[0]["published"] == "0.25"
    assert json.loads(rows[0]["options"]) == {"lr": 0.3}
    assert "paper 0.2500, best .3" in report.summary(found[0])


def test_lower_may_be_better(toy, tmp_path):
    toy.higher_is_better = False
    found = tables(toy, tmp_path)
    text = report.write_report(found[:1], tmp_path, {}).read_text()
    (best,) = re.findall(r"<tr class=best><td>(\w)</td>", text)
    assert best == "A"
