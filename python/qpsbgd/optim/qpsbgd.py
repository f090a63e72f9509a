"""The optimiser: one projection per binary layer and step."""

import hashlib
import struct
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from qpsbgd.optim.capture import Capture, Target, binary_layers
from qpsbgd.projection import SEED_LIMIT, NativeProjector, Objective, Projector

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

    A row whose targets are all zero (a neuron that no gradient reaches) is left as it is. Real
    parameters (biases, normalisation) are not claimed: give them to an optimiser of their own.

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
    backward passes before a step count as one batch. ``zero_grad`` drops them.

    The claimed weights get no ``.grad`` while the optimiser lives: it is not used, and leaving it
    out saves a third of the matrix products of the forward and backward pass.

    Raises:
        TypeError: ``model`` is not a module, or a hyper-parameter has the wrong type.
        ValueError: no binary layer in ``model``, or a hyper-parameter out of range.
        RuntimeError: ``step`` before a backward pass, or after one that skipped a layer.

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
        if target not in ("preactivation", "activation"):
            raise ValueError(f"target is {target!r}, but must be 'preactivation' or 'activation'")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed is {seed!r}, but must be an integer")
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed is {seed!r}, but must lie in [0, {SEED_LIMIT})")
        if num_sweeps is None:
            num_sweeps = DEFAULT_NUM_SWEEPS.get(objective, 0)
        defaults = {
            "lr": lr,
            "objective": objective,
            "scale": scale,
            "num_sweeps": num_sweeps,
            "update": update,
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
        self._target = target
        self._projector: Projector = NativeProjector() if projector is None else projector
        # One group a layer, so that its hyper-parameters can be changed alone.
        super().__init__(
            [
                {"params": [layer.weight], "layer": name or type(layer).__name__}
                for name, layer in layers
            ],
            defaults,
        )
        self._captures = {layer.weight: Capture(layer, target) for _, layer in layers}

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
        for index, group in enumerate(self.param_groups):
            _check_group(group)
            for weight in group["params"]:
                updates.append((group, weight, self._project(index, group, weight)))
        for group, weight, binary in updates:
            update_weight(weight, binary, group["lr"], group["update"], group["clip"])
            self.state[weight]["step"] = self._steps_done(weight) + 1
            self._captures[weight].clear()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, and what was captured with them."""
        super().zero_grad(set_to_none)
        for capture in self._captures.values():
            capture.clear()

    def _steps_done(self, weight: Tensor) -> int:
        return int(self.state[weight].get("step", 0))

    def _check_captures(self) -> None:
        captures = [
            (group["layer"], self._captures[weight])
            for group in self.param_groups
            for weight in group["params"]
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
        if self._target == "activation" and not any(c.found_activation for _, c in captures):
            raise RuntimeError(
                "target is 'activation', but no binary layer's output goes directly into "
                "qpsbgd.nn.functional.ste_sign; use target='preactivation'"
            )

    def _project(self, index: int, group: dict[str, Any], weight: Tensor) -> Tensor:
        """Binary gradient ``(m, n)``: int8, 0 in rows that no gradient reached."""
        inputs, targets = (
            tensor.to(device="cpu", dtype=torch.float32)
            for tensor in self._captures[weight].batch()
        )
        try:
            binary = self._projector(
                inputs.numpy(),
                targets.numpy(),
                objective=group["objective"],
                scale=group["scale"],
                num_sweeps=group["num_sweeps"],
                seed=step_seed(group["seed"], index, self._steps_done(weight)),
            )
        except ValueError as error:
            raise ValueError(f"layer {group['layer']!r}: {error}") from error
        if not isinstance(self._projector, NativeProjector):
            _check_binary(binary, tuple(weight.shape))
        result = torch.from_numpy(binary)
        reached = np.abs(targets.numpy()).max(axis=0) > 0  # (N, m) -> (m)
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
        if isinstance(value, bool) or not isinstance(value, (int, float, Tensor)):
            raise TypeError(f"{name} is {value!r}, but must be a real number")
        # A scheduler may end at lr = 0.
        if not (value >= 0 if name == "lr" else value > 0) or value == float("inf"):
            rule = "at least 0" if name == "lr" else "positive"
            raise ValueError(f"{name} is {value!r}, but must be finite and {rule}")
    if group["objective"] not in DEFAULT_NUM_SWEEPS:
        raise ValueError(f"objective is {group['objective']!r}, but must be 'quadratic' or 'sign'")
    if group["update"] not in ("latent", "projected"):
        raise ValueError(f"update is {group['update']!r}, but must be 'latent' or 'projected'")
    sweeps = group["num_sweeps"]
    if isinstance(sweeps, bool) or not isinstance(sweeps, int):
        raise TypeError(f"num_sweeps is {sweeps!r}, but must be an integer")
    if sweeps < 0:
        raise ValueError(f"num_sweeps is {sweeps!r}, but must be at least 0")


def _check_binary(binary: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(binary, np.ndarray) or binary.dtype != np.int8 or binary.shape != shape:
        raise ValueError(
            f"projector returned {type(binary).__name__} of dtype "
            f"{getattr(binary, 'dtype', None)} and shape {getattr(binary, 'shape', None)}, "
            f"but must return an int8 array of shape {shape}"
        )
    if not (np.abs(binary) == 1).all():
        raise ValueError("projector returned values other than -1 and +1")
