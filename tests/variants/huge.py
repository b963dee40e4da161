"""A kernel that asks for a terabyte."""

from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Allocate 1 TB when called."""
    del pattern, setting

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        return q.new_empty(2**40 // q.element_size()).fill_(1)

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
