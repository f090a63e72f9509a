"""Studies: tuning, seeds, what is kept, and the report; on an experiment made up for it."""

import base64
import csv
import dataclasses
import json
import math
import re
import time

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from qpsbgd import __version__
from qpsbgd.errors import MissingDataError
from qpsbgd.experiments.reproduce import page, plots, report, study
from qpsbgd.experiments.reproduce.comparison import compare_orders
from qpsbgd.experiments.reproduce.experiment import (
    TUNING_SEEDS,
    Axes,
    Cell,
    Method,
    Outcome,
    Published,
)
from qpsbgd.experiments.reproduce.store import Run, Store
from qpsbgd.experiments.reproduce.study import Row, Table, finished_tables, run_tables
from qpsbgd.experiments.reproduce.versions import PACKAGES, processor, versions


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
    assert {cell.seed for cell in toy.ran if cell.stage == "tune"} == set(TUNING_SEEDS)


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
    assert store.load(cell, {"steps": "2"}) is None
    run = Run(cell, toy.run(cell), 1.5)
    store.save(run, {"steps": "2"})
    assert store.load(cell, {"steps": "2"}) == run
    assert store.load(cell, {"steps": "3"}) is None
    assert store.load(cell, {}) is None
    path = tmp_path / "cells" / f"{cell.key}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "version": "0"}))
    assert store.load(cell, {"steps": "2"}) is None
    path.write_text("{")
    assert store.load(cell, {"steps": "2"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"score": "abc"},
        {"score": None},
        {"score": True},
        {"validation": []},
        {"curves": {"accuracy": [0.1, "x"]}},
        {"curves": {"accuracy": 3}},
        {"curves": [1]},
        {"details": {"steps": None}},
        {"details": 1},
    ],
)
def test_json_that_is_no_outcome_is_run_again(toy, tmp_path, change):
    first = tables(toy, tmp_path, "paper")
    before = len(toy.ran)
    path = sorted((tmp_path / "cells").iterdir())[0]
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "outcome": {**content["outcome"], **change}}))
    again = tables(toy, tmp_path, "paper")
    assert len(toy.ran) == before + 1
    assert [row.scores for t in again for row in t.rows] == [
        row.scores for t in first for row in t.rows
    ]


@pytest.mark.parametrize("content", ["[]", "3", '{"version": "%s"}' % __version__])  # noqa: UP031
def test_json_that_is_no_cell_is_run_again(toy, tmp_path, content):
    cell = Cell("toy", "one", "sound", "A", {"lr": 0.1}, 0, "final")
    store = Store(tmp_path)
    (tmp_path / "cells" / f"{cell.key}.json").write_text(content)
    assert store.load(cell, {}) is None


def test_cells_of_other_settings_are_run_again(toy, tmp_path):
    asked = []

    class Longer(Toy):
        def settings(self, case, setting, quick):
            asked.append(case)
            return {"network": "1-1", "steps": "3" if case == "two" else "2"}

    tables(toy, tmp_path)
    longer = Longer()
    _, two = tables(longer, tmp_path)
    assert {cell.case for cell in longer.ran} == {"two"}
    assert len(longer.ran) == study.count_cells(toy, "sound", 3, False) / 2
    assert two.settings["steps"] == "3"
    assert asked == ["one", "two"]  # not for each cell


def test_a_diverged_option_is_not_chosen(tmp_path):
    class Diverging(Toy):
        def run(self, cell):
            found = super().run(cell)
            bad = cell.options.get("lr") in (0.1, 0.4)
            return dataclasses.replace(found, validation=math.nan) if bad else found

    one, two = tables(Diverging(), tmp_path)
    assert [dict(row.options) for row in one.rows] == [{"lr": 0.3}, {"lr": 0.2}]
    assert dict(two.rows[0].options) == {"lr": 0.2}


