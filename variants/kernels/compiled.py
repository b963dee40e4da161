"""`eager` through `torch.compile`: what the compiler makes of the textbook, pattern or not.

    O = softmax(Q K^T / sqrt(D)) V, the scores of keys that a query may not see set to -inf

It computes all N^2 scores whatever the pattern, and holds them: the compiler fuses what stands between the two
products, and the mask is data to it. The control for whoever hopes that compiling finds the sparsity.
"""

from dataclasses import replace

from attnbench.variants._pattern import Pattern
from attnbench.variants._shape import Shape
from attnbench.variants.kernels import Kernel, _compilation, eager
from attnbench.variants.kernels._support import refusal


def supports(pattern: Pattern, shape: Shape, dtype: str, device: str, direction: str) -> str | None:
    """Every pattern, wherever its scores fit into memory and there is a compiler."""
    del direction
    return refusal(pattern, shape, dtype) or _compilation.refusal("compiled", device)


def predict_bytes(pattern: Pattern, shape: Shape, dtype: str, device: str, direction: str, threads: int) -> int:
    """Peak bytes of one call: at most those of `eager`."""
    return eager.predict_bytes(pattern, shape, dtype, device, direction, threads)


def build(pattern: Pattern, shape: Shape, dtype: str, device: str) -> Kernel:
    """Prepare the mask of forbidden pairs `[N, N]`, where there are any; the first call compiles."""
    plain = eager.build(pattern, shape, dtype, device)
    return replace(plain, attend=_compilation.compiled(plain.attend), compiled=True)
