"""Full attention with other scores than scaled products, or other weights than those of a softmax.

    o_i = sum_j w_ij v_j
    scaled_dot: s_ij = q_i . k_j / sqrt(D)    dot: q_i . k_j    general: q_i . W k_j
    additive: s_ij = u . tanh(A q_i + B k_j)    concat: a . q_i + b . k_j
    softmax: w_ij = softmax_j(s_ij)    relu_n: max(s_ij, 0) / N    sigmoid: 1 / (1 + exp(-s_ij - bias))

W, A and B are `D x D`; B and b belong to a key head, the other learned weights to a head. They are drawn so that scores
have a variance of about 1. concat is linear, so a softmax gives all queries the same weights; what Luong et al. call
concat is additive. Without a bias, the weights of a sigmoid would sum to about N / 2 instead of 1. The derivative of
relu_n jumps, so the side that it takes is a choice.

Keys per query: N, or i + 1 when causal. Cost: 4 N^2 D FLOPs forward for one head, half when causal; 2 N^2 D
for concat, 2 N D^2 more for general, 4 N D^2 more for additive. The N^2 D tanh of additive take longer than its
products, and are computed again for gradients.

Source: Luong et al. 2015, arXiv 1508.04025, section 3.1; additive: Bahdanau et al. 2015, arXiv 1409.0473, appendix
A.1.2; relu_n: Wortsman et al. 2023, arXiv 2309.08586, section 3; sigmoid: Ramapuram et al. 2024, arXiv 2409.04431,
section 3.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MOST = {"cpu": 2**21, "cuda": 2**26}
"""Most scores, or arguments of tanh, that are computed at once. On a CPU they stay in its caches."""


@dataclass(frozen=True)
class Scores(Parameters):
    """Every query sees every key, or those up to itself when causal."""

    score: Literal["scaled_dot", "dot", "general", "additive", "concat"] = parameter(
        "how a query is compared with a key", default="scaled_dot"
    )
    normalizer: Literal["softmax", "relu_n", "sigmoid"] = parameter("how scores become weights", default="softmax")
    bias: float | None = parameter("bias of a sigmoid; null: -log N", default=None)
    causal: bool = parameter("hide the keys after the query", default=False)

    def unsupported(self, n: int) -> str | None:
        """Refuse a bias of something else than a sigmoid."""
        del n
        if self.bias is None or self.normalizer == "sigmoid":
            return None
        return f"only a sigmoid has a bias, found bias: {self.bias} and normalizer: {self.normalizer}"

    def chooses(self) -> bool:
        """Return whether weights have a kink."""
        return self.normalizer == "relu_n"

    def added(self, n: int) -> float:
        """Return the bias of a sigmoid."""
        return -math.log(n) if self.bias is None else self.bias


def weights(parameters: Scores, setting: Setting, generator: "Generator") -> Weights:
    """Draw W; or A, B and u; or a and b. First come the heads."""
    import torch

    heads, kv_heads, d = setting.shape.heads, setting.shape.kv_heads, setting.shape.head_dim
    sizes: dict[str, tuple[tuple[tuple[int, ...], float], ...]] = {
        "general": (((heads, d, d), 1 / d),),
        # tanh of a standard normal number has a variance of 0.39.
        "additive": (
            ((heads, d, d), (2 * d) ** -0.5),
            ((kv_heads, d, d), (2 * d) ** -0.5),
            ((heads, d, 1), (0.39 * d) ** -0.5),
        ),
        "concat": (((heads, d, 1), (2 * d) ** -0.5), ((kv_heads, d, 1), (2 * d) ** -0.5)),
    }
    drawn = ((torch.randn(size, generator=generator) * scale) for size, scale in sizes.get(parameters.score, ()))
    return tuple(map(torch.nn.Parameter, drawn))


def options(
    parameters: Scores, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return both sides of each score, s and -s: `B H R N 2`. The first is chosen where the weight is not zero."""
    del v
    import torch

    scores = _scored(parameters, q[:, :, rows], k, weights)
    return torch.stack([scores, -scores], dim=-1), 1


def reference(
    parameters: Scores,
    q: "Tensor",
    k: "Tensor",
    v: "Tensor",
    rows: "Tensor",
    weights: Weights,
    choice: "Tensor | None" = None,
) -> "Tensor":
    """Compute the formula; return the outputs `B H R D` of the queries at `rows`.

    `choice` `B H N N 1` holds the sides that relu_n takes.
    """
    import torch

    n = k.shape[2]
    scores = _scored(parameters, q[:, :, rows], k, weights)
    v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
    later = torch.arange(n, device=q.device) > rows[:, None]
    hidden = later if parameters.causal else torch.zeros_like(later)
    if choice is not None:
        return (scores * (choice[:, :, rows, :, 0] == 0) / n).masked_fill(hidden, 0) @ v
    if parameters.normalizer == "sigmoid":
        return (scores + parameters.added(n)).sigmoid().masked_fill(hidden, 0) @ v
    return scores.masked_fill(hidden, -torch.inf).softmax(dim=-1) @ v


def _scored(parameters: Scores, q: "Tensor", k: "Tensor", weights: Weights) -> "Tensor":
    """Return the scores `B H R N` of queries and keys, as the formula says."""
    import torch
    from torch.utils.checkpoint import checkpoint

    group = q.shape[1] // k.shape[1]
    if parameters.score == "additive":
        a, b, u = weights
        queries, keys = q @ a, (k @ b).repeat_interleave(group, dim=1)
        # Row by row, and again for gradients, because a row has D N numbers.
        rows = (checkpoint(_tanh, each.unsqueeze(2), keys, u, use_reentrant=False) for each in queries.unbind(dim=2))
        return torch.stack([*rows], dim=2)
    if parameters.score == "concat":
        a, b = weights
        return q @ a + (k @ b).repeat_interleave(group, dim=1).mT
    k = k.repeat_interleave(group, dim=1)
    if parameters.score == "general":
        return torch.einsum("bhid,hde,bhje->bhij", q, weights[0], k)
    return q @ k.mT / (math.sqrt(q.shape[-1]) if parameters.score == "scaled_dot" else 1)


