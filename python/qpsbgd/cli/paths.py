"""Types of paths on the command line."""

import os
from pathlib import Path
from typing import Any

import click


class OutPath(click.Path):
    """Path of a file or a folder to write; it must have a name.

    Args:
        is_folder: whether the path is that of a folder.
    """

    def __init__(self, is_folder: bool = False) -> None:
        super().__init__(
            file_okay=not is_folder, dir_okay=is_folder, writable=not is_folder, path_type=Path
        )

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path; end the command with a usage error if it is empty."""
        if not os.fspath(value):
            self.fail("'' is no name", param, ctx)
        return super().convert(value, param, ctx)
