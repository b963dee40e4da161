"""A convolution is a special case of self-attention: weights that depend on positions alone (docs/cnn.md)."""

from itertools import product
from typing import Any

import pytest
import torch
from settings import case_of, setting
from torch import Tensor, nn
from torch.nn.functional import conv1d, one_hot, pad

from attnbench import variants
from attnbench.runner.worker.call import programs
from attnbench.variants import Shape
from attnbench.variants.conv1d import Conv1d
from attnbench.variants.local_window import LocalWindow

ALPHA = 100.0
DTYPES = {"float32": 1e-5, "float64": 1e-12}
"""The largest error in each dtype."""


def attended(conv: nn.Conv2d, images: Tensor, implementation: str) -> Tensor:
    """What full attention makes of images, with a head for each place of the kernel, and the kernel behind it.

    The convolution keeps the size of images. Keys hold positions, and queries what makes `q . k / sqrt(D)` equal to
    `-ALPHA |j - i - offset|^2` but for what all keys share. The last key has the score `-ALPHA / 2` and the value 0.
    """
    batch, channels, *size = images.shape
    grid = product(*map(range, size))
    places = torch.tensor([*grid], dtype=images.dtype)
    sides = zip(conv.kernel_size, conv.dilation, strict=True)
    taps = product(*(range(-(many // 2) * step, many // 2 * step + 1, step) for many, step in sides))
    sought = places + torch.tensor([*taps], dtype=images.dtype)[:, None]
    n, d = len(places) + 1, max(channels, 4)
    q = torch.cat([-torch.ones_like(sought[..., :1]), 2 * sought, sought.square().sum(-1, keepdim=True) - 0.5], dim=-1)
    k = torch.cat([places.square().sum(-1, keepdim=True), places, torch.zeros(n - 1, 1)], dim=-1)
    k = torch.cat([k, torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=k.dtype)])
    q, k = (pad(each, (0, d - 4)) for each in (ALPHA * d**0.5 * pad(q, (0, 0, 0, 1)), k))
    v = pad(images.flatten(2).transpose(1, 2), (0, d - channels, 0, 1))
    made = case_of("full", {}, implementation, Shape(batch, len(sought), 1, n, d), str(images.dtype)[6:])
    out = programs.build(made).call(*(each.expand(batch, -1, -1, -1) for each in (q, k[None])), v[:, None])
    assert conv.bias is not None
    seen = torch.einsum("bhnc,och->bon", out[:, :, :-1, :channels], conv.weight.flatten(2))
    return torch.unflatten(seen + conv.bias[:, None], 2, size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("kernel", "dilation"), [((3, 3), 1), ((1, 1), 1), ((3, 5), 1), ((3, 3), 2)], ids=lambda each: str(each)
)
def test_attention_with_quadratic_relative_scores_is_a_convolution(
    kernel: tuple[int, int], dilation: int, implementation: str, dtype: str
) -> None:
    """The output everywhere, up to the edges of images, and the gradients of images and kernel."""
    torch.manual_seed(0)
    wide = getattr(torch, dtype)
    padding = (kernel[0] // 2 * dilation, kernel[1] // 2 * dilation)
    conv = nn.Conv2d(3, 6, kernel, padding=padding, dilation=dilation, dtype=wide)
    images = torch.randn(2, 3, 7, 9, dtype=wide, requires_grad=True)
    dout = torch.randn(2, 6, 7, 9, dtype=wide)
    outs = conv(images), attended(conv, images, implementation)
    right, found = ((out.detach(), *torch.autograd.grad(out, (images, conv.weight), dout)) for out in outs)
    for mine, theirs in zip(found, right, strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=DTYPES[dtype] * max(1.0, float(theirs.abs().max())))


def test_a_smaller_alpha_is_no_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are then spread over neighbours."""
    monkeypatch.setitem(globals(), "ALPHA", 1.0)
    conv, images = nn.Conv2d(3, 6, 3, padding=1), torch.randn(1, 3, 7, 9)
    assert not torch.allclose(conv(images), attended(conv, images, "eager"), atol=0.05)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa_masked", "blockwise"])
@pytest.mark.parametrize("window", [1, 7])
def test_a_window_with_positional_weights_alone_is_a_depthwise_convolution(
    window: int, implementation: str, dtype: str
) -> None:
    """Two heads for each kernel: one has its positive weights, one its negative ones.

    Keys say their place modulo the window, so a query holds a score for each key of its window. Softmax divides by the
    sum of the weights. This sum is smaller at the ends of the sequence, where the window is cut off.
    """
    wide, n, kernels = getattr(torch, dtype), 61, 3
    kernel = torch.randn(kernels, window, generator=torch.Generator().manual_seed(0)).to(wide)
    parts = torch.cat([kernel, -kernel]).clamp(min=0)
    before, _ = LocalWindow(window).reach
    places = torch.arange(n)
    k = one_hot(places % window, window).to(wide)
    scores = (parts + 1e-30).log() * window**0.5
    q = scores[:, (torch.arange(window) - places[:, None] + before) % window]
    v = torch.randn(2, kernels, n, window, dtype=wide)
    shape = Shape(2, 2 * kernels, 2 * kernels, n, window)
    program = programs.build(case_of("local_window", {"window": window}, implementation, shape, dtype))
    out = program.call(q.expand(2, -1, -1, -1), k.expand(2, 2 * kernels, -1, -1), torch.cat([v, v], dim=1))
    sums = conv1d(torch.ones(1, 2 * kernels, n, dtype=wide), parts[:, None], padding=before, groups=2 * kernels)
    positive, negative = (out * sums[..., None]).chunk(2, dim=1)
    right = convolved(kernel, v)
    assert torch.allclose(positive - negative, right, rtol=0, atol=DTYPES[dtype] * max(1.0, float(right.abs().max())))


def convolved(kernel: Tensor, v: Tensor) -> Tensor:
    """What `conv1d` makes of heads `B H N D` with a kernel `[H, kernel]` for the channels of each head."""
    batch, heads, n, d = v.shape
    layer: Any = variants.load("conv1d")
    told = setting(Shape(batch, heads, heads, n, d), str(v.dtype)[6:])
    weights = kernel.repeat_interleave(d, dim=0)[:, None], torch.zeros(heads * d, dtype=v.dtype)
    program = layer.program(Conv1d(kernel.shape[1], depthwise=True), told, weights)
    out: Tensor = program.call(v.transpose(1, 2).flatten(2))
    return torch.unflatten(out, 2, (heads, d)).transpose(1, 2)
