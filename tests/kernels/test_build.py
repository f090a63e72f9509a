"""Properties of the compiled kernels that only the object files show."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from qpsbgd import _core

ROOT = Path(__file__).parents[2]


def kernel_objects(isa):
    """Return the object file of each kernel source, from the last build of the wheel here."""
    pattern = f"build/cp*/CMakeFiles/qpsbgd_kernels_{isa}.dir/csrc/kernels/kernels.cpp.o"
    builds = sorted(ROOT.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not builds:
        return []
    kernels = ROOT / "csrc/kernels"
    sources = sorted(path.relative_to(kernels) for path in kernels.rglob("*.cpp"))
    return [builds[-1].parent / f"{source}.o" for source in sources]


def symbols(path):
    """Return (kind, name) of each symbol that an object file defines."""
    done = subprocess.run(
        ["nm", "--defined-only", "--demangle", path], check=True, capture_output=True, text=True
    )
    return [tuple(line.split(maxsplit=2)[1:]) for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not installed")
@pytest.mark.skipif(not kernel_objects("baseline"), reason="qpsbgd was not built in this tree")
@pytest.mark.parametrize("isa", _core.available_isas())
def test_every_kernel_source_exports_one_table_and_no_weak_symbol(isa):
    # A weak symbol (an inline function) of an AVX-512 object could replace the baseline's at link.
    for path in kernel_objects(isa):
        found = symbols(path)
        assert not [symbol for symbol in found if symbol[0] in "WwVvu"], path.name
        exported = [name for kind, name in found if kind.isupper()]
        assert len(exported) == 1, path.name
        assert exported[0].startswith(f"qpsbgd::{isa}::k"), path.name


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not Path("/proc/cpuinfo").exists(),
    reason="reads the features of an x86-64 processor from Linux",
)
def test_every_instruction_set_of_the_processor_is_used():
    # A compiler's run time that does not know the processor once gave a wheel of baseline code.
    features = next(
        set(line.split(":")[1].split())
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("flags")
    )
    expected = ["baseline"]
    if {"avx2", "fma", "bmi1", "bmi2"} <= features:
        expected.append("v3")
        if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= features:
            expected.append("v4")
    assert _core.available_isas() == expected
