"""Graph convolution with binary weights."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from qpsbgd.nn.functional import Quantizer, is_exporting, is_transformed
from qpsbgd.nn.layers import BinaryLayer
from qpsbgd.nn.packed_weight import PackedWeight


class BinaryGCNConv(BinaryLayer, nn.Module):
    """Graph convolution ``A (x W^T) + bias`` with ``W = sign(weight)``.

    A is the adjacency matrix with self-loops, normalised symmetrically:
    ``D^-1/2 (A + I) D^-1/2``. The interface is that of PyTorch Geometric's ``GCNConv``; the layer
    does not need PyTorch Geometric.

    Args:
        in_channels: number of features of each node.
        out_channels: number of outputs of each node.
        improved: whether added self-loops have the weight 2 instead of 1.
        cached: whether to store the normalised adjacency of the first call and to use it in all
            later calls, until :meth:`reset_parameters`. Use it only for one graph that never
            changes.
        add_self_loops: whether nodes without a self-loop get one; None for the value of
            ``normalize``.
        normalize: whether to normalise; otherwise edge weights are used as they are.
        bias: whether to learn an additive (real) bias.
        input_quantizer: function that is applied to ``x``: ``"ste_sign"``, ``"approx_sign"``,
            ``"swish_sign"``, a callable, or None for no function.
        kernel_quantizer: function that is applied to the weight, from the same choices. With None
            the layer has real weights.
        output_scale: whether to learn a (real) factor for each output, which is applied before
            the bias. Its initial value is ``1 / sqrt(in_channels)``.
        device: device of the parameters.
        dtype: dtype of the parameters.

    Shape:
        ``weight`` is ``(out_channels, in_channels)`` and ``bias`` is ``(out_channels,)``.
        :meth:`forward` describes inputs and outputs.

    Raises:
        TypeError: ``output_scale`` is not a bool.
        ValueError: the name of a quantizer is unknown, a size is below 1, or self-loops are
            requested without normalisation.

    Example:
        >>> import torch
        >>> from qpsbgd.nn import BinaryGCNConv
        >>> layer = BinaryGCNConv(3, 2)
        >>> layer(torch.ones(4, 3), torch.tensor([[0, 1, 2], [1, 2, 3]])).shape
        torch.Size([4, 2])

    Reference:
        Kipf and Welling, arXiv 1609.02907.
    """

    takes_packed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
        *,
        input_quantizer: str | Quantizer | None = None,
        kernel_quantizer: str | Quantizer | None = "ste_sign",
        output_scale: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            if size < 1:
                raise ValueError(f"{name} is {size}, but must be at least 1")
        if add_self_loops is None:
            add_self_loops = normalize
        if add_self_loops and not normalize:
            raise ValueError(
                "add_self_loops is True, but must be False with normalize=False: edge weights are "
                "then used as they are"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.improved = improved
        self.cached = cached
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, **factory))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_channels, **factory))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()
        self.init_binary(input_quantizer, kernel_quantizer, output_scale)

    def reset_parameters(self) -> None:
        """Draw the weight anew (Glorot), reset bias and scale, and drop the stored adjacency."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.reset_scale()
        self._adjacency: Tensor | None = None

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return the outputs of all nodes.

        Args:
            x: features ``(num_nodes, in_channels)``.
            edge_index: int64 ``(2, num_edges)``, with the sources in the first row and the targets
                in the second; or the transposed adjacency as a sparse COO or CSR tensor
                ``(num_nodes, num_nodes)``, whose entry (i, j) is the edge from j to i.
            edge_weight: ``(num_edges,)``; None for ones. A sparse adjacency has its own weights,
                so this must be None then.

        Returns:
            ``(num_nodes, out_channels)``.

        Raises:
            ValueError: shapes do not fit, a node number is out of range, or both a sparse
                adjacency and ``edge_weight`` are given.
        """
        if x.dim() != 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but must be (num_nodes, {self.in_channels})"
            )
        num_nodes = x.shape[0]  # a tracer cannot vary len(x)
        adjacency = self._adjacency
        if is_exporting() or is_transformed():
            if adjacency is None:
                return self.run(x, *self._normalized_edges(num_nodes, edge_index, edge_weight))
            return self.run(x, adjacency.indices(), adjacency.values())
        if adjacency is None:
            indices, weights = self._normalized_edges(num_nodes, edge_index, edge_weight)
            # _edges has checked all invariants.
            adjacency = torch.sparse_coo_tensor(
                indices, weights, (num_nodes, num_nodes), check_invariants=False
            ).coalesce()
            if self.cached:
                self._adjacency = adjacency.detach()
        if len(adjacency) != num_nodes:
            raise ValueError(
                f"x has {num_nodes} nodes, but the cached adjacency has {len(adjacency)}: use "
                "cached=False for graphs that change"
            )
        # Moving the layer to another device or dtype does not move a cached adjacency.
        return self.run(x, adjacency.to(x.device, self.weight.dtype))

    def _normalized_edges(
        self, num_nodes: int, edge_index: Tensor, edge_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the targets and sources ``(2, E)`` and the weights ``(E,)`` of A."""
        indices, weights = _edges(edge_index, edge_weight, num_nodes, self.weight.dtype)
        if self.add_self_loops:
            loop = 2.0 if self.improved else 1.0
            indices, weights = _with_self_loops(indices, weights, num_nodes, loop)
        if self.normalize:
            weights = _normalized(indices, weights, num_nodes)
        return indices, weights

    def linear_map(
        self, input: Tensor, weight: Tensor | PackedWeight, bias: Tensor | None, *context: Any
    ) -> Tensor:
        """Return ``A (input weight^T) + bias``.

        Args:
            input: ``(nodes, n)``.
            weight: ``(m, n)``.
            bias: ``(m,)`` or None.
            context: A as a sparse tensor; or its edges and their weights, for tracers and
                transforms, which know no sparse tensors.
        """
        if isinstance(weight, PackedWeight):
            hidden = weight.linear(input)  # (nodes, m)
        else:
            hidden = nn.functional.linear(input, weight)
        if len(context) == 2:
            (targets, sources), weights = context
            messages = weights[:, None] * hidden[sources]  # (E, m)
            output = torch.zeros_like(hidden).index_add(0, targets, messages)
        else:
            (adjacency,) = context
            # Under autocast the product has a shorter dtype than A.
            output = torch.sparse.mm(adjacency, hidden.to(adjacency.dtype))
        return output if bias is None else output + bias

    def samples(self, input: Tensor, grad: Tensor, *context: Any) -> tuple[Tensor, Tensor]:
        """Return one sample per node that has a gradient.

        Because ``A (x W^T) = (A x) W^T``, a node's inputs are the features that it sums over its
        neighbours.

        Args:
            input: ``(nodes, n)``.
            grad: ``(nodes, m)``.
            context: the adjacency.

        Returns:
            Inputs ``(1, N, n)`` and gradients ``(1, N, m)``.
        """
        (adjacency,) = context
        nodes = grad.any(dim=1).nonzero().squeeze(1)
        incoming = adjacency.detach().index_select(0, nodes)  # (N, nodes)
        sums = torch.sparse.mm(incoming, input.to(adjacency.dtype))  # (N, n)
        return sums.unsqueeze(0), grad[nodes].unsqueeze(0)

    def extra_repr(self) -> str:
        """Return the sizes and options for ``repr``."""
        return f"{self.in_channels}, {self.out_channels}, {super().extra_repr()}"


