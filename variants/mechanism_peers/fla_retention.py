"""flash-linear-attention's retention (`chunk_retention`), kernels in Triton. CUDA only.

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
    from attnbench.variants.retention import Retention

VARIANT = "retention"
REQUIREMENT = FLASH_LINEAR_ATTENTION


def supports(parameters: "Retention", setting: Setting) -> str | None:
    """Support 16 bits."""
    del parameters
    return _fla.refusal("fla_retention", setting)


def predict_bytes(parameters: "Retention", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as read in the source.

    In units of the queries, with S for the states. Forward: copied inputs, the output and S. It keeps the output and
    the copies. Backward: a copy of the output's gradient, those of the inputs, and 4 S.
    """
    del parameters, threads
    copied, states = _fla.copied(setting), _fla.states(setting)
    forward, kept = 3 * copied + 1 + states, 1 + 3 * copied
    return _fla.predicted_bytes(setting, forward, kept, backward=copied + 3 + 4 * states)


def build(parameters: "Retention", setting: Setting, weights: "Weights") -> Program:
    """Prepare nothing."""
    del parameters, setting, weights
    from fla.ops.retention import chunk_retention

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        out: Tensor = chunk_retention(*map(_fla.tokens, (q, k, v)))[0]
        return out.transpose(1, 2)

    return Program(attend)
