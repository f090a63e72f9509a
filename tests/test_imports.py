"""Layers stay apart: importing the package needs NumPy and dimod alone."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import qpsbgd

HEAVY = ("torch", "dwave", "matplotlib", "sklearn", "click", "tqdm")


def loaded_by(statement):
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return set(done.stdout.split())


def test_import_is_light():
    assert loaded_by("import qpsbgd").isdisjoint(HEAVY)


def test_this_test_can_fail():
    assert "dimod" in loaded_by("import qpsbgd")


def test_the_package_does_not_import_the_benchmarks():
    (folder,) = importlib.util.find_spec("qpsbgd").submodule_search_locations
    files = [path.read_text() for path in Path(folder).rglob("*.py")]
    assert len(files) > 20
    assert not [text for text in files if "import bench" in text or "from bench" in text]


@pytest.mark.parametrize(
    ("layer", "higher"),
    [
        ("samplers", ("nn", "optim", "hardware", "training", "cli")),
        ("projection", ("nn", "optim", "hardware", "training", "cli")),
        ("nn", ("hardware", "training", "cli")),
        ("optim", ("hardware", "training", "cli")),
        ("hardware", ("training", "cli")),
        ("training", ("cli",)),
    ],
)
def test_a_layer_imports_no_higher_one(layer, higher):
    folder = Path(qpsbgd.__file__).with_name(layer)
    files = [*folder.rglob("*.py")]
    assert files
    imports = re.compile(rf"^\s*(from|import) qpsbgd\.({'|'.join(higher)})\b", re.MULTILINE)
    assert not [file for file in files if imports.search(file.read_text())]


def test_training_without_torch_says_what_to_install(tmp_path):
    pytest.importorskip("click")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from qpsbgd.cli import main\n"
        "main(['train', 'digits'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "training needs torch" in done.stderr
    assert "pip install 'qpsbgd[train]'" in done.stderr


def test_command_line_without_click_says_what_to_install():
    code = (
        "import runpy, sys; sys.modules['click'] = None\n"
        "runpy.run_module('qpsbgd', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'qpsbgd[cli]'" in done.stderr


def test_the_sampler_for_the_plugin_says_what_to_install():
    pytest.importorskip("torch")
    code = "import sys; sys.modules['dwave.plugins'] = None\nimport qpsbgd.plugin"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pip install 'qpsbgd[plugin]'" in done.stderr


def test_info_without_torch():
    pytest.importorskip("click")
    code = "import sys; sys.modules['torch'] = None\nfrom qpsbgd.cli import main\nmain(['info'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0


def without_dwave(statements, expect=0, cwd=None):
    code = f"import sys; sys.modules['dwave'] = None\n{statements}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=cwd
    )
    assert done.returncode == expect, done.stderr
    return done.stderr


def test_hardware_without_dwave_system_says_what_to_install():
    text = without_dwave("import qpsbgd.hardware", expect=1)
    assert "qpsbgd.hardware needs dwave-system: pip install 'qpsbgd[dwave]'" in text
    assert "ModuleNotFoundError: " in text
    assert "direct cause of the following exception" in text


def test_samplers_and_native_steps_without_dwave_system():
    pytest.importorskip("torch")
    without_dwave(
        "import numpy as np, torch\n"
        "import qpsbgd\n"
        "from qpsbgd.nn import BinaryLinear\n"
        "from qpsbgd.optim import QPSBGD\n"
        "for projector in ('native', qpsbgd.SimulatedAnnealingSampler()):\n"
        "    layer = BinaryLinear(4, 2, bias=False)\n"
        "    optimizer = QPSBGD(torch.nn.Sequential(layer), projector=projector)\n"
        "    layer(torch.ones(3, 4)).square().sum().backward()\n"
        "    optimizer.step()\n"
    )


@pytest.mark.slow
def test_the_command_line_without_dwave_system(tmp_path):
    for name in ("torch", "click", "tqdm", "matplotlib", "sklearn"):
        pytest.importorskip(name)
    text = without_dwave(
        "from qpsbgd.cli import main\n"
        "main(['train', 'digits', '--network', 'small', '--epochs', '1', '--out', 'native'],\n"
        "     standalone_mode=False)\n"
        "for args in (['train', '--projector', 'dwave', '--mock', 'pegasus'], ['plan']):\n"
        "    try:\n"
        "        main([*args, 'digits'])\n"
        "    except SystemExit as stop:\n"
        "        assert stop.code == 1\n",
        cwd=tmp_path,
    )
    assert "1/1" in text
    assert text.count("Error: qpsbgd.hardware needs dwave-system: pip install 'qpsbgd[dwave]'") == 2
    assert "Traceback" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["native"]


@pytest.mark.parametrize("module", ["nn", "nn.functional", "optim"])
def test_layers_and_optimizers_without_torch_say_what_to_install(module):
    code = f"import sys; sys.modules['torch'] = None\nimport qpsbgd.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    package = module.split(".")[0]
    assert f"qpsbgd.{package} needs PyTorch: pip install 'qpsbgd[torch]'" in done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python refuses the core itself")
def test_a_sub_interpreter_refuses_the_package():
    """The import of the core would wait for ever, on Python 3.10 and 3.11."""
    code = """
import _xxsubinterpreters as interpreters
try:
    interpreters.run_string(interpreters.create(), "import qpsbgd")
except interpreters.RunFailedError as error:
    print(error)
interpreters.run_string(interpreters.create(), "import math")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "ImportError" in done.stdout
    assert "qpsbgd cannot be imported in a sub-interpreter" in done.stdout
