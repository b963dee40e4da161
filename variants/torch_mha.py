"""torch's `nn.MultiheadAttention`: an attention layer with its projections, in one module.

    y = W_o merge(attend(split(W_q x + b_q), split(W_k x + b_k), split(W_v x + b_v))) + b_o

It computes what `full` computes at level `layer`, so compare it with `full` there. It is no implementation of `full`
because its fast path takes tokens and not queries, keys and values: the module has no call without projections.

Without gradients and with an even number of heads, torch takes the fast path, `_native_multi_head_attention`. On a CPU
that stores all N^2 scores. With gradients torch calls `scaled_dot_product_attention`. The module is in evaluation mode,
has `batch_first`, and returns no weights. It has as many key heads as heads, so other `kv_heads` are refused. Cost:
8 N C^2 + 4 N^2 C FLOPs forward.

Source: https://pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants import Parameters, Setting, Variant, Weights, Work, of_products
from attnbench.variants.kernels import Program

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class TorchMha(Parameters):
    """It has no parameters."""


def weights(parameters: TorchMha, setting: Setting, generator: "Generator") -> Weights:
    """Draw W `[3 C, C]` and b `[3, H, D]` of queries, keys and values, W_o `[C, C]` and b_o `[C]`, all learned.

    The variances are those of `layer`.
    """
    del parameters
    import torch

    heads, d = setting.shape.heads, setting.shape.head_dim
    width = heads * d
    sizes = (((3 * width, width), width**-0.5), ((3, heads, d), 0.1), ((width, width), width**-0.5), ((width,), 0.1))
    return tuple(torch.nn.Parameter(torch.randn(size, generator=generator) * scale) for size, scale in sizes)


def reference(parameters: TorchMha, x: "Tensor", rows: "Tensor", weights: Weights) -> "Tensor":
    """Compute the formula; return the tokens `B R C` at `rows`."""
    del parameters
    w, b, w_o, b_o = weights
    _, heads, d = b.shape
    q, k, v = (
        (tokens @ each.T + bias.flatten()).unflatten(-1, (heads, d)).transpose(1, 2)
        for tokens, each, bias in zip((x[:, rows], x, x), w.chunk(3), b, strict=True)
    )
    out: Tensor = (q @ k.mT * d**-0.5).softmax(dim=-1) @ v
    return out.transpose(1, 2).flatten(2) @ w_o.T + b_o


def work(parameters: TorchMha, setting: Setting) -> Work:
    """Count the four projections and both products of attention."""
    del parameters
    n, width = setting.shape.seq_len, setting.shape.heads * setting.shape.head_dim
    return of_products(setting.shape.batch * (8 * n * width**2 + 4 * n**2 * width), setting.direction)


def build(parameters: TorchMha, setting: Setting, weights: Weights) -> Program:
    """Prepare the module, with the weights in place of its own.

    Raises:
        NotImplementedError: `kv_heads` are not `heads`.
    """
    del parameters
    import torch

    shape = setting.shape
    if shape.kv_heads != shape.heads:
        found = f"found kv_heads {shape.kv_heads} and heads {shape.heads}"
        raise NotImplementedError(f"torch's module takes as many kv_heads as heads, {found}; leave kv_heads out")
    with torch.device("meta"):  # no weights are drawn: all are replaced
        module = torch.nn.MultiheadAttention(shape.heads * shape.head_dim, shape.heads, batch_first=True).eval()
    w, b, w_o, b_o = weights

    def replaced(owner: "torch.nn.Module", name: str, weight: "Tensor") -> None:
        """Replace a weight of the module."""
        delattr(owner, name)
        setattr(owner, name, weight)

    replaced(module, "in_proj_weight", w)
    replaced(module.out_proj, "weight", w_o)
    replaced(module.out_proj, "bias", b_o)

    def attend(x: "Tensor") -> "Tensor":
        """Map tokens `B N C` to tokens `B N C`."""
        replaced(module, "in_proj_bias", b.flatten())
        out: Tensor = module(x, x, x, need_weights=False)[0]
        return out

    return Program(attend, shape.batch * shape.heads * shape.seq_len**2)


VARIANT = Variant(
    TorchMha,
    source="torch.nn.MultiheadAttention",
    family="pattern",
    build=build,
    weights=weights,
    reference=reference,
    work=work,
    level="layer",
)
