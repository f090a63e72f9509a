"""State of a training run before its first step."""

import math
from typing import Any

import torch

from qpsbgd.projection import Projector
from qpsbgd.training.config import Config, option_of, setting_fields
from qpsbgd.training.datasets import Dataset
from qpsbgd.training.loop import TrainingState
from qpsbgd.training.networks import make_network
from qpsbgd.training.optimizers import kernel_quantizer, make_optimizer


def steps_per_epoch(config: Config, data: Dataset) -> int:
    """Return the number of steps of an epoch."""
    return math.ceil(len(data.train_inputs) / config.batch_size)


def initial_state(config: Config, data: Dataset, projector: Projector | None) -> TrainingState:
    """Return the network, optimiser and schedule that a configuration describes.

    Args:
        config: configuration of the run; its seed determines the weights.
        data: data set of the run.
        projector: solver of QPSBGD's problems; None for the native solver.

    Example:
        >>> from qpsbgd.training.config import Config
        >>> from qpsbgd.training.datasets import digits
        >>> from qpsbgd.training.initial_training_state import initial_state
        >>> state = initial_state(Config.from_recipe("digits", network="small"), digits(), None)
        >>> type(state.optimizer).__name__, state.rows
        ('QPSBGD', [])
    """
    torch.manual_seed(config.seed)
    model = make_network(config.network, data, kernel_quantizer(config.optimizer))
    options: dict[str, Any] = {"lr": config.lr}
    if config.optimizer == "qpsbgd":
        own = [name for name in setting_fields() if option_of(name).optimizers == ("qpsbgd",)]
        options |= {name: getattr(config, name) for name in own}
        options |= {"seed": config.seed, "projector": projector}
    num_steps = config.epochs * steps_per_epoch(config, data)
    optimizer = make_optimizer(config.optimizer, model, num_steps, **options)
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if config.schedule == "exponential":
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.75)
    else:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
    generator = torch.Generator().manual_seed(config.seed)
    return TrainingState(model, optimizer, scheduler, generator)
