"""LSTM: a recurrent network that carries a cell c along the sequence; gates say what is added, kept and shown.

    i = sigmoid(W_i x_t + U_i h_(t - 1) + b_i), and f and o alike
    g = tanh(W_g x_t + U_g h_(t - 1) + b_g)
    c_t = f * c_(t - 1) + i * g
    h_t = o * tanh(c_t)
    y_t = h_t

i, f and o are gates. g is what may be added to the cell.

h has C numbers, with `bidirectional` C / 2 for each direction. The four W are one matrix W_x, and the four U one matrix
W_h; b is a sum b_x + b_h, as in torch. Tokens follow each other, so a call takes N steps. Cost: 16 N C^2 FLOPs forward,
12 N C^2 with `bidirectional`.

Source: Hochreiter and Schmidhuber 1997, "Long short-term memory"; Graves and Schmidhuber 2005 for two directions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, _recurrent, parameter
from attnbench.variants._decoding import State
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_GATES, _STATES = 4, 2


@dataclass(frozen=True)
class Lstm(Parameters):
    """A state is carried along the sequence."""

    bidirectional: bool = parameter("carry a second state backwards, each with half of the width", default=False)


def weights(parameters: Lstm, setting: Setting, generator: "Generator") -> Weights:
    """Draw W_x, W_h, b_x and b_h of each direction, all learned."""
    return _recurrent.weights(_GATES, parameters.bidirectional, setting, generator)


def reference(parameters: Lstm, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Take one step after another; return the tokens `B R C` at `rows`."""
    return _recurrent.reference(_step, _STATES, parameters.bidirectional, x, rows, weights)


def _step(given: "Tensor", state: "tuple[Tensor, ...]", w_h: "Tensor") -> "tuple[Tensor, ...]":
    """Return h and c after a token."""
    h, c = state
    write, keep, new, read = (given.sum(dim=0) + h @ w_h.T).chunk(4, dim=-1)
    c = keep.sigmoid() * c + write.sigmoid() * new.tanh()
    return read.sigmoid() * c.tanh(), c


def work(parameters: Lstm, setting: Setting) -> Work:
    """Count the products of each step."""
    return _recurrent.work(_GATES, parameters.bidirectional, setting)


def build(parameters: Lstm, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    import torch

    _recurrent.refusal(parameters.bidirectional, setting)
    sides = 1 + parameters.bidirectional
    hidden = setting.shape.heads * setting.shape.head_dim // sides

    def run(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        zeros = x.new_zeros(sides, x.shape[0], hidden)
        out: Tensor = torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, False, parameters.bidirectional, True)[0]
        return out

    return Program(run)


def _state(parameters: Lstm, x: "Tensor", weights: Weights) -> State:
    """Return h and c `B C` after the tokens."""
    del parameters
    import torch

    h, c = (x.new_zeros(1, x.shape[0], x.shape[2]) for _ in range(_STATES))
    if x.shape[1]:
        _, h, c = torch.lstm(x, (h, c), weights, True, 1, 0.0, False, False, True)
    return h[0], c[0]


def _cell(x: "Tensor", before: State, weights: Weights) -> State:
    """Return h and c after a token."""
    import torch

    return torch.lstm_cell(x, before, *weights)


VARIANT = Variant(
    Lstm,
    source="Hochreiter and Schmidhuber 1997",
    family="recurrent",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    decoding=_recurrent.decoding(_GATES, _state, _cell),
    examples=({}, {"bidirectional": True}),
    level="layer",
)
