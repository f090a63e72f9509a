"""``python -m qpsbgd.cli``."""

from qpsbgd.cli import main

main()
