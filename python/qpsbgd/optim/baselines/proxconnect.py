"""ProxConnect++: gradients at F(V), scaled by B(V), for latent weights V."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim.baselines.groups import Params
from qpsbgd.optim.baselines.guard import SteSignGuard
from qpsbgd.optim.baselines.weightwise import evaluate_closure
from qpsbgd.optim.baselines.wrapper import OptimizerWrapper

#: Function of the latent weight V and the sharpness mu, with the shape and dtype of V.
ProximalQuantizer = Callable[[Tensor, float], Tensor]


def sign(latent: Tensor, mu: float) -> Tensor:
    """Forward: return the sign of V."""
    return ste_sign(latent)


def one(latent: Tensor, mu: float) -> Tensor:
    """Backward: return 1."""
    return torch.ones_like(latent)


def inside(latent: Tensor, mu: float) -> Tensor:
    """Backward: return 1 where |V| <= 1, and 0 elsewhere."""
    return (latent.abs() <= 1).to(latent.dtype)


def sign_swish(latent: Tensor, mu: float) -> Tensor:
    """Forward: return ``2 s (1 + x (1 - s)) - 1`` with x = mu V and s = sigmoid(x).

    This tends to sign(V) for large mu.
    """
    x = mu * latent
    s = x.sigmoid()
    return 2 * s * (1 + x * (1 - s)) - 1


def sign_swish_slope(latent: Tensor, mu: float) -> Tensor:
    """Backward: return the derivative of :func:`sign_swish`; negative where mu |V| > 2.4."""
    x = mu * latent
    return mu * (2 - x * (x / 2).tanh()) / (1 + x.cosh())


#: The published pairs (F, B).
QUANTIZER_PAIRS: dict[str, tuple[ProximalQuantizer, ProximalQuantizer]] = {
    "binaryconnect": (sign, one),
    "bnn": (sign, inside),
    "bnn+": (sign, sign_swish_slope),
    "bnn++": (sign_swish, sign_swish_slope),
}


class ProxConnect(OptimizerWrapper):
    """Torch optimiser on latent weights V, with gradients at ``F(V)`` that ``B(V)`` scales.

    ``W = F(V)``, then ``V <- clip(V - lr * direction(B(V) * g(W)))``. F and B are the forward and
    the backward proximal quantizer. They may depend on a sharpness mu that grows. With
    ``F = sign`` and ``B = 1`` this is BinaryConnect.

    Make the layers with ``kernel_quantizer=None``. The constructor takes V from the parameters,
    stores it in the optimiser's state, and sets the parameters to F(V). Load a model's weights
    before you make its optimiser.

    Use :func:`~qpsbgd.optim.binarize_weights_of` at the end of training, and
    :func:`~qpsbgd.optim.binary_weights_of` for an evaluation before it.

    Args:
        params: weights of layers, or groups of them; no real parameters.
        optimizer: class of the optimiser that makes the steps.
        quantizer: ``"binaryconnect"``, ``"bnn"``, ``"bnn+"``, ``"bnn++"``, or two functions F and B
            of (V, mu).
        mu: initial sharpness. Groups hold the present value.
        mu_growth: factor by which mu grows in each step.
        clip: bound of the latent weights, which remain in [-clip, clip]; may be infinite.
        **options: hyper-parameters of the optimiser, such as ``lr``.

    Raises:
        TypeError: ``optimizer`` is not a class of torch optimisers, or does not know an option.
        ValueError: the name of the quantizer is unknown, or a hyper-parameter is outside its
            interval.
        RuntimeError: a layer applies ``ste_sign`` to the weights in a forward pass.

    Example:
        >>> import torch
        >>> from qpsbgd.optim import ProxConnect
        >>> weight = torch.nn.Parameter(torch.tensor([0.5, -0.1]))
        >>> optimizer = ProxConnect([weight], quantizer="binaryconnect", lr=0.1)
        >>> weight.tolist()
        [1.0, -1.0]

    Reference:
        Lu et al., "Understanding Neural Network Binarization with Forward and Backward Proximal
        Quantizers", NeurIPS 2023, arXiv 2402.17710; the sign-swish: Darabi et al., arXiv
        1812.11800.
    """

    intervals: ClassVar = {**OptimizerWrapper.intervals, "mu": "(0, inf)", "mu_growth": "(0, inf)"}

    def __init__(
        self,
        params: Params,
        optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
        *,
        quantizer: str | tuple[ProximalQuantizer, ProximalQuantizer] = "bnn++",
        mu: float = 5.0,
        mu_growth: float = 1.0,
        clip: float = 1.0,
        **options: Any,
    ) -> None:
        self._forward, self._backward = get_pair(quantizer)
        defaults = {"mu": mu, "mu_growth": mu_growth, "clip": clip}
        super().__init__(params, optimizer, defaults, options)

    def __getstate__(self) -> dict[str, Any]:
        quantizers = {"_forward": self._forward, "_backward": self._backward}
        return {**super().__getstate__(), **quantizers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = [weight for group in state["param_groups"] for weight in group["params"]]
        if any("latent" not in state["state"].get(weight, {}) for weight in weights):
            raise ValueError(
                "the state is another optimiser's: it has no latent weights, but a state of "
                "ProxConnect is needed"
            )
        super().__setstate__(state)

    def _share_state(self) -> None:
        with self._latents_aside():
            super()._share_state()

    @contextlib.contextmanager
    def _latents_aside(self) -> Iterator[dict[Tensor, Tensor]]:
        """Remove the latent weights from the state within a ``with`` block, and yield them.

        Many optimisers initialise the state of a weight only if it is empty.
        """
        latents = {w: state.pop("latent") for w, state in self.state.items() if "latent" in state}
        try:
            yield latents
        finally:
            for weight, latent in latents.items():
                self.state[weight]["latent"] = latent

    @torch.no_grad()
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of weights V, and replace them by F(V)."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        SteSignGuard.watch(self, group["params"])
        for weight in group["params"]:
            latent = weight.detach().clone()
            self.state[weight]["latent"] = latent
            weight.copy_(self._forward(latent, group["mu"]))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the inner optimiser's step on V, and set W = F(V).

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            The result of ``closure``, or None.
        """
        loss = evaluate_closure(closure)
        self._check_groups()
        weights = [
            (weight, group, weight.grad)
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        with self._latents_aside() as latents:
            for weight, group, gradient in weights:
                weight.copy_(latents[weight])
                weight.grad = self._backward(latents[weight], group["mu"]) * gradient
            try:
                self._take_inner_step()
            finally:
                for weight, group, gradient in weights:
                    latents[weight] = weight.detach().clamp(-group["clip"], group["clip"])
                    mu = group["mu"] * group["mu_growth"]
                    weight.copy_(self._forward(latents[weight], mu))
                    weight.grad = gradient
        for group in self.param_groups:
            group["mu"] *= group["mu_growth"]
        return loss


def get_pair(
    quantizer: str | tuple[ProximalQuantizer, ProximalQuantizer],
) -> tuple[ProximalQuantizer, ProximalQuantizer]:
    """Return F and B for the argument ``quantizer``.

    Raises:
        ValueError: the argument is neither a known name nor two functions.
    """
    if isinstance(quantizer, str) and quantizer in QUANTIZER_PAIRS:
        return QUANTIZER_PAIRS[quantizer]
    if (
        isinstance(quantizer, tuple)
        and len(quantizer) == 2
        and all(callable(function) for function in quantizer)
    ):
        return quantizer
    known = ", ".join(repr(name) for name in QUANTIZER_PAIRS)
    raise ValueError(f"quantizer is {quantizer!r}, but must be {known} or two functions")
