"""The optimiser: one projection per binary layer and step."""

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qpsbgd._checks import checked_count
from qpsbgd.optim.capture import Capture, Target
from qpsbgd.optim.device import to_devices
from qpsbgd.optim.param_groups import UNSUPPORTED, check_group, checked_options, named_layers
from qpsbgd.optim.parameters import IdleParameters
from qpsbgd.optim.problems import LayerGradient, solve, solve_together
from qpsbgd.optim.stats import LayerStep, ScalarWriter, write_steps
from qpsbgd.optim.update import Update, update_momentum, update_weight
from qpsbgd.projection.layers import AlphaRule, Backend, Objective, as_projector

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class QPSBGD(torch.optim.Optimizer):
    """Projected stochastic binary gradient descent (QP-SBGD).

    Each step projects the gradient of every binary layer onto binary variables,
    ``B = project(X, T)``, and changes the latent weight V:

    * ``update="latent"``: ``V <- clip(V - lr B)``;
    * ``update="projected"``: ``V <- sign(V - lr B)``. As |V| = 1 after a weight's first step, only
      ``lr >= 1`` changes anything from then on.

    With ``momentum``, M takes the place of B: ``M <- momentum M + (1 - momentum) B``.

    X and T are what the layer's matrix product is made of: rows of its input and of the gradient at
    its output; for a convolution, the patch under the kernel at each place; for a graph
    convolution, what a node gathers from its neighbours. Samples without a gradient are left out. A
    row whose targets are all zero (a neuron that no gradient reaches) is left as it is but for
    ``clip``; so is a column whose inputs are all zero (a feature that no sample of the step has, of
    which every choice is as good); and so is a layer that no gradient reached since the last step,
    or whose weight has ``requires_grad=False``.

    Args:
        model: any module with binary layers (:mod:`qpsbgd.nn`), which are claimed; or torch's
            groups of parameters with modules in place of parameters:
            ``[{"params": model.body}, {"params": [model.head], "lr": 0.01}]``, where the
            hyper-parameters from ``lr`` to ``maximize`` can be given.
        lr: step length, in units of the latent weight; >= 0.
        objective: ``"quadratic"`` or ``"sign"``; see :func:`qpsbgd.project`.
        scale: strength of the quadratic objective's curvature; > 0. Small values give signSGD.
        alpha: what the scale is relative to, ``"fit"`` or ``"norm"``; see
            :func:`qpsbgd.project`. With ``"fit"`` a scale of 1 is good for most layers, 3 where
            inputs have a common mean; with ``"norm"``, the paper's, it may have to be .03.
        num_sweeps: sweeps a projection; None for 2 (quadratic) or 10 (sign).
        update: ``"latent"`` or ``"projected"``.
        target: T is the gradient at the layer's output Z (``"preactivation"``), or at the output of
            the sign function of :mod:`qpsbgd.nn.functional` that is applied to Z directly
            (``"activation"``).
        clip: latent weights are kept in [-clip, clip]; > 0, ``inf`` for no bound.
        momentum: of the binary direction; in [0, 1).
        maximize: ascend instead of descend.
        seed: of the projections' random streams, in [0, 2**31).
        projector: solves the problems: ``"native"`` or None for
            :class:`~qpsbgd.NativeProjector`; a ``dimod.Sampler``, for
            :class:`~qpsbgd.SamplerProjector` of it;
            ``qpsbgd.hardware.DWaveProjector(...)`` for a quantum annealer; or whatever else is
            called as :class:`~qpsbgd.Projector` is.
        process_group: over whose ranks the batch is divided: ``"world"`` for all, if
            ``torch.distributed`` is initialised, a gloo group of some, or None for this process
            alone.
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

    Under ``torch.distributed`` each rank contributes the samples that it has captured, with or
    without DistributedDataParallel, and all ranks take the same step: that of the joined batch
    (see :mod:`qpsbgd.optim.distributed` for when to the bit). They must begin with the same
    weights, which the first step checks.

    Parameters on another device are served by the host: X and T of all layers cross in one copy,
    and the binary gradients in one. ``torch.compile`` the model after the optimiser is made.

    Raises:
        TypeError: ``model`` is not a module or groups of such, ``projector`` no back end, or a
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
        projector: Backend | None = None,
        process_group: "ProcessGroup | Literal['world'] | None" = "world",
        *,
        alpha: AlphaRule = "fit",
        stats_every: int = 0,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        unsupported = {
            "foreach": foreach, "fused": fused, "capturable": capturable,
            "differentiable": differentiable,
        }  # fmt: skip
        for name, value in unsupported.items():
            if value:
                raise ValueError(f"{name} is {value!r}, but must be False: {UNSUPPORTED[name]}")
        defaults = {
            "lr": lr,
            "objective": objective,
            "scale": scale,
            "alpha": alpha,
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
        self._projector = as_projector(
            "native" if projector is None else projector, name="projector"
        )
        asked = [num_sweeps, *(options.get("num_sweeps") for _, _, options in layers)]
        if any(asked) and not getattr(self._projector, "polish", True):
            raise ValueError(
                f"num_sweeps is given, but {type(self._projector).__name__} makes sweeps with "
                "polish=True alone"
            )
        self._process_group = process_group
        self._layers = [layer for _, layer, _ in layers]
        self.stats_every = checked_count("stats_every", stats_every, 0)
        # One group a layer, so that its hyper-parameters can be changed alone.
        super().__init__(groups, defaults)
        self._watch_layers()
        short = [g["lr"] for g in groups if g["update"] == "projected" and g["lr"] < 1.0]
        if short:
            warnings.warn(
                f"update='projected' with lr = {short[0]}: weights are +-1 after their first step, "
                "and a step shorter than 1 changes no sign; use lr >= 1",
                stacklevel=2,
            )

    def _watch_layers(self) -> None:
        self._captures = [
            Capture(layer, group["target"])
            for layer, group in zip(self._layers, self.param_groups, strict=True)
        ]
        self._idle_parameters = IdleParameters(self._model)
        self._compared = False  # with the weights of other ranks
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
        own = ("_model", "_layers", "_projector", "_process_group", "stats_every")
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
        gradients = self._gradients()
        divided, process_group = self._ranks()
        if divided:
            # Not by the count of steps: a rank alone may have loaded a state.
            if not self._compared:
                from qpsbgd.optim.distributed import check_same

                check_same([gradient.weight for gradient in gradients], process_group)
                self._compared = True
            solve_together(gradients, self._projector, process_group)
        else:
            solve(gradients, self._projector)
        found = [gradient for gradient in gradients if gradient.binary is not None]
        if gradients and not found:
            raise RuntimeError(
                "step() found no gradient in any binary layer: call backward() on a loss that "
                "depends on the model, in between no zero_grad() and no earlier step(); and "
                "torch.compile the model after the optimizer is made"
            )
        self._update(found)
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

    def _ranks(self) -> tuple[bool, Any]:
        """Whether the batch is divided over the ranks of a process group, and which (None: all)."""
        if self._process_group is None:
            return False, None
        dist = torch.distributed
        if self._process_group != "world":
            return True, self._process_group
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1, None

    def _gradients(self) -> list[LayerGradient]:
        """The layers that may move."""
        gradients = [
            LayerGradient(index, group, weight, capture, self._steps_done(weight))
            for index, (group, capture) in enumerate(
                zip(self.param_groups, self._captures, strict=True)
            )
            for weight in group["params"]
            if weight.requires_grad
        ]
        captured = [gradient for gradient in gradients if not gradient.capture.empty]
        if captured and not any(
            gradient.capture.found_activation or gradient.group["target"] == "preactivation"
            for gradient in captured
        ):
            raise RuntimeError(
                "target is 'activation', but no binary layer's output goes directly into a sign "
                "function of qpsbgd.nn.functional (a compiled one is not seen); use "
                "target='preactivation'"
            )
        return gradients

    def _update(self, gradients: list[LayerGradient]) -> None:
        """Change weights and their state along the binary gradients that were found."""
        binaries = to_devices(
            [torch.from_numpy(gradient.binary) for gradient in gradients],
            [gradient.weight.device for gradient in gradients],
        )
        with_energies = self.stats_every > 0 and (self.num_steps + 1) % self.stats_every == 0
        self.last_step = {}
        for gradient, flat in zip(gradients, binaries, strict=True):
            group, weight = gradient.group, gradient.weight
            state = self.state[weight]
            direction = binary = flat.view(weight.shape)
            before = weight >= 0 if with_energies else None
            if group["momentum"] > 0:
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = float(group["momentum"])
                direction = update_momentum(state["momentum_buffer"], binary, momentum)
            update_weight(weight, direction, float(group["lr"]), group["update"], group["clip"])
            state["step"] = gradient.num_steps + 1
            num_samples = sum(len(X) for X, _ in gradient.batches)
            told: tuple[float | None, ...] = ()
            if before is not None:
                flip_ratio = float(((weight >= 0) != before).double().mean())
                told = (*gradient.energies(self._projector), flip_ratio)
            self.last_step[group["layer"]] = LayerStep(gradient.seconds, num_samples, *told)
