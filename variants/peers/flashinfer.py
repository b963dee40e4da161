"""FlashInfer's prefill attention, made for inference: it has no gradients. CUDA only.

The batch is one ragged tensor of tokens `(B N) H D` (`BatchPrefillWithRaggedKVCacheWrapper`). The schedule of its tiles
is planned in the preparation. `window_left` counts the keys before a query. The layout `bnhd` is a view of such tokens;
in `bhnd` several batch entries are copied. Cost: 4 D FLOPs forward for every pair of a tile that holds a key of some
query.

The package compiles its kernels with nvcc, once for each dtype, head_dim and kind of window, and keeps them. This
takes minutes and is part of the preparation.

Source: Ye et al. 2025, arXiv 2501.01005; https://github.com/flashinfer-ai/flashinfer, version 0.7.4.
"""

import torch
from torch import Tensor

from attnbench.variants import Pattern, Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import fused_bytes
from attnbench.variants.kernels._support import DTYPES, refusal
from attnbench.variants.peers import _cuda, _sequences
from attnbench.variants.peers._sequences import Sequences

REQUIREMENT = "flashinfer-python 0.7.4"
_INSTALL = "pip install flashinfer-python==0.7.4"
_WIDTHS = (64, 128, 256)
_WORKSPACE_BYTES = 2**27
"""What the package recommends."""
_SCHEDULE_BYTES = 2**23
"""What the package allocates for its schedule."""


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support full and causal attention, windows that end at the query, and blocks, forward in 16 bits.

    Nothing is tried, because a first call compiles for minutes.
    """
    shape = setting.shape
    refused = refusal(pattern, setting) or _cuda.refused_dtype("flashinfer", setting)
    if refused is None and setting.direction != "forward":
        refused = f"flashinfer has no gradients, found {setting.direction}; measure forward"
    if refused is None and shape.head_dim not in _WIDTHS:
        refused = f"flashinfer takes a head_dim of {', '.join(map(str, _WIDTHS))}, found {shape.head_dim}"
    if refused is None and not _takes(_sequences.of(pattern.spans(shape.seq_len))):
        refused = "flashinfer takes full or causal attention, blocks, and windows without gaps that end at the query"
    return refused or _cuda.refusal("flashinfer", "flashinfer", REQUIREMENT, _INSTALL, setting)


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call: those of a fused kernel, and copies of inputs."""
    del threads
    shape, dtype = setting.shape, setting.dtype
    return fused_bytes(shape, dtype, setting.direction, 0) + _sequences.known(pattern, setting).copied_bytes(
        shape, dtype
    )


def build(pattern: Pattern, setting: Setting) -> Program:
    """Prepare the package's workspace and its schedule. The first one compiles."""
    from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

    shape, found = setting.shape, _sequences.known(pattern, setting)
    workspace = torch.empty(_WORKSPACE_BYTES, dtype=torch.uint8, device=setting.device)
    bounds = found.bounds(shape.batch, setting.device)
    wrapper = BatchPrefillWithRaggedKVCacheWrapper(workspace, "NHD")
    wrapper.plan(
        bounds,
        bounds,
        shape.heads,
        shape.kv_heads,
        shape.head_dim,
        causal=found.right == 0,
        window_left=found.window[0],
        q_data_type=DTYPES[setting.dtype],
    )

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        out: Tensor = wrapper.run(*map(_sequences.packed, (q, k, v)))
        return _sequences.unpacked(out, shape)

    return Program(attend, None, workspace.nbytes + _SCHEDULE_BYTES + bounds.nbytes)


def _takes(found: Sequences | None) -> bool:
    """Check whether the package has the windows of these sequences."""
    return found is not None and (found.right == 0 or found.window == (-1, -1))
