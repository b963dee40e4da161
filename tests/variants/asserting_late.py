"""A kernel that is right when probed and, when timed, reads beyond its tensor."""

import gc

import torch
from torch import Tensor

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Attention, and a row that is not there once the garbage collector is off, as it is while values are taken."""
    del pattern, dtype
    from torch.nn.functional import scaled_dot_product_attention

    beyond = torch.full((shape.seq_len,), 2**20, device=device)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k, v) if gc.isenabled() else q[:, :, beyond]

    return Kernel(attend, None)


VARIANT = Variant(Full, source="none", build=build)
