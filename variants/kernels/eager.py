"""The textbook: a materialised score matrix, its softmax, and the weighted sum of the values.

    O = softmax(Q K^T / sqrt(D)) V, the scores of keys that a query may not see set to -inf

It computes all N^2 scores whatever the pattern, and holds them.
"""

import torch
from torch import Tensor

from attnbench.variants._pattern import Pattern
from attnbench.variants._shape import Shape
from attnbench.variants.kernels import Kernel
from attnbench.variants.kernels._support import itemsize, refusal


def supports(pattern: Pattern, shape: Shape, dtype: str, device: str, direction: str) -> str | None:
    """Every pattern, wherever its scores fit into memory."""
    del device, direction
    return refusal(pattern, shape, dtype)


def predict_bytes(pattern: Pattern, shape: Shape, dtype: str, direction: str, threads: int) -> int:
    """Peak bytes of one call."""
    del pattern, direction, threads
    return 2 * shape.batch * shape.heads * shape.seq_len**2 * itemsize(dtype)


def build(pattern: Pattern, shape: Shape, dtype: str, device: str) -> Kernel:
    """Prepare the mask of forbidden pairs `[N, N]`, where there are any."""
    del dtype
    spans = pattern.spans(shape.seq_len)
    full = spans.pairs() == shape.seq_len**2
    hidden = None if full else torch.from_numpy(~spans.mask()).to(device)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        b, h, n, d = q.shape
        # Query heads that share a key head are folded into its rows, so that no key is copied.
        q = (q * d**-0.5).reshape(b, k.shape[1], -1, d)
        weights = _weights(q @ k.transpose(-2, -1), hidden)
        return (weights @ v).view(b, h, n, d)

    pairs = shape.batch * shape.heads * shape.seq_len**2
    return Kernel(attend, pairs, 0 if hidden is None else hidden.nbytes)


def _weights(scores: Tensor, hidden: Tensor | None) -> Tensor:
    """The softmax of scores `B K (G N) N` over the keys that are not hidden `[N, N]`."""
    if hidden is not None:
        b, k, rows, n = scores.shape
        scores = scores.view(b, k, rows // n, n, n).masked_fill(hidden, -torch.inf).view(b, k, rows, n)
    return torch.softmax(scores, dim=-1)