def _tanh(q: "Tensor", k: "Tensor", u: "Tensor") -> "Tensor":
    """Return u . tanh(q + k) for queries and keys that broadcast."""
    return ((q + k).tanh() @ u).squeeze(-1)


def work(parameters: Scores, setting: Setting) -> Work:
    """Count the products of pairs, of weights with values, and of queries and keys with learned weights."""
    shape, score = setting.shape, parameters.score
    n, d = shape.seq_len, shape.head_dim
    pairs = shape.heads * (n * (n + 1) // 2 if parameters.causal else n**2)
    both = (shape.heads + shape.kv_heads) * n
    projected = {"general": shape.heads * n * d**2, "additive": both * d**2, "concat": both * d}.get(score, 0)
    return of_products(2 * shape.batch * (pairs * d * (1 if score == "concat" else 2) + projected), setting.direction)


def build(parameters: Scores, setting: Setting, weights: Weights) -> Program:
    """Prepare a mask of the keys after each query, if causal. Softmax over products is torch's fused attention."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from torch.utils.checkpoint import checkpoint

    shape, score = setting.shape, parameters.score
    n, kv_heads, group = shape.seq_len, shape.kv_heads, shape.heads // shape.kv_heads
    later = torch.ones(n, n, dtype=torch.bool, device=setting.device).triu(1) if parameters.causal else None
    held = shape.batch * shape.heads * n * (shape.head_dim if score == "additive" else 1)
    height = max(1, _MOST[setting.device] // held)
    scale = shape.head_dim**-0.5 if score == "scaled_dot" else 1.0

    def prepared(q: "Tensor", k: "Tensor") -> "tuple[Tensor, Tensor]":
        """Return what queries and keys contribute to scores: factors, for additive and concat summands."""
        if score in ("additive", "concat"):
            return q @ weights[0], k @ weights[1]
        return (q @ weights[0] if score == "general" else q), k

    def scored(q: "Tensor", k: "Tensor") -> "Tensor":
        """Return the scores `B K G R N` of what is `prepared`, `B K G R C` and `B K N C`."""
        if score == "additive":
            u = weights[2].view(kv_heads, group, 1, -1, 1)
            found: Tensor = checkpoint(_tanh, q.unsqueeze(4), k[:, :, None, None], u, use_reentrant=False)
            return found
        if score == "concat":
            return q + k[:, :, None].mT
        return torch.unflatten(q.flatten(2, 3) @ k.mT, 2, q.shape[2:4])

    def parts(q: "Tensor", k: "Tensor") -> "Iterator[tuple[int, Tensor]]":
        """Return the scores of some queries at a time, with the first of them."""
        q, k = prepared(q, k)
        q = torch.unflatten(q * scale if scale != 1 else q, 1, (kv_heads, group))
        return ((first, scored(q[:, :, :, first : first + height], k)) for first in range(0, n, height))

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return the sides `B H N N 1` that relu_n takes."""
        del v
        sides = [(scores <= 0).long() for _, scores in parts(q, k)]
        return torch.cat(sides, dim=3).flatten(1, 2).unsqueeze(-1)

    def weighted(scores: "Tensor") -> "Tensor":
        """Return the weights of scores that are -inf where a pair is hidden. Those of relu_n are yet to be divided."""
        if parameters.normalizer == "softmax":
            return scores.softmax(dim=-1)
        return scores.relu() if parameters.normalizer == "relu_n" else (scores + parameters.added(n)).sigmoid()

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        outs = []
        for first, scores in parts(q, k):
            if later is not None:
                scores = scores.masked_fill(later[first : first + height], -torch.inf)
            outs.append(torch.unflatten(weighted(scores).flatten(2, 3) @ v, 2, (group, -1)))
        out = torch.cat(outs, dim=3).flatten(1, 2)
        return out / n if parameters.normalizer == "relu_n" else out

    def fused(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D` in torch's kernel."""
        q, k = prepared(q, k)
        is_causal = parameters.causal
        return scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale, enable_gqa=group > 1)

    # The weight of a single key is 1. So W has no gradient, but for the rounding of a fused kernel.
    if parameters.normalizer == "softmax" and score not in ("additive", "concat") and n > 1:
        return Program(fused)
    prepared_bytes = 0 if later is None else later.nbytes
    return Program(attend, prepared_bytes=prepared_bytes, choice=choose if parameters.chooses() else None)


VARIANT = Variant(
    Scores,
    source="Luong et al. 2015, arXiv 1508.04025; Bahdanau et al. 2015, arXiv 1409.0473; Wortsman et al. 2023, "
    "arXiv 2309.08586; Ramapuram et al. 2024, arXiv 2409.04431",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    options=options,
    examples=(
        {"score": "general"},
        {"score": "dot", "causal": True},
        {"score": "additive"},
        {"score": "concat"},
        {"normalizer": "relu_n"},
        {"score": "general", "normalizer": "relu_n", "causal": True},
        {"normalizer": "sigmoid", "bias": 0.5},
        {"score": "additive", "normalizer": "sigmoid", "causal": True},
        {"score": "concat", "normalizer": "relu_n"},
    ),
)
