"""The optimiser: one projection per binary layer and step."""

import contextlib
import hashlib
import struct
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qpsbgd.arguments import SEED_LIMIT, checked_count
from qpsbgd.optim.capture import Capture, Target
from qpsbgd.optim.groups import UNSUPPORTED, check_group, checked_options, named_layers
from qpsbgd.optim.parameters import IdleParameters
from qpsbgd.optim.stats import LayerStep, ScalarWriter, write_steps
from qpsbgd.optim.transfer import to_devices, to_host
from qpsbgd.optim.update import Update, update_momentum, update_weight
from qpsbgd.projection import NativeProjector, Objective, Projector, project, projection_energy


class QPSBGD(torch.optim.Optimizer):
    """Projected stochastic binary gradient descent (QP-SBGD).

    Each step projects the gradient of every binary layer onto binary variables,
    ``B = project(X, T)``, and changes the latent weight V:

    * ``update="latent"``: ``V <- clip(V - lr B)``;
    * ``update="projected"``: ``V <- sign(V - lr B)``. As |V| = 1 after the first step, only
      ``lr >= 1`` changes anything from then on.

    With ``momentum``, M takes the place of B: ``M <- momentum M + (1 - momentum) B``.

    X and T are what the layer's matrix product is made of: rows of its input and of the gradient at
    its output; for a convolution, the patch under the kernel at each place; for a graph
    convolution, what a node gathers from its neighbours. Samples without a gradient are left out. A
    row whose targets are all zero (a neuron that no gradient reaches) is left as it is, and so is a
    layer that no gradient reached since the last step, or whose weight has ``requires_grad=False``.

    Args:
        model: any module with binary layers (:mod:`qpsbgd.nn`), which are claimed; or torch's
            groups of parameters with modules in place of parameters:
            ``[{"params": model.body}, {"params": [model.head], "lr": 0.01}]``, where the
            hyper-parameters from ``lr`` to ``maximize`` can be given.
        lr: step length, in units of the latent weight; >= 0.
        objective: ``"quadratic"`` or ``"sign"``; see :func:`qpsbgd.project`.
        scale: strength of the quadratic objective's curvature; > 0. Small values give signSGD.
        num_sweeps: sweeps a projection; None for 2 (quadratic) or 10 (sign).
        update: ``"latent"`` or ``"projected"``.
        target: T is the gradient at the layer's output Z (``"preactivation"``), or at the output of
            the sign function of :mod:`qpsbgd.nn.functional` that is applied to Z directly
            (``"activation"``).
        clip: latent weights are kept in [-clip, clip]; > 0, ``inf`` for no bound.
        momentum: of the binary direction; in [0, 1).
        maximize: ascend instead of descend.
        seed: of the projections' random streams, in [0, 2**31).
        projector: solves the problems; None for :class:`~qpsbgd.NativeProjector`.
        stats_every: at every so many steps ``last_step`` has energies too, which take as long as
            two more projections; 0 for never.
        foreach: refused if true, as are the three that follow; the error tells why.
        fused: likewise.
        capturable: likewise.
        differentiable: likewise.

    There is a parameter group for each layer, which ``"layer"`` names. All hyper-parameters but
    ``target`` and ``seed`` are read from the groups at every step: any learning-rate scheduler
    works, and one layer's group may be changed.

    Real parameters (biases, normalisation) are not claimed: give ``split_parameters(model).real``
    to an optimiser of their own. Where none changes them in spite of their gradients, a warning
    says so, once.

    Inputs and gradients are held from the backward pass to the step: for a linear layer N (n + m)
    floats; for a convolution its input and output, patches being made in the step. Several backward
    passes before a step, or several calls of one layer, are joined to one batch. ``step`` drops
    them, and so does this optimiser's ``zero_grad``, but not the model's.

    The claimed weights get no ``.grad`` while the optimiser lives: it is not used, and leaving it
    out saves a third of the matrix products of the forward and backward pass. Delete the optimiser
    to train its model with another. Both objectives are the same for a positive multiple of T, so
    the loss scaling of mixed precision, or a loss summed over samples, changes nothing. Under
    autocast the weights do get a ``.grad``, of zeros, and with a NaN where T overflowed: what
    GradScaler goes by when it skips a step.

    Parameters on another device are served by the host: X and T of all layers cross in one copy,
    and the binary gradients in one. ``torch.compile`` the model after the optimiser is made.

    Raises:
        TypeError: ``model`` is not a module or groups of such, ``projector`` not callable, or a
            hyper-parameter of the wrong type.
        ValueError: no binary layer in ``model``, a hyper-parameter out of range, or one that is
            refused.
        RuntimeError: ``step`` before a backward pass, or after a layer's input was changed in
            place.

    Example:
        >>> from qpsbgd.nn import BinaryLinear
        >>> model = nn.Sequential(BinaryLinear(4, 2, bias=False))
        >>> optimizer = QPSBGD(model, lr=0.1)
        >>> loss = model(torch.ones(3, 4)).square().mean()
        >>> loss.backward()
        >>> optimizer.step()

    Reference:
        Krahn et al., BMVC 2024, arXiv 2310.15128.
    """

    def __init__(
        self,
        model: nn.Module | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        objective: Objective = "quadratic",
        scale: float = 1.0,
        num_sweeps: int | None = None,
        update: Update = "latent",
        target: Target = "preactivation",
        clip: float = 1.0,
        momentum: float = 0.0,
        maximize: bool = False,
        seed: int = 0,
        projector: Projector | None = None,
        *,
        stats_every: int = 0,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        asked = {
            "foreach": foreach, "fused": fused, "capturable": capturable,
            "differentiable": differentiable,
        }  # fmt: skip
        for name, value in asked.items():
            if value:
                raise ValueError(f"{name} is {value!r}, but must be False: {UNSUPPORTED[name]}")
        if projector is not None and not callable(projector):
            raise TypeError(f"projector is {projector!r}, but must be callable or None")
        defaults = {
            "lr": lr,
            "objective": objective,
            "scale": scale,
            "num_sweeps": num_sweeps,
            "update": update,
            "target": target,
            "clip": clip,
            "momentum": momentum,
            "maximize": maximize,
            "seed": seed,
        }
        self._model, layers = named_layers(model, defaults)
        groups = [
            {"params": [layer.weight], "layer": name, **checked_options({**defaults, **options})}
            for name, layer, options in layers
        ]
        self._projector: Projector = NativeProjector() if projector is None else projector
        self._layers = [layer for _, layer, _ in layers]
        self.stats_every = checked_count("stats_every", stats_every, 0)
        # One group a layer, so that its hyper-parameters can be changed alone.
        super().__init__(groups, defaults)
        self._watch_layers()
        short = [g["lr"] for g in groups if g["update"] == "projected" and g["lr"] < 1.0]
        if short:
            warnings.warn(
                f"update='projected' with lr = {short[0]}: weights are +-1 after the first step, "
                "and a step shorter than 1 changes no sign; use lr >= 1",
                stacklevel=2,
            )

    def _watch_layers(self) -> None:
        self._captures = [
            Capture(layer, group["target"])
            for layer, group in zip(self._layers, self.param_groups, strict=True)
        ]
        self._idle_parameters = IdleParameters(self._model)
        #: By the layer's name, what the last step did; layers that it left alone are missing.
        self.last_step: dict[str, LayerStep] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Only for the constructor: the groups are the layers of the model.

        Raises:
            ValueError: the group is no layer's, or its weight is another layer's too.
        """
        if "layer" not in param_group:
            raise ValueError(
                "QPSBGD has a parameter group for each binary layer of its model: give other "
                "parameters to another optimiser"
            )
        (weight,) = param_group["params"]
        for group in self.param_groups:
            if weight is group["params"][0]:
                raise ValueError(
                    f"layers {group['layer']!r} and {param_group['layer']!r} share one weight, but "
                    "must have their own (one layer that is called twice is fine)"
                )
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        own = ("_model", "_layers", "_projector", "stats_every")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_layers" in state:  # a copy or an unpickled optimiser, not load_state_dict
            self._watch_layers()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over hyper-parameters, step counts and momenta of another QPSBGD on such layers.

        Raises:
            ValueError: the state is of other layers, another target or another optimiser.
        """
        groups = state_dict["param_groups"]
        for name in ("layer", "target"):
            theirs = [group.get(name) for group in groups]
            own = [group[name] for group in self.param_groups]
            if theirs != own:
                raise ValueError(f"state_dict has {name} {theirs}, but this optimiser {own}")
        super().load_state_dict(state_dict)

    @property
    def num_steps(self) -> int:
        """Steps so far, also of the optimiser whose state was loaded."""
        return max((self._steps_done(group["params"][0]) for group in self.param_groups), default=0)

    def captures(self) -> list[Capture]:
        """What was captured of each layer since the last step, in the order of the groups."""
        return self._captures

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Project every claimed layer's gradient and update its weight.

        All projections are made before any weight changes: an error leaves the model as it was.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            check_group(group)
        with_energies = self.stats_every > 0 and (self.num_steps + 1) % self.stats_every == 0
        gradients = self._gradients()
        self._to_host(gradients)
        for gradient in gradients:
            with _naming(gradient.group):
                self._solve(gradient, with_energies)
        directions = to_devices(
            [gradient.binary for gradient in gradients],
            [gradient.weight.device for gradient in gradients],
        )
        self.last_step = {
            gradient.group["layer"]: self._update(gradient, direction, with_energies)
            for gradient, direction in zip(gradients, directions, strict=True)
        }
        for capture in self._captures:
            capture.clear()
        self._idle_parameters.check()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, and what was captured with them."""
        super().zero_grad(set_to_none)
        for capture in self._captures:
            capture.clear()

    def log_to(
        self, writer: ScalarWriter, every: int = 100, tag: str = "qpsbgd"
    ) -> RemovableHandle:
        """Write ``last_step`` to TensorBoard, or whatever has its ``add_scalar``.

        Sets ``stats_every``.

        Args:
            writer: a ``torch.utils.tensorboard.SummaryWriter``.
            every: steps from one entry to the next; >= 1.
            tag: the tags are ``tag/layer/number``, with the numbers of
                :class:`~qpsbgd.optim.LayerStep`.

        Returns:
            A handle whose ``remove()`` ends it.
        """
        self.stats_every = checked_count("every", every, 1)
        return write_steps(self, writer, tag)

    def _steps_done(self, weight: Tensor) -> int:
        return int(self.state[weight].get("step", 0)) if weight in self.state else 0

    def _gradients(self) -> list["_Gradient"]:
        """X and T of the layers that are to move."""
        gradients = []
        waiting = []
        for index, (group, capture) in enumerate(
            zip(self.param_groups, self._captures, strict=True)
        ):
            weight = group["params"][0]
            if not weight.requires_grad:
                continue
            waiting.append(capture)
            if not capture.empty:
                with _naming(group):
                    gradients.append(_Gradient(index, group, weight, _batches(capture)))
        if waiting and not gradients:
            raise RuntimeError(
                "step() found no gradient in any binary layer: call backward() on a loss that "
                "depends on the model, in between no zero_grad() and no earlier step(); and "
                "torch.compile the model after the optimizer is made"
            )
        if waiting and not any(
            capture.found_activation or group["target"] == "preactivation"
            for group, capture in zip(self.param_groups, self._captures, strict=True)
        ):
            raise RuntimeError(
                "target is 'activation', but no binary layer's output goes directly into a sign "
                "function of qpsbgd.nn.functional (a compiled one is not seen); use "
                "target='preactivation'"
            )
        return gradients

    @staticmethod
    def _to_host(gradients: list["_Gradient"]) -> None:
        arrays = iter(to_host([t for g in gradients for pair in g.batches for t in pair]))
        for gradient in gradients:
            gradient.batches = [(next(arrays), next(arrays)) for _ in gradient.batches]

    def _solve(self, gradient: "_Gradient", with_energies: bool) -> None:
        """Find the binary gradient: int8, 0 in rows that no gradient reached."""
        start = time.perf_counter()
        group, weight = gradient.group, gradient.weight
        shape = (len(weight) // len(gradient.batches), weight[0].numel())  # (m, n) of a group
        rows = []
        for number, (inputs, targets) in enumerate(gradient.batches):
            problem = _Problem(
                inputs.numpy(),
                -targets.numpy() if group["maximize"] else targets.numpy(),
                {name: group[name] for name in ("objective", "scale")},
            )
            seed = step_seed(group["seed"], gradient.index, self._steps_done(weight), number)
            binary = problem.solve(self._projector, group["num_sweeps"], seed, shape)
            if with_energies:
                gradient.energies.append(problem.energies(self._projector, binary))
            rows.append(binary)
        # (G, m, n) -> the weight's shape
        binary = rows[0] if len(rows) == 1 else np.concatenate(rows)
        gradient.binary = torch.from_numpy(binary).view(weight.shape)
        gradient.seconds = time.perf_counter() - start

    def _update(self, gradient: "_Gradient", binary: Tensor, with_energies: bool) -> LayerStep:
        """Change the weight and its state; ``binary`` is on the weight's device."""
        group, weight = gradient.group, gradient.weight
        state = self.state[weight]
        before = weight >= 0 if with_energies else None
        direction = binary
        momentum = float(group["momentum"])
        if momentum > 0:
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            direction = update_momentum(state["momentum_buffer"], binary, momentum)
        update_weight(weight, direction, float(group["lr"]), group["update"], group["clip"])
        state["step"] = self._steps_done(weight) + 1
        num_samples = sum(len(inputs) for inputs, _ in gradient.batches)
        if before is None:
            return LayerStep(gradient.seconds, num_samples)
        energies = np.concatenate(gradient.energies, axis=1)  # (3, neurons)
        energy_before, energy_after, agreement = (
            float(values.mean()) if values.size else None for values in energies
        )
        flip_ratio = float(((weight >= 0) != before).double().mean())
        return LayerStep(
            gradient.seconds, num_samples, energy_before, energy_after, agreement, flip_ratio
        )


@dataclass
class _Gradient:
    """One layer's part of a step; what is found is filled in."""

    index: int  # of the layer
    group: dict[str, Any]
    weight: Tensor
    batches: list[tuple[Tensor, Tensor]]  # X (N, n) and T (N, m) of each group of the layer
    binary: Tensor = field(default_factory=lambda: torch.empty(0))
    energies: list[npt.NDArray[np.float64]] = field(default_factory=list)  # (3, m) of each group
    seconds: float = 0.0


@dataclass(frozen=True)
class _Problem:
    """The binary problems of one product Z = X W^T."""

    X: npt.NDArray[np.float32]  # (N, n)
    T: npt.NDArray[np.float32]  # (N, m)
    options: dict[str, Any]  # objective and scale

    def solve(
        self, projector: Projector, num_sweeps: int, seed: int, shape: tuple[int, int]
    ) -> npt.NDArray[np.int8]:
        """Binary gradient ``(m, n)``, 0 in rows that no gradient reached."""
        if len(self.X) == 0:  # no sample with a gradient
            return np.zeros(shape, np.int8)
        binary = projector(self.X, self.T, **self.options, num_sweeps=num_sweeps, seed=seed)
        if not isinstance(projector, NativeProjector):
            _check_binary(binary, shape)
        reached = np.asarray(self.T.any(axis=0))  # (N, m) -> (m)
        result: npt.NDArray[np.int8] = binary if reached.all() else binary * reached[:, None]
        return result

    def energies(
        self, projector: Projector, binary: npt.NDArray[np.int8]
    ) -> npt.NDArray[np.float64]:
        """Rows of :class:`LayerStep`: energy before, energy after and agreement ``(3, m')``.

        Of the m' neurons that a gradient reached.
        """
        reached: npt.NDArray[np.bool_] = binary[:, 0].astype(bool)
        if not reached.any():
            return np.empty((3, 0))
        target_eps = getattr(projector, "target_eps", 0.01)
        start = project(self.X, self.T, **self.options, num_sweeps=0)
        agreement = (binary == start).mean(axis=1)

        def energy(states: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
            return projection_energy(self.X, self.T, states, **self.options, target_eps=target_eps)

        after = energy(np.where(reached[:, None], binary, start))
        return np.stack([energy(start), after, agreement])[:, reached]


def _batches(capture: Capture) -> list[tuple[Tensor, Tensor]]:
    """X and T of each group of a layer, without the samples that no gradient reached."""
    pairs = []
    for inputs, targets in zip(*capture.batch(), strict=True):
        reached = targets.any(dim=1)  # (N, m) -> (N)
        pairs.append((inputs, targets) if reached.all() else (inputs[reached], targets[reached]))
    return pairs


@contextlib.contextmanager
def _naming(group: dict[str, Any]) -> Iterator[None]:
    """Errors of one layer say which."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        # Not of the error's own type: a subclass may be made otherwise than from one message.
        kind = ValueError if isinstance(error, ValueError) else RuntimeError
        raise kind(f"layer {group['layer']!r}: {error}") from error


def step_seed(seed: int, layer: int, step: int, group: int = 0) -> int:
    """Seed of the projection of one group of a layer in one step, in [0, 2**31)."""
    content = struct.pack("<4Q", seed, layer, step, group)
    digest = hashlib.blake2b(content, digest_size=4).digest()
    return int.from_bytes(digest, "little") % SEED_LIMIT


def _check_binary(binary: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(binary, np.ndarray) or binary.dtype != np.int8 or binary.shape != shape:
        raise ValueError(
            f"projector returned {type(binary).__name__} of dtype "
            f"{getattr(binary, 'dtype', None)} and shape {getattr(binary, 'shape', None)}, "
            f"but must return an int8 array of shape {shape}"
        )
    if not (np.abs(binary) == 1).all():
        raise ValueError("projector returned values other than -1 and +1")
