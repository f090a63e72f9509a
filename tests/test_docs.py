"""The examples of docs/training.md run, one after the other."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[1] / "docs" / "training.md"


@pytest.fixture
def process_group():
    """End the process group that an example begins."""
    yield
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_torch_thread", "process_group")
def test_examples_run_in_sequence(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # for the files that an example may write
    page = PAGE.read_text()
    fences = list(re.finditer(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert len(fences) == page.count("```python")
    assert fences
    names = {}
    for fence in fences:
        first_line = page.count("\n", 0, fence.start()) + 2  # of the page, for a traceback
        exec(compile("\n" * (first_line - 1) + fence[1], str(PAGE), "exec"), names)
