"""A kernel that reads beyond its tensor: on CUDA an assertion on the device, which takes the context with it."""

import torch
from torch import Tensor

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Take a row that is not there."""
    del pattern, dtype

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        return q[:, :, torch.full((shape.seq_len,), 2**20, device=device)]

    return Kernel(attend, None)


VARIANT = Variant(Full, source="none", build=build)
