"""The oracle: dense masked attention, written for readability. Every implementation is compared with it.

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j   over the keys j that query i may see

It computes in the dtype of its inputs. In float64 it is the oracle. In the dtype of a case, its error shows how large
the rounding error of that dtype is. It allocates queries times keys, so use it for small N or for a few rows of
queries.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from attnbench.runner.worker.call.mechanisms import Oracle


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Return outputs `B H R D` of queries `B H R D` over keys and values `B K N D`.

    `mask` is boolean, `[R, N]` or `B 1 R N`: whether a query may see a key. The output of a query that sees no key is
    0. Query head h reads key head `h // (H / K)`.
    """
    group = q.shape[1] // k.shape[1]
    if group > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    weights = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1).masked_fill(~mask, 0.0)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


def gradients(
    inputs: Sequence[Tensor],
    mask: Tensor,
    dout: Tensor,
    oracle: Oracle = attention,
    weights: Sequence[Tensor] = (),
) -> tuple[Tensor, ...]:
    """Return the output, and the gradients of the inputs (dQ, dK, dV) for the gradient `dout` of the output.

    The gradients of weights that require one follow. The gradient of an unused input is zero.
    """
    inputs = [each.detach().requires_grad_() for each in inputs]
    weights = [each.detach().requires_grad_(each.requires_grad) for each in weights]
    out = oracle(*inputs, mask, *weights)
    wanted = [*inputs, *(each for each in weights if each.requires_grad)]
    return (out.detach(), *torch.autograd.grad(out, wanted, dout, allow_unused=True, materialize_grads=True))
