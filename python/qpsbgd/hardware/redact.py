"""No API token in anyone's log.

At level DEBUG D-Wave's client logs its configuration, token and all, and a program that sets its
root logger to DEBUG gets that. The filter here takes out whatever looks like a token (as the client
itself decides) or is the one in use, and is put on all of the client's loggers.
"""

import logging
import os

from dwave.cloud.utils.logging import FilteredSecretsFormatter

_FORMATTER = FilteredSecretsFormatter("%(message)s")
_SECRETS: set[str] = set()
_VARIABLES = ("DWAVE_API_TOKEN", "DWAVE_API_HEADERS")


class _Redacted(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = redacted(text)
        if clean != text:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # What a handler would make of it may have a token, too.
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return True


_FILTER = _Redacted()


def redacted(text: str) -> str:
    """``text`` without tokens."""
    for secret in _SECRETS | {os.environ.get(name, "") for name in _VARIABLES}:
        if secret:
            text = text.replace(secret, "...")
    record = logging.LogRecord("", logging.DEBUG, "", 0, text, (), None)
    clean: str = _FORMATTER.format(record)
    return clean


def keep_out(secret: object) -> None:
    """Take out this one, too, whatever it looks like."""
    if isinstance(secret, str) and secret:
        _SECRETS.add(secret)


def redact_client_logs() -> None:
    """Put the filter on all loggers of D-Wave's client; loggers have it once."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "dwave"]
    for name in ("dwave.cloud", *names):
        logging.getLogger(name).addFilter(_FILTER)
