"""Dense Synthesizer: a query makes its attention weights by itself, and is never compared with a key.

    o_i = softmax(W_2 max(W_1 q_i, 0)) V,   W_1 in R^{hidden x D},   W_2 in R^{N x hidden}

W_1 and W_2 are learned and belong to one head, W_2 also to one length. They are drawn such that scores have variance 1.
The paper's biases are left out, and the input K is ignored. The sign of each element of W_1 q_i is a choice by content.
Cost: 2 N^2 (hidden + D) + 2 N D hidden FLOPs forward for one head, about half when causal.

Source: Tay et al. 2020, arXiv 2005.00743, section 3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MOST_SCORES = {"cpu": 2**21, "cuda": 2**24}
"""Most scores that are computed at once: a forward pass needs little memory, and on a CPU they stay in its cache."""


@dataclass(frozen=True)
class DenseSynthesizer(Parameters):
    """Every query sees all keys, with weights that it makes from itself."""

    hidden: int = parameter("width of the hidden layer", default=64, minimum=1)
    causal: bool = parameter("hide the keys after the query", default=False)


def weights(parameters: DenseSynthesizer, setting: Setting, generator: "Generator") -> Weights:
    """Draw W_1 `[H, D, hidden]` and W_2 `[H, hidden, N]`, both learned and transposed."""
    import torch

    shape, hidden = setting.shape, parameters.hidden
    first = torch.randn(shape.heads, shape.head_dim, hidden, generator=generator) * shape.head_dim**-0.5
    second = torch.randn(shape.heads, hidden, shape.seq_len, generator=generator) * (2 / hidden) ** 0.5
    return torch.nn.Parameter(first), torch.nn.Parameter(second)


def options(
    parameters: DenseSynthesizer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "tuple[Tensor, int]":
    """Return each element of the hidden layer and its negative, `B H R hidden 2`; the larger of the two is chosen."""
    del parameters, k, v
    import torch

    layer = q[:, :, rows] @ weights[0]
    return torch.stack([layer, -layer], dim=-1), 1


def reference(
    parameters: DenseSynthesizer,
    q: "Tensor",
    k: "Tensor",
    v: "Tensor",
    rows: "Tensor",
    weights: Weights,
    choice: "Tensor",
) -> "Tensor":
    """Compute the formula, with zeros where `choice` `B H N hidden 1` says that an element is negative.

    Return the outputs `B H R D` of the queries at `rows`.
    """
    del k
    import torch

    first, second = weights
    scores = q[:, :, rows] @ first * (choice[:, :, rows, :, 0] == 0) @ second
    if parameters.causal:
        scores = scores.masked_fill(torch.arange(q.shape[2], device=q.device) > rows[:, None], -torch.inf)
    return scores.softmax(dim=-1) @ v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)


def work(parameters: DenseSynthesizer, setting: Setting) -> Work:
    """Count the hidden layer, the scores, and their product with the values."""
    shape, n = setting.shape, setting.shape.seq_len
    pairs = n * (n + 1) // 2 if parameters.causal else n * n
    each = n * shape.head_dim * parameters.hidden + pairs * (parameters.hidden + shape.head_dim)
    return of_products(2 * shape.batch * shape.heads * each, setting.direction)


def build(parameters: DenseSynthesizer, setting: Setting, weights: Weights) -> Program:
    """Prepare the places of keys."""
    import torch

    shape, n, causal = setting.shape, setting.shape.seq_len, parameters.causal
    height = max(1, _MOST_SCORES[setting.device] // (shape.batch * shape.heads * n))
    first, second = weights
    places = torch.arange(n, device=setting.device)

    def choose(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Return `B H N hidden 1`: 0 where an element of the hidden layer is positive, otherwise 1."""
        del k, v
        return (q @ first <= 0).long().unsqueeze(-1)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D` and values `B K N D` to outputs `B H N D`; keys are ignored."""
        del k
        layer, outs = (q @ first).relu(), []
        for at in range(0, n, height):
            stop = min(at + height, n)
            keys = stop if causal else n
            scores = layer[:, :, at:stop] @ second[:, :, :keys]
            if causal:
                scores = scores.masked_fill(places[:keys] > places[at:stop, None], -torch.inf)
            shares = scores.softmax(dim=-1).view(shape.batch, shape.kv_heads, -1, keys)
            outs.append((shares @ v[:, :, :keys]).view(shape.batch, shape.heads, -1, shape.head_dim))
        return torch.cat(outs, dim=2)

    return Program(attend, prepared_bytes=places.nbytes, choice=choose)


VARIANT = Variant(
    DenseSynthesizer,
    source="Tay et al. 2020, arXiv 2005.00743",
    family="other",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    options=options,
    examples=({"hidden": 8}, {"hidden": 3, "causal": True}),
)
