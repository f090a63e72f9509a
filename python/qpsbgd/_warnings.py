"""Warnings that point at the user's line, however deep in the package they arise."""

import os
import sys
import warnings
from pathlib import Path

PACKAGE = f"{Path(__file__).parent}{os.sep}"


def warn_caller(message: str) -> None:
    """Issue a UserWarning whose location is the innermost frame outside this package.

    Args:
        message: text of the warning.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
