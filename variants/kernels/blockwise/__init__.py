"""Only the keys that a block of queries needs: sparse attention that saves what its pattern saves. See `kernel`."""

from attnbench.variants.kernels.blockwise.kernel import build as build
from attnbench.variants.kernels.blockwise.kernel import predict_bytes as predict_bytes
from attnbench.variants.kernels.blockwise.kernel import supports as supports
