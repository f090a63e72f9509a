"""Optimiser of binary weights: one projection per binary layer and step."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from qpsbgd._checks.numbers import checked_count
from qpsbgd.optim.capture import Capture, Target
from qpsbgd.optim.claims import check_weight, warn_of_rivals
from qpsbgd.optim.param_groups import check_group, layer_groups, warn_of_no_change
from qpsbgd.optim.real_parameters import IdleParameters
from qpsbgd.optim.saved_state import check_state_dict, complete_groups
from qpsbgd.optim.stats import LayerStep, ScalarWriter, write_steps
from qpsbgd.optim.step.layer_changes import layer_gradients, move_layers, steps_done
from qpsbgd.optim.step.scale import ScaleScores
from qpsbgd.optim.step.step_gradients import solve, solve_together
from qpsbgd.optim.step.weight_update import Update
from qpsbgd.projection.options import AlphaRule, Objective
from qpsbgd.projection.projectors import ProjectorLike, as_projector

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class QPSBGD(torch.optim.Optimizer):
    """Projected stochastic binary gradient descent (QP-SBGD).

    Each step projects the gradient of every binary layer onto binary variables,
    ``B = project(X, T)``, and changes the latent weight V:

    * ``update="latent"``: ``V <- clip(V - lr B)``;
    * ``update="projected"``: ``V <- sign(V - lr B)``. After the first step of a weight ``|V|`` is
      1, so that only ``lr >= 1`` changes anything.

    With ``momentum``, ``M <- momentum M + (1 - momentum) B`` takes the place of B. With
    ``weight_decay``, ``(1 - lr weight_decay) V`` takes the place of V.

    X and T are the two factors of the layer's weight gradient: the rows of its input and of the
    gradient at its output. For a convolution a row of X is the patch under the kernel at one
    place; for a graph convolution it is the sum that a node gathers from its neighbours. The step
    changes nothing (but for ``clip`` and ``weight_decay``) that the samples do not determine:

    * a row whose targets are all 0, which is a neuron that no gradient reached;
    * a column whose inputs are all 0, which is a feature that no sample of the step has;
    * a layer that no gradient reached since the last step, or that has ``requires_grad=False``.

    Args:
        model: module with binary layers (:mod:`qpsbgd.nn`), whose weights the optimiser claims; or
            groups as in torch, with modules in the place of parameters:
            ``[{"params": model.body}, {"params": [model.head], "lr": 0.01}]``. A group may have
            the hyper-parameters from ``lr`` to ``max_samples``.
        lr: size of a step, in units of the latent weight; >= 0.
        objective: ``"quadratic"`` or ``"sign"``; see :func:`qpsbgd.project`.
        scale: factor of the step length alpha, > 0. Small values give signSGD. None, the default,
            chooses 0.01, 0.03, 0.1, 0.3 or 1 for each layer: the first and then every 16th step
            project a half of the samples at each scale, for some of the neurons, with the native
            solver. The best scale is the one whose margins X B^T have the largest cosine with the
            targets of the other half, in a running mean. The scale is 1 until a step has 16
            samples. ``scales`` and ``last_step`` show the scale. It has no effect on the sign
            objective.
        alpha: rule for the step length alpha of the projection, ``"fit"`` or ``"norm"``; see
            :func:`qpsbgd.project`. With ``"fit"``, a scale of 3 suits inputs with a common mean.
            With ``"norm"``, the rule of the paper, the scale may have to be 0.03.
        num_sweeps: sweeps of a projection, >= 0; None for 2 (quadratic) or 10 (sign).
        update: ``"latent"`` or ``"projected"``.
        target: place of the gradient T: the layer's output Z (``"preactivation"``), or the output
            of the sign function of :mod:`qpsbgd.nn.functional` that is applied to Z directly
            (``"activation"``).
        clip: bound of the latent weights, which stay in [-clip, clip]; > 0, ``inf`` for none.
        momentum: factor of the running mean of B, in [0, 1).
        weight_decay: decoupled decay of the latent weights, >= 0; it acts on all weights of a layer
            that takes a step.
        relative_lr: whether ``lr`` is in units of the layer's root mean square weight, as it was
            before the layer's first step. This suits networks that were trained with real weights.
            The decay is ``1 - lr weight_decay`` in either case.
        memory: number of samples in the projections of small batches. If a layer has fewer than
            ``memory / 4`` samples in a step, the samples of as many past steps join them as are
            needed to have ``memory``. They take up to ``1.25 memory (n + m)`` floats of a layer;
            larger batches take none. 0 uses the samples of the step alone. Convolutions with
            groups, the sign objective and steps of several ranks have no memory.
        maximize: whether to ascend instead of descend.
        seed: seed of the projections and of the choice of samples, in [0, 2**31).
        max_samples: largest number of samples from which a step computes the curvature X^T X of a
            layer; >= 1, or None for three samples for each of the layer's n inputs, but at least
            1024 and at most 2048. Of more samples it draws this many, uniformly and without
            replacement, and scales their X^T X to the number of all. The linear term X^T T is
            always that of all samples. It has no effect under ``torch.distributed``, where all
            samples count.
        projector: solver of the problems: None or ``"native"`` for
            :class:`~qpsbgd.NativeProjector`; a ``dimod.Sampler``, for
            :class:`~qpsbgd.SamplerProjector` of it; or a :class:`~qpsbgd.Projector`, such as
            ``qpsbgd.hardware.DWaveProjector(...)`` for a quantum annealer.
        process_group: ranks that share the batch: ``"world"`` for all, if ``torch.distributed`` is
            initialised; a gloo group of some ranks; or None for this process alone.
        stats_every: number of steps from one entry of energies in ``last_step`` to the next; 0 for
            no energies. They take as long as two projections.

    Each layer has a parameter group, which ``"layer"`` names. The step reads all hyper-parameters
    but ``target`` from the groups, so any learning-rate scheduler works, and the group of one
    layer may be changed.

    The optimiser does not claim real parameters (biases, normalisation): give
    ``split_parameters(model).real`` to another optimiser. A warning appears once if they have
    gradients and nothing changes them in 100 steps. :class:`~qpsbgd.optim.JoinedOptimizer` joins
    both optimisers for frameworks that take one.

    The optimiser holds inputs and gradients from the backward pass to the step. A linear layer
    needs N (n + m) floats; a convolution needs its input and output. The step makes at most
    ``max_samples`` patches of a convolution, and those of one layer at a time. Every gradient
    counts once:

    * Samples belong to one call of a layer. The samples of all calls before a step form one batch.
      A second backward pass through one call adds to its T, as it adds to ``.grad`` elsewhere.
    * Whatever resets the ``.grad`` of a weight discards its samples: the ``zero_grad`` of this
      optimiser, of another one, of the model or of a layer, or ``weight.grad = None``. So does a
      step.
    * A gradient that reaches a weight past its layer is part of the step: that of a penalty on the
      weight, or of ``linear(x, layer.binary_weight)``. It is added to T^T X.

    The ``.grad`` of a claimed weight is a tensor of zeros, or the gradient that reached the weight
    past its layer. Not computing dL/dW saves a third of the matrix products of a forward and
    backward pass. Writing other values to ``.grad`` is an error, and so is a hook on the weight
    itself (``weight.register_hook``). Call :func:`~qpsbgd.optim.release` or delete the optimiser
    to train the model with another: a second QPSBGD raises an error, and any other torch optimiser
    that takes a step with a claimed weight causes a warning.

    Both objectives are the same for a positive multiple of T, so neither the loss scaling of mixed
    precision nor a loss summed over samples changes anything. Under autocast ``.grad`` has a NaN
    where T overflowed, which tells GradScaler to skip the step.

    Under ``torch.distributed`` each rank contributes its samples, with or without
    DistributedDataParallel, and all ranks take the step of the joined batch
    (:mod:`qpsbgd.optim.distributed` says when the bits are equal). The ranks must begin with the
    same weights, which the first step checks.

    The projection runs on the host. For parameters on another device, X and T of all layers cross
    in one copy, and the binary gradients in another. ``torch.compile`` the model after making the
    optimiser.

    Raises:
        TypeError: ``model`` is neither a module nor groups of modules, ``projector`` is not one of
            the values above, or a hyper-parameter has the wrong type.
        ValueError: ``model`` has no binary layer, a layer belongs to another QPSBGD or computes its
            weight from other tensors, or a hyper-parameter is out of range.
        RuntimeError: ``step`` came before a backward pass, a layer's input was changed in place
            after it, or something else has written to the ``.grad`` of a weight.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear
        >>> from qpsbgd.optim import QPSBGD
        >>> model = torch.nn.Sequential(BinaryLinear(4, 2, bias=False))
        >>> optimizer = QPSBGD(model, lr=0.1)
        >>> loss = model(torch.ones(3, 4)).square().mean()
        >>> loss.backward()
        >>> optimizer.step()

    Reference:
        Krahn et al., "Projected Stochastic Gradient Descent with Quantum Annealed Binary
        Gradients", BMVC 2024, arXiv 2310.15128.
    """

    def __init__(
        self,
        model: nn.Module | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        *,
        objective: Objective = "quadratic",
        scale: float | None = None,
        alpha: AlphaRule = "fit",
        num_sweeps: int | None = None,
        update: Update = "latent",
        target: Target = "preactivation",
        clip: float = 1.0,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        relative_lr: bool = False,
        memory: int = 128,
        maximize: bool = False,
        seed: int = 0,
        max_samples: int | None = None,
        projector: ProjectorLike = None,
        process_group: "ProcessGroup | Literal['world'] | None" = "world",
        stats_every: int = 0,
    ) -> None:
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
            "weight_decay": weight_decay,
            "relative_lr": relative_lr,
            "memory": memory,
            "maximize": maximize,
            "seed": seed,
            "max_samples": max_samples,
        }
        self._model, self._layers, groups, has_sweeps = layer_groups(model, defaults)
        self._projector = as_projector(projector)
        if has_sweeps and not getattr(self._projector, "polish", True):
            raise ValueError(
                f"num_sweeps is given, but {type(self._projector).__name__} makes sweeps with "
                "polish=True alone"
            )
        self._process_group = process_group
        self.stats_every = checked_count("stats_every", stats_every, 0)
        for group, layer in zip(groups, self._layers, strict=True):
            check_weight(group["layer"], layer)
        super().__init__(groups, defaults)
        self._watch_layers()
        warn_of_no_change(groups)

    def _watch_layers(self) -> None:
        """Observe the layers from now on."""
        self._captures = [
            Capture(layer, group["target"], group["layer"])
            for layer, group in zip(self._layers, self.param_groups, strict=True)
        ]
        warn_of_rivals(self)
        self._idle_parameters = IdleParameters(self._model)
        self._has_compared_ranks = False
        #: Statistics of the last step by the layer's name, without the layers that did not move.
        self.last_step: dict[str, LayerStep] = {}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the group of a layer; only the constructor may call this.

        Raises:
            ValueError: the group belongs to no layer, or two layers share the weight.
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
        """Return the state for a copy; the copy observes the layers anew."""
        own = ("_model", "_layers", "_projector", "_process_group", "stats_every")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, or complete the groups of a loaded state."""
        super().__setstate__(state)
        complete_groups(self.param_groups)
        if "_layers" in state:  # a copy or an unpickled optimiser, not load_state_dict
            self._watch_layers()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load hyper-parameters, step counts and momenta of another QPSBGD with the same layers.

        Raises:
            ValueError: the state has other layers, another target or tensors of another shape, or
                is another optimiser's.
        """
        check_state_dict(state_dict, self.param_groups)
        super().load_state_dict(state_dict)

    @property
    def num_steps(self) -> int:
        """Number of steps so far, including those of a loaded state."""
        weights = (group["params"][0] for group in self.param_groups)
        return max((steps_done(weight, self.state) for weight in weights), default=0)

    @property
    def scales(self) -> dict[str, float | None]:
        """Scale of each layer's projections: the layer's own or the chosen one.

        It is None for layers with the sign objective, which has no scale.

        Example:
            >>> from qpsbgd.nn import BinaryLinear
            >>> from qpsbgd.optim import QPSBGD
            >>> QPSBGD(BinaryLinear(4, 2), scale=0.3).scales
            {'BinaryLinear': 0.3}
        """
        found = {}
        for group in self.param_groups:
            scale = group["scale"]
            if scale is None:
                scale = ScaleScores.from_state(self.state.get(group["params"][0], {})).best
            found[group["layer"]] = float(scale) if group["objective"] == "quadratic" else None
        return found

    def captures(self) -> list[Capture]:
        """Return the captures of the layers since the last step, in the order of the groups."""
        for capture in self._captures:
            capture.refresh()
        return self._captures

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Project the gradient of every claimed layer and update its weight.

        All projections come before the first change of a weight, so an error leaves the model as
        it was.

        Args:
            closure: function that evaluates the model, calls ``backward`` and returns the loss. If
                it returns None and no gradient reached a layer, nothing changes.

        Returns:
            The result of ``closure``, or None.

        Raises:
            RuntimeError: no gradient reached a binary layer, or another optimiser has its layers.
            ValueError: a gradient or an input is not finite, or a hyper-parameter is out of range.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            check_group(group)
        for capture in self.captures():
            capture.check_claim()
            capture.check_grad()
        gradients = layer_gradients(self.param_groups, self._captures, self.state)
        is_shared, process_group = self._ranks()
        if is_shared:
            # Each rank keeps track of this by itself: one rank alone may have loaded a state.
            if not self._has_compared_ranks:
                from qpsbgd.optim.distributed import check_same

                check_same([gradient.weight for gradient in gradients], process_group)
                self._has_compared_ranks = True
            solve_together(gradients, self._projector, process_group)
        else:
            solve(gradients, self._projector, has_energies=self._wants_energies())
        solved = [gradient for gradient in gradients if gradient.binary is not None]
        if gradients and not solved:
            if closure is not None and loss is None:
                return None  # the closure skipped the batch
            raise RuntimeError(
                "step() found no gradient in any binary layer: call backward() on a loss that "
                "depends on the model, in between no zero_grad(), no other reset of .grad and no "
                "earlier step(); and torch.compile the model after the optimizer is made"
            )
        self.last_step = move_layers(
            solved, self.state, self._projector, has_energies=self._wants_energies()
        )
        for capture in self._captures:
            capture.consume()
        self._idle_parameters.check()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients, and drop the captured inputs and gradients of the layers."""
        super().zero_grad(set_to_none)
        for capture in self._captures:
            capture.clear()

    def log_to(
        self, writer: ScalarWriter, every: int = 100, tag: str = "qpsbgd"
    ) -> RemovableHandle:
        """Write ``last_step`` to TensorBoard, or to any object with the same ``add_scalar``.

        This sets ``stats_every``.

        Args:
            writer: a ``torch.utils.tensorboard.SummaryWriter``.
            every: number of steps from one entry to the next; >= 1.
            tag: prefix of the tags ``tag/layer/number``, where the numbers are those of
                :class:`~qpsbgd.optim.LayerStep`.

        Returns:
            A handle whose ``remove()`` ends the writing.
        """
        self.stats_every = checked_count("every", every, 1)
        return write_steps(self, writer, tag)

    def _wants_energies(self) -> bool:
        """Return whether the step after those so far is one that ``stats_every`` selects."""
        return self.stats_every > 0 and (self.num_steps + 1) % self.stats_every == 0

    def _ranks(self) -> tuple[bool, Any]:
        """Return whether ranks share the batch, and their process group (None for all)."""
        if self._process_group is None:
            return False, None
        dist = torch.distributed
        if self._process_group != "world":
            return True, self._process_group
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1, None
