"""A kernel that raises an error."""

from torch import Tensor

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Raise when called."""
    del pattern, shape, dtype, device

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        raise ValueError(f"cannot do {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")

    return Kernel(attend, None)


VARIANT = Variant(Full, source="none", build=build)
