"""A structured sampler, and what has to be known of it."""

import functools
from typing import Any, Literal

import dimod
import networkx as nx
import requests.exceptions
from dwave.cloud.config import load_config
from dwave.cloud.exceptions import ConfigFileError, RequestTimeout
from dwave.system import DWaveSampler
from dwave.system.testing import MockDWaveSampler

from qpsbgd._checks import check_instance
from qpsbgd.hardware.embedding import working_graph
from qpsbgd.hardware.programming import Ranges
from qpsbgd.hardware.redact import keep_out, redacted

Kind = Literal["QPU", "mock", "sampler"]


class Machine:
    """A quantum annealer, or whatever takes problems of a graph of its own.

    Args:
        sampler: with ``nodelist``, ``edgelist`` and ``properties``.

    Raises:
        TypeError: not a structured dimod sampler.
        ValueError: its graph is of no known topology.
    """

    def __init__(self, sampler: dimod.Sampler) -> None:
        rule = "a structured dimod sampler, such as dwave.system.DWaveSampler()"
        check_instance("sampler", sampler, dimod.Sampler, rule)
        if not isinstance(sampler, dimod.Structured):
            raise TypeError(
                f"sampler is a {type(sampler).__name__}, but must be {rule}: others go to "
                "qpsbgd.SamplerProjector"
            )
        self.sampler = sampler
        client = getattr(sampler, "client", None)
        keep_out(getattr(getattr(client, "config", None), "token", None))

    @functools.cached_property
    def graph(self) -> nx.Graph:
        """Of the qubits and couplers that work."""
        return working_graph(self.sampler)

    @property
    def properties(self) -> dict[str, Any]:
        """Of the solver."""
        properties: dict[str, Any] = self.sampler.properties
        return properties

    @functools.cached_property
    def ranges(self) -> Ranges:
        """Of its biases."""
        return Ranges.of(self.properties)

    @property
    def name(self) -> str:
        """Of the solver."""
        return str(self.properties.get("chip_id") or type(self.sampler).__name__)

    @property
    def graph_id(self) -> str:
        """Changes where the solver's working graph does."""
        solver = getattr(self.sampler, "solver", None)
        version = getattr(solver, "graph_id", None)
        return f"{self.name}@{version}" if isinstance(version, str) else self.name

    @property
    def kind(self) -> Kind:
        """``"QPU"`` for a real one alone."""
        innermost = self.sampler
        while isinstance(innermost, dimod.ComposedSampler):
            innermost = innermost.child
        if isinstance(innermost, MockDWaveSampler):
            return "mock"
        is_real = isinstance(innermost, DWaveSampler) and innermost.solver.qpu is True
        return "QPU" if is_real else "sampler"


def connect(
    profile: str | None = None, solver: str | None = None, region: str | None = None
) -> DWaveSampler:
    """A D-Wave annealer, as the client's configuration file and environment say.

    No token is taken here, and none is logged: see ``redact.py``.

    Raises:
        ValueError: there is no token; the message says how to set one, the cause is the client's.
    """
    given = {"profile": profile, "solver": solver, "region": region}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        config = load_config(profile=profile)
        for name in ("token", "headers", "proxy", "client_cert", "client_cert_key"):
            keep_out(config.get(name))
        return DWaveSampler(**given)
    except (RequestTimeout, requests.exceptions.ConnectionError) as error:
        raise ConnectionError(
            f"D-Wave's service cannot be reached: {redacted(str(error))}"
        ) from error
    except ConfigFileError as error:
        raise ValueError(f"D-Wave's configuration cannot be read: {error}") from error
    except ValueError as error:
        if "token" not in str(error).lower():
            raise
        raise ValueError(
            "there is no D-Wave API token: run `dwave setup`, or set DWAVE_API_TOKEN (a token is "
            "on the dashboard of cloud.dwavesys.com); without one, train with the native solver, "
            "or on qpsbgd.hardware.mock_annealer() (--mock pegasus on the command line)"
        ) from error
