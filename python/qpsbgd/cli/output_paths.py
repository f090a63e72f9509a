"""Paths on the command line."""

import os
from pathlib import Path
from typing import Any

import click


class OutPath(click.Path):
    """Path of a file or folder to write; it must not be empty.

    Args:
        is_folder: whether the path is a folder's.
    """

    def __init__(self, is_folder: bool = False) -> None:
        super().__init__(
            file_okay=not is_folder, dir_okay=is_folder, writable=not is_folder, path_type=Path
        )

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path, or raise a usage error."""
        if not os.fspath(value):
            self.fail("'' is no name", param, ctx)
        return super().convert(value, param, ctx)
