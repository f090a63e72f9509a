"""Networks, data sets and the training loop behind ``qpsbgd train``.

A :class:`~qpsbgd.training.config.Config` describes a run, and a :class:`~qpsbgd.training.runs.Run`
trains it in a folder of its own. :func:`~qpsbgd.training.loop.fit` is the loop alone, for any
network, optimiser and data set.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> from qpsbgd.training.config import Config
    >>> from qpsbgd.training.runs import Run
    >>> config = Config.from_recipe("digits", network="small", epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run(config, Path(folder) / "run")
    ...     summary = run.train()
    >>> summary["optimizer"], summary["batch_size"]
    ('qpsbgd', 50)
"""
