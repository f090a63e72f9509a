"""Errors that the command line reports in one line."""

import click

MAX_CHARACTERS = 500


class InputError(click.ClickException):
    """Error of a file or an option that cannot be used, with exit code 2.

    Args:
        error: the exception or the text. Its lines are joined, and its end is cut off if it has
            more than ``MAX_CHARACTERS`` characters.
    """

    exit_code = 2

    def __init__(self, error: Exception | str) -> None:
        text = " ".join(str(error).split())  # messages of libraries may have several lines
        super().__init__(text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "...")
