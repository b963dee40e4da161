"""Full attention in several processes that share the sequence. See `kernel`."""

from attnbench.variants.kernels.context_parallel._ranks import running as running
from attnbench.variants.kernels.context_parallel.kernel import build as build
from attnbench.variants.kernels.context_parallel.kernel import predict_bytes as predict_bytes
from attnbench.variants.kernels.context_parallel.kernel import supports as supports
