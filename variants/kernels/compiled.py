"""`eager` through `torch.compile`: what the compiler makes of the textbook.

    O = softmax(Q K^T / sqrt(D)) V, the scores of keys that a query may not see set to -inf

It computes and holds all N^2 scores whatever the pattern: the compiler fuses what stands between the two products, but
does not know what the mask holds. It is the control that shows that compiling does not find the sparsity. Scores are
modified as in `eager`.
"""

from dataclasses import replace

from attnbench.variants._pattern import Pattern
from attnbench.variants._scored import Scored
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program, _compilation, eager
from attnbench.variants.kernels._memory import key_bytes, query_bytes, sums_bytes
from attnbench.variants.kernels._support import itemsize, refusal, sum_itemsize


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support every pattern if there is a compiler."""
    return refusal(pattern, setting, scored=True) or _compilation.refusal("compiled", setting.device)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as torch 2.13 compiles it for a CPU.

    T is a query tensor, U a key tensor, S the scores `B H N N`, W the scores in float32 or wider, and L one sum per
    row. Forward: 2 S + 2 L; with a mask S + T, or 2 S + 2 L if scores are modified, but 2 W + 2 L if the dtype is
    narrower than its sums. A bias is no mask. Backward: S + 2 T + U. Training: 2 S + 3 T + U, or 3 S + 2 T + L if
    scores are modified and not by a bias, or the forward and T if that is more.
    """
    del threads
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    queries, keys, sums = query_bytes(shape, dtype), key_bytes(shape, dtype), sums_bytes(shape, dtype)
    scores = shape.batch * shape.heads * shape.seq_len**2 * itemsize(dtype)
    biased = isinstance(pattern, Scored) and pattern.adds
    modified = isinstance(pattern, Scored) and not pattern.adds
    forward = 2 * scores + 2 * sums
    if pattern.spans(shape.seq_len).pairs() < shape.seq_len**2 and not biased:
        wide = scores * sum_itemsize(dtype) // itemsize(dtype)
        if wide > scores:
            forward = 2 * wide + 2 * sums
        elif not modified:
            forward = scores + queries
    if direction == "forward":
        return forward
    if direction == "backward":
        return scores + 2 * queries + keys
    kept = 3 * scores + 2 * queries + sums if modified else 2 * scores + 3 * queries + keys
    return max(kept, forward + queries)


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the mask `[N, N]` of forbidden pairs, if there are any. The first call compiles."""
    plain = eager.build(pattern, setting)
    return replace(plain, call=_compilation.compiled(plain.call), compiled=True)
