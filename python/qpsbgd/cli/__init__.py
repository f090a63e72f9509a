"""Command line: ``qpsbgd train``, ``plan``, ``reproduce``, ``solve`` and ``info``."""

import sys

try:
    import click
except ImportError:
    sys.exit("The qpsbgd command needs click, which is not installed: pip install 'qpsbgd[cli]'")

from qpsbgd import __version__
from qpsbgd.cli.info import info_command
from qpsbgd.cli.plan import plan_command
from qpsbgd.cli.reproduce import reproduce_command
from qpsbgd.cli.solve import solve_command
from qpsbgd.cli.train import train_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qpsbgd")
def main() -> None:
    """Train neural networks with binary weights by projected gradients (QP-SBGD)."""


for command in (train_command, plan_command, reproduce_command, solve_command, info_command):
    main.add_command(command)
