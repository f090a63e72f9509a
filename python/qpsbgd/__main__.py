"""Run the command line by ``python -m qpsbgd``."""

from qpsbgd.cli import main

main(prog_name="qpsbgd")