def _edges(
    edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the targets and sources of all edges ``(2, E)``, and their weights ``(E,)``."""
    if edge_index.layout in (torch.sparse_coo, torch.sparse_csr):
        if edge_weight is not None:
            raise ValueError(
                "edge_weight is given, but must be None: a sparse adjacency has its own weights"
            )
        if tuple(edge_index.shape) != (num_nodes, num_nodes):
            raise ValueError(
                f"edge_index has shape {tuple(edge_index.shape)}, but must be (num_nodes, "
                f"num_nodes) = {(num_nodes, num_nodes)}"
            )
        adjacency = edge_index.to_sparse(layout=torch.sparse_coo).coalesce()
        return adjacency.indices(), adjacency.values().to(dtype)
    if edge_index.dim() != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise ValueError(
            f"edge_index has shape {tuple(edge_index.shape)} and dtype {edge_index.dtype}, but "
            "must be int64 (2, num_edges) or a sparse adjacency"
        )
    wrong = (edge_index < 0) | (edge_index >= num_nodes)
    if not is_exporting() and wrong.any():  # an exported graph cannot depend on values
        raise ValueError(
            f"edge_index has node {int(edge_index[wrong][0])}, but x has nodes 0 to {num_nodes - 1}"
        )
    if edge_weight is None:
        edge_weight = torch.ones(edge_index.shape[1], dtype=dtype, device=edge_index.device)
    if edge_weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"edge_weight has shape {tuple(edge_weight.shape)}, but must be (num_edges,) = "
            f"{tuple(edge_index.shape[1:])}"
        )
    return edge_index.flip(0), edge_weight.to(dtype)


def _with_self_loops(
    indices: Tensor, weights: Tensor, num_nodes: int, loop: float
) -> tuple[Tensor, Tensor]:
    """Add a self-loop of weight ``loop`` to each node that has none."""
    if is_exporting():  # a shape cannot depend on values: a node with a self-loop gets a weight 0
        is_loop = (indices[0] == indices[1]).to(weights.dtype)
        num_loops = weights.new_zeros(num_nodes).index_add(0, indices[0], is_loop)
        nodes = torch.arange(num_nodes, device=indices.device)
        loops = loop * (num_loops == 0).to(weights.dtype)
        return torch.cat([indices, nodes.expand(2, -1)], dim=1), torch.cat([weights, loops])
    lonely = torch.ones(num_nodes, dtype=torch.bool, device=indices.device)
    lonely[indices[0, indices[0] == indices[1]]] = False
    nodes = lonely.nonzero().squeeze(1)
    return (
        torch.cat([indices, nodes.expand(2, -1)], dim=1),
        torch.cat([weights, weights.new_full(nodes.shape, loop)]),
    )


def _normalized(indices: Tensor, weights: Tensor, num_nodes: int) -> Tensor:
    """Divide each weight by the square roots of the degrees of its two nodes.

    The degree of a node is the sum of the weights of its incoming edges.
    """
    targets, sources = indices
    degree = weights.new_zeros(num_nodes).index_add(0, targets, weights)
    factor = torch.where(degree > 0, degree, math.inf).rsqrt()  # 0 for a degree of 0
    return factor[targets] * weights * factor[sources]
