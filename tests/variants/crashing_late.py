"""A kernel that is right when probed and takes its process with it when timed."""

import multiprocessing
import os
import signal

from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Attention, and SIGABRT in a fresh interpreter."""
    del pattern, setting
    from torch.nn.functional import scaled_dot_product_attention

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if "Spawn" in multiprocessing.current_process().name:
            os.kill(os.getpid(), signal.SIGABRT)
        return scaled_dot_product_attention(q, k, v)

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
