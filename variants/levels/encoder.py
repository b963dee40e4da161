"""A pre-norm encoder with a classifier: from the bytes of a text to the loss of its class.

    x = E[tokens] + P
    x = x + layer(norm(x))                          in each of `layers` blocks; layer is that of level `layer`
    x = x + W_2 gelu(W_1 norm(x) + b_1) + b_2       W_1 `[mlp C, C]`
    loss = cross-entropy of W mean_t(norm(x_t)) + b against the label, one for each sequence

Tokens are drawn of a vocabulary of 256, labels of 2 classes. Each block has its own weights, of the mechanism too. A
variant that is a whole layer, such as `lstm`, takes the place of the layer. Positions are added to the first x, or are
those of every layer (`rotary`, `relative`). dout is 1 / B, so that gradients are those of the mean loss. A call of
`training` also takes a step of AdamW with torch's defaults. FLOPs forward, without layers: 4 mlp N C^2 for each block,
and 4 C.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3; pre-norm: Xiong et al. 2020, arXiv 2002.04745; the task: Tay
et al. 2020, arXiv 2011.04006, section 2.2.2.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from attnbench.variants._parameters import parameter
from attnbench.variants._setting import Setting, Shape, of_products
from attnbench.variants.levels import Attend, Level, Predict, Update
from attnbench.variants.levels.layer import Layer, drawn_positions

if TYPE_CHECKING:
    from torch import Generator, Tensor

VOCABULARY = 256
_CLASSES = 2
OF_BLOCK = 8
"""Weights of a block besides those of its layer: of two norms and two products, each with a bias."""


@dataclass(frozen=True)
class Encoder(Level):
    """Blocks of a layer and a feed-forward network, and a classifier on their mean."""

    layers: int = parameter("blocks, one after another", default=2, minimum=1)
    width: int | None = parameter("numbers of a token; null: heads x head_dim, and no other", default=None, minimum=1)
    mlp: int | float = parameter("width of the feed-forward network, in multiples of a token's", default=2, minimum=0)
    positions: Literal["none", "sinusoidal", "learned", "rotary", "relative"] = parameter(
        "how the model knows where a token is", default="learned"
    )

    integers: ClassVar[bool] = True

    @property
    def vocabulary(self) -> int:
        """The number of different tokens."""
        return VOCABULARY

    @property
    def classes(self) -> int:
        """The number of different labels."""
        return _CLASSES

    def hidden(self, shape: Shape) -> int:
        """Return the width of a hidden layer, at least 1."""
        return max(1, round(self.mlp * width_of(shape)))

    def widened(self, tokens: int, shape: Shape) -> int:
        """Return the bytes of a hidden layer, given those of tokens."""
        return tokens * self.hidden(shape) // width_of(shape)

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return self.layers

    @property
    def inner(self) -> Layer:
        """The layer in each block."""
        return Layer("none" if self.adds else self.positions)

    @property
    def adds(self) -> bool:
        """Whether positions are added to tokens."""
        return self.positions in ("sinusoidal", "learned")

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the sizes of tokens `B N`, labels `B` and losses `B 1`."""
        return (shape.batch, shape.seq_len), (shape.batch,), (shape.batch, 1)

    def fitted(self, widths: Collection[int], batches: Collection[int]) -> Self:
        """Return the encoder without its width, which must be each of `widths`."""
        del batches
        for width in widths:
            if self.width not in (None, width):
                raise ValueError(f"expected width = heads x head_dim = {width}, found {self.width}; leave it out")
        return replace(self, width=None)

    def refusal(self, setting: Setting) -> str | None:
        """Refuse another width than that of the heads, and steps of an optimiser in float16."""
        width = width_of(setting.shape)
        if self.width not in (None, width):
            return f"width: expected heads x head_dim = {width}, found {self.width}"
        if (setting.direction, setting.dtype) == ("training", "float16"):
            return "squares of gradients underflow in an optimiser's float16; use bfloat16 or float32"
        return self.inner.refusal(setting)

    def draw(self, shape: Shape, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw tokens and labels, int64; dout is constant."""
        import torch

        tokens, labels, losses = self.sizes(shape)
        return (
            torch.randint(self.vocabulary, tokens, generator=generator),
            torch.randint(self.classes, labels, generator=generator),
            torch.full(losses, 1 / losses[0]),
        )

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw E, the positions, for each block both norms, W_1, b_1, W_2 and b_2, and the last norm, W and b.

        What a product or a norm returns is as large as its input. Tables of sines are not learned.
        """
        draw, width = Draw(generator), width_of(setting.shape)
        embedding = draw.numbers(self.vocabulary, width, scale=1.0)
        added = drawn_positions(self.positions, setting, generator) if self.adds else ()
        blocks = [each for _ in range(self.layers) for each in draw.block(width, self.hidden(setting.shape))]
        return (embedding, *added, *blocks, *draw.norm(width), *draw.product(self.classes, width))

    def call(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", *inputs: "Tensor"
    ) -> "Tensor":
        """Map tokens `B N` and labels `B` to losses `B 1`."""
        from torch.nn import functional

        tokens, labels = inputs
        return functional.cross_entropy(self.scores(setting, within, weights, tokens), labels, reduction="none")[
            :, None
        ]

    def scores(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", tokens: "Tensor"
    ) -> "Tensor":
        """Map tokens `B N` to the scores of classes `B classes`."""
        from torch.nn.functional import linear

        del setting
        embedding, *rest = weights
        *blocks, last_scale, last_shift, w, b = rest
        added = [blocks.pop(0)] if self.adds else []
        x = encoded(partial(self.embedded, tokens, embedding), added, within, blocks)
        return linear(self.read(normed(x, last_scale, last_shift), tokens), w, b)

    def embedded(self, tokens: "Tensor", embedding: "Tensor") -> "Tensor":
        """Return the vectors `B N C` of tokens `B N`."""
        from torch.nn.functional import embedding as embed

        return embed(tokens, embedding)

    def read(self, x: "Tensor", tokens: "Tensor") -> "Tensor":
        """Return what the classifier reads of the last tokens `B N C`: their mean `B C`."""
        del tokens
        return x.mean(dim=1)

    def update(self, learned: "Sequence[Tensor]") -> "tuple[Update, tuple[Tensor, ...]]":
        """Take a step of AdamW. It changes the weights, their running moments and the number of steps."""
        import torch

        optimiser = torch.optim.AdamW(learned)
        for weight in learned:
            # As its first step makes them; here they exist before any call.
            moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            optimiser.state[weight] = {"step": torch.tensor(0.0), **moments}

        def step(gradients: "Sequence[Tensor | None]") -> None:
            for weight, gradient in zip(learned, gradients, strict=True):
                weight.grad = gradient
            optimiser.step()
            optimiser.zero_grad()

        return step, (*learned, *(each for state in optimiser.state.values() for each in state.values()))

    def flops(self, setting: Setting) -> int:
        """Count the feed-forward networks and the classifier."""
        shape = setting.shape
        width = width_of(shape)
        blocks = self.layers * 4 * self.hidden(shape) * shape.seq_len * width
        return of_products(shape.batch * (blocks + 2 * self.classes * width), setting.direction).flops

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Add up what blocks hold; T is the size of the tokens `B N C`, M T that of a hidden layer.

        Forward: x, its norm and a layer, or x and two hidden layers. For its gradients a block keeps 5 T, q, k and v,
        two hidden layers, and what the mechanism keeps: the difference of its `training` and `backward`. Training peaks
        when the last block is differentiated: at its hidden layers, or at the mechanism, when these are free. Backward
        keeps everything, and peaks at the first block, beside the gradients of all other weights.
        """
        from attnbench.variants.kernels._support import itemsize

        shape = setting.shape
        size, width = itemsize(setting.dtype), width_of(shape)
        rows = shape.batch * shape.seq_len
        tokens, keys = size * rows * width, size * rows * shape.kv_heads * shape.head_dim
        hidden = self.widened(tokens, shape)
        if setting.direction == "forward":
            return max(2 * tokens + self.inner.predict_bytes(setting, mechanism), tokens + 2 * hidden)
        of_product = size * self.hidden(shape) * width
        of_block = 2 * size * width * (width + shape.kv_heads * shape.head_dim) + 2 * of_product
        outside = size * width * (self.vocabulary + shape.seq_len * (self.positions == "learned"))
        learned = self.layers * of_block + outside
        if setting.direction == "backward":
            others = (self.layers - 1) * of_block + of_product
            at_mechanism = others + of_product + 2 * tokens + mechanism("backward")
            return max(others + tokens + 2 * hidden, at_mechanism, learned + 2 * tokens)
        norms, of_mechanism = 4 * size * rows, mechanism("training") - mechanism("backward")
        kept = tokens + self.layers * (5 * tokens + 2 * keys + 2 * hidden + norms + of_mechanism)
        at_mechanism = of_product + mechanism("backward") - 2 * hidden - 3 * tokens // 2
        return max(kept + max(2 * tokens, hidden + of_product, at_mechanism), learned + max(3 * tokens, 2 * of_product))


class Draw(NamedTuple):
    """Draws learned weights from a torch generator."""

    generator: "Generator"

    def numbers(self, *size: int, mean: float = 0.0, scale: float = 0.1) -> "Tensor":
        """Draw a weight."""
        import torch

        return torch.nn.Parameter(mean + scale * torch.randn(*size, generator=self.generator))

    def norm(self, width: int) -> "tuple[Tensor, ...]":
        """Draw scale and shift of a norm."""
        return self.numbers(width, mean=1.0), self.numbers(width)

    def product(self, rows: int, columns: int) -> "tuple[Tensor, ...]":
        """Draw W and b of a product."""
        return self.numbers(rows, columns, scale=columns**-0.5), self.numbers(rows)

    def block(self, width: int, hidden: int, norms: int = 2) -> "tuple[Tensor, ...]":
        """Draw the norms of a block, and then W_1, b_1, W_2 and b_2."""
        every = (each for _ in range(norms) for each in self.norm(width))
        return *every, *self.product(hidden, width), *self.product(width, hidden)


def encoded(
    embed: "Callable[[], Tensor]",
    positions: "Sequence[Tensor]",
    layers: Sequence[Attend],
    blocks: "Sequence[Tensor]",
) -> "Tensor":
    """Return tokens `B N C` after blocks with these layers and weights. `embed` makes their vectors."""
    # A caller that made them would hold them until the last block.
    x = embed()
    for each in positions:
        x = x + each
    for at, layer in enumerate(layers):
        scale, shift, *others = blocks[OF_BLOCK * at : OF_BLOCK * (at + 1)]
        x = x + layer(normed(x, scale, shift))
        x = fed_forward(x, *others)
    return x


def normed(x: "Tensor", scale: "Tensor", shift: "Tensor") -> "Tensor":
    """Return tokens after a norm."""
    from torch.nn.functional import layer_norm

    return layer_norm(x, scale.shape, scale, shift)


def fed_forward(
    x: "Tensor", scale: "Tensor", shift: "Tensor", w_1: "Tensor", b_1: "Tensor", w_2: "Tensor", b_2: "Tensor"
) -> "Tensor":
    """Return tokens after a feed-forward network with its norm."""
    from torch.nn.functional import gelu, linear

    hidden = linear(normed(x, scale, shift), w_1, b_1)
    hidden = gelu(hidden)
    return x + linear(hidden, w_2, b_2)


def width_of(shape: Shape) -> int:
    """Return the numbers of a token."""
    return shape.heads * shape.head_dim


LEVEL = Encoder
