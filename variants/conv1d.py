"""Convolution: every token is a weighted sum of its neighbours, with the same weights everywhere.

    y_i = b + sum_m W_m x_(i + dilation m),   |m| <= (kernel - 1) / 2,   tokens outside the sequence are 0

W_m is `C x C`, or with `depthwise` a diagonal. When causal, the kernel ends at the token. Cost: 2 kernel N C^2 FLOPs
forward, 2 kernel N C with `depthwise`.

Source: LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition"; depthwise: Wu et al. 2019,
arXiv 1901.10430, section 2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products, parameter
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Conv1d(Parameters):
    """A token sees `kernel` tokens, `dilation` apart, centred on itself."""

    kernel: int = parameter("tokens that a token sees, odd", default=9, minimum=1, odd=True)
    dilation: int = parameter("distance between neighbouring tokens of a kernel", default=1, minimum=1)
    depthwise: bool = parameter("keep the channels apart", default=False)
    causal: bool = parameter("end the kernel at the token", default=False)

    @property
    def first(self) -> int:
        """Return the place of a kernel's first token relative to its own."""
        return -(self.kernel - 1) * self.dilation // (1 if self.causal else 2)


def weights(parameters: Conv1d, setting: Setting, generator: "Generator") -> Weights:
    """Draw W `[C, C, kernel]` (`[C, 1, kernel]` with `depthwise`), from inputs to outputs, and b `[C]`; learned."""
    import torch

    width = setting.shape.heads * setting.shape.head_dim
    seen = 1 if parameters.depthwise else width
    drawn = torch.randn(width, seen, parameters.kernel, generator=generator) * (seen * parameters.kernel) ** -0.5
    return torch.nn.Parameter(drawn), torch.nn.Parameter(0.1 * torch.randn(width, generator=generator))


def reference(parameters: Conv1d, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Sum over the kernel; return the tokens `B R C` at `rows`."""
    w, b = weights
    out = b.expand(x.shape[0], len(rows), -1)
    for tap in range(parameters.kernel):
        at = rows + parameters.first + tap * parameters.dilation
        inside = (at >= 0) & (at < x.shape[1])
        seen = x[:, at.clamp(0, x.shape[1] - 1)] * inside[:, None]
        out = out + (seen * w[:, 0, tap] if parameters.depthwise else seen @ w[:, :, tap].T)
    return out


def work(parameters: Conv1d, setting: Setting) -> Work:
    """Count a product with every W_m for each token."""
    shape = setting.shape
    width = shape.heads * shape.head_dim
    each = 2 * parameters.kernel * width * (1 if parameters.depthwise else width)
    return of_products(shape.batch * shape.seq_len * each, setting.direction)


def build(parameters: Conv1d, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing."""
    from torch.nn.functional import conv1d, pad

    w, b = weights
    n, before = setting.shape.seq_len, -parameters.first
    after = (parameters.kernel - 1) * parameters.dilation - before
    groups = w.shape[0] if parameters.depthwise else 1

    def convolve(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        padded = pad(x.transpose(1, 2), (before, after))
        out = conv1d(padded, w, b, dilation=parameters.dilation, groups=groups)
        return out.transpose(1, 2)[:, :n].contiguous()

    return Program(convolve)


VARIANT = Variant(
    Conv1d,
    source="LeCun et al. 1989; depthwise: Wu et al. 2019, arXiv 1901.10430",
    family="convolution",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    examples=({"kernel": 5}, {"kernel": 3, "dilation": 4, "depthwise": True, "causal": True}),
    level="layer",
)
