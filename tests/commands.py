"""The command line and what its runs leave, for the tests of both."""

import csv
import os
import subprocess
import sys


def run(*args, expect=0, **environment):
    command = [sys.executable, "-m", "qpsbgd.cli", *map(str, args)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert expect is None or done.returncode == expect, done.stderr
    return done


def invoke(*args, expect=0):
    """Like run(), but in this process, which has torch already; returns all that was printed."""
    from click.testing import CliRunner

    from qpsbgd.cli import main

    done = CliRunner().invoke(main, [str(arg) for arg in args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == expect, done.output
    return done.output


def metrics(folder):
    """Without the seconds."""
    with (folder / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]
