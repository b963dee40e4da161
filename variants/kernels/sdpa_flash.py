"""torch's `scaled_dot_product_attention`, forced onto its FlashAttention kernel, which stores no scores.

Source: Dao 2023, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning", arXiv 2307.08691.
"""

from torch.nn.attention import SDPBackend

from attnbench.variants.kernels._forced import Forced

_FORCED = Forced("sdpa_flash", SDPBackend.FLASH_ATTENTION, "flash attention", on_cpu=True)

supports = _FORCED.supports
predict_bytes = _FORCED.predict_bytes
build = _FORCED.build
