"""A kernel that takes its process with it."""

import os
import signal

from torch import Tensor

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Raise SIGSEGV when called."""
    del pattern, shape, dtype, device

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        os.kill(os.getpid(), signal.SIGSEGV)
        return q

    return Kernel(attend, None)


VARIANT = Variant(Full, source="none", build=build)
