"""Errors of the command line that take one line."""

import click

MAX_CHARACTERS = 500


class InputError(click.ClickException):
    """Error of a file or an option: one line on standard error, exit code 2."""

    exit_code = 2

    def __init__(self, error: Exception | str) -> None:
        text = " ".join(str(error).split())  # messages of libraries may have several lines
        super().__init__(text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "...")
