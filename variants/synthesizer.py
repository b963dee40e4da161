"""Random Synthesizer: attention weights are learned and the same for all inputs.

    O = softmax(R) V,   R = R_1 R_2^T with R_1, R_2 in R^{N x rank}, or one matrix N x N if `rank` is null

R belongs to one length and one head; queries and keys are ignored. Its elements are drawn with variance 1. With a rank
(8 in the paper, 32 in Long Range Arena) it is the Factorized Random Synthesizer. `dense_synthesizer` makes R from the
queries. Cost: 2 N^2 D FLOPs forward for one head, and 2 N^2 rank for R, once for all sequences of a batch; half when
causal.

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
class Synthesizer(Parameters):
    """Every query sees all keys, with learned weights."""

    rank: int | None = parameter("columns of R_1 and R_2; null: R is one matrix", default=32, minimum=1)
    causal: bool = parameter("hide the keys after the query", default=False)


def weights(parameters: Synthesizer, setting: Setting, generator: "Generator") -> Weights:
    """Draw R_1 and R_2 `[H, N, rank]`, or R `[H, N, N]`, all learned."""
    import torch

    n, rank = setting.shape.seq_len, parameters.rank
    size, many, scale = (n, 1, 1.0) if rank is None else (rank, 2, rank**-0.25)
    drawn = (torch.randn(setting.shape.heads, n, size, generator=generator) * scale for _ in range(many))
    return tuple(map(torch.nn.Parameter, drawn))


def reference(
    parameters: Synthesizer, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Compute the formula; return the outputs `B H R D` of the queries at `rows`."""
    del k
    import torch

    first, *second = weights
    scores = first[:, rows] @ second[0].transpose(-2, -1) if second else first[:, rows]
    if parameters.causal:
        scores = scores.masked_fill(torch.arange(q.shape[2], device=q.device) > rows[:, None], -torch.inf)
    return scores.softmax(dim=-1) @ v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)


def work(parameters: Synthesizer, setting: Setting) -> Work:
    """Count R once for all sequences of the batch, and its product with the values of each."""
    shape, n = setting.shape, setting.shape.seq_len
    pairs = shape.heads * (n * (n + 1) // 2 if parameters.causal else n * n)
    return of_products(2 * pairs * ((parameters.rank or 0) + shape.batch * shape.head_dim), setting.direction)


def build(parameters: Synthesizer, setting: Setting, weights: Weights) -> Program:
    """Prepare the places of keys."""
    import torch

    shape, n, causal = setting.shape, setting.shape.seq_len, parameters.causal
    group = shape.heads // shape.kv_heads
    height = max(1, _MOST_SCORES[setting.device] // (shape.heads * n))
    first, *second = weights
    places = torch.arange(n, device=setting.device)

    def scores(at: int, stop: int) -> "Tensor":
        """Return the scores `H R keys` of the rows from `at` to `stop`."""
        keys = stop if causal else n
        found = first[:, at:stop] @ second[0][:, :keys].transpose(-2, -1) if second else first[:, at:stop, :keys]
        return found.masked_fill(places[:keys] > places[at:stop, None], -torch.inf) if causal else found

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map values `B K N D` to outputs `B H N D`; queries and keys are ignored."""
        del q, k
        # The sequences of a batch lie side by side, so that they share the attention weights.
        values = v.permute(1, 2, 0, 3).reshape(shape.kv_heads, n, -1)
        outs = []
        for at in range(0, n, height):
            shares = scores(at, min(at + height, n)).softmax(dim=-1)
            out = shares.reshape(shape.kv_heads, -1, shares.shape[-1]) @ values[:, : shares.shape[-1]]
            outs.append(out.view(shape.kv_heads, group, -1, shape.batch, shape.head_dim))
        return torch.cat(outs, dim=2).permute(3, 0, 1, 2, 4).reshape(shape.batch, shape.heads, n, shape.head_dim)

    return Program(attend, prepared_bytes=places.nbytes)


VARIANT = Variant(
    Synthesizer,
    source="Tay et al. 2020, arXiv 2005.00743",
    family="low rank",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    examples=({"rank": 4}, {"rank": None}, {"rank": 3, "causal": True}),
)
