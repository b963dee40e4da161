"""One attention layer, from tokens to tokens, with its projections.

    y = W_o merge(attend(split(W_q x + b_q), split(W_k x + b_k), split(W_v x + b_v))) + b_o

x and y are `B N C` with C = H D; keys and values have K D numbers. Positions are added to x or to scores, or turn
queries and keys:

- `sinusoidal`: x + S with S[t, 2 i] = sin(t / 10000^(2 i / C)), S[t, 2 i + 1] the cosine;
- `learned`: x + P with a learned P `[N, C]`;
- `rotary`: pairs (i, i + D / 2) of each query and key at t are turned by the angle t / 10000^(2 i / D);
- `relative`: q_i . k_j / sqrt(D) + a[h, clip(j - i, -128, 128)] with a learned a `[H, 257]`.

Masks are those of the mechanism, such as its `causal`. FLOPs forward, without the mechanism: 4 N C (C + K D).

Source: Vaswani et al. 2017, arXiv 1706.03762, sections 3.2.2 and 3.5; rotary: Su et al. 2021, arXiv 2104.09864, section
3.2, with the halves as pairs; relative: Raffel et al. 2020, arXiv 1910.10683, section 2.1, with clipped distances (Shaw
et al. 2018, arXiv 1803.02155, section 3.2) instead of buckets, and a table for each layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnbench.variants._parameters import parameter
from attnbench.variants._setting import Setting, Shape, of_products
from attnbench.variants.levels import Attend, Level, Predict

if TYPE_CHECKING:
    from torch import Generator, Tensor

_BASE = 10_000.0
_REACH = 128
"""The largest distance between two tokens that relative positions tell from larger ones."""


@dataclass(frozen=True)
class Layer(Level):
    """Projections around a mechanism."""

    positions: Literal["none", "sinusoidal", "learned", "rotary", "relative"] = parameter(
        "how the layer knows where a token is", default="none"
    )

    @property
    def has_bias(self) -> bool:
        """Whether positions are added to scores."""
        return self.positions == "relative"

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the size `B N C` of the tokens, twice."""
        return ((shape.batch, shape.seq_len, shape.heads * shape.head_dim),) * 2

    def refusal(self, setting: Setting) -> str | None:
        """Refuse heads whose numbers do not split into pairs, if these are turned."""
        if self.positions == "rotary" and setting.shape.head_dim % 2:
            return f"rotary positions need an even head_dim, found {setting.shape.head_dim}"
        return None

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw W `[rows, C]` and b of queries, keys, values and outputs; then the positions.

        The variance of W is 1 / C, so that what leaves a projection is as large as what enters it. Tables of sines are
        not learned.
        """
        import torch

        shape = setting.shape
        width, rows = _widths(shape)
        drawn = [
            torch.nn.Parameter(torch.randn(*size, generator=generator) * scale)
            for each in (width, rows, rows, width)
            for size, scale in (((each, width), width**-0.5), ((each,), 0.1))
        ]
        return (*drawn, *drawn_positions(self.positions, setting, generator))

    def call(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", *inputs: "Tensor"
    ) -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        from torch.nn.functional import linear

        (attend,), (x,) = within, inputs
        shape = setting.shape
        w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o, *positions = weights
        if self.positions in ("sinusoidal", "learned"):
            x = x + positions[0]
        q, k, v = (
            linear(x, w, b).view(*x.shape[:2], -1, shape.head_dim).transpose(1, 2)
            for w, b in ((w_q, b_q), (w_k, b_k), (w_v, b_v))
        )
        if self.positions == "rotary":
            q, k = (_turned(each, *positions) for each in (q, k))
        table = positions if self.has_bias else ()
        return linear(attend(q, k, v, *table).transpose(1, 2).flatten(2), w_o, b_o)

    def flops(self, setting: Setting) -> int:
        """Count the four projections."""
        shape = setting.shape
        width, columns = _widths(shape)
        return of_products(4 * shape.batch * shape.seq_len * width * (width + columns), setting.direction).flops

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Add to the mechanism's bytes what stands around it; T is the size of the tokens.

        Forward: q, k, v, and the mechanism or its output once more in the order of tokens, and 2 T more while rotary
        positions turn q or k. Training: q, k, v, y, the gradient of W_o and the mechanism, and T / 2 for dO, which some
        implementations copy. At the end, dY, dX and the gradients of all weights.
        """
        from attnbench.variants.kernels._support import itemsize

        shape = setting.shape
        size = itemsize(setting.dtype)
        width, rows = _widths(shape)
        tokens, keys = (size * shape.batch * shape.seq_len * each for each in (width, rows))
        projected, learned = tokens + 2 * keys, 2 * size * width * (width + rows)
        moved = tokens * (self.positions in ("sinusoidal", "learned"))
        if setting.direction == "forward":
            turning = max(2 * tokens, tokens + 2 * keys) * (self.positions == "rotary")
            return projected + moved + max(mechanism("forward"), 2 * tokens, turning)
        last = learned + 3 * tokens
        within = mechanism(setting.direction) + size * width**2 + tokens // 2
        if setting.direction == "backward":
            return max(within, last)
        return max(within + projected + moved, last) + tokens


def drawn_positions(kind: str, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
    """Draw what tells positions: the learned P or a, the table S, the cosines and sines of rotary ones, or nothing."""
    import torch

    shape = setting.shape
    width, _ = _widths(shape)
    if kind == "none":
        return ()
    if kind == "learned":
        return (torch.nn.Parameter(torch.randn(shape.seq_len, width, generator=generator)),)
    if kind == "relative":
        return (torch.nn.Parameter(torch.randn(shape.heads, 2 * _REACH + 1, generator=generator)),)
    across = width if kind == "sinusoidal" else shape.head_dim
    rates = _BASE ** (-torch.arange(0, across, 2, dtype=torch.float64) / across)
    angles = torch.arange(shape.seq_len, dtype=torch.float64)[:, None] * rates
    if kind == "rotary":
        return angles.cos().float(), angles.sin().float()
    return (torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].float(),)


def _widths(shape: Shape) -> tuple[int, int]:
    """Return the numbers of a token, and those of its keys."""
    return shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim


def _turned(x: "Tensor", cos: "Tensor", sin: "Tensor") -> "Tensor":
    """Turn the pairs of `B H N D` by the angles of `[N, D / 2]`."""
    import torch

    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


LEVEL = Layer
