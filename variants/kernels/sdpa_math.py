"""torch's `scaled_dot_product_attention`, forced onto its textbook kernel, which stores all N^2 scores.

Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762, section 3.2.1.
"""

from torch.nn.attention import SDPBackend

from attnbench.variants.kernels._forced import Forced

_FORCED = Forced("sdpa_math", SDPBackend.MATH, "math", on_cpu=True)

supports = _FORCED.supports
predict_bytes = _FORCED.predict_bytes
build = _FORCED.build
