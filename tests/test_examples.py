"""The scripts in examples/ run, and the twins differ by two lines."""

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
@pytest.mark.slow
def test_example(path, tmp_path):
    done = subprocess.run(
        [sys.executable, str(path)], check=True, capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error::UserWarning"},
    )  # fmt: skip
    assert float(re.findall(r"test accuracy ([\d.]+)", done.stdout)[-1]) > 0.85
    assert not list(tmp_path.iterdir())


def test_two_lines_change_from_binaryconnect():
    twins = [
        (EXAMPLES / f"digits_{name}.py").read_text().splitlines()
        for name in ("binaryconnect", "qpsbgd")
    ]
    changes = [line[0] for line in difflib.ndiff(*twins) if line[0] in "+-"]
    assert sorted(changes) == ["+", "+", "-", "-"]
