"""Attention over some of a query's keys, its log-sum-exp for merging, and its share of the merged gradients.

    L_i = log sum_j exp(s_ij),   o_i = sum_j exp(s_ij - L_i) v_j,   s_ij = q_i . k_j / sqrt(D) + m_ij

over the keys j of one call. Outputs over disjoint keys are merged with weights exp(L_i). Computed from the merged L
and o, the shares of all calls add up to the exact gradients:

    p_ij = exp(s_ij - L_i),   dv_j = sum_i p_ij do_i,   ds_ij = p_ij (do_i . v_j - do_i . o_i)
    dq_i = sum_j ds_ij k_j / sqrt(D),   dk_j = sum_i ds_ij q_i / sqrt(D)

On the CPU these are torch's fused kernels. For a row that sees none of its keys they return L = 0 instead of -inf, so
no call may hold such a row. On other devices the scores are written out in float32 or wider, which is slow.

Queries are `heads blocks rows D`, keys and values `heads blocks width D`, log-sum-exps `heads blocks rows`. A mask is
`[rows, width]` numbers that are added to the scores, or None if no pair is hidden.
"""

import torch
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the outputs and their log-sum-exps."""
    if q.device.type != "cpu":
        return written_attend(q, k, v, mask)
    out, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask)
    return out, sums


def gradients(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, sums: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return this call's shares of dQ, dK and dV; `out` and `sums` are the merged outputs and log-sum-exps."""
    if q.device.type != "cpu":
        return written_gradients(dout, q, k, v, out, sums, mask)
    dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        dout, q, k, v, out, sums, 0.0, False, attn_mask=mask
    )
    return dq, dk, dv


def written_attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute `attend` from the formula, with all scores in memory."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    scores = _scores(q.to(dtype), k.to(dtype), mask)
    sums = torch.logsumexp(scores, dim=-1)
    weights = torch.exp(scores - sums.unsqueeze(-1))
    return (weights @ v.to(dtype)).to(q.dtype), sums


def written_gradients(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, sums: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `gradients` from the formula, with all scores in memory."""
    dout, q, k, v, out = (each.to(sums.dtype) for each in (dout, q, k, v, out))
    weights = torch.exp(_scores(q, k, mask) - sums.unsqueeze(-1))
    dscores = weights * (dout @ v.mT - (dout * out).sum(dim=-1, keepdim=True)) / q.shape[-1] ** 0.5
    return dscores @ k, dscores.mT @ q, weights.mT @ dout


def _scores(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """Return the scores s_ij."""
    scores: Tensor = q @ k.mT / q.shape[-1] ** 0.5
    return scores if mask is None else scores + mask
