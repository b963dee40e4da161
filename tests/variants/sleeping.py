"""A kernel that never returns."""

import threading

from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Wait for an event that nobody sets."""
    del pattern, setting

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        threading.Event().wait()
        return q

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
