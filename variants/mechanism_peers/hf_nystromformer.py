"""Hugging Face's Nystromformer: softmax attention through landmarks.

This calls `NystromformerSelfAttention` of the package `transformers`. Its three projections are replaced by functions
that return the given queries, keys and values, and its convolution of values is left out. The pseudoinverse starts from
the norm of each head, which the class calls exact and its configuration cannot choose. With as many landmarks as
tokens the class computes full attention instead, which is another mechanism. In the layout `bhnd` a call also copies
queries, keys and values into the module's own layout.

Source: Xiong et al. 2021, arXiv 2102.03902; https://github.com/huggingface/transformers.
"""

from functools import partial
from typing import TYPE_CHECKING

from attnbench.variants import mechanism_peers
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants import Weights
    from attnbench.variants.nystromformer import Nystromformer

VARIANT = "nystromformer"
REQUIREMENT = "transformers 4.50 or later"


def supports(parameters: "Nystromformer", setting: Setting) -> str | None:
    """Support fewer landmarks than tokens, in float32 and float64."""
    refused = mechanism_peers.refusal("hf_nystromformer", REQUIREMENT, setting)
    if refused is None and setting.dtype not in ("float32", "float64"):
        refused = f"hf_nystromformer multiplies by a float32 identity, found {setting.dtype}; use float32 or float64"
    if refused is None and parameters.landmarks == setting.shape.seq_len:
        refused = "hf_nystromformer computes full attention with as many landmarks as tokens, "
        refused += f"found {parameters.landmarks}"
    return refused


def predict_bytes(parameters: "Nystromformer", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, the largest of its steps, as measured.

    In units of the queries: scores S with landmarks, landmarks L, pseudoinverses Z, and what is copied into the
    module's layout. Forward: the last products, or the pseudoinverse. Backward: the inputs' gradients, the products, or
    the pseudoinverse. Training: the forward or the backward, with what each step of the pseudoinverse kept, 6 Z.
    """
    from attnbench.variants.kernels._memory import query_bytes

    del threads
    shape, m = setting.shape, parameters.landmarks
    many = shape.heads > 1
    scores, few, square = m / shape.head_dim, m / shape.seq_len, m * m / (shape.seq_len * shape.head_dim)
    identity = square / (shape.batch * shape.heads)
    laid_out = 3 if many and shape.layout == "bhnd" else 0
    products = laid_out + 3 + many + 4 * scores + 3 * few + square
    forward = max(products, laid_out + 2 + 3 * scores + 2 * few + 6 * square + 3 * identity)
    backward = max(5 + few, 3 * scores + 1 + square, 2 * scores + 1 + 6 * square)
    kept = 6 * parameters.steps * square
    copied = 3 if many and shape.batch > 1 else 0
    training = max(products + copied + kept + square, kept + 3 * square + 5 * scores + 4 + 2 * few, 6 + few)
    found = {"forward": forward, "backward": backward, "training": training}[setting.direction]
    return round(found * query_bytes(setting.shape, setting.dtype))


def build(parameters: "Nystromformer", setting: Setting, weights: "Weights") -> Program:
    """Prepare the module without weights."""
    del weights
    import torch
    from transformers import NystromformerConfig
    from transformers.models.nystromformer.modeling_nystromformer import NystromformerSelfAttention

    shape = setting.shape
    b, h, n, d = shape.batch, shape.heads, shape.seq_len, shape.head_dim
    config = NystromformerConfig(
        hidden_size=h * d,
        num_attention_heads=h,
        segment_means_seq_len=n,
        num_landmarks=parameters.landmarks,
        attention_probs_dropout_prob=0.0,
    )
    with torch.device("meta"):  # no weights are drawn: all are replaced or left out
        attention = NystromformerSelfAttention(config).eval()
    for name in ("query", "key", "value", "conv"):
        delattr(attention, name)
    attention.conv_kernel_size = None
    attention.init_option = "exact"
    attention.iterative_inv = partial(attention.iterative_inv, n_iter=parameters.steps)
    attention.query = torch.nn.Identity()

    def tokens(heads: "Tensor") -> "Tensor":
        """Return `B H N D` as the module's projections leave it: `B N (H D)`."""
        return heads.transpose(1, 2).reshape(b, n, h * d)

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        keys, values = tokens(k), tokens(v)
        attention.key, attention.value = lambda _: keys, lambda _: values
        (out,) = attention(tokens(q))
        # The module must not hold the tensors of a call that is over.
        attention.key = attention.value = None
        made: Tensor = out.view(b, n, h, d).transpose(1, 2)
        return made

    return Program(attend)
