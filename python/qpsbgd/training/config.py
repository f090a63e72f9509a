"""The configuration of a training run."""

import json
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import qpsbgd
from qpsbgd.projection.options import AlphaRule, Objective
from qpsbgd.training.backends import TOPOLOGIES, BackendName
from qpsbgd.training.datasets import DATASETS
from qpsbgd.training.recipes import NetworkName, OptimizerName

#: Least value of each whole number.
MINIMA = {
    "epochs": 1,
    "batch_size": 1,
    "seed": 0,
    "split": 0,
    "num_sweeps": 0,
    "shift": 0,
    "threads": 1,
    "num_reads": 1,
    "max_copies": 1,
}
#: Values are less: seeds of samplers and of scikit-learn, counts of the core, and threads that an
#: operating system can start.
LIMITS = {"seed": 2**31, "split": 2**32, "threads": 2**12}
COUNT_LIMIT = 2**31
#: These must be more than 0.
POSITIVE = ("lr", "scale", "annealing_time", "budget_us")


@dataclass(frozen=True)
class Config:
    """What a run does; written to ``config.json``.

    Raises:
        TypeError: a setting of the wrong type.
        ValueError: a setting out of range.
    """

    dataset: str
    optimizer: OptimizerName = "qpsbgd"
    network: NetworkName = "mlp"
    epochs: int = 15
    lr: float = 1e-2
    batch_size: int = 50
    seed: int = 0
    split: int = 0
    num_sweeps: int | None = None
    objective: Objective = "quadratic"
    scale: float = 1.0
    alpha: AlphaRule = "fit"
    momentum: float = 0.0
    shift: int = 0
    inputs: Literal["standardised", "unit", "binary"] = "standardised"
    schedule: Literal["cosine", "exponential"] = "cosine"
    threads: int | None = None
    backend: BackendName = "native"
    sampler: str = "qpsbgd:SimulatedAnnealingSampler"
    sampler_options: dict[str, Any] = field(default_factory=dict)
    num_reads: int = 100
    max_copies: int | None = None
    annealing_time: float | None = None
    mock: str | None = None
    solver: str | None = None
    profile: str | None = None
    region: str | None = None
    budget_us: float | None = None
    on_unembeddable: Literal["native", "error"] = "error"
    on_failure: Literal["retry", "native", "error"] = "retry"
    polish: bool = False
    version: str = field(default=qpsbgd.__version__)

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            _check_type(name, getattr(self, name), kind)
        for name, choices in (("dataset", tuple(DATASETS)), ("mock", (*TOPOLOGIES, None))):
            if getattr(self, name) not in choices:
                _refuse(name, getattr(self, name), f"one of {', '.join(map(str, choices))}")
        for name, minimum in MINIMA.items():
            value, limit = getattr(self, name), LIMITS.get(name, COUNT_LIMIT)
            if value is not None and value < minimum:
                _refuse(name, value, f"at least {minimum}")
            if value is not None and value >= limit:
                _refuse(name, value, f"less than {limit}")
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                _refuse(name, value, "positive and finite")
        if not 0 <= self.momentum < 1:
            _refuse("momentum", self.momentum, "in [0, 1)")


def read_config(folder: Path) -> Config:
    """Return what the run in a folder was asked to do.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: its configuration is damaged.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise TypeError(f"it is a JSON {type(content).__name__}, but must be an object")
        config = Config(**content)
        # Only a file of another version may lack settings.
        missing = [f.name for f in fields(Config) if f.name not in content]
        if missing and config.version == qpsbgd.__version__:
            raise ValueError(f"it has no {missing[0]!r}")
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no run: config.json is missing") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a run's: {error}") from error
    return config


def _check_type(name: str, value: Any, kind: Any) -> None:
    """Raise if a setting is not of its annotated type; JSON has no other types than these."""
    if isinstance(kind, UnionType):
        if value is not None:
            (kind,) = (choice for choice in get_args(kind) if choice is not NoneType)
            _check_type(name, value, kind)
        return
    if get_origin(kind) is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            _refuse(name, value, f"one of {', '.join(get_args(kind))}")
        return
    kind = get_origin(kind) or kind
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {value!r}, but must be of type {kind.__name__}")


def _refuse(name: str, value: Any, rule: str) -> None:
    raise ValueError(f"{name} is {value!r}, but must be {rule}")
