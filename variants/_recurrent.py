"""What `lstm` and `gru` share: their weights, directions, work and decoding."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attnbench.variants import Decoding, Parameters, Setting, Weights, Work, of_products
from attnbench.variants._decoding import State
from attnbench.variants._decoding import Step as TokenStep

if TYPE_CHECKING:
    from torch import Generator, Tensor

Step = Callable[["Tensor", "tuple[Tensor, ...]", "Tensor"], "tuple[Tensor, ...]"]
"""Function of the inputs of the gates at one token, the state `B h` and W_h that returns the next state."""
Cell = Callable[["Tensor", State, Weights], State]
"""Function of one token `B C`, the state before it and the weights that returns the state after it, h first."""


def weights(gates: int, bidirectional: bool, setting: Setting, generator: "Generator") -> Weights:
    """Draw W_x `[gates h, C]`, W_h `[gates h, h]`, b_x and b_h for each direction, all learned; torch's layout."""
    import torch

    width = setting.shape.heads * setting.shape.head_dim
    hidden = width // (1 + bidirectional)
    rows = gates * hidden
    drawn = [
        torch.randn(*size, generator=generator) * scale
        for _ in range(1 + bidirectional)
        for size, scale in (
            ((rows, width), width**-0.5),
            ((rows, hidden), hidden**-0.5),
            ((rows,), 0.1),
            ((rows,), 0.1),
        )
    ]
    return tuple(map(torch.nn.Parameter, drawn))


def reference(step: Step, states: int, bidirectional: bool, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Go through the sequence token by token; return the first state of each direction at `rows`, `B R C`.

    `step` gets W_x x + b_x + b_h apart from W_h, so that it can add them as its formula says.
    """
    import torch

    sides = []
    for side in range(1 + bidirectional):
        w_x, w_h, b_x, b_h = weights[4 * side : 4 * side + 4]
        given = torch.stack([x @ w_x.T + b_x, b_h.expand(*x.shape[:2], -1)])
        state: tuple[Tensor, ...] = tuple(x.new_zeros(x.shape[0], w_h.shape[1]) for _ in range(states))
        outs = []
        for token in _order(x.shape[1], backwards=side == 1):
            state = step(given[:, :, token], state, w_h)
            outs.append(state[0])
        sides.append(torch.stack(outs[::-1] if side else outs, dim=1)[:, rows])
    return torch.cat(sides, dim=-1)


def _order(n: int, *, backwards: bool) -> Iterator[int]:
    """Return the tokens in the order of a direction."""
    return reversed(range(n)) if backwards else iter(range(n))


def work(gates: int, bidirectional: bool, setting: Setting) -> Work:
    """Count the products of both weights with each token, in each direction."""
    shape = setting.shape
    width = shape.heads * shape.head_dim
    hidden = width // (1 + bidirectional)
    each = 2 * gates * hidden * (width + hidden) * (1 + bidirectional)
    return of_products(shape.batch * shape.seq_len * each, setting.direction)


def refusal(bidirectional: bool, setting: Setting) -> None:
    """Refuse a width that does not split into two directions.

    Raises:
        NotImplementedError: it does not.
    """
    width = setting.shape.heads * setting.shape.head_dim
    if bidirectional and width % 2:
        raise NotImplementedError(f"two directions need an even width, found {width}")


def decoding(gates: int, state: Callable[..., State], cell: Cell) -> Decoding:
    """Return how a network of one direction decodes. `state` is that of earlier tokens; `cell` takes one step."""

    def prepared(_parameters: Parameters, _setting: Setting, weights: Weights) -> TokenStep:
        """Prepare nothing."""

        def step(before: State, after: State, x: "Tensor") -> "Tensor":
            """Map one token `B 1 C` to its output `B 1 C`."""
            found = cell(x[:, 0], before, weights)
            for to, each in zip(after, found, strict=True):
                to.copy_(each)
            return found[0].unsqueeze(1)

        return step

    def step_work(_parameters: Parameters, setting: Setting) -> Work:
        """Count the products of both weights with one token."""
        width = setting.shape.heads * setting.shape.head_dim
        return Work(4 * setting.shape.batch * gates * width**2)

    return Decoding(state, prepared, step_work, _refusal)


def _refusal(parameters: Any) -> str | None:
    """Refuse two directions."""
    return "a state that is carried backwards depends on later tokens" if parameters.bidirectional else None
