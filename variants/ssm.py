"""Diagonal state space: every channel carries a state of decaying waves, computed as a convolution by FFT.

    h_t = a * h_(t - 1) + (a - 1) / A * x_t,   a = exp(dt A)
    y_t = D x_t + 2 Re sum(C * h_t)

In each channel, x, y, dt and D are numbers. h, A and C are vectors of `state` / 2 complex numbers, and Re A < 0. dt, A,
C and D are learned. A call does not follow the recurrence: y is D x plus the convolution of x with what the recurrence
makes of one 1 and then zeros, which is K_t = 2 Re sum(C * (a - 1) / A * a^t).

Cost: 4 N state C FLOPs forward for K, in products of its powers, and 3 FFTs of 2 N numbers for each channel, which are
not counted as FLOPs of products.

Source: Gu et al. 2022 (S4D), arXiv 2206.11893, sections 3 and 4, with the start S4D-Lin.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Decoding, Parameters, Setting, Variant, Weights, Work, _chunks, of_products, parameter
from attnbench.variants._decoding import State, Step
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor

_SHORTEST, _LONGEST = 0.001, 0.1
"""Bounds of dt at the start."""
_BLOCK = 64
"""Tokens that are added to a state at once."""


@dataclass(frozen=True)
class Ssm(Parameters):
    """Every channel keeps a state of `state` numbers."""

    state: int = parameter("numbers of a channel's state, in pairs", default=64, minimum=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.state % 2:
            raise ValueError(f"state: expected an even number, found {self.state}")


def weights(parameters: Ssm, setting: Setting, generator: "Generator") -> Weights:
    """Draw log dt `[C, 1]`, log -Re A and Im A `[C, n]`, C_n `[C, n, 2]` and D `[C]` for n = state / 2, all learned."""
    import torch

    width, half = setting.shape.heads * setting.shape.head_dim, parameters.state // 2
    low, high = math.log(_SHORTEST), math.log(_LONGEST)
    dt = low + (high - low) * torch.rand(width, 1, generator=generator)
    real = torch.full((width, half), math.log(0.5))
    imaginary = math.pi * torch.arange(half).expand(width, -1).clone()
    c = torch.randn(width, half, 2, generator=generator)
    return tuple(map(torch.nn.Parameter, (dt, real, imaginary.float(), c, torch.randn(width, generator=generator))))


def _modes(weights: Weights) -> "tuple[Tensor, Tensor]":
    """Return dt A and the factors 2 C_n (exp(dt A) - 1) / A of the modes, complex `[C, n]`."""
    import torch

    dt, real, imaginary, c, _ = weights
    a = torch.complex(-real.exp(), imaginary)
    rates = dt.exp() * a
    return rates, 2 * torch.view_as_complex(c.contiguous()) * (rates.exp() - 1) / a


def reference(parameters: Ssm, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Carry the state from token to token; return the tokens `B R C` at `rows`. 16 bits become float32."""
    del parameters
    import torch

    dtype = x.dtype
    wide = torch.promote_types(dtype, torch.float32)
    x, weights = x.to(wide), tuple(each.to(wide) for each in weights)
    rates, factors = _modes(weights)
    decay, state = rates.exp(), torch.zeros_like(factors).expand(x.shape[0], -1, -1)
    outs = []
    for token in range(int(rows.max()) + 1):
        state = decay * state + x[:, token, :, None]
        outs.append((factors * state).real.sum(dim=-1))
    return (torch.stack(outs, dim=1)[:, rows] + weights[-1] * x[:, rows]).to(dtype)


def work(parameters: Ssm, setting: Setting) -> Work:
    """Count the complex products that give K: 4 real ones for each token, channel and mode."""
    shape = setting.shape
    each = 8 * (parameters.state // 2) * shape.heads * shape.head_dim
    return of_products(shape.seq_len * each, setting.direction)


def build(parameters: Ssm, setting: Setting, weights: Weights) -> Program:
    """Prepare nothing. FFTs are in float32 or float64."""
    del parameters
    import torch

    n = setting.shape.seq_len
    wide = torch.promote_types(getattr(torch, setting.dtype), torch.float32)
    # K at a + b side is a product of powers at a and at b side, so no array has C n N numbers.
    side = math.isqrt(n - 1) + 1

    def mix(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        every = tuple(each.to(wide) for each in weights)
        rates, factors = _modes(every)
        places = torch.arange(side, device=x.device, dtype=wide)
        low, high = (rates.unsqueeze(-1) * places).exp(), (rates.unsqueeze(-1) * (places * side)).exp()
        kernel = ((factors.unsqueeze(-1) * high).transpose(1, 2) @ low).real.flatten(1)[:, :n]
        signal = x.to(wide).transpose(1, 2)
        waves = torch.fft.rfft(signal, 2 * n) * torch.fft.rfft(kernel, 2 * n)
        out = torch.fft.irfft(waves, 2 * n)[..., :n].transpose(1, 2)
        mixed: Tensor = out + every[-1] * signal.transpose(1, 2)
        return mixed.to(x.dtype)

    return Program(mix)


def _state(parameters: Ssm, x: "Tensor", weights: Weights) -> State:
    """Return h `B C n 2` after the tokens, a block at a time; real and imaginary parts are apart."""
    del parameters
    import torch

    x, *every = _chunks.wide(x, *weights)
    rates, _ = _modes(tuple(every))
    since = torch.arange(_BLOCK - 1, -1, -1, device=x.device, dtype=x.dtype)
    fades = (rates.unsqueeze(-1) * since).exp()
    state = torch.zeros_like(rates).expand(x.shape[0], -1, -1)
    for at in range(0, x.shape[1], _BLOCK):
        block = x[:, at : at + _BLOCK].to(fades.dtype)
        many = block.shape[1]
        state = (rates * many).exp() * state + torch.einsum("cnt,btc->bcn", fades[..., -many:], block)
    return (torch.view_as_real(state.contiguous()),)


def _step(parameters: Ssm, setting: Setting, weights: Weights) -> Step:
    """Prepare how modes decay in a step, and their factors."""
    del parameters, setting
    import torch

    every = _chunks.wide(*weights)
    rates, factors = _modes(every)
    decay, skip = rates.exp(), every[-1]

    def step(before: State, after: State, x: "Tensor") -> "Tensor":
        """Map one token `B 1 C` to its output `B 1 C`."""
        (wide,) = _chunks.wide(x)
        old, new = (torch.view_as_complex(each[0]) for each in (before, after))
        torch.mul(decay, old, out=new)
        new.add_(wide.transpose(1, 2))
        return ((factors * new).real.sum(dim=-1).unsqueeze(1) + skip * wide).to(x.dtype)

    return step


def _step_work(parameters: Ssm, setting: Setting) -> Work:
    """Count the two complex products of each mode, with their sums: 8 real FLOPs each."""
    shape = setting.shape
    return Work(2 * 8 * shape.batch * shape.heads * shape.head_dim * (parameters.state // 2))


VARIANT = Variant(
    Ssm,
    source="Gu et al. 2022, arXiv 2206.11893",
    family="recurrent",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    decoding=Decoding(_state, _step, _step_work),
    examples=({"state": 8}, {"state": 2}),
    level="layer",
)
