"""A kernel that takes its process with it."""

import os
import signal

from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Raise SIGSEGV when called."""
    del pattern, setting

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        os.kill(os.getpid(), signal.SIGSEGV)
        return q

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