@pytest.mark.parametrize("higher", [False, True])
@pytest.mark.parametrize("lost", ["A", "B"])
def test_a_diverged_row_is_not_the_best(tmp_path, higher, lost):
    class Diverging(Toy):
        higher_is_better = higher

        def run(self, cell):
            found = super().run(cell)
            return dataclasses.replace(found, score=math.nan) if cell.method == lost else found

    found = tables(Diverging(), tmp_path, "paper")
    text = report.write_report(found, tmp_path, {}).read_text()
    assert set(re.findall(r"<tr class=best><td>(\w)</td>", text)) == {"A", "B"} - {lost}
    rows = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert {row["mean"] is None for row in rows if row["method"] == lost} == {True}


def test_seconds_are_those_of_the_runs(tmp_path):
    class Slow(Toy):
        def run(self, cell):
            time.sleep(0.002)
            return super().run(cell)

    one, _ = tables(Slow(), tmp_path)
    assert all(run.seconds >= 0.002 for run in (*one.rows[0].tuning, *one.rows[0].finals))
    assert one.rows[0].seconds >= 9 * 0.002
    again, _ = tables(Slow(), tmp_path)
    assert again.rows[0].seconds == one.rows[0].seconds


def test_equal_budgets(toy, tmp_path):
    class Unfair(Toy):
        def methods(self, case, setting, quick):
            untuned = Method("C")
            more = Method("D", ({"lr": 0.1}, {"lr": 0.2}))
            extra = [untuned, more] if case == "two" else [untuned]
            return [*super().methods(case, setting, quick), *extra]

    unfair = Unfair()
    with pytest.raises(ValueError, match=r"two: .* equally many options, but have A 3, B 3, D 2"):
        tables(unfair, tmp_path)
    assert unfair.ran == []


def test_finished_tables_are_those_with_nothing_to_run(toy, tmp_path):
    def finished(experiment=toy, setting="sound", num_seeds=3, **options):
        found = finished_tables(
            experiment, setting, Store(tmp_path), num_seeds=num_seeds, **options
        )
        return list(found)

    assert finished() == []
    made = tables(toy, tmp_path)
    before = len(toy.ran)
    assert finished() == made
    assert finished(num_seeds=2)[0].rows[0].scores == made[0].rows[0].scores[:2]
    assert finished(num_seeds=4) == []
    assert finished(setting="paper") == []
    assert finished(quick=True) == []
    (tmp_path / "cells" / f"{made[0].rows[1].tuning[2].cell.key}.json").unlink()
    assert [table.case for table in finished()] == ["two"]
    assert len(toy.ran) == before


@pytest.mark.parametrize("error", [MissingDataError("x"), ValueError("x"), ImportError("x")])
@pytest.mark.parametrize("place", ["cases", "settings"])
def test_looking_needs_no_data(toy, tmp_path, monkeypatch, error, place):
    tables(toy, tmp_path)

    def absent(*args):
        raise error

    monkeypatch.setattr(toy, place, absent)
    assert list(finished_tables(toy, "sound", Store(tmp_path), num_seeds=3)) == []


def test_data_are_not_looked_for_without_a_cell(toy, tmp_path, monkeypatch):
    # They might be downloaded.
    monkeypatch.setattr(toy, "settings", lambda *args: pytest.fail("settings were asked for"))
    assert list(finished_tables(toy, "sound", Store(tmp_path), num_seeds=3)) == []


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
    stale = tmp_path / "plots" / "gone.png"
    stale.parent.mkdir()
    stale.touch()
    kept = stale.with_name("mine.txt")
    kept.touch()
    text = report.write_report(found, tmp_path, {"seeds": 3}, ["x < y"]).read_text()
    # One file: pictures are in it, and nothing is fetched.
    assert not re.search(r'(src|href)="(?!data:)', text)
    pictures = [base64.b64decode(part) for part in re.findall(r"base64,([^\"]+)", text)]
    assert len(pictures) == 2 * len(found)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert "Toys &amp; more" in text
    assert "a &lt; b" in text
    assert "0.2500, best .3" in text
    assert text.count("Tuning: what was tried") == 2  # sound alone
    assert "<strong>Left out:</strong> x &lt; y" in text
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"mine.txt"} | {
        f"toy-{case}-{setting}-{name}.png"
        for case in ("one", "two")
        for setting in ("paper", "sound")
        for name in ("accuracy", "scores")
    }
    assert "paper 0.2500, best .3" in report.summary(found[0])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == report.summary_rows(found)
    assert summary[0]["mean"] == pytest.approx(0.31)


