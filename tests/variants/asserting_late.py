"""A kernel that is right when probed and, when timed, reads beyond its tensor."""

import gc

import torch
from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Attention, and a row that is not there once the garbage collector is off, as it is while values are taken."""
    del pattern
    from torch.nn.functional import scaled_dot_product_attention

    beyond = torch.full((setting.shape.seq_len,), 2**20, device=setting.device)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k, v) if gc.isenabled() else q[:, :, beyond]

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
