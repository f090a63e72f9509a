"""Processes that are the ranks of a process group, for tests of distributed steps."""

import contextlib
import copy
import multiprocessing
import os
import signal
import time
import warnings
from dataclasses import replace

import torch
import torch.distributed as dist

import qpsbgd
from qpsbgd.optim import QPSBGD, distributed


def _serve(rank, size, path, pipe):
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=size)
    with contextlib.suppress(EOFError):  # the tests have ended
        while True:
            function, arguments = pipe.recv()
            try:
                pipe.send(function(*arguments))
            except BaseException as error:
                pipe.send(error)


class Ranks:
    """Processes with one rank each, which wait for functions to run."""

    def __init__(self, size, directory):
        context = multiprocessing.get_context("spawn")
        self.size = size
        self._pipes, self.processes = [], []
        for rank in range(size):
            ours, theirs = context.Pipe()
            arguments = (rank, size, directory / f"group of {size}", theirs)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self.processes.append(process)

    def run(self, function, arguments, timeout=120):
        """Return what each rank returns or raises from its call; EOFError for a dead rank."""
        for pipe, own in zip(self._pipes, arguments, strict=True):
            pipe.send((function, own))
        results = []
        for rank, pipe in enumerate(self._pipes):
            assert pipe.poll(timeout), f"rank {rank} hangs"
            try:
                results.append(pipe.recv())
            except EOFError as error:
                results.append(error)
        return results

    def close(self):
        for pipe in self._pipes:
            pipe.close()
        for process in self.processes:
            process.kill()
            process.join()


def train(rank, size, start, batches, wrap, options):
    """Return the weights after one step for each batch, on this rank's share of the batch.

    ``start`` is a network, which ``wrap`` puts into DistributedDataParallel. With ``size=1`` this
    process has the whole batch, and the optimiser does not use the process group.
    """
    net = copy.deepcopy(start)
    alone = size == 1
    model = torch.nn.parallel.DistributedDataParallel(net) if wrap else net
    optimizer = QPSBGD(model, process_group=None if alone else "world", **options)
    for x, y in batches:
        share = slice(len(x) * rank // size, len(x) * (rank + 1) // size)
        optimizer.zero_grad()
        if share.stop > share.start:
            logits = model(x[share])
            torch.nn.functional.cross_entropy(logits / 3, y[share], reduction="sum").backward()
        optimizer.step()
    return {name: value.clone() for name, value in net.state_dict().items()}


def train_with_penalty(rank, size, start, batches, wrap, options):
    """Return the weights after steps with a penalty on a weight in the last rank's loss.

    The second of two ranks does not call the first layer. All ranks reset gradients by the model.
    """
    net = copy.deepcopy(start)
    model = (
        torch.nn.parallel.DistributedDataParallel(net, find_unused_parameters=True) if wrap else net
    )
    optimizer = QPSBGD(model, process_group=None if size == 1 else "world", **options)
    for x, y in batches:
        model.zero_grad(set_to_none=False)
        loss = 0
        if rank == 0:
            logits = model(x)
            loss = loss + torch.nn.functional.cross_entropy(logits / 3, y, reduction="sum")
        if size == 1:
            loss = loss + net.second(x[:, :7]).square().sum()
        elif rank == 1:
            loss = loss + model(x[:, :7]).square().sum()
        if rank == size - 1:
            loss = loss + 2 * net.second.weight.square().sum()
        loss.backward()
        optimizer.step()
    return {name: value.clone() for name, value in net.state_dict().items()}


def resume(net, batch, state):
    """Take a step after loading an optimiser's state, if there is one."""
    optimizer = QPSBGD(net, lr=0.1)
    if state is not None:
        optimizer.load_state_dict(state)
    torch.nn.functional.cross_entropy(net(batch[0]) / 3, batch[1]).backward()
    optimizer.step()


def train_states(rank, size, start, batches, options, bounds):
    """Return the weights, scales and states after one step for each batch, on this rank's share.

    ``bounds`` are the ends of the ranks' shares of a batch.
    """
    net = copy.deepcopy(start)
    optimizer = QPSBGD(net, process_group=None if size == 1 else "world", **options)
    share = slice(bounds[rank], bounds[rank + 1])
    for x, y in batches:
        optimizer.zero_grad()
        if share.stop > share.start:
            logits = net(x[share])
            torch.nn.functional.cross_entropy(logits / 3, y[share], reduction="sum").backward()
        optimizer.step()
    cosines = [state.get("scale_cosines") for state in optimizer.state_dict()["state"].values()]
    weights = [weight.detach().clone() for weight in net.parameters()]
    return weights, optimizer.scales, cosines


class Given:
    """Callable that returns samples, or raises them if they are an exception."""

    def __init__(self, samples):
        self._samples = samples

    def __call__(self):
        if isinstance(self._samples, BaseException):
            raise self._samples
        return self._samples


def project(layers, projector, exchange="auto"):
    """Return the gradients of layers whose ``samples`` are arrays, an exception or None."""
    shards = [
        layer if layer.samples is None else replace(layer, samples=Given(layer.samples))
        for layer in layers
    ]
    return distributed.project_shards(shards, projector, exchange=exchange)


def bytes_sent(layers, projector, exchange):
    """Return the bytes of samples or products that the call of project sends to other ranks."""
    total = 0
    real = {name: getattr(dist, name) for name in ("all_to_all_single", "all_reduce")}

    def all_to_all_single(received, sent, sizes, sent_sizes, group=None):
        nonlocal total
        total += (sum(sent_sizes) - sent_sizes[dist.get_rank()]) * sent.element_size()
        return real["all_to_all_single"](received, sent, sizes, sent_sizes, group=group)

    def all_reduce(summands, group=None):
        nonlocal total  # an all-reduce sends each share twice, except the rank's own
        total += 2 * summands.nbytes * (dist.get_world_size() - 1) // dist.get_world_size()
        return real["all_reduce"](summands, group=group)

    dist.all_to_all_single, dist.all_reduce = all_to_all_single, all_reduce
    try:
        project(layers, projector, exchange)
    finally:
        dist.all_to_all_single, dist.all_reduce = real.values()
    return total


class Other:
    """A projector that is not the native one."""

    def __init__(self, fault=None):
        self.fault = fault

    def __call__(self, X, T, options, /):
        if self.fault == "raise":
            raise RuntimeError("no annealer today")
        binary = qpsbgd.NativeProjector()(X, T, options)
        return binary[1:] if self.fault == "shape" else binary


def project_or_die(layers, victim):
    """Kill the victim while the other ranks wait for it."""
    if dist.get_rank() == victim:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    return project(layers, qpsbgd.NativeProjector(num_threads=1))
