"""What a step did, layer by layer, and its way to a log."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from qpsbgd.optim.optimizer import QPSBGD


@dataclass(frozen=True)
class LayerStep:
    """One layer in one step.

    Attributes:
        seconds: that projecting its gradient took.
        num_samples: N, the samples that a gradient reached, of all groups.
        energy_before: objective at the linear minimiser sign(X^T t), the mean over neurons; None
            unless asked for, as for all that follow.
        energy_after: objective at the binary gradient, likewise.
        agreement: share of the binary gradient that equals sign(X^T t).
        flip_ratio: share of the layer's binary weights that the step changed.
    """

    seconds: float
    num_samples: int
    energy_before: float | None = None
    energy_after: float | None = None
    agreement: float | None = None
    flip_ratio: float | None = None


class ScalarWriter(Protocol):
    """What is asked of a ``torch.utils.tensorboard.SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Write one number."""
        ...


def write_steps(optimizer: "QPSBGD", writer: ScalarWriter, tag: str) -> RemovableHandle:
    """Give every number of ``last_step`` to a writer, at the steps that ``stats_every`` names."""

    # Told the optimizer by the hook: one that held it would be a cycle, and outlive a `del`.
    def write(optimizer: "QPSBGD", *_: Any) -> None:
        every = optimizer.stats_every
        if every == 0 or optimizer.num_steps % every:
            return
        for layer, step in optimizer.last_step.items():
            for name, value in asdict(step).items():
                if value is not None:
                    writer.add_scalar(f"{tag}/{layer}/{name}", value, optimizer.num_steps)

    register: Callable[..., RemovableHandle] = optimizer.register_step_post_hook
    return register(write)
