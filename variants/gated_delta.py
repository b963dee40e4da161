"""Gated DeltaNet: a state maps keys to values; a token fades all of it, and replaces what it holds for the token's key.

    S_t = S_(t-1) alpha_t (I - beta_t k_t k_t^T) + beta_t v_t k_t^T,   o_t = S_t q_t,   |q_t| = |k_t| = 1
    alpha_t = exp(-exp(a) softplus(x_t . w_alpha + b)),   beta_t = sigmoid(x_t . w_beta),   x_t the key before its norm

w_alpha and w_beta `[D]`, a and b are learned for each key head; the paper's layer computes gates from its input instead
of its keys. It is causal; convolutions, the gate of outputs and their norm belong to the layer. flash-linear-attention
also scales o by 1 / sqrt(D). Computed in float32.

With g the running sum of log alpha in a chunk of c = 64 tokens, u_t is what token t writes:

    u_t = beta_t (v_t - exp(g_t) S k_t - sum_j exp(g_t - g_j) (k_t . k_j) u_j),   j < t

S is the state before the chunk. A triangular system gives u = X - Y S, so only small products go from chunk to chunk.
Cost: 6 N D^2 + 8 N c D FLOPs forward for one head, a quarter of the latter for the system, and 4 N D for the gates.

Source: Yang et al. 2024, arXiv 2412.06464, sections 3.1 and 3.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attnbench.variants import Decoding, Parameters, Setting, Variant, Weights, Work, _chunks, of_products
from attnbench.variants._decoding import State, Step
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_BLOCK = 100
"""Tokens that the reference solves for at once. Its blocks do not end where chunks end."""


@dataclass(frozen=True)
class GatedDelta(Parameters):
    """Gated DeltaNet has no parameters."""

    causal: ClassVar[bool] = True


def weights(parameters: GatedDelta, setting: Setting, generator: "Generator") -> Weights:
    """Draw w_alpha and w_beta `[K, D, 2]`, a `[K]` and b `[K]`, all learned; a and b as Mamba2 draws them.

    exp(a) is uniform from 1 to 16, softplus(b) log-uniform from 0.001 to 0.1.
    """
    del parameters
    import torch

    heads, d = setting.shape.kv_heads, setting.shape.head_dim
    w = torch.randn(heads, d, 2, generator=generator) / math.sqrt(d)
    a = (1 + 15 * torch.rand(heads, generator=generator)).log()
    steps = 0.001 * 100 ** torch.rand(heads, generator=generator)
    return tuple(map(torch.nn.Parameter, (w, a, steps.expm1().log())))


def reference(
    parameters: GatedDelta, q: "Tensor", k: "Tensor", v: "Tensor", rows: "Tensor", weights: Weights
) -> "Tensor":
    """Solve for what tokens write, a block at a time; return the outputs `B H R D` of the queries at `rows`.

    `rows` must rise.
    """
    del parameters
    import torch
    from torch.nn.functional import normalize

    dtype = q.dtype
    q, k, v, *learned = _chunks.wide(q, k, v, *weights)
    told = (normalize(k, dim=-1), v, *gates(k, learned))
    tokens = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in told)
    blocks = (torch.split(each[:, :, : int(rows[-1]) + 1], _BLOCK, dim=2) for each in tokens)
    q = normalize(q[:, :, rows], dim=-1)
    state = q.new_zeros(*q.shape[:2], q.shape[-1], q.shape[-1])
    outs = []
    for start, (keys, values, log_alpha, beta) in enumerate(zip(*blocks, strict=True)):
        now, written, faded, fades = _after(state, keys, values, log_alpha, beta)
        mine = rows // _BLOCK == start
        if mine.any():
            places, queries = rows[mine] % _BLOCK, q[:, :, mine]
            seen = fades[:, :, places] * (queries @ keys.transpose(-2, -1))
            outs.append(faded.exp()[:, :, places] * (queries @ state) + seen @ written)
        state = now
    return torch.cat(outs, dim=2).to(dtype)


def _after(
    state: "Tensor", keys: "Tensor", values: "Tensor", log_alpha: "Tensor", beta: "Tensor"
) -> "tuple[Tensor, ...]":
    """Return the state after a block of tokens, what they write, and the running sums of log alpha with their fades."""
    import torch

    faded = log_alpha.cumsum(dim=2)
    fades = (faded - faded.transpose(-2, -1)).tril().exp().tril()
    missing = beta * (values - faded.exp() * (keys @ state))
    inner = beta * fades * (keys @ keys.transpose(-2, -1))
    written = torch.linalg.solve_triangular(inner, missing, upper=False, unitriangular=True)
    over = faded[:, :, -1:]
    return over.exp() * state + (keys * (over - faded).exp()).transpose(-2, -1) @ written, written, faded, fades


def work(parameters: GatedDelta, setting: Setting) -> Work:
    """Count gates, the products in chunks, those with states, and the triangular system, whose rows are of length c.

    Backward, a system is solved again, and a product twice as large gives the gradient of its matrix.
    """
    del parameters
    shape, d = setting.shape, setting.shape.head_dim
    width, padded = _chunks.width(shape.seq_len), _chunks.padded(shape.seq_len)
    of_queries = shape.heads * padded * (2 * d * width + d * d)
    # The first chunk reads no state, and the last one leaves none.
    of_keys = shape.kv_heads * (padded * d * width + (padded - width) * 2 * d * d + shape.seq_len * 2 * d)
    products = of_products(2 * shape.batch * (of_queries + of_keys), setting.direction)
    system = shape.batch * shape.kv_heads * padded * width * 2 * d
    forward, backward = setting.direction != "backward", setting.direction != "forward"
    return Work(products.flops + system * (forward + 3 * backward))


def build(parameters: GatedDelta, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    del parameters
    import torch
    from torch.nn.functional import normalize

    shape = setting.shape

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        dtype = q.dtype
        q, k, v, *learned = _chunks.wide(q, k, v, *weights)
        faded, beta = map(_chunks.cut, gates(k, learned))
        faded = faded.cumsum(dim=3)
        q, k = _chunks.cut_groups(normalize(q, dim=-1), shape.kv_heads), _chunks.cut(normalize(k, dim=-1))
        v = _chunks.cut(v)
        # The differences that tril sets to 0 would have positive exponents.
        fades = (faded - faded.transpose(-2, -1)).tril().exp().tril()
        inner = beta * fades * (k @ k.transpose(-2, -1))
        both = beta * torch.cat([v, faded.exp() * k], dim=-1)
        own, carried = torch.linalg.solve_triangular(inner, both, upper=False, unitriangular=True).chunk(2, dim=-1)
        over = faded[:, :, :, -1:]
        kept = (k * (over - faded).exp()).transpose(-2, -1)
        states, written = _passed(*(each.unbind(2) for each in (own, carried, kept, over.exp())))
        pairs = torch.einsum("bkgnid,bknjd->bkgnij", q, k) * fades.unsqueeze(2)
        out = torch.einsum("bkgnij,bknje->bkgnie", pairs, written)
        out = out + torch.einsum("bkgnid,bknde->bkgnie", q * faded.exp().unsqueeze(2), states)
        return _chunks.join(out, shape.seq_len).to(dtype)

    return Program(attend)


def gates(k: "Tensor", weights: "Sequence[Tensor]") -> "tuple[Tensor, Tensor]":
    """Return the logarithms of alpha and beta itself, `B K N 1` each, of keys."""
    import torch
    from torch.nn.functional import softplus

    w, a, b = weights
    fading, writing = torch.split(k @ w, 1, dim=-1)
    return -a.exp()[:, None, None] * softplus(fading + b[:, None, None]), writing.sigmoid()


def _passed(
    own: "tuple[Tensor, ...]", carried: "tuple[Tensor, ...]", kept: "tuple[Tensor, ...]", over: "tuple[Tensor, ...]"
) -> "tuple[Tensor, Tensor]":
    """Return the state before each chunk, `b k n d e`, and what its tokens write, `b k n j e`."""
    import torch

    states, written = [own[0].new_zeros(*kept[0].shape[:-1], own[0].shape[-1])], [own[0]]
    for n in range(1, len(own)):
        states.append(over[n - 1] * states[-1] + kept[n - 1] @ written[-1])
        written.append(own[n] - carried[n] @ states[-1])
    return torch.stack(states, dim=2), torch.stack(written, dim=2)


def _state(parameters: GatedDelta, q: "Tensor", k: "Tensor", v: "Tensor", weights: Weights) -> State:
    """Return the transpose of S, `B K D D`, after the tokens."""
    del parameters, q
    from torch.nn.functional import normalize

    k, v, *learned = _chunks.wide(k, v, *weights)
    told = normalize(k, dim=-1), v, *gates(k, learned)
    state = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    for at in range(0, k.shape[2], _BLOCK):
        state = _after(state, *(each[:, :, at : at + _BLOCK] for each in told))[0]
    return (state,)


def _step(parameters: GatedDelta, setting: Setting, weights: Weights) -> Step:
    """Prepare the weights in the dtype of the state."""
    del parameters, setting
    import torch
    from torch.nn.functional import normalize

    learned = _chunks.wide(*weights)

    def step(before: State, after: State, q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map one query `B H 1 D`, key and value `B K 1 D` to its output `B H 1 D`."""
        like = q
        q, k, v = _chunks.wide(q, k, v)
        log_alpha, beta = gates(k, learned)
        alpha, q, k = log_alpha.exp(), normalize(q, dim=-1), normalize(k, dim=-1)
        written = beta * (v - alpha * (k @ before[0]))
        torch.mul(before[0], alpha, out=after[0])
        after[0].addcmul_(k.transpose(-2, -1), written)
        return (_chunks.grouped(q, k.shape[1]) @ after[0]).view(like.shape).to(like.dtype)

    return step


def _step_work(parameters: GatedDelta, setting: Setting) -> Work:
    """Count the gates, each key's product with the state and with what it writes, and each query's with the state."""
    del parameters
    shape, d = setting.shape, setting.shape.head_dim
    return Work(shape.batch * (shape.kv_heads * (4 * d * d + 4 * d) + shape.heads * 2 * d * d))


VARIANT = Variant(
    GatedDelta,
    source="Yang et al. 2024, arXiv 2412.06464",
    family="recurrent",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    decoding=Decoding(_state, _step, _step_work),
)
