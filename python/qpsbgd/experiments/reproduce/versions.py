"""What a study ran with and on."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from qpsbgd import __version__, _core

#: Distributions by the names they are told under, where they are installed.
PACKAGES = {
    "NumPy": "numpy",
    "SciPy": "scipy",
    "scikit-learn": "scikit-learn",
    "dimod": "dimod",
    "dwave-system": "dwave-system",
    "networkx": "networkx",
    "mlxtend": "mlxtend",
}


def versions() -> dict[str, str]:
    """Versions, threads and machine, for the page's head."""
    return {
        "qpsbgd": f"{__version__} ({_core.isa()})",
        "torch": torch.__version__,
        **_installed(),
        "Python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, "
        f"{os.cpu_count()} cores",
    }


def _installed() -> dict[str, str]:
    found = {}
    for name, distribution in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor(file: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's name, as the kernel has it, or else Python."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or "unknown processor"
