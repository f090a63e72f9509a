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


def metrics(folder):
    """Without the seconds."""
    with (folder / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]
