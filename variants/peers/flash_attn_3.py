"""FlashAttention 3, written for Hopper: it overlaps matrix products with the softmax. CUDA only.

It takes the same patterns, tokens and windows as `flash_attn`. Its package is built from the folder `hopper` of the
repository and has the module `flash_attn_interface`. Cost: 4 D FLOPs forward for every pair of a tile that holds a key
of some query.

Source: Shah et al. 2024, arXiv 2407.08608; https://github.com/Dao-AILab/flash-attention.
"""

from attnbench.variants.peers._flash import Flash

REQUIREMENT = "flash_attn_3"
_FLASH = Flash(
    "flash_attn_3",
    "flash_attn_interface",
    REQUIREMENT,
    "build it in the folder hopper of https://github.com/Dao-AILab/flash-attention",
    most=(9, 0),
    sums_keys=True,
)

supports = _FLASH.supports
predict_bytes = _FLASH.predict_bytes
build = _FLASH.build
