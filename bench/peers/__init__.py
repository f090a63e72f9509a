"""One comparison with other solvers: ``python -m bench.peers``."""
