"""Settings of a training run: their types, defaults, valid values and help texts.

``qpsbgd train`` makes its options from the fields of :class:`Config`.
"""

# ruff: noqa: RUF009  (setting() returns a dataclass field)

import json
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import qpsbgd
from qpsbgd.projection.options import AlphaRule, Objective
from qpsbgd.training.recipes import RECIPES, DatasetName, NetworkName, OptimizerName
from qpsbgd.training.settings import (
    COUNT,
    COUNT_OR_ZERO,
    POSITIVE,
    Interval,
    Option,
    ProjectorName,
    Topology,
    check_value,
    setting,
)

#: Settings that may change when a run is resumed.
RESUMABLE = ("budget_us",)
#: Settings that do not change the weights that a run computes.
NOT_DECISIVE = (*RESUMABLE, "threads", "version")

QPSBGD: dict[str, Any] = {"optimizers": ("qpsbgd",)}
DWAVE: dict[str, Any] = {"projectors": ("dwave",)}
NOT_NATIVE: dict[str, Any] = {"projectors": ("sampler", "dwave")}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a run, as its ``config.json`` holds them.

    :meth:`from_recipe` fills in the settings that a caller leaves out.

    Raises:
        TypeError: a setting has the wrong type.
        ValueError: a setting is not one of its choices or not in its interval.

    Example:
        >>> config = Config.from_recipe("digits", optimizer="signsgd", epochs=3)
        >>> config.network, config.batch_size, config.lr
        ('mlp', 50, 0.03)
    """

    dataset: DatasetName
    network: NetworkName = setting(
        "Fully connected, with few enough neurons for an annealer (small) or more (mlp); or "
        "with convolutions (cnn).",
        default_text="mlp; small with another projector than native",
    )
    optimizer: OptimizerName = setting(
        "qpsbgd, or one of the baselines: binaryconnect (with Adam), binaryconnect-sgd, "
        "signsgd, signum, proxquant, bop, proxconnect.",
        default="qpsbgd",
        metavar="NAME",
    )
    epochs: int = setting("Passes over the training images.", default=15, interval=COUNT)
    lr: float = setting(
        "Initial learning rate (bop: gamma).",
        interval=POSITIVE,
        default_text="the best of a grid for data set and optimizer",
    )
    batch_size: int = setting(
        "Images in a step.", interval=COUNT, default_text="digits 50, mnist5k 100"
    )
    # dimod's and this package's samplers take seeds below 2**31.
    seed: int = setting(
        "Seed of the weights, the batches and the solver.", default=0, interval=Interval(0, 2**31)
    )
    # scikit-learn takes seeds below 2**32.
    split: int = setting(
        "Seed of the draw that holds out a fifth of the images for testing.",
        default=0,
        interval=Interval(0, 2**32),
    )
    num_sweeps: int | None = setting(
        "Sweeps of the solver in each step, or of --polish; qpsbgd only.",
        default=None,
        interval=COUNT_OR_ZERO,
        default_text="2 quadratic, 10 sign",
        **QPSBGD,
    )
    objective: Objective = setting(
        "What a projection minimises; qpsbgd only.", default="quadratic", **QPSBGD
    )
    scale: float | None = setting(
        "Strength of the quadratic objective's curvature; qpsbgd only.",
        default=None,
        interval=POSITIVE,
        default_text="chosen for each layer by held-out images of the batch",
        **QPSBGD,
    )
    alpha: AlphaRule = setting(
        "What the scale is relative to: the least-squares fit, or the length of the targets; "
        "qpsbgd only.",
        default="fit",
        **QPSBGD,
    )
    momentum: float = setting(
        "Momentum of the binary gradient; qpsbgd only.",
        default=0.0,
        interval=Interval(0, 1),
        **QPSBGD,
    )
    weight_decay: float = setting(
        "Decoupled decay of the latent weights; qpsbgd only.",
        default=0.0,
        interval=Interval(0),
        **QPSBGD,
    )
    relative_lr: bool = setting(
        "Measure the learning rate in units of each layer's root mean square weight; qpsbgd only.",
        default=False,
        **QPSBGD,
    )
    memory: int = setting(
        "Number of images in a projection of small batches, with those of past steps; 0 for the "
        "step's alone; qpsbgd only.",
        default=128,
        interval=COUNT_OR_ZERO,
        **QPSBGD,
    )
    max_samples: int | None = setting(
        "Largest number of samples from which a step computes the curvature of a layer; qpsbgd "
        "only.",
        default=None,
        interval=COUNT,
        default_text="three for each input of the layer, from 1024 to 2048",
        **QPSBGD,
    )
    inputs: Literal["standardised", "unit", "binary"] = setting(
        "Pixels of mean 0 and variance 1 over all images, from -1 to 1, or -1 and 1 alone.",
        default="standardised",
    )
    schedule: Literal["cosine", "exponential"] = setting(
        "Learning-rate schedule: cosine decay to 0, or a factor of 0.75 after each epoch.",
        default="cosine",
    )
    shift: int = setting(
        "Move each training image at random by up to this many pixels.",
        default=0,
        interval=COUNT_OR_ZERO,
    )
    # Operating systems refuse to start more threads.
    threads: int | None = setting(
        "Threads of torch and of the solver.", default=None, interval=Interval(1, 2**12)
    )
    projector: ProjectorName = setting(
        "What solves the problems of a step; others than native for qpsbgd only.", default="native"
    )
    sampler: str = setting(
        "A dimod sampler, for --projector sampler.",
        default="qpsbgd:SimulatedAnnealingSampler",
        metavar="MODULE:CLASS",
        projectors=("sampler",),
    )
    sampler_options: dict[str, Any] = setting(
        "Keyword arguments of the sampler's sample().", default_factory=dict, **NOT_NATIVE
    )
    num_reads: int = setting(
        "Reads in each call of the annealer.", default=100, interval=COUNT, flag="--reads", **DWAVE
    )
    max_copies: int | None = setting(
        "Greatest number of neurons in one call.",
        default=None,
        interval=COUNT,
        default_text="as many as fit",
        **DWAVE,
    )
    annealing_time: float | None = setting(
        "Microseconds of one read.",
        default=None,
        interval=POSITIVE,
        default_text="the solver's",
        **DWAVE,
    )
    mock: str | None = setting(
        "A simulated annealer in place of a real one: on the ideal graph of a topology (P16, Z12, "
        "C16), or on that of a JSON file with a solver's properties.",
        default=None,
        metavar="[pegasus|zephyr|chimera|FILE]",
        names=get_args(Topology),
        **DWAVE,
    )
    solver: str | None = setting(
        "Name of the D-Wave solver.", default=None, default_text="D-Wave's choice", **DWAVE
    )
    profile: str | None = setting("Profile in D-Wave's configuration file.", default=None, **DWAVE)
    region: str | None = setting("D-Wave region.", default=None, **DWAVE)
    budget_us: float | None = setting(
        "Access time that the run may take, in microseconds. A step whose estimate exceeds "
        "the rest is not sent. May be raised with --resume.",
        default=None,
        interval=POSITIVE,
        **DWAVE,
    )
    on_unembeddable: Literal["native", "error"] = setting(
        "What happens to layers that do not fit the annealer: the native solver takes them, "
        "or the run does not start.",
        default="error",
        **DWAVE,
    )
    on_failure: Literal["retry", "native", "error"] = setting(
        "What happens after a call without an answer: retry, and stop if that fails; solve "
        "the problems natively; or stop at once.",
        default="retry",
        **DWAVE,
    )
    polish: bool = setting(
        "Improve the answers of a sampler or annealer by native descent.",
        default=False,
        **NOT_NATIVE,
    )
    version: str = field(default=qpsbgd.__version__)

    def __post_init__(self) -> None:
        for name in setting_fields():
            check_setting(name, getattr(self, name))

    @classmethod
    def from_recipe(cls, dataset: str, **settings: Any) -> "Config":
        """Return a configuration with the recipe's values for settings that are missing or None.

        Raises:
            TypeError: a setting has the wrong type or an unknown name.
            ValueError: a setting is not one of its choices or not in its interval.
        """
        known = {name: value for name, value in settings.items() if value is not None}
        optimizer = known.get("optimizer", "qpsbgd")
        is_native = known.get("projector", "native") == "native"
        network = known.setdefault("network", "mlp" if is_native else "small")
        for name, value in (("dataset", dataset), ("optimizer", optimizer), ("network", network)):
            check_setting(name, value)
        recipe = RECIPES[dataset, network]
        from_recipe = {
            "lr": recipe.lr[optimizer],
            "batch_size": recipe.batch_size,
        }
        return cls(dataset=dataset, **{**from_recipe, **known})  # type: ignore[arg-type]

    @property
    def decisive_settings(self) -> dict[str, Any]:
        """The settings that decide which weights a run computes, by name."""
        return {name: getattr(self, name) for name in setting_fields() if name not in NOT_DECISIVE}


def check_setting(name: str, value: Any) -> None:
    """Raise if a value is not valid for a setting of a run.

    Raises:
        TypeError: the value has the wrong type.
        ValueError: the value is not one of the choices or not in the interval.

    Example:
        >>> check_setting("momentum", 1.5)
        Traceback (most recent call last):
        ValueError: momentum is 1.5, but must lie in [0, 1)
    """
    check_value(name, value, setting_types()[name], option_of(name).interval)


def option_of(name: str) -> Option:
    """Return the description of a setting; an empty description if the setting is no option."""
    described: Option = setting_fields()[name].metadata.get("option", Option())
    return described


def setting_fields() -> dict[str, Field[Any]]:
    """Return the fields of :class:`Config` by name."""
    return {each.name: each for each in fields(Config)}


@cache
def setting_types() -> dict[str, Any]:
    """Return the annotated types of all settings by name."""
    return get_type_hints(Config)


def read_config(folder: Path) -> Config:
    """Return the configuration of the run in a folder.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: the configuration is damaged, or was written by a version with other settings.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise TypeError(f"it is a JSON {type(content).__name__}, but must be an object")
        if "rates" in content:
            raise ValueError("it belongs to a comparison, which cannot be resumed")
        for name, value in content.items():
            if name not in setting_fields():
                raise ValueError(
                    f"it has the setting {name!r}, which qpsbgd {qpsbgd.__version__} does not "
                    "know; start a new run"
                )
            check_setting(name, value)
        missing = [name for name in setting_fields() if name not in content]
        # Only a file of another version may lack settings.
        if missing and content.get("version", qpsbgd.__version__) == qpsbgd.__version__:
            raise ValueError(f"it has no {missing[0]!r}")
        return Config(**content)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no run: config.json is missing") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a run's: {error}") from error
