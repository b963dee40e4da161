"""A kernel that asks for a terabyte."""

from torch import Tensor

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Allocate 1 TB when called."""
    del pattern, shape, dtype, device

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        del k, v
        return q.new_empty(2**40 // q.element_size()).fill_(1)

    return Kernel(attend, None)


VARIANT = Variant(Full, source="none", build=build)
