"""What a training run solves its problems with."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dimod

from qpsbgd.projection import NativeProjector, Projector, SamplerProjector

if TYPE_CHECKING:
    from qpsbgd.hardware import DWaveProjector
    from qpsbgd.training.config import Config

BackendName = Literal["native", "sampler", "dwave"]
TOPOLOGIES = ("pegasus", "zephyr", "chimera")
#: Options of a run that one back end alone has, or two.
BACKEND_OPTIONS: dict[str, tuple[BackendName, ...]] = {
    "sampler": ("sampler",),
    "sampler_options": ("sampler", "dwave"),
    "num_reads": ("dwave",),
    "max_copies": ("dwave",),
    "annealing_time": ("dwave",),
    "mock": ("dwave",),
    "solver": ("dwave",),
    "profile": ("dwave",),
    "region": ("dwave",),
    "budget_us": ("dwave",),
    "on_unembeddable": ("dwave",),
    "on_failure": ("dwave",),
    "polish": ("sampler", "dwave"),
}


def make_projector(config: "Config", folder: Path) -> Projector:
    """The projector that a configuration names; the ledger is in the run's folder.

    Raises:
        ValueError: options that the back end refuses, or no token.
        ImportError: a package that the back end needs is missing.
    """
    if (
        config.backend != "native"
        and config.objective == "sign"
        and config.inputs != "binary"
        and config.on_unembeddable == "error"
    ):
        raise ValueError(
            "the sign objective needs binary inputs where it is not solved natively: "
            "inputs must be 'binary'"
        )
    if config.backend == "sampler":
        return SamplerProjector(
            find_sampler(config.sampler),
            sample_kwargs=config.sampler_options,
            polish=config.polish,
            num_threads=config.threads,
        )
    if config.backend == "dwave":
        return _annealer(config, folder)
    return NativeProjector(num_threads=config.threads)


def find_sampler(name: str) -> dimod.Sampler:
    """The sampler that ``module:Class`` makes without arguments.

    Raises:
        ValueError: another form, no such module or class, or no dimod sampler.
    """
    module_name, _, class_name = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"sampler is {name!r}, but must be module:Class, such as qpsbgd:TabuSampler or "
            f"dwave.samplers:SteepestDescentSampler: {error}"
        ) from error
    if not isinstance(made, dimod.Sampler):
        raise ValueError(f"sampler is {name!r}, but must name a dimod.Sampler")
    return made


def _annealer(config: "Config", folder: Path) -> "DWaveProjector":
    from qpsbgd.hardware import DWaveProjector, mock_annealer

    options: dict[str, Any] = {
        "num_reads": config.num_reads,
        "max_copies": config.max_copies,
        "annealing_time": config.annealing_time,
        "sample_kwargs": config.sampler_options,
        "polish": config.polish,
        "budget_us": config.budget_us,
        "ledger": folder / "access_time.json",
        "on_unembeddable": config.on_unembeddable,
        "on_failure": config.on_failure,
        "run": folder.name,
        "num_threads": config.threads,
    }
    if config.mock is not None:
        machine = mock_annealer(config.mock, num_threads=config.threads, seed=config.seed)
        return DWaveProjector(machine, **options)
    return DWaveProjector(
        profile=config.profile, solver=config.solver, region=config.region, **options
    )
