"""The command line and the files of its runs, for the tests of both."""

import contextlib
import csv
import io
import os
import subprocess
import sys
from unittest import mock


def run(*args, expect=0, **environment):
    """Run the command line in this process; return its exit code and what it printed.

    An error that is no message to the user is raised.
    """
    from qpsbgd.cli import main

    words = [str(arg) for arg in args]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch.dict(os.environ, environment),
    ):
        try:
            main(words, prog_name="qpsbgd")
        except SystemExit as stop:
            code = stop.code
    done = subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())
    return checked(done, expect)


def run_process(*args, expect=0):
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "qpsbgd", *map(str, args)]
    return checked(subprocess.run(command, capture_output=True, text=True, timeout=300), expect)


def checked(done, expect):
    assert expect is None or done.returncode == expect, done.stderr
    return done


def invoke(*args, expect=0):
    """Run the command line in this process; return all that it printed."""
    done = run(*args, expect=expect)
    return done.stderr + done.stdout


def metrics(folder):
    """Return the rows of a run's metrics without the seconds."""
    with (folder / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]
