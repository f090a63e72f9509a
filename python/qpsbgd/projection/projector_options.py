"""Options that belong to a projector, where they replace those of a call."""

from typing import TYPE_CHECKING

import numpy as np

from qpsbgd.projection.options import ProjectionOptions

if TYPE_CHECKING:
    from qpsbgd.projection.projectors import Projector

#: Options that belong to a projector: where a call leaves them at None, the projector's own hold.
OWN_OPTIONS = ("num_reads", "beta_range", "initial", "target_eps", "num_threads")


def check_own_options(projector: "Projector", options: ProjectionOptions) -> None:
    """Raise ValueError where an option is not the projector's own.

    A projector without a tie rule of its own uses that of the options.
    """
    for name in OWN_OPTIONS:
        value = getattr(options, name)
        if value is None:
            continue
        if hasattr(projector, name):
            own = getattr(projector, name)
            if not np.array_equal(value, own):
                raise ValueError(
                    f"{name} is {value!r}, but the projector was made with {own!r}: give it to the "
                    "projector"
                )
        elif name != "target_eps":
            raise ValueError(
                f"{name} is {value!r}, but {type(projector).__name__} has no such option: give it "
                "to the projector, or use the native one"
            )


def with_own_options(projector: "Projector", options: ProjectionOptions) -> ProjectionOptions:
    """Return options in which a projector's own values replace None.

    Raises:
        ValueError: an option is given that is not the projector's own.
    """
    check_own_options(projector, options)
    return options.filled(
        **{name: getattr(projector, name) for name in OWN_OPTIONS if hasattr(projector, name)}
    )
