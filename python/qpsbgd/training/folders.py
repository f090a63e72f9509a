"""Folders of training runs and of comparisons."""

import contextlib
import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from qpsbgd.atomic import write_atomically

T = TypeVar("T")


def claim_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Make a folder if it is missing, and write the settings into its ``config.json``.

    Raises:
        FileExistsError: the folder holds a run already.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.training.folders import claim_folder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     claim_folder(Path(folder) / "run", {"epochs": 1})
        ...     (Path(folder) / "run" / "config.json").exists()
        True
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # If two runs start in one folder at once, only one of them can create the file.
        with (folder / "config.json").open("x") as file:
            json.dump(settings, file, indent=2)
    except FileExistsError:
        raise FileExistsError(
            f"{folder} holds a run already: resume it or name another folder"
        ) from None


def default_folders(parent: Path, stem: str) -> Iterator[Path]:
    """Yield names for the folder of a run: with the time, then with the time and a number.

    Args:
        parent: folder of the folders.
        stem: first part of the names.

    Example:
        >>> from pathlib import Path
        >>> from qpsbgd.training.folders import default_folders
        >>> folders = default_folders(Path("runs"), "digits")
        >>> next(folders).name.startswith("digits-")
        True
    """
    stem = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    yield parent / stem
    number = 2
    while True:
        yield parent / f"{stem}-{number}"
        number += 1


def in_new_folder(make: Callable[[Path], T], stem: str) -> T:
    """Return what a function makes in the first folder of a default name that holds no run.

    Args:
        make: function of a folder that raises FileExistsError if the folder holds a run.
        stem: first part of the folder's name.

    Example:
        >>> from pathlib import Path
        >>> from qpsbgd.training.folders import in_new_folder
        >>> in_new_folder(lambda folder: folder.parent.name, "digits")
        'runs'
    """
    for folder in default_folders(Path("runs"), stem):
        with contextlib.suppress(FileExistsError):  # another run may take a name at any time
            return make(folder)
    raise AssertionError("there is always another name")


def write_metrics(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of metrics, which have the same columns, as a CSV file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from qpsbgd.training.folders import write_metrics
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_metrics(Path(folder) / "metrics.csv", [{"epoch": 1, "lr": 0.1}])
        ...     (Path(folder) / "metrics.csv").read_text()
        'epoch,lr\\n1,0.1\\n'
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, table.getvalue().encode())
