"""A pre-norm encoder and decoder: from a source to the loss of the next tokens of a target.

    x = E[source] + P                      then x = x + layer(norm(x)) and x = x + ffn(norm(x)) in each block
    z = norm(x)
    y = E[target] + P'                     then y = y + masked(norm(y)), y = y + cross(norm(y), z), y = y + ffn(norm(y))
    loss = mean_t of the cross-entropy of W norm(y_t) + b against target_(t + 1), one for each sequence

Encoder and decoder have `layers` blocks each. A source has N tokens. A target has M + 1, of which the decoder reads the
first M. Both are drawn of a vocabulary of 256. `layer` and `ffn` are those of level `encoder`; `masked` is the same
layer with `causal: true` of the mechanism, and `cross` is full cross-attention by torch's
`scaled_dot_product_attention`, whatever the mechanism. Positions, dout and a step of training are as in `encoder`.
FLOPs forward, without `layer` and `masked`: 4 mlp N C^2 for each block of the encoder, 4 mlp M C^2 + 4 C (M C + N K D)
+ 4 M N C for each of the decoder, and 512 M C.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3; pre-norm: Xiong et al. 2020, arXiv 2002.04745.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from attnbench.variants._parameters import parameter
from attnbench.variants._setting import Direction, Setting, Shape, of_products
from attnbench.variants.levels import Attend, Level, Predict
from attnbench.variants.levels.encoder import (
    OF_BLOCK,
    Draw,
    Encoder,
    encoded,
    fed_forward,
    normed,
    width_of,
)
from attnbench.variants.levels.layer import Layer, drawn_positions

if TYPE_CHECKING:
    from torch import Generator, Tensor

_OF_CROSS = 8
"""Weights of cross-attention: W and b of queries, keys, values and outputs."""
_OF_DECODER = OF_BLOCK + 2 + _OF_CROSS
"""Weights of a block of the decoder besides those of its layer: it also has a norm and cross-attention."""


@dataclass(frozen=True)
class EncoderDecoder(Encoder):
    """An encoder, and a decoder that attends to what it encoded."""

    target: int | None = parameter(
        "M, the tokens of a target that the decoder reads; null: as many as seq_len", default=None, minimum=1
    )

    def at(self, n: int) -> Self:
        """Return the level with a target of at most n tokens."""
        return replace(self, target=min(self.target, n)) if self.target else self

    def places(self, shape: Shape) -> tuple[tuple[Level, Shape], ...]:
        """Return the layers of the encoder, and then the masked ones of the decoder."""
        mine, theirs = (self.inner, shape), (replace(self.inner, attention="masked"), self._read(shape))
        return (mine,) * self.layers + (theirs,) * self.layers

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the sizes of sources `B N`, targets `B M+1` and losses `B 1`."""
        return (shape.batch, shape.seq_len), (shape.batch, self._read(shape).seq_len + 1), (shape.batch, 1)

    def draw(self, shape: Shape, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw sources and targets, int64; dout is constant."""
        import torch

        *tokens, losses = self.sizes(shape)
        source, target = (torch.randint(self.vocabulary, each, generator=generator) for each in tokens)
        return source, target, torch.full(losses, 1 / shape.batch)

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw E, both positions, the encoder's blocks and norm, the decoder's blocks and norm, W and b.

        A block of the decoder has three norms, its feed-forward network, and cross-attention.
        """
        draw, width = Draw(generator), width_of(setting.shape)
        read = replace(setting, shape=self._read(setting.shape))
        embedding = draw.numbers(self.vocabulary, width, scale=1.0)
        sides = (setting, read) if self.adds else ()
        added = [each for side in sides for each in drawn_positions(self.positions, side, generator)]
        encoder = [each for _ in range(self.layers) for each in draw.block(width, self.hidden(setting.shape))]
        encoder += draw.norm(width)
        cross = self._cross(setting.shape)
        decoder = [
            each
            for _ in range(self.layers)
            for each in (*draw.block(width, self.hidden(setting.shape), norms=3), *cross.weights(read, generator))
        ]
        return (embedding, *added, *encoder, *decoder, *draw.norm(width), *draw.product(self.vocabulary, width))

    def call(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", *inputs: "Tensor"
    ) -> "Tensor":
        """Map sources `B N` and targets `B M+1` to losses `B 1`."""
        from torch.nn.functional import cross_entropy

        source, target = inputs
        scores = self.predicted(setting, within, weights, source, target).flatten(0, 1)
        losses = cross_entropy(scores, target[:, 1:].flatten(), reduction="none")
        return losses.view(setting.shape.batch, -1).mean(dim=1, keepdim=True)

    def predicted(
        self,
        setting: Setting,
        within: Sequence[Attend],
        weights: "tuple[Tensor, ...]",
        source: "Tensor",
        target: "Tensor",
    ) -> "Tensor":
        """Map sources `B N` and targets `B M+1` to the scores of the next tokens `B M vocabulary`."""
        from torch.nn import functional

        shape, many = setting.shape, self.layers
        embedding, *rest = weights
        added = [rest.pop(0), rest.pop(0)] if self.adds else []
        *rest, last_scale, last_shift, w, b = rest
        ends = OF_BLOCK * many
        blocks, (scale, shift), decoder = rest[:ends], rest[ends : ends + 2], rest[ends + 2 :]
        x = normed(encoded(partial(self.embedded, source, embedding), added[:1], within[:many], blocks), scale, shift)
        y = self.embedded(target[:, :-1], embedding)
        for each in added[1:]:
            y = y + each
        attend = partial(functional.scaled_dot_product_attention, enable_gqa=shape.kv_heads != shape.heads)
        cross = self._cross(shape)
        for at, layer in enumerate(within[many:]):
            mine = decoder[_OF_DECODER * at : _OF_DECODER * (at + 1)]
            norm_1, norm_2, ffn, of_cross = mine[:2], mine[2:4], mine[4:-_OF_CROSS], mine[-_OF_CROSS:]
            y = y + layer(normed(y, *norm_1))
            y = y + cross.call(setting, (attend,), tuple(of_cross), normed(y, *norm_2), x)
            y = fed_forward(y, *ffn)
        return functional.linear(normed(y, last_scale, last_shift), w, b)

    def flops(self, setting: Setting) -> int:
        """Count the feed-forward networks, cross-attention and the scores of the vocabulary."""
        shape, read = setting.shape, self._read(setting.shape)
        width, n, m = width_of(shape), shape.seq_len, read.seq_len
        networks = 4 * self.hidden(shape) * (n + m) * width
        products = self.layers * (networks + 4 * n * m * width) + 2 * m * self.vocabulary * width
        cross = self._cross(shape).flops(replace(setting, shape=read))
        return of_products(shape.batch * products, setting.direction).flops + self.layers * cross

    def predict_bytes(self, setting: Setting, mechanism: Predict) -> int:
        """Add up what both sides hold; T and U are the sizes of the source and of what the decoder reads, S of scores.

        Forward: a block of the encoder as in `encoder`; then T and a block of the decoder, or T, 2 U and S, or 2 S. For
        its gradients a block of the decoder keeps 3 U, keys and values of the source and what cross-attention keeps
        more than one of the encoder. Training peaks at the scores, of which there are 3 S, or when the last block of a
        side is differentiated, at its hidden layers or at its mechanism. Backward keeps everything, and peaks at the
        scores, or at the first block of the encoder, beside the gradients of all other weights.
        """
        import torch

        from attnbench.variants.kernels._memory import fused_bytes
        from attnbench.variants.kernels._support import itemsize

        shape, read = setting.shape, self._read(setting.shape)
        there, cross = replace(setting, shape=read), self._cross(shape)
        size, width = itemsize(setting.dtype), width_of(shape)
        source, target = (size * each.batch * each.seq_len * width for each in (shape, read))
        scores = size * read.batch * read.seq_len * self.vocabulary
        threads = torch.get_num_threads() if setting.device == "cpu" else 0

        def masked(direction: Direction) -> int:
            return mechanism(direction, self.layers)

        def crossing(direction: Direction) -> int:
            return fused_bytes(replace(read, layout="bnhd"), setting.dtype, direction, threads, shape.seq_len)

        if setting.direction == "forward":
            layer = max(self.inner.predict_bytes(there, masked), cross.predict_bytes(there, crossing))
            decoder = source + target + max(target + layer, 2 * self.widened(target, shape), target + scores)
            return max(super().predict_bytes(setting, mechanism), decoder, 2 * scores)
        of_layer = 2 * size * width * (width + shape.kv_heads * shape.head_dim)
        of_product = size * self.hidden(shape) * width
        table, vocabulary = size * width * shape.seq_len * (self.positions == "learned"), size * width * self.vocabulary
        first = of_layer + 2 * of_product
        others = self.layers * (3 * of_layer + 4 * of_product) - first + 2 * vocabulary
        others += table * read.seq_len // shape.seq_len
        if setting.direction == "backward":
            hidden = of_product + source + 2 * self.widened(source, shape)
            # Some implementations copy dO.
            at_first = max(hidden, 2 * of_product + 5 * source // 2 + mechanism("backward"))
            return max(2 * scores, others + at_first, others + first + table + 2 * source)
        norms, keys = 4 * size * shape.batch, source * shape.kv_heads // shape.heads
        of_cross = 3 * target + 2 * keys + crossing("training") - crossing("backward")
        encoder = 2 * source + self.layers * self._kept(source, shape, norms * shape.seq_len, mechanism)
        decoder = 2 * target + self.layers * (of_cross + self._kept(target, shape, norms * read.seq_len, masked))

        def differentiated(tokens: int, of_mechanism: int) -> int:
            """Return what a side's last block takes more than it keeps, if it is differentiated."""
            hidden = self.widened(tokens, shape)
            return of_product + max(hidden, of_mechanism - 2 * hidden - 3 * tokens // 2)

        at_encoder = encoder + differentiated(source, mechanism("backward"))
        at_decoder = encoder + decoder + max(3 * scores, differentiated(target, masked("backward") - of_cross))
        return max(at_encoder, at_decoder, others + first + table + 3 * source)

    def _kept(self, tokens: int, shape: Shape, norms: int, mechanism: Predict) -> int:
        """Return the bytes that a block with a mechanism keeps for its gradients, without cross-attention."""
        keys = tokens * shape.kv_heads // shape.heads
        hidden = self.widened(tokens, shape)
        return 5 * tokens + 2 * (hidden + keys) + norms + mechanism("training") - mechanism("backward")

    def _read(self, shape: Shape) -> Shape:
        """Return the shape of what the decoder reads."""
        return shape.at(self.target or shape.seq_len)

    def _cross(self, shape: Shape) -> Layer:
        """Return the layer in which the decoder attends to a source."""
        return Layer(attention="cross", kv_len=shape.seq_len)


LEVEL = EncoderDecoder
