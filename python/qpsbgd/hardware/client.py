"""Connection to D-Wave's service, and a filter that keeps API tokens out of logs.

At level DEBUG, D-Wave's client logs its configuration with the token. A program that sets the root
logger to DEBUG would write that to its log. The filter is attached to all loggers of the client. It
removes text that looks like a token by the client's own rule, and the secrets in use.
"""

import logging
import os

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
        return DWaveSampler(**options)
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
    """Attach the filter to all loggers of D-Wave's client; a logger never has it twice."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "dwave"]
    for name in ("dwave.cloud", *names):
        logging.getLogger(name).addFilter(_FILTER)
