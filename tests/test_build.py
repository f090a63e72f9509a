"""Properties of the compiled kernels that only the object files show."""

import shutil
import subprocess
from pathlib import Path

import pytest

from qpsbgd import _core

ROOT = Path(__file__).parents[1]


def kernel_objects():
    """The kernels of the last build of the wheel in this tree, by instruction set."""
    found = {}
    for isa in _core.available_isas():
        pattern = f"build/cp*/CMakeFiles/qpsbgd_kernels_{isa}.dir/csrc/kernels/*.o"
        objects = sorted(ROOT.glob(pattern), key=lambda path: path.stat().st_mtime)
        if objects:
            found[isa] = objects[-1]
    return found


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
@pytest.mark.skipif(not kernel_objects(), reason="qpsbgd was not built in this tree")
@pytest.mark.parametrize("isa", _core.available_isas())
def test_kernels_export_one_symbol_and_no_weak_one(isa):
    # A weak symbol (an inline function) of an AVX-512 object could replace the baseline's at link.
    done = subprocess.run(
        ["nm", "--defined-only", "--demangle", kernel_objects()[isa]],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    symbols = [line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()]
    assert not [symbol for symbol in symbols if symbol[0] in "WwVvu"]
    exported = [name for kind, name in symbols if kind.isupper()]
    assert exported == [f"qpsbgd::{isa}::kTable"]
