"""torch's `scaled_dot_product_attention`, forced onto its cuDNN kernel, which stores no scores. CUDA only.

Source: NVIDIA cuDNN, "Scaled Dot Product Attention".
"""

from torch.nn.attention import SDPBackend

from attnbench.variants.kernels._forced import Forced

_FORCED = Forced("sdpa_cudnn", SDPBackend.CUDNN_ATTENTION, "cudnn attention")

supports = _FORCED.supports
predict_bytes = _FORCED.predict_bytes
build = _FORCED.build
