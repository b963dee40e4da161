"""lucidrains' local-attention: each bucket of queries sees whole buckets of keys before and after it, masked exactly.

A bucket holds w tokens, where w is the greatest common divisor of the keys before and after a query: half a centred
window. A query computes the scores of its own bucket and of all that its window touches. Keys and values are copied
once for each bucket that sees them. If w is small against the window, as in `truncated` with left 12 and right 5, the
copies are many. The length is padded to a multiple of w. Cost: 4 (left + right + w) N D FLOPs forward for one head.

The package is called without rotary embeddings and without dropout; its scale is 1 / sqrt(D).

Source: https://github.com/lucidrains/local-attention, version 1.11.2.
"""

import math

import torch
from torch import Tensor

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._support import itemsize, refusal
from attnbench.variants.local_window import LocalWindow
from attnbench.variants.peers import refusal as peer_refusal
from attnbench.variants.truncated import Truncated

REQUIREMENT = "local-attention 1.11.2"


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support windows without gaps that are clipped at the sequence's ends, and as many key heads as heads."""
    refused = refusal(pattern, setting) or peer_refusal("local_attention", REQUIREMENT, setting.shape)
    if refused is None and _sides(pattern) is None:
        refused = "local_attention takes local_window with dilation 1, edges clip and no sinks, "
        refused += "or truncated with left and right and no chunks"
    return refused


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, the largest of its steps, as measured.

    T is a query tensor at the padded length, P the same with the buckets before and after it, E keys or values copied
    for each bucket that sees them, S the scores and M their mask, of one byte for each pair of a single head. Forward:
    5 T + 2 P + E + 2 S + M. Backward: E + 2 S in the softmax, 2 E + T + S in the products or 2 E + T + P in the sums
    over buckets. Training: the forward with another E, or 2 E + 3 S + 2 T or 3 E + 2 S + 2 T in its backward. For one
    head of one sequence the products copy less: this may be off by a third, and with small buckets 3 times too large.
    """
    del threads
    shape, direction = setting.shape, setting.direction
    left, right, width = _sizes(pattern)
    seen = left + right + width
    tokens = _padded(shape.seq_len, width)
    unit = shape.batch * shape.heads * tokens * itemsize(setting.dtype)
    t, s = unit * shape.head_dim, unit * seen
    p = t * (tokens + left + right) // tokens
    e = t * seen // width
    mask = tokens * seen
    forward = 5 * t + 2 * p + e + 2 * s + mask
    if direction == "forward":
        return forward
    if direction == "backward":
        return max(e + 2 * s, 2 * e + t + max(s, p))
    return max(forward + e, 2 * e + 3 * s + 2 * t, 3 * e + 2 * s + 2 * t)


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the module, and the mask of the tokens if keys after the last one would be seen."""
    from local_attention import LocalAttention

    shape = setting.shape
    left, right, width = _sizes(pattern)
    attention = LocalAttention(
        width,
        causal=right == 0,
        look_backward=left // width,
        look_forward=right // width,
        exact_windowsize=True,
        autopad=True,
        use_rotary_pos_emb=False,
    )
    padded = _padded(shape.seq_len, width)
    # Without it the package shows padded keys to the last queries; causal queries cannot see them.
    hides = right > 0 and padded > shape.seq_len
    mask = torch.ones(1, shape.seq_len, dtype=torch.bool, device=setting.device) if hides else None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        out: Tensor = attention(q, k, v, mask=mask)
        return out

    pairs = shape.batch * shape.heads * padded * (left + right + width)
    return Program(attend, pairs, 0 if mask is None else mask.nbytes)


def _sides(pattern: Pattern) -> tuple[int, int] | None:
    """Return how many keys before and after itself a query sees, or None if the package has no such pattern."""
    if isinstance(pattern, LocalWindow) and (pattern.dilation, pattern.edges, pattern.sinks) == (1, "clip", 0):
        return pattern.reach
    if isinstance(pattern, Truncated) and pattern.chunk == 1 and pattern.left is not None and pattern.right is not None:
        return pattern.left, pattern.right
    return None


def _sizes(pattern: Pattern) -> tuple[int, int, int]:
    """Return the keys before and after a query, and the tokens in a bucket."""
    sides = _sides(pattern)
    assert sides is not None
    return *sides, math.gcd(*sides) or 1


def _padded(n: int, width: int) -> int:
    """Return the length with padding: a multiple of a bucket."""
    return -(-n // width) * width
