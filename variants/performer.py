"""Performer (FAVOR+): positive random features replace the softmax, so keys and values are summed once.

    O = diag(Q' (K'^T 1))^-1 Q' (K'^T V),   x scaled by D^-1/4
    softmax:   x' = (exp(W x - |x|^2 / 2 - c) + 1e-4) / sqrt(m)
    relu:      x' = max(W x, 0) + 1e-3

The features of `softmax` approximate softmax attention, those of `relu` are the paper's generalized attention. W holds
m = `features` random rows, orthogonal in blocks of D, with the lengths of Gaussian rows; it is not learned. c, the
largest exponent of each query and of all keys, prevents overflow and cancels except for 1e-4. With `causal`, sums are
over the keys up to the query, and c is 0 for keys; performer-pytorch keeps the largest exponent of all keys, through
which later keys change earlier outputs. If not causal it computes the same, but it is no implementation here, because
it imports distutils, which Python 3.12 removed. The derivative of relu jumps, so the side it takes is a choice.

Cost: 4 N m D FLOPs forward for one head, and 2 N m D each for the features of queries and keys. When causal, 2 N c
(m + D) more, in chunks of c = 64 tokens.

Source: Choromanski et al. 2021, arXiv 2009.14794, sections 2.2 to 2.4.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnbench.variants import Decoding, Parameters, Setting, Variant, Weights, Work, _chunks, of_products, parameter
from attnbench.variants._decoding import State, Step
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_EPS = {"softmax": 1e-4, "relu": 1e-3}
_OF_QUERIES, _OF_KEYS = (-1,), (-2, -1)
"""The dimensions over which exponents have one largest."""


@dataclass(frozen=True)
class Performer(Parameters):
    """The weight of a pair is a dot product of `features` random features."""

    features: int = parameter("random features", default=256, minimum=1)
    kernel: Literal["softmax", "relu"] = parameter(
        "softmax approximates softmax attention, relu is generalized attention", default="softmax", later=True
    )
    causal: bool = parameter("hide the keys after the query", default=False, later=True)

    def chooses(self) -> bool:
        """Return whether features have kinks."""
        return self.kernel == "relu"


def weights(parameters: Performer, setting: Setting, generator: "Generator") -> Weights:
    """Draw W `[m, D]`: blocks of orthogonal rows, each as long as a Gaussian row; not learned."""
    import torch

    d, m = setting.shape.head_dim, parameters.features
    blocks = [torch.linalg.qr(torch.randn(d, d, generator=generator))[0] for _ in range(-(-m // d))]
    lengths = torch.randn(m, d, generator=generator).norm(dim=1, keepdim=True)
    return (torch.cat(blocks)[:m] * lengths,)


def options(
    parameters: Performer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return both sides of each feature, W x and -W x, of the tokens at `rows`: `B H R 2 m 2`, first of their queries.

    One side is chosen: the first where relu is not zero.
    """
    del parameters, v
    import torch

    k = k[:, :, rows].repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    before = torch.stack([_projected(each, weights[0]) for each in (q[:, :, rows], k)], dim=3)
    return torch.stack([before, -before], dim=-1), 1


def reference(
    parameters: Performer,
    q: "Tensor",
    k: "Tensor",
    v: "Tensor",
    rows: "Tensor",
    weights: Weights,
    choice: "Tensor | None" = None,
) -> "Tensor":
    """Compute the formula pair by pair; return the outputs `B H R D` of the queries at `rows`.

    `choice` `B H N 2 m 1` holds the sides that relu takes.
    """
    import torch

    group = q.shape[1] // k.shape[1]
    (w,) = weights
    if choice is None:
        queries = _exponentials(q[:, :, rows], w, _OF_QUERIES)
        keys = _exponentials(k, w, () if parameters.causal else _OF_KEYS)
    else:
        queries = _projected(q[:, :, rows], w) * (choice[:, :, rows, 0, :, 0] == 0) + _EPS["relu"]
        keys = _projected(k, w) * (choice[:, ::group, :, 1, :, 0] == 0) + _EPS["relu"]
    keys, v = (each.repeat_interleave(group, dim=1) for each in (keys, v))
    pairs = queries @ keys.transpose(-2, -1)
    if parameters.causal:
        pairs = pairs.masked_fill(torch.arange(k.shape[2], device=k.device) > rows[:, None], 0.0)
    return pairs @ v / pairs.sum(dim=-1, keepdim=True)


