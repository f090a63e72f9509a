"""The optimiser: one projection per binary layer and step."""

import hashlib
import struct
import warnings
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd import _core
from qpsbgd.arguments import SEED_LIMIT, checked_choice, checked_count
from qpsbgd.optim.capture import Capture, Target, binary_layers
from qpsbgd.projection import NativeProjector, Objective, Projector

Update = Literal["latent", "projected"]

#: Sweeps a step where the caller names none, by objective; evidence in docs/defaults.md.
DEFAULT_NUM_SWEEPS: dict[str, int] = {"quadratic": 2, "sign": 10}


class QPSBGD(torch.optim.Optimizer):
    """Projected stochastic binary gradient descent (QP-SBGD).

    Each step projects the gradient of every binary layer onto binary variables,
    ``B = project(X, T)``, and changes the latent weight V:

    * ``update="latent"``: ``V <- clip(V - lr B)``;
    * ``update="projected"``: ``V <- sign(V - lr B)``. As |V| = 1 after the first step, only
      ``lr >= 1`` changes anything from then on.

    A row whose targets are all zero (a neuron that no gradient reaches) is left as it is, and so is
    a layer whose weight has ``requires_grad=False``. Real parameters (biases, normalisation) are
    not claimed: give them to an optimiser of their own.

    Args:
        model: any module with :class:`~qpsbgd.nn.BinaryLinear` layers; those are claimed.
        lr: step length, in units of the latent weight; > 0.
        objective: ``"quadratic"`` or ``"sign"``; see :func:`qpsbgd.project`.
        scale: strength of the quadratic objective's curvature; > 0. Small values give signSGD.
        num_sweeps: sweeps a projection; None for 2 (quadratic) or 10 (sign).
        update: ``"latent"`` or ``"projected"``.
        target: T is the gradient at the layer's output Z (``"preactivation"``), or at
            ``ste_sign(Z)`` where that is applied to Z directly (``"activation"``).
        clip: latent weights are kept in [-clip, clip]; > 0.
        seed: of the projections' random streams, in [0, 2**31).
        projector: solves the problems; None for :class:`~qpsbgd.NativeProjector`.

    ``lr``, ``objective``, ``scale``, ``num_sweeps``, ``update`` and ``clip`` are read from
    ``param_groups`` at every step: learning-rate schedulers work, and one layer's group may be
    changed. X and T are held from the backward pass to the step, N (n + m) floats a layer; several
    backward passes before a step count as one batch. ``step`` drops them, and so does this
    optimiser's ``zero_grad``, but not the model's.

    The claimed weights get no ``.grad`` while the optimiser lives: it is not used, and leaving it
    out saves a third of the matrix products of the forward and backward pass. Delete the optimiser
    to train its model with another.

    Raises:
        TypeError: ``model`` is not a module, ``projector`` not callable, or a hyper-parameter of
            the wrong type.
        ValueError: no binary layer in ``model``, or a hyper-parameter out of range.
        RuntimeError: ``step`` before a backward pass, after one that skipped a layer, or after a
            layer's input was changed in place.

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
        model: nn.Module,
        lr: float = 1e-2,
        objective: Objective = "quadratic",
        scale: float = 1.0,
        num_sweeps: int | None = None,
        update: Update = "latent",
        target: Target = "preactivation",
        clip: float = 1.0,
        seed: int = 0,
        projector: Projector | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is a {type(model).__name__}, but must be a torch.nn.Module")
        layers = list(binary_layers(model))
        if not layers:
            raise ValueError(
                f"model ({type(model).__name__}) has no layer with binary weights: use "
                "qpsbgd.nn.BinaryLinear where weights are to be binary"
            )
        if projector is not None and not callable(projector):
            raise TypeError(f"projector is {projector!r}, but must be callable or None")
        checked_choice("objective", objective, tuple(DEFAULT_NUM_SWEEPS))
        if num_sweeps is None:
            num_sweeps = DEFAULT_NUM_SWEEPS[objective]
        defaults = {
            "lr": lr,
            "objective": objective,
            "scale": scale,
            "num_sweeps": num_sweeps,
            "update": update,
            "target": target,
            "clip": clip,
            "seed": seed,
        }
        _check_group(defaults)
        if update == "projected" and lr < 1.0:
            warnings.warn(
                f"update='projected' with lr = {lr}: weights are +-1 after the first step, and a "
                "step shorter than 1 changes no sign; use lr >= 1",
                stacklevel=2,
            )
        self._projector: Projector = NativeProjector() if projector is None else projector
        self._layers = [layer for _, layer in layers]
        # One group a layer, so that its hyper-parameters can be changed alone.
        super().__init__(
            [
                {"params": [layer.weight], "layer": name or type(layer).__name__}
                for name, layer in layers
            ],
            defaults,
        )
        self._watch_layers()

    def _watch_layers(self) -> None:
        target = self.defaults["target"]
        self._captures = {layer.weight: Capture(layer, target) for layer in self._layers}

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
        own = {"_layers": self._layers, "_projector": self._projector}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_layers" in state:  # a copy or an unpickled optimiser, not load_state_dict
            self._watch_layers()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over hyper-parameters and step counts of another QPSBGD on the same layers.

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
        self._check_captures()
        updates = []
        for index, (group, weight) in enumerate(self._weights()):
            _check_group(group)
            if weight.requires_grad:
                updates.append((group, weight, self._project(index, group, weight)))
        for group, weight, binary in updates:
            update_weight(weight, binary, group["lr"], group["update"], group["clip"])
            self.state[weight]["step"] = self._steps_done(weight) + 1
        for capture in self._captures.values():
            capture.clear()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, and what was captured with them."""
        super().zero_grad(set_to_none)
        for capture in self._captures.values():
            capture.clear()

    def _weights(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        for group in self.param_groups:
            yield group, group["params"][0]

    def _steps_done(self, weight: Tensor) -> int:
        return int(self.state[weight].get("step", 0))

    def _check_captures(self) -> None:
        captures = [
            (group["layer"], self._captures[weight])
            for group, weight in self._weights()
            if weight.requires_grad
        ]
        skipped = [repr(name) for name, capture in captures if capture.empty]
        if len(skipped) == len(captures):
            raise RuntimeError(
                "step() found no gradient in any binary layer: call backward() on a loss that "
                "depends on the model, in between no zero_grad() and no earlier step()"
            )
        if skipped:
            raise RuntimeError(
                f"step() found no gradient in layer {', '.join(skipped)}: every binary layer of "
                "the model must take part in the loss of a step"
            )
        if self.defaults["target"] == "activation" and not any(
            c.found_activation for _, c in captures
        ):
            raise RuntimeError(
                "target is 'activation', but no binary layer's output goes directly into "
                "qpsbgd.nn.functional.ste_sign; use target='preactivation'"
            )

    def _project(self, index: int, group: dict[str, Any], weight: Tensor) -> Tensor:
        """Binary gradient ``(m, n)``: int8, 0 in rows that no gradient reached."""
        try:
            inputs, targets = (
                tensor.to(device="cpu", dtype=torch.float32)
                for tensor in self._captures[weight].batch()
            )
            binary = self._projector(
                inputs.numpy(),
                targets.numpy(),
                objective=group["objective"],
                scale=group["scale"],
                num_sweeps=group["num_sweeps"],
                seed=step_seed(group["seed"], index, self._steps_done(weight)),
            )
        except (ValueError, RuntimeError) as error:
            # Not of the error's own type: a subclass may be made otherwise than from one message.
            kind = ValueError if isinstance(error, ValueError) else RuntimeError
            raise kind(f"layer {group['layer']!r}: {error}") from error
        if not isinstance(self._projector, NativeProjector):
            _check_binary(binary, tuple(weight.shape))
        result = torch.from_numpy(binary)
        reached = targets.numpy().any(axis=0)  # (N, m) -> (m)
        return result if reached.all() else result * torch.from_numpy(reached)[:, None]


def update_weight(weight: Tensor, binary: Tensor, lr: float, update: Update, clip: float) -> None:
    """Step along a binary gradient, in place.

    Args:
        weight: latent weight ``(m, n)``, any float dtype and device.
        binary: int8 ``(m, n)`` of -1, 0 and +1.
        lr: step length.
        update: ``"latent"`` for ``clip(V - lr B)``, ``"projected"`` for ``sign(V - lr B)``.
        clip: bound of the latent rule.
    """
    on_cpu = weight.device.type == "cpu" and weight.is_contiguous() and binary.is_contiguous()
    if update == "latent" and on_cpu and weight.dtype == torch.float32:
        # One pass instead of three, with the same result.
        _core.step_along(
            weight.detach().numpy(), binary.numpy(), lr=float(lr), clip=clip,
            num_threads=torch.get_num_threads(),
        )  # fmt: skip
        torch.autograd.graph.increment_version(weight)
        return
    weight.add_(binary.to(weight.device), alpha=-lr)
    if update == "latent":
        weight.clamp_(-clip, clip)
    else:
        weight.copy_(torch.where(weight >= 0, 1.0, -1.0))


def step_seed(seed: int, layer: int, step: int) -> int:
    """Seed of one layer's projection in one step, in [0, 2**31)."""
    digest = hashlib.blake2b(struct.pack("<3Q", seed, layer, step), digest_size=4).digest()
    return int.from_bytes(digest, "little") % SEED_LIMIT


def _check_group(group: dict[str, Any]) -> None:
    for name in ("lr", "scale", "clip"):
        value = group[name]
        if isinstance(value, bool) or not isinstance(value, (Real, Tensor)):
            raise TypeError(f"{name} is {value!r}, but must be a real number")
        # A scheduler may end at lr = 0.
        number = float(value)
        if not (number >= 0 if name == "lr" else number > 0) or number == float("inf"):
            rule = "at least 0" if name == "lr" else "positive"
            raise ValueError(f"{name} is {value!r}, but must be finite and {rule}")
    checked_choice("objective", group["objective"], tuple(DEFAULT_NUM_SWEEPS))
    checked_choice("update", group["update"], get_args(Update))
    checked_choice("target", group["target"], get_args(Target))
    checked_count("num_sweeps", group["num_sweeps"], 0)
    checked_count("seed", group["seed"], 0, SEED_LIMIT)


def _check_binary(binary: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(binary, np.ndarray) or binary.dtype != np.int8 or binary.shape != shape:
        raise ValueError(
            f"projector returned {type(binary).__name__} of dtype "
            f"{getattr(binary, 'dtype', None)} and shape {getattr(binary, 'shape', None)}, "
            f"but must return an int8 array of shape {shape}"
        )
    if not (np.abs(binary) == 1).all():
        raise ValueError("projector returned values other than -1 and +1")
