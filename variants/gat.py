"""Graph attention network (GAT): the weight of a neighbour comes from one number of each token, not from a product.

    h_i = W x_i
    s_ij = leaky_relu(a_l . h_i + a_r . h_j),   leaky_relu(s) = max(s, 0.2 s)
    y_i = sum_j softmax_j(s_ij) h_j,   j = i  or  there is an edge from i to j

W is `C x C`. h is split into H heads, each with its own a_l and a_r, and y holds the heads side by side. All three are
learned. The paper applies a nonlinearity to y; here there is none, as at the end of other layers, and no bias. Without
leaky_relu, a_l . h_i would be the same for all neighbours and cancel. The derivative of leaky_relu jumps, so the side
that it takes is a choice. Edges have the parameters of `graph`.

Sums run along the edges, and nothing has N^2 numbers. Cost: 2 N C^2 + 4 N C + 2 (degree + 1) N C FLOPs forward.

Source: Velickovic et al. 2018, arXiv 1710.10903, section 2.1.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from attnbench.variants import IntArray, Setting, Variant, Weights, Work, of_products
from attnbench.variants.graph import Edges
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_SLOPE = 0.2
"""The slope of leaky_relu below 0."""


@dataclass(frozen=True)
class Gat(Edges):
    """Token i sees itself and its neighbours."""


def weights(parameters: Gat, setting: Setting, generator: "Generator") -> Weights:
    """Draw W `[C, C]`, from inputs to outputs, and a `[H, D, 2]`, a_l and a_r of each head; learned.

    Numbers before leaky_relu have a variance of about 1.
    """
    del parameters
    import torch

    heads, d = setting.shape.heads, setting.shape.head_dim
    width = heads * d
    w = torch.randn(width, width, generator=generator) * width**-0.5
    a = torch.randn(heads, d, 2, generator=generator) * (2 * d) ** -0.5
    return torch.nn.Parameter(w), torch.nn.Parameter(a)


def options(parameters: Gat, x: "Tensor", rows: "Tensor", weights: Weights) -> "tuple[Tensor, int]":
    """Return both sides of the edges at `rows`, s and -s: `B H R 2`. The first is chosen where s is above 0."""
    import torch

    w, a = weights
    i, j = (torch.from_numpy(each).to(x.device)[rows] for each in _pairs(parameters, x.shape[1]))
    own, other = ((_heads(x[:, each] @ w.T, a) @ a)[..., side] for side, each in enumerate((i, j)))
    return torch.stack([own + other, -own - other], dim=-1), 1


def choosers(parameters: Gat, n: int) -> int:
    """Return the number of edges."""
    return len(_pairs(parameters, n)[0])


def reference(parameters: Gat, x: "Tensor", rows: "Tensor", weights: Weights, choice: "Tensor") -> "Tensor":
    """Compute the formula for all pairs of a row and a token that some row sees; return the tokens `B R C` at `rows`.

    `choice` `B H E 1` holds the sides that leaky_relu takes.
    """
    import torch

    w, a = weights
    i, j = (torch.from_numpy(each).to(x.device) for each in _pairs(parameters, x.shape[1]))
    edges = torch.isin(i, rows).nonzero().squeeze(1)
    place = torch.zeros_like(i[: x.shape[1]]).index_copy(0, rows, torch.arange(len(rows), device=x.device))
    row = place[i[edges]]
    seen, column = torch.unique(j[edges], return_inverse=True)
    slopes = x.new_zeros(x.shape[0], a.shape[0], len(rows), len(seen))
    first = (choice[:, :, edges, 0] == 0).to(x.dtype)
    slopes[:, :, row, column] = first + _SLOPE * (1 - first)
    queries, keys = (_heads(x[:, each] @ w.T, a) for each in (rows, seen))
    scores = slopes * ((queries @ a)[..., :1] + (keys @ a)[..., 1:].mT)
    out = scores.masked_fill(slopes == 0, -torch.inf).softmax(dim=-1) @ keys
    return out.transpose(1, 2).flatten(2)


def work(parameters: Gat, setting: Setting) -> Work:
    """Count the products with W, a_l and a_r for each token, and the sum over neighbours."""
    shape = setting.shape
    width = shape.heads * shape.head_dim
    each = shape.seq_len * (2 * width + 4) + 2 * choosers(parameters, shape.seq_len)
    return of_products(shape.batch * each * width, setting.direction)


def build(parameters: Gat, setting: Setting, weights: Weights) -> Program:
    """Prepare the edges of all heads of all batch entries, query by query, and where each query's edges begin."""
    import torch
    from torch.nn.functional import embedding_bag, leaky_relu, linear

    w, a = weights
    shape, n, device = setting.shape, setting.shape.seq_len, setting.device
    i, j = (torch.from_numpy(each).to(device) for each in parameters.pairs(n))
    unit = torch.arange(shape.batch * shape.heads, device=device)[:, None]
    keys = (unit * n + j).flatten()
    begins = (unit * len(i) + torch.searchsorted(i, torch.arange(n, device=device))).flatten()
    queries, sources = (each.expand(len(unit), -1) for each in (i, j))

    def scored(x: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return h `B H N D`, and what leaky_relu is applied to, `BH E`."""
        h = _heads(linear(x, w), a)
        own, other = (h @ a).flatten(0, 1).unbind(dim=-1)
        return h, own.gather(1, queries) + other.gather(1, sources)

    def attend(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        h, scores = scored(x)
        # Sums over many neighbours are too inexact in 16 bits.
        scores = leaky_relu(scores, _SLOPE).to(torch.promote_types(x.dtype, torch.float32))
        zeros = scores.new_zeros(len(unit), n)
        largest = zeros.scatter_reduce(1, queries, scores.detach(), "amax", include_self=False)
        shares = (scores - largest.gather(1, queries)).exp()
        total = zeros.scatter_add(1, queries, shares)
        table, shares = h.reshape(-1, shape.head_dim), shares.flatten().to(x.dtype)
        out = embedding_bag(keys, table, begins, mode="sum", per_sample_weights=shares) / total.view(-1, 1)
        return out.to(x.dtype).view(h.shape).transpose(1, 2).flatten(2)

    def choose(x: "Tensor") -> "Tensor":
        """Return the sides `B H E 1` that leaky_relu takes."""
        return (scored(x)[1] <= 0).long().view(shape.batch, shape.heads, -1, 1)

    return Program(attend, prepared_bytes=sum(each.nbytes for each in (i, j, keys, begins)), choice=choose)


def _heads(h: "Tensor", a: "Tensor") -> "Tensor":
    """Return `B H N D` of `B N C`."""
    return h.reshape(*h.shape[:2], *a.shape[:2]).transpose(1, 2)


@lru_cache(maxsize=2)
def _pairs(parameters: Gat, n: int) -> tuple[IntArray, IntArray]:
    """Return the edges, which a proof needs many times."""
    return parameters.pairs(n)


VARIANT = Variant(
    Gat,
    source="Velickovic et al. 2018, arXiv 1710.10903",
    family="pattern",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    options=options,
    choosers=choosers,
    examples=(
        {},
        {"kind": "expander", "degree": 4},
        {"kind": "erdos_renyi", "degree": 5},
        {"kind": "grid", "degree": 4},
    ),
    level="layer",
)
