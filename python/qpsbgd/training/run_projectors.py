"""Projectors of training runs: the native solver, a dimod sampler or an annealer."""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dimod

from qpsbgd.projection import NativeProjector, Projector, SamplerProjector
from qpsbgd.training.config import Config, option_of

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


def mock_machine(name: str, **options: Any) -> dimod.Sampler:
    """Return a mock of an annealer.

    Args:
        name: topology of an ideal machine, or path of a JSON file with a solver's properties.
        **options: other arguments of :func:`qpsbgd.hardware.mock_annealer`.

    Raises:
        ValueError: there is no such file, or it does not hold the properties of a solver.
        OSError: the file cannot be read.

    Example:
        >>> len(mock_machine("chimera").nodelist)
        2048
    """
    from qpsbgd.hardware import mock_annealer

    topologies = option_of("mock").names
    if name in topologies:
        return mock_annealer(name, **options)
    if not Path(name).is_file():
        raise ValueError(
            f"mock is {name!r}, but must be one of {', '.join(topologies)}, or a JSON file with a "
            "solver's properties"
        )
    properties = read_properties(Path(name))
    try:
        return mock_annealer(properties=properties, **options)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{name} holds no properties of a solver: {error}") from error


def read_properties(path: Path) -> dict[str, Any]:
    """Return the properties of a solver that a JSON file holds.

    Raises:
        ValueError: the file holds no JSON object.
        OSError: the file cannot be read.
    """
    try:
        properties = json.loads(path.read_text())
    # Thousands of nested brackets exceed the recursion limit of the JSON parser.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(properties, dict):
        raise ValueError(f"{path} holds no JSON object, but must hold a solver's properties")
    return properties


def _make_annealer(config: Config, folder: Path) -> "DWaveProjector":
    from qpsbgd.hardware import DWaveProjector

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
        machine = mock_machine(config.mock, num_threads=config.threads, seed=config.seed)
        return DWaveProjector(machine, **options)
    return DWaveProjector(
        profile=config.profile, solver=config.solver, region=config.region, **options
    )
