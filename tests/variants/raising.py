"""A kernel that raises an error."""

from torch import Tensor

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Raise when called."""
    del pattern, setting

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        raise ValueError(f"cannot do {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")

    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
