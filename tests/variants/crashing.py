"""A kernel that takes its process with it."""

import os
import signal

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Raise SIGSEGV when called."""
    del pattern, shape, dtype, device
    return Kernel(lambda q, k, v: os.kill(os.getpid(), signal.SIGSEGV), None)  # type: ignore[arg-type,return-value]


VARIANT = Variant(Full, source="none", build=build)
