"""flash-linear-attention's gated linear attention (`chunk_gla`), kernels in Triton. CUDA only.

The logarithms of gates come from torch, in float32, as in the variant's own program.

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
    from attnbench.variants.gated_linear import GatedLinear

VARIANT = "gated_linear"
REQUIREMENT = FLASH_LINEAR_ATTENTION


def supports(parameters: "GatedLinear", setting: Setting) -> str | None:
    """Support 16 bits."""
    del parameters
    return _fla.refusal("fla_gated_linear", setting)


def predict_bytes(parameters: "GatedLinear", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as read in the source.

    In units of the queries, with S for the states, and P for the weights of pairs in a chunk. A tensor in float32 is 2.
    Forward: the gates, made of 6, then copied inputs, gates, their running sums, the output, S and P. It keeps copies,
    running sums, P, what the gates are made of, and the output. Backward: a copy of the output's gradient, 4 S, P, dV,
    and 10 for the gradients of queries, keys and gates in float32, which two kernels write.
    """
    del threads
    copied, states, width = _fla.copied(setting), _fla.states(setting), setting.shape.head_dim
    pairs = 2 * _fla.CHUNK / width
    forward = max(6, 3 * copied + 5 + states + pairs)
    kept = 3 * copied + 7 + pairs + 2 * parameters.rank / width
    return _fla.predicted_bytes(setting, forward, kept, backward=copied + 4 * states + pairs + 11)


def build(parameters: "GatedLinear", setting: Setting, weights: "Weights") -> Program:
    """Prepare nothing."""
    del parameters, setting
    from fla.ops.gla import chunk_gla

    from attnbench.variants import _chunks
    from attnbench.variants.gated_linear import log_gates

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        wide, *learned = _chunks.wide(k, *weights)
        out: Tensor = chunk_gla(*map(_fla.tokens, (q, k, v, log_gates(wide, learned))))[0]
        return out.transpose(1, 2)

    return Program(attend)
