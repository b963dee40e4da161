"""FlashAttention 2 of its own package, which takes windows: tiles outside the window are skipped. CUDA only.

A query sees `window_size = (left, right)` keys before and after itself, both ends included; -1 is all. Blocks are
sequences of one call (`flash_attn_varlen_func`). The package takes tokens `B N H D` with any strides, so neither layout
is copied, except blocks of several batch entries in the layout `bhnd`. Cost: 4 D FLOPs forward for every pair of a
tile that holds a key of some query.

Its backward adds to dQ in another order each time (`deterministic=False`, its default), so gradients may not repeat
exactly.

Source: Dao 2023, arXiv 2307.08691; https://github.com/Dao-AILab/flash-attention, version 2.8.3.
"""

from attnbench.variants.peers._flash import Flash

REQUIREMENT = "flash-attn 2.8.3"
_FLASH = Flash("flash_attn", "flash_attn", REQUIREMENT, "pip install --no-build-isolation flash-attn==2.8.3")

supports = _FLASH.supports
predict_bytes = _FLASH.predict_bytes
build = _FLASH.build
