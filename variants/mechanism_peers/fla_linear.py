"""flash-linear-attention's linear attention (`chunk_linear_attn`), kernels in Triton. CUDA only.

It is always causal. The package computes no features, so `elu(x) + 1` is a call of torch's; its sums of keys are in the
dtype of the keys.

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
    from attnbench.variants.linear import Linear

VARIANT = "linear"
REQUIREMENT = FLASH_LINEAR_ATTENTION


def supports(parameters: "Linear", setting: Setting) -> str | None:
    """Support causal attention in 16 bits."""
    if not parameters.causal:
        return "fla_linear is always causal"
    if setting.dtype == "float16":
        return "sums over all keys overflow in float16"
    return _fla.refusal("fla_linear", setting)


def predict_bytes(parameters: "Linear", setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, as read in the source.

    In units of the queries, with S for the states. Forward: features 2 and copied values, then the output and S, or
    what divides the output, 4. It keeps the output twice, features, copied values and running sums of keys. Backward:
    what the division gives to output, queries and keys, a copy of that of the output, their gradients, and 4 S.
    """
    del parameters, threads
    copied, states = _fla.copied(setting), _fla.states(setting)
    forward = 2 + copied + max(1 + states, 4)
    return _fla.predicted_bytes(setting, forward, kept=5 + copied, backward=6 + copied + 4 * states)


def build(parameters: "Linear", setting: Setting, weights: "Weights") -> Program:
    """Prepare nothing."""
    del parameters, setting, weights
    from fla.ops.linear_attn import chunk_linear_attn
    from torch.nn.functional import elu

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        """Map queries, keys and values `B H N D` to outputs `B H N D`."""
        q, k = _fla.tokens(elu(q) + 1), _fla.tokens(elu(k) + 1)
        out: Tensor = chunk_linear_attn(q, k, _fla.tokens(v), scale=1.0, normalize=True)[0]
        return out.transpose(1, 2)

    return Program(attend)
