"""Sparse attention that computes each block of queries over only the keys it needs. See `kernel`."""

from attnbench.variants.kernels.blockwise.kernel import build as build
from attnbench.variants.kernels.blockwise.kernel import predict_bytes as predict_bytes
from attnbench.variants.kernels.blockwise.kernel import supports as supports
