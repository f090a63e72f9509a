"""Training runs whose configuration or checkpoint is damaged: one error, or the run goes on."""

import functools
import io
import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import torch
from hypothesis import strategies as st

from draws import seeds
from fuzz.damage import damaged, damaged_tree
from fuzz.targets import target
from qpsbgd.training.config import Config
from qpsbgd.training.datasets import DATASETS
from qpsbgd.training.runs import Run

#: What an entry of a configuration becomes.
VALUES = (
    None, True, -1, 0, 1, 2, 1.5, float("nan"), float("inf"), "", "x", (), {}, "sampler", "native",
    "digits", "sign", 1e308, 2**40, "cnn", "bop",
)  # fmt: skip
FIELDS = tuple(sorted(asdict(Config.from_recipe("digits"))))


@functools.cache
def digits(split=0):
    """The data set, read once: reading it again would take most of the time."""
    return ORIGINAL(0)


ORIGINAL = DATASETS["digits"]


@functools.cache
def sound_run():
    """A run's folder and the bytes of its first checkpoint."""
    folder = Path(tempfile.mkdtemp(prefix="training-")) / "run"
    with mock.patch.dict(DATASETS, digits=lambda split: digits()):
        run = Run(Config.from_recipe("digits", epochs=1, network="small"), folder)
    run._save()
    return folder, (folder / "checkpoint.pt").read_bytes()


def resume(folder, *errors):
    """Resume a run; these errors are right for a damaged one."""
    with (
        mock.patch.dict(DATASETS, digits=lambda split: digits()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            Run.resume(folder)
        except errors:
            return


@target(
    changes=st.lists(
        st.tuples(st.sampled_from(FIELDS), st.sampled_from(VALUES)), min_size=1, max_size=2
    )
)
def configurations(changes):
    folder = Path(tempfile.gettempdir()) / "configuration"
    folder.mkdir(exist_ok=True)
    config = asdict(Config.from_recipe("digits")) | dict(changes)
    (folder / "config.json").write_text(json.dumps(config))
    resume(folder, ValueError, OSError, ImportError)


@target(count=st.integers(1, 3), seed=seeds)
def damaged_checkpoints(count, seed):
    folder, content = sound_run()
    (folder / "checkpoint.pt").write_bytes(damaged(content, seed, count))
    resume(folder, ValueError, OSError)


@target(count=st.integers(1, 3), seed=seeds)
def checkpoints_of_other_entries(count, seed):
    folder, content = sound_run()
    state = torch.load(io.BytesIO(content), weights_only=True)
    entries = (
        None, -1, "x", [], {}, 1.5, torch.zeros(3), torch.full((2, 2), float("nan")), 2**70,
    )  # fmt: skip
    torch.save(damaged_tree(state, seed, count, entries), folder / "checkpoint.pt")
    resume(folder, ValueError, OSError)
