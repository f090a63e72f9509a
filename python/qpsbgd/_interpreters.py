"""Refusal of sub-interpreters; importing this module raises ImportError in one.

The compiled core lives in the main interpreter alone. Up to Python 3.11, its import in a
sub-interpreter would wait for ever; later versions refuse it with a message of their own.
"""

try:
    # Python 3.13 renames the module, and no longer needs this check.
    import _xxsubinterpreters as _interpreters  # type: ignore[import-not-found]
except ImportError:
    pass
else:
    if _interpreters.get_current() != _interpreters.get_main():
        raise ImportError(
            "qpsbgd cannot be imported in a sub-interpreter: import it in the main one (for "
            "mod_wsgi, set WSGIApplicationGroup to %{GLOBAL})"
        )
