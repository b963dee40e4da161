"""A variant made of a torch module, for code that exists already."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.variants._parameters import Parameters
from attnbench.variants._setting import Setting, Work
from attnbench.variants._variant import Variant, Weights

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from attnbench.variants.kernels import Program

Make = Callable[[Any, int], "nn.Module"]
"""Function of the parameters and the width C that returns a module, which maps tokens `B N C` to tokens `B N C`."""


def of_module(parameters: type[Parameters], make: Make, source: str, **more: Any) -> Variant:
    """Return a variant at level `layer` that calls a torch module.

    Its weights are the module's parameters, all learned. Its reference is the module itself in float64. So the proof
    finds errors of a dtype, of a device and of a call, but none in the module's formula. Its work is what torch counts.
    The module is in evaluation mode, without dropout. `more` are other fields of the variant.
    """

    def weights(parameters: Parameters, setting: Setting, generator: "Generator") -> Weights:
        """Return the parameters as the module draws them."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            return tuple(make(parameters, _width(setting)).parameters())

    def reference(parameters: Parameters, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
        """Return the module's tokens `B R C` at rows."""
        return _call(make(parameters, x.shape[-1]), weights, x)[:, rows]

    def work(parameters: Parameters, setting: Setting) -> Work:
        """Count the products of a call on tensors without data."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        gradients = setting.direction != "forward"
        with torch.device("meta"):
            module = make(parameters, _width(setting))
            x = torch.empty(setting.shape.batch, setting.shape.seq_len, _width(setting), requires_grad=gradients)
        with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as forward:
            out = _call(module, tuple(module.parameters()), x)
        with FlopCounterMode(display=False) as backward:
            if gradients:
                torch.autograd.grad(out, [x, *module.parameters()], torch.empty_like(out))
        counted = {"forward": (forward,), "backward": (backward,), "training": (forward, backward)}[setting.direction]
        return Work(sum(each.get_total_flops() for each in counted))

    def build(parameters: Parameters, setting: Setting, weights: Weights) -> "Program":
        """Make the module with the weights."""
        from attnbench.variants.kernels import Program

        module = make(parameters, _width(setting)).to(setting.device)
        return Program(lambda x: _call(module, weights, x))

    return Variant(
        parameters, source, build=build, reference=reference, weights=weights, work=work, level="layer", **more
    )


def _width(setting: Setting) -> int:
    """Return the numbers of a token."""
    return setting.shape.heads * setting.shape.head_dim


def _call(module: "nn.Module", weights: "Sequence[Tensor]", x: "Tensor") -> "Tensor":
    """Return the module's output with these weights as its parameters."""
    from torch.func import functional_call

    named = {name: weight for (name, _), weight in zip(module.named_parameters(), weights, strict=True)}
    out: Tensor = functional_call(module.eval(), named, (x,))
    return out
