"""Attention of a block of queries over a block of keys, with log-sum-exp, by the fastest of torch's kernels.

    O = softmax(Q K^T / sqrt(D)) V,  L = log sum_j exp(Q K_j^T / sqrt(D))

The gradients of a block need the output and the log-sum-exp over all keys (Dao 2023, arXiv 2307.08691, section 3.1.2).
"""

import torch
from torch import Tensor
from torch.nn import functional

_aten = torch.ops.aten
_ALIGNED = 32
"""The memory-efficient kernel pads log-sum-exp to a multiple of this."""


def forward(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Return outputs `B H n D` and log-sum-exp `B H n` of queries `B H n D` over keys and values `B H m D`."""
    if q.device.type == "cpu":
        out, lse = _aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
    elif _is_flash(q):
        out, lse, *_ = _aten._scaled_dot_product_flash_attention(q, k, v, 0.0, causal)
    else:
        out, lse, *_ = _aten._scaled_dot_product_efficient_attention(q, k, v, None, True, 0.0, causal)
    return out, lse[..., : q.shape[2]]


def backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, *, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values of a block; `out` and `lse` are those over all keys."""
    if q.device.type == "cpu":
        found = _aten._scaled_dot_product_flash_attention_for_cpu_backward(dout, q, k, v, out, lse, 0.0, causal)
    elif _is_flash(q):
        unused = torch.empty(2, dtype=torch.uint64, device=q.device)  # the state of dropout, of which there is none
        sizes = None, None, q.shape[2], k.shape[2]
        found = _aten._scaled_dot_product_flash_attention_backward(
            dout, q, k, v, out, lse, *sizes, 0.0, causal, unused, unused
        )
    else:
        unused = torch.empty((), dtype=torch.int64, device=q.device)
        padded = functional.pad(lse, (0, -lse.shape[2] % _ALIGNED), value=torch.inf)
        wanted = [True, True, True, False]  # not of a bias
        found = _aten._scaled_dot_product_efficient_attention_backward(
            dout, q, k, v, None, out, padded, unused, unused, 0.0, wanted, causal
        )
    dq, dk, dv, *_ = found
    return dq, dk, dv


def _is_flash(q: Tensor) -> bool:
    """Check whether flash attention takes the dtype; the memory-efficient kernel takes float32 too."""
    return q.dtype in (torch.float16, torch.bfloat16)
