"""Projectors of training runs: the native solver, a dimod sampler or an annealer."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dimod

from qpsbgd.projection import NativeProjector, Projector, SamplerProjector
from qpsbgd.training.config import Config

if TYPE_CHECKING:
    from qpsbgd.hardware import DWaveProjector


def make_projector(config: Config, folder: Path) -> Projector:
    """Return the projector that a configuration names.

    Args:
        config: configuration of the run.
        folder: folder of the run, which an annealer's ledger of access time is written to.

    Raises:
        ValueError: options that the projector refuses, or no token for the annealer.
        ImportError: a package that the projector needs is missing.

    Example:
        >>> from qpsbgd.training.config import Config
        >>> make_projector(Config.from_recipe("digits", threads=1), Path("run")).num_threads
        1
    """
    if (
        config.projector != "native"
        and config.objective == "sign"
        and config.inputs != "binary"
        and config.on_unembeddable == "error"
    ):
        raise ValueError(
            "a sampler or annealer solves the sign objective for binary inputs only: "
            "inputs must be 'binary'"
        )
    if config.projector == "sampler":
        return SamplerProjector(
            find_sampler(config.sampler),
            sample_kwargs=config.sampler_options,
            polish=config.polish,
            num_threads=config.threads,
        )
    if config.projector == "dwave":
        return _make_annealer(config, folder)
    return NativeProjector(num_threads=config.threads)


def find_sampler(name: str) -> dimod.Sampler:
    """Return the sampler that the class ``module:Class`` makes without arguments.

    Raises:
        ValueError: the name has another form, or there is no such dimod sampler.

    Example:
        >>> type(find_sampler("qpsbgd:TabuSampler")).__name__
        'TabuSampler'
    """
    module_name, _, class_name = name.partition(":")
    try:
        sampler = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"sampler is {name!r}, but must be module:Class, such as qpsbgd:TabuSampler or "
            f"dwave.samplers:SteepestDescentSampler: {error}"
        ) from error
    if not isinstance(sampler, dimod.Sampler):
        raise ValueError(f"sampler is {name!r}, but must name a dimod.Sampler")
    return sampler


def _make_annealer(config: Config, folder: Path) -> "DWaveProjector":
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
