"""Connection to D-Wave's service, and a filter that keeps API tokens out of logs.

At level DEBUG, D-Wave's client logs its configuration with the token. A program that sets the root
logger to DEBUG would write that to its log. The filter removes text that looks like a token by the
client's own rule, and the secrets in use. It is attached to all loggers of the client. A logger
inherits no filter from its parent, so the factory of log records filters those of loggers that the
client makes later.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import requests.exceptions
from dwave.cloud.config import load_config
from dwave.cloud.exceptions import ConfigFileError, RequestTimeout
from dwave.cloud.utils.logging import FilteredSecretsFormatter
from dwave.system import DWaveSampler

_FORMATTER = FilteredSecretsFormatter("%(message)s")
_SECRETS: set[str] = set()
_VARIABLES = ("DWAVE_API_TOKEN", "DWAVE_API_HEADERS")


def connect(
    profile: str | None = None, solver: str | None = None, region: str | None = None
) -> DWaveSampler:
    """Return a D-Wave annealer, as the client's configuration file and environment describe it.

    There is no argument for a token, and no token is logged.

    Args:
        profile: section of the configuration file.
        solver: name of the solver.
        region: region of D-Wave's service.

    Raises:
        ValueError: there is no token, or the configuration file cannot be read.
        ConnectionError: the service cannot be reached.
    """
    options = {"profile": profile, "solver": solver, "region": region}
    options = {name: value for name, value in options.items() if value is not None}
    try:
        config = load_config(profile=profile)
        for name in ("token", "headers", "proxy", "client_cert", "client_cert_key"):
            hide_secret(config.get(name))
        return _opened(options)
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


def _opened(options: dict[str, str | None]) -> DWaveSampler:
    """Return a sampler; if it cannot be made, end the threads of its client."""
    sampler = DWaveSampler.__new__(DWaveSampler)
    try:
        sampler.__init__(**options)
    except BaseException:
        # The client exists if no solver has the wanted features.
        if hasattr(sampler, "client"):
            sampler.close()
        raise
    return sampler


class _TokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = redacted(text)
        if clean != text:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # A handler formats the traceback, which may contain a token as well.
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return True


_FILTER = _TokenFilter()


def redacted(text: str) -> str:
    """Return ``text`` with every token replaced by dots."""
    for secret in _SECRETS | {os.environ.get(name, "") for name in _VARIABLES}:
        if secret:
            text = text.replace(secret, "...")
    record = logging.LogRecord("", logging.DEBUG, "", 0, text, (), None)
    clean: str = _FORMATTER.format(record)
    return clean


def hide_secret(secret: object) -> None:
    """Remove this string from all later logs, whatever it looks like."""
    if isinstance(secret, str) and secret:
        _SECRETS.add(secret)


def redact_client_logs() -> None:
    """Filter all records of D-Wave's client, those of loggers that it makes later included.

    Calling this function again changes nothing.
    """
    names = [name for name in logging.root.manager.loggerDict if _is_client(name)]
    for name in ("dwave.cloud", *names):
        logging.getLogger(name).addFilter(_FILTER)
    factory = logging.getLogRecordFactory()
    if not getattr(factory, "filters_tokens", False):
        logging.setLogRecordFactory(_filtering(factory))


def _filtering(factory: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Return a factory of log records that filters those of D-Wave's client."""

    def filtered(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        if _is_client(record.name):
            _FILTER.filter(record)
        return record

    filtered.filters_tokens = True  # type: ignore[attr-defined]
    return filtered


def _is_client(logger: str) -> bool:
    return logger.split(".")[0] == "dwave"
