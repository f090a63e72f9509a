"""Calls of D-Wave's service: attempts, the meaning of errors, and access time."""
