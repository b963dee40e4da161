"""Full attention with a scale that is a little off."""

from attnbench.variants import Setting, Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program


def build(pattern: Full, setting: Setting) -> Program:
    """Attention with 1.01 / sqrt(D)."""
    from torch.nn.functional import scaled_dot_product_attention

    scale = 1.01 * setting.shape.head_dim**-0.5
    pairs = setting.shape.batch * setting.shape.heads * pattern.spans(setting.shape.seq_len).pairs()
    return Program(lambda q, k, v: scaled_dot_product_attention(q, k, v, scale=scale), pairs)


VARIANT = Variant(Full, source="none", build=build)
