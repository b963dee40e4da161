"""Full attention with a scale that is a little off."""

from attnbench.variants import Shape, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Kernel


def build(pattern: Full, shape: Shape, dtype: str, device: str) -> Kernel:
    """Attention with 1.01 / sqrt(D)."""
    del dtype, device
    from torch.nn.functional import scaled_dot_product_attention

    scale = 1.01 * shape.head_dim**-0.5
    pairs = shape.batch * shape.heads * pattern.spans(shape.seq_len).pairs()
    return Kernel(lambda q, k, v: scaled_dot_product_attention(q, k, v, scale=scale), pairs)


VARIANT = Variant(Full, source="none", build=build)
