"""Shared fixtures."""

import numpy as np
import pytest

from qpsbgd import _core


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every instruction set of this machine, in force for the test."""
    monkeypatch.setenv("QPSBGD_ISA", request.param)
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20231015)
