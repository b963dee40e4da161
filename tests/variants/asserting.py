"""A kernel that reads beyond its tensor: on CUDA an assertion on the device, which takes the context with it."""

import torch
from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Take a row that is not there."""
    del pattern

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        return q[:, :, torch.full((setting.shape.seq_len,), 2**20, device=setting.device)]

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
