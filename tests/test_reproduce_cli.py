"""``qpsbgd reproduce``, as a user runs it."""

import csv
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
from qpsbgd.cli.reproduce import NAMES
from qpsbgd.experiments.reproduce import experiments

QUICK = ("--quick", "--seeds", 2, "--threads", 1)


def test_the_names_are_the_experiments():
    assert tuple(each.name for each in experiments()) == NAMES


def results(folder):
    with (folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Rosenbrock, both settings, and what was printed."""
    folder = tmp_path_factory.mktemp("reproduction")
    return folder, invoke("reproduce", "rosenbrock", *QUICK, "--out", folder)


def test_what_is_left(finished):
    folder, text = finished
    assert f"Report: {folder / 'report.html'}" in text
    assert "sound setting" in text
    assert "paper setting" in text
    assert {path.name for path in folder.iterdir()} == {
        "cells", "plots", "report.html", "results.csv", "summary.json",
    }  # fmt: skip
    rows = results(folder)
    assert {row["setting"] for row in rows} == {"paper", "sound"}
    assert {row["seed"] for row in rows} == {"0", "1"}
    page = (folder / "report.html").read_text()
    assert "QP-SBGD latent" in page
    assert not re.search(r'src="(?!data:)', page)


def test_nothing_is_run_twice(finished, monkeypatch):
    folder, _ = finished
    before = {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}
    page = (folder / "report.html").read_text()

    def never(*args, **kwargs):
        raise AssertionError("a finished cell was run")

    monkeypatch.setattr(type(experiments()[0]), "run", never)
    text = invoke("reproduce", "rosenbrock", *QUICK, "--out", folder, "--json")
    assert {path.name: path.read_bytes() for path in (folder / "cells").iterdir()} == before
    assert (folder / "report.html").read_text() == page
    found = json.loads(text[text.index('{"report"') :].splitlines()[0])
    assert found["rows"] == json.loads((folder / "summary.json").read_text())


def test_one_setting_alone(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    text = invoke("reproduce", "rosenbrock", *QUICK, "--setting", "paper", "--out", tmp_path)
    assert "sound setting" not in text
    assert {row["setting"] for row in results(tmp_path)} == {"paper"}


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
    assert len(list((tmp_path / "cells").iterdir())) == 3
    invoke(*args)
    assert results(tmp_path) == results(folder)


def test_data_that_are_nowhere_do_not_stop_the_others(finished, monkeypatch, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "copy")

    class Missing(type(experiments()[0])):
        def run(self, cell):
            raise OSError("it could not be downloaded: put it into a folder")

    whole = [Missing(), experiments()[0]]
    whole[0].name = "adult2"
    monkeypatch.setattr("qpsbgd.experiments.reproduce.experiments", lambda: whole)
    text = invoke("reproduce", "all", *QUICK, "--out", folder, expect=1)
    assert "adult2: it could not be downloaded: put it into a folder" in text
    assert "Report: " in text
    text = invoke("reproduce", "adult2", *QUICK, "--out", folder, expect=1)
    assert "Report: " not in text


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    text = invoke("reproduce", "rosenbrock", *QUICK, "--out", tmp_path / "file" / "x", expect=1)
    assert "file" in text
