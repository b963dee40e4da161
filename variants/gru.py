"""GRU: a recurrent network whose state is a mean of its last state and of a new one, weighted by a gate.

    r = sigmoid(W_r x_t + b_r + U_r h_(t - 1) + b'_r)
    z = sigmoid(W_z x_t + b_z + U_z h_(t - 1) + b'_z)
    n = tanh(W_n x_t + b_n + r * (U_n h_(t - 1) + b'_n))
    h_t = (1 - z) * n + z * h_(t - 1)
    y_t = h_t

r and z are gates. n is the new state.

h has C numbers, with `bidirectional` C / 2 for each direction. The three W are one matrix W_x, the three U one matrix
W_h. Tokens follow each other, so a call takes N steps. Cost: 12 N C^2 FLOPs forward, 9 N C^2 with `bidirectional`.

Source: Cho et al. 2014, arXiv 1406.1078, section 2.3, with the reset gate after the product, as in torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, _recurrent, parameter
from attnbench.variants._decoding import State
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_GATES, _STATES = 3, 1


@dataclass(frozen=True)
class Gru(Parameters):
    """A state is carried along the sequence."""

    bidirectional: bool = parameter("carry a second state backwards, each with half of the width", default=False)


def weights(parameters: Gru, setting: Setting, generator: "Generator") -> Weights:
    """Draw W_x, W_h, b_x and b_h of each direction, all learned."""
    return _recurrent.weights(_GATES, parameters.bidirectional, setting, generator)


def reference(parameters: Gru, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Take one step after another; return the tokens `B R C` at `rows`."""
    return _recurrent.reference(_step, _STATES, parameters.bidirectional, x, rows, weights)


def _step(given: "Tensor", state: "tuple[Tensor, ...]", w_h: "Tensor") -> "tuple[Tensor, ...]":
    """Return h after a token."""
    (h,) = state
    (reset, mix, new), (reset_h, mix_h, new_h) = given[0].chunk(3, dim=-1), (h @ w_h.T + given[1]).chunk(3, dim=-1)
    share = (mix + mix_h).sigmoid()
    return ((1 - share) * (new + (reset + reset_h).sigmoid() * new_h).tanh() + share * h,)


def work(parameters: Gru, setting: Setting) -> Work:
    """Count the products of each step."""
    return _recurrent.work(_GATES, parameters.bidirectional, setting)


def build(parameters: Gru, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    import torch

    _recurrent.refusal(parameters.bidirectional, setting)
    sides = 1 + parameters.bidirectional
    hidden = setting.shape.heads * setting.shape.head_dim // sides

    def run(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        zeros = x.new_zeros(sides, x.shape[0], hidden)
        out: Tensor = torch.gru(x, zeros, weights, True, 1, 0.0, False, parameters.bidirectional, True)[0]
        return out

    return Program(run)


def _state(parameters: Gru, x: "Tensor", weights: Weights) -> State:
    """Return h `B C` after the tokens."""
    del parameters
    import torch

    h = x.new_zeros(1, x.shape[0], x.shape[2])
    if x.shape[1]:
        _, h = torch.gru(x, h, weights, True, 1, 0.0, False, False, True)
    return (h[0],)


def _cell(x: "Tensor", before: State, weights: Weights) -> State:
    """Return h after a token."""
    import torch

    return (torch.gru_cell(x, before[0], *weights),)


VARIANT = Variant(
    Gru,
    source="Cho et al. 2014, arXiv 1406.1078",
    family="recurrent",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    decoding=_recurrent.decoding(_GATES, _state, _cell),
    examples=({}, {"bidirectional": True}),
    level="layer",
)
