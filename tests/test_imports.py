"""Layers stay apart: importing the package needs NumPy and dimod alone."""

import subprocess
import sys

import pytest

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
    pytest.importorskip("torch")
    assert "torch" in loaded_by("import qpsbgd.optim")


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
    code = "import sys; sys.modules['click'] = None\nimport qpsbgd.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
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
