"""lucidrains' linformer: attention over keys and values that are projected along the sequence.

This calls `LinformerSelfAttention` of the package `linformer`. Its four projections of features are replaced by
functions that return the given queries, keys and values, and its two along the sequence by the variant's E and F. In
the layout `bhnd` a call also copies queries, keys and values into the module's own layout.

Source: Wang et al. 2020, arXiv 2006.04768; https://github.com/lucidrains/linformer, version 0.2.3.
"""

from typing import TYPE_CHECKING

from attnbench.variants import mechanism_peers
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants import Weights
    from attnbench.variants.linformer import Linformer

VARIANT = "linformer"
REQUIREMENT = "linformer 0.2.3"


def supports(parameters: "Linformer", setting: Setting) -> str | None:
    """Support all parameters, and as many key heads as heads."""
    del parameters
    return mechanism_peers.refusal("lucidrains_linformer", REQUIREMENT, setting)


def predict_bytes(parameters: "Linformer", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, the largest of its steps, as measured.

    In units of the queries: scores S, projected keys P, a learned matrix E, and what is copied into the module's
    layout or, in a batch, for its products. Forward: the output twice, 2 S + 2 P and the copies. Backward: the softmax,
    or the gradients of all inputs. Training: the forward with copies for its backward, or the backward with them.
    """
    from attnbench.variants.kernels._memory import query_bytes

    del threads
    shape = setting.shape
    many, batched = shape.heads > 1, shape.batch > 1
    scores, projected = parameters.projected / shape.head_dim, parameters.projected / shape.seq_len
    learned = scores / (shape.batch * shape.heads)
    laid_out = 3 if many and shape.layout == "bhnd" else 0
    kept = 2 + many if batched else laid_out
    forward = laid_out + 1 + many + 2 * scores + 2 * projected
    last = 3 + 2 * learned + projected
    backward = max(2 * scores + projected, last)
    training = max(forward + kept * batched, kept + 1 + 3 * scores + 2 * projected, last + 1 + batched)
    found = {"forward": forward, "backward": backward, "training": training}[setting.direction]
    return round(found * query_bytes(setting.shape, setting.dtype))


def build(parameters: "Linformer", setting: Setting, weights: "Weights") -> Program:
    """Prepare the module without weights of its own."""
    import torch
    from linformer import LinformerSelfAttention

    shape = setting.shape
    b, h, n, d = shape.batch, shape.heads, shape.seq_len, shape.head_dim
    e, f = weights
    with torch.device("meta"):  # no weights are drawn: all are replaced
        attention = LinformerSelfAttention(h * d, n, k=parameters.projected, heads=h, dim_head=d).eval()
    for name in ("to_q", "to_k", "to_v", "to_out", "proj_k", "proj_v"):
        delattr(attention, name)
    attention.to_q = attention.to_out = torch.nn.Identity()

    def tokens(heads: "Tensor") -> "Tensor":
        """Return `B H N D` as the module's projections leave it: `B N (H D)`."""
        return heads.transpose(1, 2).reshape(b, n, h * d)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        keys, values = tokens(k), tokens(v)
        attention.to_k, attention.to_v = lambda _: keys, lambda _: values
        attention.proj_k, attention.proj_v = e.t(), f.t()
        out: Tensor = attention(tokens(q))
        # The module must not hold the tensors of a call that is over.
        attention.to_k = attention.to_v = attention.proj_k = attention.proj_v = None
        return out.view(b, n, h, d).transpose(1, 2)

    return Program(attend)
