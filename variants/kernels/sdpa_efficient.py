"""torch's `scaled_dot_product_attention`, forced onto its memory-efficient kernel, which stores no scores. CUDA only.

Source: Rabe and Staats 2021, "Self-attention Does Not Need O(n^2) Memory", arXiv 2112.05682.
"""

from torch.nn.attention import SDPBackend

from attnbench.variants.kernels._forced import Forced

_FORCED = Forced("sdpa_efficient", SDPBackend.EFFICIENT_ATTENTION, "memory efficient")

supports = _FORCED.supports
predict_bytes = _FORCED.predict_bytes
build = _FORCED.build
