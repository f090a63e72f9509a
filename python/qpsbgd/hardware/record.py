"""What each call was and what came of it: one line of JSON a call."""

import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: What of a sampler's ``info["timing"]`` is recorded, the prefix taken off: only a real QPU is
#: called one.
_TIMING_PREFIX = "qpu_"


def timing_us(timing: object) -> dict[str, float]:
    """The times that an answer tells, in microseconds; none where it tells none."""
    if not isinstance(timing, Mapping):
        return {}
    return {
        name.removeprefix(_TIMING_PREFIX): float(value)
        for name, value in timing.items()
        if isinstance(value, (int, float))
    }


def write_record(record: Mapping[str, Any], log: Path | None) -> None:
    """Append a call's line to the log, if there is one."""
    if log is None:
        return
    line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **record}, default=_plain)
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        # What was paid for must not be lost for its record.
        warnings.warn(f"a call has no line in {log}: {error}", stacklevel=2)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{value!r} is not for a record")
