"""torch's `scaled_dot_product_attention` with a dense boolean mask: the control.

The same maths as a sparse implementation, but all N^2 scores are computed and the mask of N^2 is read: it
shows that simulating sparsity saves nothing.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import fused_bytes
from attnbench.variants.kernels._support import itemsize, refusal


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Every pattern, wherever its mask fits into memory."""
    return refusal(pattern, setting)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Peak bytes of one call: those of torch's fused kernel, and the mask as N^2 numbers.

    The kernel adds its mask to the scores, so each forward call makes numbers of the booleans; in `backward`
    they belong to the graph.
    """
    del pattern
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    mask = 0 if direction == "backward" else shape.seq_len**2 * itemsize(dtype)
    return fused_bytes(shape, dtype, direction, threads) + mask


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the mask of allowed pairs `[N, N]`."""
    shape = setting.shape
    mask = torch.from_numpy(pattern.spans(shape.seq_len).mask()).to(setting.device)
    enable_gqa = shape.kv_heads != shape.heads

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=enable_gqa)

    return Program(attend, shape.batch * shape.heads * shape.seq_len**2, mask.nbytes)