def test_results_have_a_line_a_run_and_a_column_a_detail(toy, tmp_path):
    class Detailed(Toy):
        def run(self, cell):
            found = super().run(cell)
            return dataclasses.replace(found, details={"hits": 3}) if cell.method == "B" else found

    detailed = Detailed()
    found = tables(detailed, tmp_path) + tables(detailed, tmp_path, "paper")
    report.write_report(found, tmp_path, {})
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(detailed.ran) == 2 * 2 * (3 * 2 + 3) + 2 * 2 * 3
    tuning, finals = rows[:6], rows[6:9]
    assert [row["stage"] for row in rows[:9]] == ["tune"] * 6 + ["final"] * 3
    assert [row["seed"] for row in rows[:9]] == ["1000", "1001"] * 3 + ["0", "1", "2"]
    assert [json.loads(row["options"])["lr"] for row in tuning] == [0.1, 0.1, 0.3, 0.3, 0.2, 0.2]
    assert json.loads(finals[0]["options"]) == {"lr": 0.3}
    assert {row["published"] for row in tuning} == {""}
    assert {row["published"] for row in finals} == {"0.25"}
    assert float(finals[1]["score"]) == pytest.approx(0.31)
    assert float(finals[1]["seconds"]) == found[0].rows[0].finals[1].seconds > 0
    assert {(row["version"], row["quick"]) for row in rows} == {(__version__, "0")}
    assert {(row["method"], row["steps"], row["hits"]) for row in rows} == {
        ("A", "2.0", ""),
        ("B", "", "3"),
    }


def test_columns_of_details(tmp_path):
    class Detailed(Toy):
        details = {"loss": "last <loss>", "none": "never there"}  # noqa: RUF012

        def run(self, cell):
            found = super().run(cell)
            loss = {"loss": 2.0 + cell.seed} if cell.method == "A" else {}
            return dataclasses.replace(found, details=loss)

        def published(self, case):
            return {"A": Published(details={"loss": 0.75})}

    found = tables(Detailed(), tmp_path, "paper")
    text = report.write_report(found[:1], tmp_path, {}).read_text()
    assert "<th class=number>last &lt;loss&gt;<th>options" in text
    assert "never there" not in text
    assert "<td class=number>3.0000 ± 1.0000 (0.7500)</td>" in text
    assert page.shown_details(found[0]) == {"loss": "last <loss>"}


def test_the_page_says_what_it_ran_with(monkeypatch, tmp_path):
    found = versions()
    assert {"qpsbgd", "torch", "NumPy", "Python", "dimod", "threads", "machine"} <= set(found)
    assert found["threads"] == str(torch.get_num_threads())
    assert "cores" in found["machine"]
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert processor(cpuinfo) == "Some CPU @ 2 GHz"
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert processor(tmp_path / "nowhere") == "arm"
    monkeypatch.setitem(
        PACKAGES,
        "Nothing",
        "no-such-distribution",
    )
    assert "Nothing" not in versions()


def drawn(toy, folder, name="accuracy", setting="paper", case=0):
    axes = Figure().subplots()
    table = tables(toy, folder, setting)[case]
    if name == "scores":
        plots.draw_scores(axes, table)
    else:
        plots.draw_curve(axes, table, name)
    return axes, table