def work(parameters: Performer, setting: Setting) -> Work:
    """Count the features of queries and keys, the sums of keys and values, and the queries' products with them."""
    shape = setting.shape
    queries, keys = (shape.batch * heads * shape.seq_len for heads in (shape.heads, shape.kv_heads))
    features = 2 * parameters.features * shape.head_dim * (queries + keys)
    attended = features + 2 * parameters.features * queries
    if parameters.causal:
        attended = _chunks.flops(shape, parameters.features)
    return of_products(attended, setting.direction, fixed_flops=features)


def build(parameters: Performer, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    import torch

    if setting.dtype == "float16":
        raise NotImplementedError("sums over all keys overflow in float16")
    (w,) = weights
    shape = setting.shape
    group = shape.heads // shape.kv_heads

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the sides `B H N 2 m 1` that relu takes, of queries and of keys."""
        del v
        with torch.no_grad():
            before = _projected(q, w), _projected(k, w).repeat_interleave(group, dim=1)
            return (torch.stack(before, dim=3) <= 0).long().unsqueeze(-1)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        if parameters.kernel == "relu":
            q, k = (_projected(each, w).relu() + _EPS["relu"] for each in (q, k))
        else:
            q, k = _exponentials(q, w, _OF_QUERIES), _exponentials(k, w, () if parameters.causal else _OF_KEYS)
        if parameters.causal:
            return _chunks.attend(q, k, v)
        q = q.reshape(shape.batch, shape.kv_heads, -1, q.shape[-1])
        summed, total = k.transpose(-2, -1) @ v, k.sum(dim=-2).unsqueeze(-1)
        return (q @ summed / (q @ total)).view(shape.batch, shape.heads, shape.seq_len, shape.head_dim)

    return Program(attend, choice=choose if parameters.chooses() else None)


def _scaled(x: "Tensor") -> "Tensor":
    """Return vectors whose dot products are those of x over sqrt(D)."""
    return x / math.sqrt(math.sqrt(x.shape[-1]))


def _projected(x: "Tensor", w: "Tensor") -> "Tensor":
    """Return what relu maps to features `B H N m`, of vectors `B H N D`."""
    return _scaled(x) @ w.transpose(0, 1)


def _exponentials(x: "Tensor", w: "Tensor", over: tuple[int, ...]) -> "Tensor":
    """Return features `B H N m` of vectors `B H N D`; the largest exponent over `over`, if any, becomes 0."""
    x = _scaled(x)
    exponents = x @ w.transpose(0, 1)
    largest = exponents.detach().amax(dim=over, keepdim=True) if over else 0.0
    positive = (exponents - (x**2).sum(dim=-1, keepdim=True) / 2 - largest).exp() + _EPS["softmax"]
    return positive / math.sqrt(w.shape[0])


def _state(parameters: Performer, q: "Tensor", k: "Tensor", v: "Tensor", weights: Weights) -> State:
    """Return the sums over tokens: `B K m D` of features and values, `B K m` of features."""
    del parameters, q
    return _chunks.summed(_exponentials(k, weights[0], ()), v)


def _step(parameters: Performer, setting: Setting, weights: Weights) -> Step:
    """Prepare nothing."""
    del parameters
    if setting.dtype == "float16":
        raise NotImplementedError("sums over all keys overflow in float16")

    def step(before: State, after: State, q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map one query `B H 1 D`, key and value `B K 1 D` to its output `B H 1 D`."""
        q, k = _exponentials(q, weights[0], _OF_QUERIES), _exponentials(k, weights[0], ())
        return _chunks.step(before, after, q, k, v)

    return step


def _step_work(parameters: Performer, setting: Setting) -> Work:
    """Count the features of query and key, what the key adds to the sums, and the query's product with them."""
    shape = setting.shape
    features = 2 * shape.batch * (shape.heads + shape.kv_heads) * parameters.features * shape.head_dim
    return Work(features + _chunks.step_flops(shape, parameters.features))


def _refusal(parameters: Performer) -> str | None:
    """Refuse the form in which later keys change what is kept of earlier ones."""
    return None if parameters.causal else "c is the largest exponent of all keys; use causal: true"


VARIANT = Variant(
    Performer,
    source="Choromanski et al. 2021, arXiv 2009.14794",
    family="kernel",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    decoding=Decoding(_state, _step, _step_work, _refusal),
    options=options,
    examples=(
        {"features": 32},
        {"features": 7},
        {"features": 7, "causal": True},
        {"features": 7, "kernel": "relu"},
        {"features": 32, "kernel": "relu", "causal": True},
    ),
)
