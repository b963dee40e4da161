"""flash-linear-attention's Gated DeltaNet (`chunk_gated_delta_rule`), kernels in Triton. CUDA only.

Gates and norms come from torch, in float32, as in the variant's own program. The package scales outputs by
1 / sqrt(D) unless it gets the scale 1.

Source: Yang and Zhang 2024, https://github.com/fla-org/flash-linear-attention, version 0.6.0.
"""

from typing import TYPE_CHECKING

from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program
from attnbench.variants.mechanism_peers import _fla
from attnbench.variants.peers import FLASH_LINEAR_ATTENTION

if TYPE_CHECKING:
    from torch import Tensor

    from attnbench.variants import Weights
    from attnbench.variants.gated_delta import GatedDelta

VARIANT = "gated_delta"
REQUIREMENT = FLASH_LINEAR_ATTENTION
_MOST_WIDTH = 256


def supports(parameters: "GatedDelta", setting: Setting) -> str | None:
    """Support 16 bits, and heads of the width that its kernels hold."""
    del parameters
    if setting.shape.head_dim > _MOST_WIDTH:
        return f"fla_gated_delta takes a head_dim of at most {_MOST_WIDTH}, found {setting.shape.head_dim}"
    return _fla.refusal("fla_gated_delta", setting)


def predict_bytes(parameters: "GatedDelta", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as read in the source.

    In units of the queries, with S for the states, and P for the triangular systems of chunks. Forward: normalised
    queries and keys, copied values, P, S, what tokens write, its two parts, and the output. It keeps the former, P, the
    output, and queries and keys in float32. Backward: a copy of the output's gradient, the same parts again, 2 S, and
    gradients of inputs and parts.
    """
    del parameters, threads
    copied, states = _fla.copied(setting), _fla.states(setting)
    pairs = _fla.CHUNK / setting.shape.head_dim
    forward, kept = 6 + copied + pairs + states, 7 + copied + pairs
    return _fla.predicted_bytes(setting, forward, kept, backward=copied + 2 * states + 10)


def build(parameters: "GatedDelta", setting: Setting, weights: "Weights") -> Program:
    """Prepare nothing."""
    del parameters, setting
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    from torch.nn.functional import normalize

    from attnbench.variants import _chunks
    from attnbench.variants.gated_delta import gates

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        wide_q, wide_k, *learned = _chunks.wide(q, k, *weights)
        log_alpha, beta = (_fla.tokens(each).squeeze(-1) for each in gates(wide_k, learned))
        q, k = (_fla.tokens(normalize(each, dim=-1).to(q.dtype)) for each in (wide_q, wide_k))
        out: Tensor = chunk_gated_delta_rule(q, k, _fla.tokens(v), log_alpha, beta, scale=1.0)[0]
        return out.transpose(1, 2)

    return Program(attend)
