"""New running statistics of batch normalisation, for the final signs of a network."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(model: nn.Module, loader: Iterable[Any]) -> None:
    """Estimate the running statistics of batch normalisation again, with the present weights.

    During training the running statistics are means over many steps, in each of which signs of
    weights change. They then fit none of the networks that the signs made, and least of all the
    last one. This function replaces them by plain means over the batches of ``loader``.

    Call it after the last step, before the evaluation. The batches should be as large as those of
    the training, since the variance of a batch depends on its size. A few dozen batches suffice.

    All other modules, such as dropout, are in evaluation mode meanwhile. In this they differ from
    those of ``torch.optim.swa_utils.update_bn``. Afterwards each module is in the mode that it had
    before. Modules without running statistics stay as they are.

    Optimisers with real weights, such as :class:`~qpsbgd.optim.ProxConnect`, need
    ``with binary_weights_of(optimizer)`` around the call.

    Args:
        model: network.
        loader: batches. An input is a tensor, or the first entry of a tuple or list. It must be on
            the device of the model.

    Raises:
        ValueError: ``loader`` is empty.
        TypeError: a batch is neither a tensor nor a tuple or list that begins with one.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import recalibrate
        >>> model = torch.nn.Sequential(torch.nn.BatchNorm1d(1))
        >>> recalibrate(model, [torch.tensor([[2.0], [4.0]]), torch.tensor([[5.0], [9.0]])])
        >>> model[0].running_mean.item(), model[0].running_var.item(), model.training
        (5.0, 5.0, True)
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(norm, norm.momentum) for norm in norms]
    batches = iter(loader)
    first = next(batches, None)
    if first is None:
        raise ValueError("loader is empty, but must have one batch at least")
    model.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # a plain mean over the batches
        model(_input_of(first))
        for batch in batches:
            model(_input_of(batch))
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
        for module, was_training in modes:
            module.training = was_training


def _input_of(batch: Any) -> Tensor:
    value = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(value, Tensor):
        raise TypeError(
            f"a batch of loader is a {type(batch).__name__}, but must be a tensor, or a tuple or "
            "list that begins with one"
        )
    return value