def by_label(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_curves_are_means_and_bands_deviations_of_a_sample(toy, tmp_path):
    axes, table = drawn(toy, tmp_path)
    values = [outcome.curves["accuracy"] for outcome in table.rows[0].outcomes]
    mean, spread = plots.mean_and_spread(table.rows[0], "accuracy")
    assert mean == pytest.approx(np.mean(values, axis=0))
    assert spread == pytest.approx([0.0, 0.01])  # of .50, .51, .52; of a whole population .0082
    assert by_label(axes)["A"].get_ydata() == pytest.approx(mean)
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(0.52)
    assert axes.get_title() == "Toys & more: one, paper setting"


def test_the_paper_s_curves_and_ends_are_in_the_method_s_colour(toy, tmp_path):
    toy.axes = {**Toy.axes, "loss": Axes("epoch", "loss"), "theirs": Axes("epoch", "y")}
    curve = {"accuracy": ([0, 5, 9], [0.1, 0.2, 0.3]), "theirs": ([1], [1.0])}
    toy.published = lambda case: {"A": Published(curves=curve), "B": Published(ends={"loss": 0.7})}
    run = toy.run
    toy.run = lambda cell: dataclasses.replace(
        run(cell), curves={"accuracy": [0.1, 0.2], "loss": [1.0, 0.9]}
    )
    axes, table = drawn(toy, tmp_path)
    lines = by_label(axes)
    assert set(lines) == {"A", "B", "A (paper)"}
    assert list(lines["A (paper)"].get_xdata()) == [0, 5, 9]
    assert lines["A (paper)"].get_color() == lines["A"].get_color() != lines["B"].get_color()
    # What the paper alone has is not drawn.
    assert plots.curve_names(table) == ["accuracy", "loss"]
    axes, _ = drawn(toy, tmp_path, "loss")
    lines = by_label(axes)
    assert set(lines) == {"A", "B", "B (paper)"}
    assert list(lines["B (paper)"].get_ydata()) == [0.7, 0.7]
    assert lines["B (paper)"].get_linestyle() == "--"
    assert lines["B (paper)"].get_color() == lines["B"].get_color()


def test_axes_may_have_places_logarithms_and_a_guide(toy, tmp_path):
    toy.axes = {"accuracy": Axes("T", "norm", at=(10.0, 1000.0, 5000.0), log=True, power=-0.5)}
    axes, table = drawn(toy, tmp_path)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lines = by_label(axes)
    assert list(lines["A"].get_xdata()) == [10.0, 1000.0]
    guide = lines["T^-0.5"]
    assert guide.get_xydata() == pytest.approx(np.array([[10.0, 0.1], [1000.0, 0.01]]))
    assert plots.plot_curve(table, "accuracy").startswith(b"\x89PNG")


def test_a_method_has_one_colour_in_all_tables(toy, tmp_path):
    def methods(case, setting, quick):
        names = {("one", "sound"): "AB", ("two", "sound"): "BCA"}.get((case, setting), "DB")
        return [Method(name) for name in names]

    toy.methods = methods
    found = {
        (setting, case): {
            row.method: to_hex(line.get_color())
            for axes, table in [drawn(toy, tmp_path, "accuracy", setting, case)]
            for row in table.rows
            for line in [by_label(axes)[row.method]]
        }
        for setting in ("sound", "paper")
        for case in (0, 1)
    }
    colours = {}
    for each in found.values():
        for method, colour in each.items():
            assert colours.setdefault(method, colour) == colour
    assert len(set(colours.values())) == len(colours) == 4
    axes, _ = drawn(toy, tmp_path, "scores", "paper")
    assert to_hex(axes.get_lines()[0].get_color()) == colours["D"]


def test_scores_have_a_cross_at_the_paper_s_and_room_at_the_ends(toy, tmp_path):
    axes, table = drawn(toy, tmp_path, "scores")
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[0.25]]
    assert [list(line.get_ydata()) for line in crosses] == [[0]]
    bars = [line for line in axes.get_lines() if line.get_marker() == "|"]
    assert [line.get_xdata()[0] for line in bars] == [row.mean for row in table.rows]
    low, high = sorted(axes.get_ylim())
    assert low <= -0.5
    assert high >= len(table.rows) - 0.5
    assert axes.get_title() == "Toys & more: one, paper setting"


