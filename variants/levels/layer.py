"""One attention layer, from tokens to tokens, with its projections.

    y = W_o merge(attend(split(W_q x + b_q), split(W_k z + b_k), split(W_v z + b_v))) + b_o

x and y are `B N C` with C = H D; keys and values have K D numbers. In `decode`, x and y are the last token, and keys
and values of the others were computed before. In self-attention z is x. `attention: masked` is the same with `causal:
true` of the mechanism. In cross-attention z is a memory `B M C` of M = `kv_len` other tokens, which every query sees;
it has no positions of its own.

Positions are added to x or to scores, or turn queries and keys:

- `sinusoidal`: x + S with S[t, 2 i] = sin(t / 10000^(2 i / C)), S[t, 2 i + 1] the cosine;
- `learned`: x + P with a learned P `[N, C]`;
- `rotary`: pairs (i, i + D / 2) of each query and key at t are turned by the angle t / 10000^(2 i / D);
- `relative`: q_i . k_j / sqrt(D) + a[h, clip(j - i, -128, 128)] with a learned a `[H, 257]`.

FLOPs forward, without the mechanism: 4 C (N C + M K D), where M = N in self-attention; N is 1 in `decode`.

Source: Vaswani et al. 2017, arXiv 1706.03762, sections 3.2.2, 3.2.3 and 3.5; rotary: Su et al. 2021, arXiv 2104.09864,
section 3.2, with the halves as pairs; relative: Raffel et al. 2020, arXiv 1910.10683, section 2.1, with clipped
distances (Shaw et al. 2018, arXiv 1803.02155, section 3.2) instead of buckets, and a table for each layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from attnbench.variants._parameters import Parameters, parameter
from attnbench.variants._setting import DECODE, Setting, Shape, of_products
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
    attention: Literal["self", "masked", "cross"] = parameter(
        "self: to the layer's tokens; masked: to those up to the query; cross: to those of a memory", default="self"
    )
    kv_len: int | None = parameter(
        "M, the tokens of the memory in cross-attention; null: as many as seq_len", default=None, minimum=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kv_len is not None and not self.crosses:
            raise ValueError(f"kv_len: expected attention: cross beside it, found attention: {self.attention}")
        if self.positions != "none" and self.crosses:
            raise ValueError(f"positions: expected none beside attention: cross, found {self.positions}")

    @property
    def has_bias(self) -> bool:
        """Whether positions are added to scores."""
        return self.positions == "relative"

    @property
    def crosses(self) -> bool:
        """Whether keys and values are those of a memory."""
        return self.attention == "cross"

    def keys(self, shape: Shape) -> int:
        """Return the number of keys."""
        return self.kv_len or shape.seq_len

    def mechanism(self, parameters: Parameters) -> Parameters:
        """Return the parameters with `causal`, if they have it and the layer is masked."""
        has_causal = any(each.name == "causal" for each in fields(parameters))
        changed: dict[str, Any] = {"causal": True} if self.attention == "masked" and has_causal else {}
        return replace(parameters, **changed)

    def mismatch(self, parameters: Parameters) -> str | None:
        """Refuse a mechanism that cannot hide later keys if they must be, and one that exists in one sequence only."""
        if self.attention == "masked" and not getattr(parameters, "causal", False):
            return "attention: masked needs a mechanism with the parameter causal, and this one has none"
        if self.crosses and not parameters.can_cross():
            return "attention: cross needs a mechanism without places, such as full with causal: false"
        return None

    def at(self, n: int) -> Self:
        """Return the layer with a memory of at most n tokens."""
        return replace(self, kv_len=min(self.kv_len, n)) if self.kv_len else self

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the size `B N C` of the tokens, twice, and between them that of the memory, if there is one."""
        width = shape.heads * shape.head_dim
        tokens, memory = ((shape.batch, many, width) for many in (shape.seq_len, self.keys(shape)))
        return (tokens, memory, tokens) if self.crosses else (tokens, tokens)

    def refusal(self, setting: Setting) -> str | None:
        """Refuse heads whose numbers do not split into pairs, if these are turned, and what does not decode."""
        if self.positions == "rotary" and setting.shape.head_dim % 2:
            return f"rotary positions need an even head_dim, found {setting.shape.head_dim}"
        if setting.direction == DECODE and (self.crosses or self.has_bias):
            return "a layer decodes without a memory and without relative positions"
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
        """Map tokens `B T C`, the last T of N, and a memory `B M C` if there is one, to tokens `B T C`."""
        from torch.nn.functional import linear

        (attend,), (x, *memory) = within, inputs
        q, k, v = self.project(setting, weights, x, setting.shape.seq_len - x.shape[1], *memory)
        w_o, b_o, *tables = weights[6:]
        table = tables if self.has_bias else ()
        return linear(attend(q, k, v, *table).transpose(1, 2).flatten(2), w_o, b_o)

    def project(
        self,
        setting: Setting,
        weights: "tuple[Tensor, ...]",
        x: "Tensor",
        first: int,
        memory: "Tensor | None" = None,
    ) -> "tuple[Tensor, ...]":
        """Return queries `B H T D` of tokens `B T C` from the position `first` on, and keys and values `B K T D`.

        Keys and values are those of a memory `B M C`, if there is one.
        """
        from torch.nn.functional import linear

        w_q, b_q, w_k, b_k, w_v, b_v, _, _, *tables = weights
        many = x.shape[1]
        # The gradient of a part would be a copy.
        positions = [each if len(each) == many else each[first : first + many] for each in tables]
        if self.positions in ("sinusoidal", "learned"):
            x = x + positions[0]
        z = x if memory is None else memory
        width = setting.shape.head_dim
        q, k, v = (
            linear(given, w, b).view(len(given), given.shape[1], len(w) // width, width).transpose(1, 2)
            for given, w, b in ((x, w_q, b_q), (z, w_k, b_k), (z, w_v, b_v))
        )
        if self.positions == "rotary":
            q, k = (_turned(each, *positions) for each in (q, k))
        return q, k, v

    def flops(self, setting: Setting) -> int:
        """Count the four projections."""
        shape = setting.given
        width, columns = _widths(shape)
        numbers = shape.seq_len * width + self.keys(shape) * columns
        return of_products(4 * shape.batch * width * numbers, setting.direction).flops

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Add to the mechanism's bytes what stands around it; T is the size of the tokens of a call.

        Forward and decode: q, k, v, and the mechanism or its output once more in the order of tokens (in decode, y and
        the workspace of W_o's product), and 2 T more while rotary positions turn q or k. Training: q, k, v, y, the
        gradient of W_o and the mechanism, and T / 2 for dO, which some implementations copy. At the end, dY, dX and the
        gradients of all weights.
        """
        from attnbench.variants.kernels._support import itemsize

        shape = setting.given
        size = itemsize(setting.dtype)
        width, rows = _widths(shape)
        tokens = size * shape.batch * shape.seq_len * width
        keys, memory = (size * shape.batch * self.keys(shape) * each for each in (rows, width * self.crosses))
        projected, learned = tokens + 2 * keys, 2 * size * width * (width + rows)
        if setting.direction in ("forward", DECODE):
            turning = max(2 * tokens, tokens + 2 * keys) * (self.positions == "rotary")
            return projected + max(mechanism(setting.direction), 2 * tokens + _workspace(setting), turning)
        moved = tokens * (self.positions in ("sinusoidal", "learned"))
        last, copied = learned + 3 * tokens, tokens // 2
        if self.crosses:
            # Both gradients of a memory, and those of keys and values that are not yet freed.
            last, copied = learned + tokens + 2 * memory + keys * (2 if shape.kv_heads == 1 else 1), 0
        within = mechanism(setting.direction) + size * width**2 + copied
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


def _workspace(setting: Setting) -> int:
    """Return the bytes that the last projection takes beside y, in `decode`: more than many tokens would hide."""
    import torch

    from attnbench.variants.kernels._memory import projection_bytes

    if setting.direction != DECODE:
        return 0
    width, _ = _widths(setting.shape)
    threads = torch.get_num_threads() if setting.device == "cpu" else 0
    return projection_bytes(setting.shape.batch, width, width, setting.dtype, threads)


def _turned(x: "Tensor", cos: "Tensor", sin: "Tensor") -> "Tensor":
    """Turn the pairs of `B H N D` by the angles of `[N, D / 2]`."""
    import torch

    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


LEVEL = Layer
