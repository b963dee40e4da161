"""Hugging Face's Longformer: sliding chunks, and the global tokens beside them.

This calls `LongformerSelfAttention` of the package `transformers`. Its six projections are replaced by functions that
return the given queries, keys and values. Chunks of 2 w tokens overlap by half, where window = 2 w + 1; the length is
padded to a multiple of 2 w, as its model does. Global tokens are computed twice: in their window and over all keys.

A call adds to the module's own time a copy of the queries, which it scales in place. In the layout `bhnd` it also
copies queries, keys and values into the module's own layout. Forward on a CPU, windows of 65 to 513 keys, N = 2048, 4
heads of 64, this was 0.3 to 1.3 % of the time in `bhnd` and less than 0.3 % in `bnhd`. The first build in a process
imports `transformers`, which takes seconds, but is not timed.

Source: Beltagy et al. 2020, arXiv 2004.05150; https://github.com/huggingface/transformers.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._support import itemsize, refusal
from attnbench.variants.local_window import LocalWindow
from attnbench.variants.longformer import Longformer
from attnbench.variants.peers import refusal as peer_refusal

REQUIREMENT = "transformers 4.50 or later"
_LEAST = 5
"""The smallest window that the package computes; with 3 keys its slices do not fit each other."""


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support `longformer` and `local_window` of at least 5 keys that are not causal, in float32 or less."""
    refused = refusal(pattern, setting) or peer_refusal("hf_longformer", REQUIREMENT, setting.shape)
    if refused is None and setting.dtype == "float64":
        refused = "hf_longformer computes its softmax in float32, found float64"
    if refused is None and _sizes(pattern) is None:
        refused = "hf_longformer takes longformer and local_window, not causal, dilation 1, edges clip, odd window >= 5"
    return refused


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, the largest of its steps, as measured.

    In a unit that holds one number for each head and padded token: queries T = D, window scores A = 2 w + 1, with
    global ones G = A + globals, chunks of queries C = 2 D, chunks of scores S = 4 w, chunks of values V = 3 D. Global
    tokens add 4 T to the backward. Indices of overlapping chunks are int64, and the softmax is float32. For one head of
    one sequence fewer copies are made, and this is too large, by up to 80 %. oneDNN, where it computes products of this
    dtype, copies the chunks of weights.
    """
    del threads
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    reach, many = _known(pattern)
    tokens = _padded(shape.seq_len, reach)
    size = itemsize(dtype)
    index, single = 8 / size, 4 / size
    t, a, g, v = shape.head_dim, 2 * reach + 1, 2 * reach + 1 + many, 3 * shape.head_dim
    inner = 1 - reach / tokens
    c, s, padded = 2 * t * inner, 2 * a * inner, t * (1 + 2 * reach / tokens)
    copies = 4 * t if tokens > shape.seq_len or (shape.layout == "bhnd" and shape.heads > 1) else t
    diagonal = a / shape.heads
    turned = a if shape.heads > 1 else 0
    floats = 3 if size < 4 and turned and not many else 2
    scored = copies + max(2 * c + s, 2 * s, s + a, diagonal + g + floats * g * single)
    products = v + t + (3 * reach if _is_onednn(dtype) else 0)
    summed = copies + diagonal + g + padded + 3 * reach + 2 + max(turned, products) + (a + t if many else 0)
    values, keys = v + a + padded + index * (padded + v), 2 * t + 3 * c + index * (t + c)
    scores, extra = a + t + 2.5 * s, 4 * t if many else 0
    kept, held = 2 * c + g * single, extra + (2 * t if many else t)
    forward, backward = max(scored, summed), extra + max(values, keys, scores)
    training = max(scored + 2 * c, summed + kept, held + max(values + kept, scores + 2 * c, keys))
    found = {"forward": forward, "backward": backward, "training": training}[direction]
    return round(found * size) * shape.batch * shape.heads * tokens


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the module without weights, and its masks of padding and of global tokens."""
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    shape = setting.shape
    b, h, n, d = shape.batch, shape.heads, shape.seq_len, shape.head_dim
    reach, many = _known(pattern)
    config = LongformerConfig(
        hidden_size=h * d, num_attention_heads=h, attention_window=[2 * reach], attention_probs_dropout_prob=0.0
    )
    with torch.device("meta"):  # no weights are drawn: all projections are replaced
        attention = LongformerSelfAttention(config, layer_id=0)
    for name in ("query", "key", "value", "query_global", "key_global", "value_global"):
        delattr(attention, name)
    attention.query = attention.query_global = torch.clone
    padding = _padded(n, reach) - n
    place = torch.arange(n + padding, device=setting.device).expand(b, -1)
    is_global, is_padding = place < min(many, n), place >= n
    mask = is_global.float() - is_padding.float()

    def tokens(heads: Tensor) -> Tensor:
        """Return `B H N D` as the module's projections leave it: `N B (H D)`, padded."""
        given = heads.permute(2, 0, 1, 3).reshape(n, b, h * d)
        return pad(given, (0, 0, 0, 0, 0, padding)) if padding else given

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        keys, values = tokens(k), tokens(v)
        attention.key = attention.key_global = lambda _: keys
        attention.value = attention.value_global = lambda _: values
        (out,) = attention(
            tokens(q).transpose(0, 1),
            attention_mask=mask,
            is_index_masked=is_padding,
            is_index_global_attn=is_global,
            is_global_attn=many > 0,
        )
        # The module must not hold the tensors of a call that is over.
        attention.key = attention.key_global = attention.value = attention.value_global = None
        made: Tensor = out[:, :n].view(b, n, h, d).transpose(1, 2)
        return made

    return Program(attend, None, sum(each.nbytes for each in (is_global, is_padding, mask)))


def _sizes(pattern: Pattern) -> tuple[int, int] | None:
    """Return the keys on each side of a query and the number of global tokens, or None for other patterns."""
    if isinstance(pattern, Longformer) and not pattern.causal and pattern.window >= _LEAST:
        return pattern.window // 2, pattern.globals
    if isinstance(pattern, LocalWindow) and (pattern.dilation, pattern.edges, pattern.causal) == (1, "clip", False):
        return (pattern.window // 2, 0) if pattern.window >= _LEAST and pattern.window % 2 else None
    return None


def _known(pattern: Pattern) -> tuple[int, int]:
    """Return the sizes of a supported pattern."""
    sizes = _sizes(pattern)
    assert sizes is not None
    return sizes


def _is_onednn(dtype: str) -> bool:
    """Check whether oneDNN computes matrix products in this dtype on this CPU."""
    supported = {
        "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return dtype in supported and bool(supported[dtype]())


def _padded(n: int, reach: int) -> int:
    """Return the length with padding: a multiple of a chunk of 2 w tokens."""
    return -(-n // (2 * reach)) * 2 * reach
