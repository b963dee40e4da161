"""A kernel that never returns."""

import threading

from torch import Tensor

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Wait for an event that nobody sets."""
    del pattern, shape, dtype, device

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        threading.Event().wait()
        return q

    return Kernel(attend, None)


VARIANT = Variant(Full, source="none", build=build)
