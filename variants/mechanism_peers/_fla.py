"""What the peers of flash-linear-attention share: what they take, the layout of their tensors, and the size of states.

Triton compiles in the first call at a shape. Products of float32 would be in TF32, so only 16 bits are taken.
"""

from typing import TYPE_CHECKING

from attnbench.variants import mechanism_peers, peers
from attnbench.variants._setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 64
"""Tokens of a chunk. The package keeps the state before each chunk."""


def refusal(peer: str, setting: Setting) -> str | None:
    """Return why a peer cannot be called at all in a setting, or None. Nothing is tried, because a call compiles."""
    from attnbench.variants.peers import _cuda

    refused = mechanism_peers.refused_setting(peer, setting) or peers.refused_sharing(peer, setting.shape)
    return refused or _cuda.refused_dtype(peer, setting) or _cuda.refusal_of_fla(peer, setting)


def tokens(heads: "Tensor") -> "Tensor":
    """Return a tensor `B H N D` as tokens `B N H D` in a row, which the layout `bhnd` copies."""
    return heads.transpose(1, 2).contiguous()


def predicted_bytes(setting: Setting, forward: float, kept: float, backward: float) -> int:
    """Return the peak bytes of one call, from sizes in units of the queries.

    `kept` is what the forward pass keeps for the backward pass, with its output.
    """
    from attnbench.variants.kernels._memory import query_bytes

    training = max(forward, kept + backward)
    found = {"forward": forward, "backward": backward, "training": training}[setting.direction]
    return round(found * query_bytes(setting.shape, setting.dtype))


def copied(setting: Setting) -> int:
    """Return 1 if a tensor `B H N D` is copied to become tokens, else 0."""
    return int(setting.shape.layout == "bhnd" and setting.shape.heads > 1)


def states(setting: Setting) -> float:
    """Return the size of the states `D x D` before all chunks, in units of the queries."""
    shape = setting.shape
    return -(-shape.seq_len // CHUNK) * shape.head_dim / shape.seq_len
