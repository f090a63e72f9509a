"""Data sets, networks and training runs behind the command line."""