def compared(published, found, details=(), higher=True):
    """Remarks on a table of ``found``'s scores, or of the detail "loss"."""

    class Judged(Toy):
        higher_is_better = higher
        details = {"loss": "last loss"}  # noqa: RUF012

    rows = []
    for method, values in found.items():
        cell = Cell("toy", "one", "paper", method, {}, 0, "final")
        detailed = method in details
        runs = tuple(
            Run(cell, Outcome(0.0, details={"loss": x}) if detailed else Outcome(x), 1.0)
            for x in values
        )
        paper = published.get(method)
        if paper is not None:
            paper = Published(details={"loss": paper}) if detailed else Published(paper)
        rows.append(Row(method, {}, (), runs, paper))
    return compare_orders(Table(Judged(), "one", "paper", False, {}, tuple(rows)))


def test_orders_are_compared():
    published = {"A": 0.5, "B": 0.57, "C": 0.4, "E": 0.1}
    found = {"A": [0.6, 0.62], "B": [0.55, 0.57], "C": [0.59, 0.65], "D": [0.9, 0.9]}
    assert compared(published, found) == [
        "Published order, highest first: B 0.57, A 0.5, C 0.4; here: C 0.62, A 0.61, B 0.56. "
        "The other way round: B and A, B and C (within chance), A and C (within chance)."
    ]
    # B and A: .05 against two errors of .0283; B and C: .06 against .0632.
    assert compared(published, {"A": [0.5, 0.52], "B": [0.51, 0.53], "C": [0.1, 0.1]}) == [
        "Published order, highest first: B 0.57, A 0.5, C 0.4; here: B 0.52, A 0.51, C 0.1. "
        "No pair is turned round. As published, but within chance: B and A."
    ]


def test_lower_scores_come_first_where_they_are_better():
    (text,) = compared({"A": 3.0, "B": 2.0}, {"A": [1.0, 1.0], "B": [2.0, 2.0]}, higher=False)
    assert text == (
        "Published order, lowest first: B 2, A 3; here: A 1, B 2. The other way round: B and A."
    )


def test_details_stand_in_for_scores():
    (text,) = compared({"A": 3.0, "B": 2.0}, {"A": [4.0, 4.0], "B": [1.0, 1.0]}, details="AB")
    assert text.startswith("Published order of last loss, highest first: A 3, B 2; here: A 4, B 1.")
    assert text.endswith("No pair is turned round.")
    # A score and a detail are not compared.
    assert compared({"A": 3.0, "B": 2.0}, {"A": [4.0], "B": [1.0]}, details="A") == []


def test_what_cannot_be_compared():
    assert compared({"A": 0.5}, {"A": [0.6], "B": [0.7]}) == []
    assert compared({"A": 0.5, "B": 0.6}, {"A": [0.6], "B": [math.nan]}) == []
    (text,) = compared({"A": 0.5, "B": 0.5}, {"A": [0.6, 0.6], "B": [0.5, 0.5]})
    assert text.endswith("No pair is turned round.")
    (text,) = compared({"A": 0.5, "B": 0.4}, {"A": [0.6], "B": [0.7]})
    assert text.endswith("round: A and B. One run each: chance cannot be told.")


def test_the_page_compares_orders(toy, tmp_path):
    toy.published = lambda case: {"A": Published(0.2), "B": Published(0.3)}
    text = report.write_report(tables(toy, tmp_path), tmp_path, {}).read_text()
    assert text.count("Published order, highest first: B 0.3, A 0.2;") == 2


def test_lower_may_be_better(toy, tmp_path):
    toy.higher_is_better = False
    found = tables(toy, tmp_path)
    text = report.write_report(found[:1], tmp_path, {}).read_text()
    (best,) = re.findall(r"<tr class=best><td>(\w)</td>", text)
    assert best == "A"
