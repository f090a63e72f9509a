"""Training with QPSBGD and an optimiser of real parameters, joined or apart."""

import torch
from torch import nn
from torch.optim import lr_scheduler

from networks import batches
from qpsbgd.optim import QPSBGD, JoinedOptimizer, split_parameters


def optimizers_of(model, real=torch.optim.AdamW, **options):
    options = {"lr": 0.02, **options}
    return QPSBGD(model, lr=0.05, momentum=0.5), real(split_parameters(model).real, **options)


def joined(model, *args, **options):
    return JoinedOptimizer(*optimizers_of(model, *args, **options))


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def train(model, optimizers, schedulers=(), count=6):
    for batch in batches(count):
        for each in optimizers:
            each.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        for each in optimizers:
            each.step()
        for each in schedulers:
            is_plateau = isinstance(each, lr_scheduler.ReduceLROnPlateau)
            each.step(*([1.0] if is_plateau else []))


def values(model):
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(values(a), values(b), strict=True))


def decay(step):
    return 0.9**step


def train_by_hand(model, *, clip=None, accumulate=1, is_bfloat16=False):
    """Train with two optimisers and two schedulers, as a framework does with one."""
    optimizers = optimizers_of(model)
    schedulers = [lr_scheduler.LambdaLR(each, decay) for each in optimizers]
    for index, batch in enumerate(batches(6)):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
            loss = loss_of(model, batch)
        (loss / accumulate).backward()
        if (index + 1) % accumulate:
            continue
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for each in (*optimizers, *schedulers):
            each.step()
        model.zero_grad()
