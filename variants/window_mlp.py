"""Window MLP: a fully-connected network sees the neighbours of a token side by side.

    y_i = W_2 gelu(W_1 [x_(i - r), ..., x_(i + r)] + b_1) + b_2,   r = (window - 1) / 2

Tokens outside the sequence are 0. W_1 is `hidden x window C`. Cost: 2 N hidden (window + 1) C FLOPs forward.

Source: Bengio et al. 2003, "A neural probabilistic language model", section 2; Waibel et al. 1989, "Phoneme recognition
using time-delay neural networks".
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class WindowMlp(Parameters):
    """A network sees `window` tokens, centred on the token that it computes."""

    window: int = parameter("tokens that a token sees, odd", default=9, minimum=1, odd=True)
    hidden: int = parameter("numbers of the hidden layer", default=256, minimum=1)


def weights(parameters: WindowMlp, setting: Setting, generator: "Generator") -> Weights:
    """Draw W_1 `[window C, hidden]`, b_1, W_2 `[hidden, C]` and b_2, all learned."""
    import torch

    width = setting.shape.heads * setting.shape.head_dim
    drawn = []
    for rows, columns in ((parameters.window * width, parameters.hidden), (parameters.hidden, width)):
        drawn.append(torch.randn(rows, columns, generator=generator) * rows**-0.5)
        drawn.append(0.1 * torch.randn(columns, generator=generator))
    return tuple(map(torch.nn.Parameter, drawn))


def reference(parameters: WindowMlp, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Put the neighbours side by side; return the tokens `B R C` at `rows`."""
    import torch
    from torch.nn.functional import gelu

    first, first_bias, second, second_bias = weights
    reach = parameters.window // 2
    outside = x.new_zeros(x.shape[0], reach, x.shape[2])
    padded = torch.cat([outside, x, outside], dim=1)
    beside = torch.cat([padded[:, rows + tap] for tap in range(parameters.window)], dim=-1)
    return gelu(beside @ first + first_bias) @ second + second_bias


def work(parameters: WindowMlp, setting: Setting) -> Work:
    """Count both products for each token."""
    shape = setting.shape
    width = shape.heads * shape.head_dim
    each = 2 * parameters.hidden * (parameters.window + 1) * width
    return of_products(shape.batch * shape.seq_len * each, setting.direction)


def build(parameters: WindowMlp, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing. The first product is a convolution, so that neighbours are not copied."""
    from torch.nn.functional import conv1d, gelu

    first, first_bias, second, second_bias = weights
    width, reach = setting.shape.heads * setting.shape.head_dim, parameters.window // 2

    def mix(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        kernel = first.view(parameters.window, width, parameters.hidden).permute(2, 1, 0)
        hidden = conv1d(x.transpose(1, 2), kernel, first_bias, padding=reach).transpose(1, 2)
        return gelu(hidden) @ second + second_bias

    return Program(mix)


VARIANT = Variant(
    WindowMlp,
    source="Bengio et al. 2003; Waibel et al. 1989",
    family="convolution",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    examples=({"window": 5, "hidden": 24}, {"window": 1, "hidden": 7}),
    level="layer",
)
