"""Sign activations as modules, for networks that are built from modules."""

from torch import Tensor, nn

from qpsbgd.nn.functional import approx_sign, check_positive, ste_sign, swish_sign


class Sign(nn.Module):
    """Sign activation with a straight-through gradient: :func:`qpsbgd.nn.functional.ste_sign`.

    Args:
        clip_value: largest ``|x|`` that receives a gradient; positive. With ``inf`` every ``x``
            receives one.

    Shape:
        Input and output have the same shape.

    Raises:
        TypeError: ``clip_value`` is not a real number.
        ValueError: ``clip_value`` is not positive.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryLinear, Sign
        >>> model = torch.nn.Sequential(BinaryLinear(9, 4), Sign(clip_value=3.0))
        >>> model(torch.ones(2, 9)).abs().unique().tolist()
        [1.0]

    Reference:
        Bengio et al., arXiv 1308.3432; Hubara et al., arXiv 1602.02830.
    """

    def __init__(self, clip_value: float = 1.0) -> None:
        super().__init__()
        check_positive("clip_value", clip_value)
        self.clip_value = clip_value

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign of ``x``, with ``sign(0) = +1``."""
        return ste_sign(x, self.clip_value)

    def extra_repr(self) -> str:
        """Return the parameter for ``repr``."""
        return f"clip_value={self.clip_value}"


class ApproxSign(nn.Module):
    """Sign activation with the gradient of a quadratic: :func:`qpsbgd.nn.functional.approx_sign`.

    Shape:
        Input and output have the same shape.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import ApproxSign
        >>> ApproxSign()(torch.tensor([-0.5, 0.0, 2.0])).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Liu et al. (Bi-Real Net), arXiv 1808.00278.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign of ``x``, with ``sign(0) = +1``."""
        return approx_sign(x)


class SwishSign(nn.Module):
    """Sign activation with the gradient of SignSwish: :func:`qpsbgd.nn.functional.swish_sign`.

    Args:
        beta: steepness of the SignSwish function; positive and finite.

    Shape:
        Input and output have the same shape.

    Raises:
        TypeError: ``beta`` is not a real number.
        ValueError: ``beta`` is not positive and finite.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import SwishSign
        >>> SwishSign(beta=2.0)(torch.tensor([-0.5, 0.0, 2.0])).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Darabi et al. (BNN+), arXiv 1812.11800.
    """

    def __init__(self, beta: float = 5.0) -> None:
        super().__init__()
        check_positive("beta", beta, is_finite=True)
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Return the sign of ``x``, with ``sign(0) = +1``."""
        return swish_sign(x, self.beta)

    def extra_repr(self) -> str:
        """Return the parameter for ``repr``."""
        return f"beta={self.beta}"
