"""Hugging Face's BigBird: blocks of queries against the first, the last, three neighbouring and some random blocks.

This calls `BigBirdBlockSparseAttention` of the package `transformers`. Replaced are its three projections, by functions
that return the given queries, keys and values, and its random draw, by the blocks of `bigbird`: the module draws other
blocks for each head and call in training, and takes the first block `random` times more in evaluation. All else is the
module's own. The length is padded to a multiple of a block, as its model does.

Since version 5 the module also writes all N^2 weights into a tensor that it returns, so its memory grows as N^2. In
float16 and bfloat16 it adds up each output in that type, with larger errors than textbook attention: with small blocks
they can be too large for the proof. In the layout `bhnd` a call copies queries, keys and values into the order of
tokens. The first build in a process imports `transformers`, which is not timed.

Source: Zaheer et al. 2020, arXiv 2007.14062; https://github.com/huggingface/transformers.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from attnbench.variants import Pattern, Setting, Shape
from attnbench.variants.bigbird import BigBird
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._support import DTYPES, itemsize, refusal
from attnbench.variants.peers import refusal as peer_refusal

REQUIREMENT = "transformers 4.50 or later"
_NEIGHBOURS, _GLOBALS = 3, 2
"""The blocks of the window and the global blocks, which the package does not let one choose."""


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support `bigbird` with a window of 3 blocks, 2 global blocks, and random blocks in every row."""
    refused = refusal(pattern, setting) or peer_refusal("hf_bigbird", REQUIREMENT, setting.shape)
    if refused:
        return refused
    fixed = _NEIGHBOURS, _GLOBALS, False
    if not isinstance(pattern, BigBird) or (pattern.window, pattern.globals, pattern.causal) != fixed:
        return "hf_bigbird takes bigbird, not causal, window 3, globals 2"
    least = max(pattern.random, 1) + _NEIGHBOURS + _GLOBALS
    rows = _rows(pattern, setting.shape)
    if pattern.random < 1 or rows < least:
        found = f"random {pattern.random} and {rows} blocks"
        return f"hf_bigbird takes random >= 1 and at least random + 5 blocks, found {found}"
    return None


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as measured; the terms of a backward are fitted, within 6 %.

    In a unit that holds one number for each head and padded token: queries T = D, all weights N, random keys G = r T,
    weights in bands A = (5 + r) b. Forward writes all weights while it holds all else, in float16 and bfloat16 also a
    copy in float32. Training keeps copies of what does not lie in order.
    """
    del threads
    assert isinstance(pattern, BigBird)
    shape, size = setting.shape, itemsize(setting.dtype)
    rows, b, r, t = _rows(pattern, shape), pattern.block, pattern.random, shape.head_dim
    middle, inner = (rows - 4) / rows, (rows - 2) / rows
    n, a, g = rows * b, (5 + r) * b * middle, r * t * inner
    ragged = n > shape.seq_len
    copies = 3 * t if ragged or (shape.layout == "bhnd" and shape.heads > 1) else 0
    ends = 4 * b + (6 * (4 + r) * b + 4 * (5 + r) * t) / rows
    forward = n + copies + t + 6 * t * middle + 2 * g + 3 * a + r * b * inner + ends
    forward += 2 * n * middle if size < itemsize("float32") else 0
    scores = 7.5 * t + (1.6 + 2.1 * r) * t * middle + 2.4 * a
    backward = max(scores, 7.2 * t + (4.1 + 4.2 * r) * t * middle + 3.7 * b)
    kept = 2 * (1 + r) * t * middle if shape.batch * shape.heads > 1 else 0
    kept += 6 * t if min(shape.batch, shape.heads) > 1 else 0
    training = max(forward + kept, backward + 6 * t * middle + a)
    found = {"forward": forward, "backward": backward, "training": training}[setting.direction]
    return round(found * size) * shape.batch * shape.heads * n


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the module without weights, its masks of padding, and the random blocks."""
    from transformers import BigBirdConfig, BigBirdModel
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention

    assert isinstance(pattern, BigBird)
    shape = setting.shape
    b, h, n, d = shape.batch, shape.heads, shape.seq_len, shape.head_dim
    rows = _rows(pattern, shape)
    padding = rows * pattern.block - n
    config = BigBirdConfig(
        hidden_size=h * d,
        num_attention_heads=h,
        block_size=pattern.block,
        num_random_blocks=pattern.random,
        max_position_embeddings=n + padding,
    )
    with torch.device("meta"):  # no weights are drawn: all projections are replaced
        attention = BigBirdBlockSparseAttention(config).eval()
    for name in ("query", "key", "value"):
        delattr(attention, name)
    drawn = pattern.drawn(rows)[1:-1]
    attention._bigbird_block_rand_mask = lambda *_, **__: drawn
    attention._bigbird_block_rand_mask_with_head = lambda *_, **__: [drawn] * h
    seen = (torch.arange(n + padding, device=setting.device) < n).to(DTYPES[setting.dtype]).expand(b, -1)
    blocked, band, queries, keys = BigBirdModel.create_masks_for_block_sparse_attn(seen, pattern.block)
    masks = {"band_mask": band, "from_mask": queries, "to_mask": keys}
    masks |= {"from_blocked_mask": blocked, "to_blocked_mask": blocked}

    def tokens(heads: Tensor) -> Tensor:
        """Return `B H N D` as the module's projections leave it: `B N (H D)`, padded."""
        given = heads.transpose(1, 2).reshape(b, n, h * d)
        return pad(given, (0, 0, 0, padding)) if padding else given

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        projected = tokens(q), tokens(k), tokens(v)
        attention.query, attention.key, attention.value = (lambda _, each=each: each for each in projected)
        out: Tensor = attention(projected[0], **masks)[0]
        # The module must not hold the tensors of a call that is over.
        attention.query = attention.key = attention.value = None
        return out[:, :n].view(b, n, h, d).transpose(1, 2)

    scores = (2 * rows + 2 * (4 + pattern.random) + (rows - 4) * (5 + pattern.random)) * pattern.block**2
    return Program(attend, b * h * scores, sum(each.nbytes for each in (seen, band)))


def _rows(pattern: BigBird, shape: Shape) -> int:
    """Return the number of blocks of the padded length."""
    return -(-shape.seq_len // pattern.block)
