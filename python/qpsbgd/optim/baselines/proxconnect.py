"""ProxConnect++: gradients at F(V), scaled by B(V)."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from qpsbgd.nn.functional import ste_sign
from qpsbgd.optim.baselines.around import Around, Params, RefuseSteSign

#: Of the latent weight V and the sharpness mu; shape and dtype as V.
Quantizer = Callable[[Tensor, float], Tensor]


def sign(latent: Tensor, mu: float) -> Tensor:
    """Forward: V's sign, at any mu."""
    return ste_sign(latent)


def one(latent: Tensor, mu: float) -> Tensor:
    """Backward: the gradient as it is."""
    return torch.ones_like(latent)


def inside(latent: Tensor, mu: float) -> Tensor:
    """Backward: the gradient where |V| <= 1."""
    return (latent.abs() <= 1).to(latent.dtype)


def sign_swish(latent: Tensor, mu: float) -> Tensor:
    """Forward: ``2 s (1 + x (1 - s)) - 1``, x = mu V and s = sigmoid(x); sign(V) for large mu."""
    x = mu * latent
    s = x.sigmoid()
    return 2 * s * (1 + x * (1 - s)) - 1


def sign_swish_slope(latent: Tensor, mu: float) -> Tensor:
    """Backward: the derivative of :func:`sign_swish`; negative beyond mu |V| = 2.4."""
    x = mu * latent
    return mu * (2 - x * (x / 2).tanh()) / (1 + x.cosh())


#: The published pairs (F, B).
QUANTIZERS: dict[str, tuple[Quantizer, Quantizer]] = {
    "binaryconnect": (sign, one),
    "bnn": (sign, inside),
    "bnn+": (sign, sign_swish_slope),
    "bnn++": (sign_swish, sign_swish_slope),
}


class ProxConnect(Around):
    """A torch optimiser on latent weights V, with gradients at ``F(V)``, scaled by ``B(V)``.

    ``W = F(V)``, ``V <- clip(V - lr * direction(B(V) g(W)))``. F and B are the forward and backward
    proximal quantizers, of a sharpness mu that may grow. With ``F = sign`` and ``B = 1`` this is
    BinaryConnect.

    Layers are made with ``kernel_quantizer=None``: from now on the parameter is F(V), and V, which
    it is at first, is in the state. So load a model's weights before making its optimiser.

    Args:
        params: weights of layers, or groups of them; no real parameters.
        optimizer: class of the optimiser that makes the steps.
        quantizer: ``"binaryconnect"``, ``"bnn"``, ``"bnn+"``, ``"bnn++"``, or two functions F and B
            of (V, mu).
        mu: where the sharpness begins. Groups hold its present value.
        mu_growth: mu is multiplied by it after each step.
        clip: latent weights are kept in [-clip, clip]; may be infinite.
        **options: the optimiser's: ``lr`` and so on.

    At the end use :func:`binarize`, in between :func:`binary_weights`.

    Raises:
        TypeError: ``optimizer`` is no class of optimisers, or does not know an option.
        ValueError: an unknown quantizer, or a hyper-parameter out of range.
        RuntimeError: in a forward pass, a layer that applies ``ste_sign`` to the weights.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([0.5, -0.1]))
        >>> optimizer = ProxConnect([weight], quantizer="binaryconnect", lr=0.1)
        >>> weight.tolist()
        [1.0, -1.0]

    Reference:
        Lu et al., arXiv 2402.17710; the sign-swish: Darabi et al., arXiv 1812.11800.
    """

    intervals: ClassVar = {**Around.intervals, "mu": "(0, inf)", "mu_growth": "(0, inf)"}

    def __init__(
        self,
        params: Params,
        optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
        *,
        quantizer: str | tuple[Quantizer, Quantizer] = "bnn++",
        mu: float = 5.0,
        mu_growth: float = 1.0,
        clip: float = 1.0,
        **options: Any,
    ) -> None:
        self._forward, self._backward = pair_of(quantizer)
        defaults = {"mu": mu, "mu_growth": mu_growth, "clip": clip}
        super().__init__(params, optimizer, defaults, options)

    def __getstate__(self) -> dict[str, Any]:
        own = {"_forward": self._forward, "_backward": self._backward}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = [weight for group in state["param_groups"] for weight in group["params"]]
        if any("latent" not in state["state"].get(weight, {}) for weight in weights):
            raise ValueError("the state is another optimiser's: it has no latent weights")
        super().__setstate__(state)

    def _share(self) -> None:
        with self._latents_aside():
            super()._share()

    @contextlib.contextmanager
    def _latents_aside(self) -> Iterator[dict[Tensor, Tensor]]:
        """Latent weights out of the state: many optimisers take what is there for their own."""
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
        RefuseSteSign.watch(self, group["params"])
        for weight in group["params"]:
            latent = weight.detach().clone()
            self.state[weight]["latent"] = latent
            weight.copy_(self._forward(latent, group["mu"]))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the optimiser's step on V, and make W = F(V) of it.

        Args:
            closure: evaluates the model, calls ``backward`` and returns the loss; optional.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check()
        moved = [
            (weight, group, weight.grad)
            for group in self.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]
        with self._latents_aside() as latents:
            for weight, group, gradient in moved:
                weight.copy_(latents[weight])
                weight.grad = self._backward(latents[weight], group["mu"]) * gradient
            try:
                self._inner.step()
            finally:
                for weight, group, gradient in moved:
                    latents[weight] = weight.detach().clamp(-group["clip"], group["clip"])
                    mu = group["mu"] * group["mu_growth"]
                    weight.copy_(self._forward(latents[weight], mu))
                    weight.grad = gradient
        for group in self.param_groups:
            group["mu"] *= group["mu_growth"]
        return loss


def pair_of(quantizer: str | tuple[Quantizer, Quantizer]) -> tuple[Quantizer, Quantizer]:
    """F and B by name, or as they are."""
    if isinstance(quantizer, str) and quantizer in QUANTIZERS:
        return QUANTIZERS[quantizer]
    if (
        isinstance(quantizer, tuple)
        and len(quantizer) == 2
        and all(callable(function) for function in quantizer)
    ):
        return quantizer
    known = ", ".join(repr(name) for name in QUANTIZERS)
    raise ValueError(f"quantizer is {quantizer!r}, but must be {known} or two functions")
