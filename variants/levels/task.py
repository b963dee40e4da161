"""An encoder that learns a task: from its tokens to a class, or to a label for each token.

The model is that of level `encoder` with the tokens of `data`. Where `data` has one target for a sequence, the
classifier reads the mean over tokens, without padding. Where tokens have targets, it reads every token, and the loss of
a sequence is the mean over its targets. Where an example has two documents, they are neighbours in the batch, and the
classifier reads x_1, x_2, x_1 x_2 and x_1 - x_2.

The width of the feed-forward network is chosen for each mechanism, so that a block has as many learned numbers as one
with attention and a network of width `mlp C`; it is at least 1.

Before a model trains, a call of its first step is proved as at level `encoder`. Then each process of the suite trains
one model, whose weights and order of examples come from its own seed, in `steps` steps of AdamW. The learning rate
rises linearly over the first tenth of the steps and then falls to 0 as a cosine; gradients are clipped to norm 1.

Source: Tay et al. 2020, arXiv 2011.04006, sections 2 and 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.variants._setting import Setting, Shape, of_products
from attnbench.variants.levels import Attend
from attnbench.variants.levels._learning import Learning
from attnbench.variants.levels.encoder import Draw, width_of
from attnbench.variants.tasks import UNSCORED

if TYPE_CHECKING:
    from torch import Generator, Tensor

_COMPARED = 4
"""What the classifier reads of two documents, in widths of a token."""


@dataclass(frozen=True)
class Task(Learning):
    """An encoder that learns classes or labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form.kind == "sequence":
            raise ValueError(f"data: expected a class or labels to learn, found {self.data}; use level: sequence_task")

    @property
    def vocabulary(self) -> int:
        """The number of vectors from which tokens are made."""
        return self.form.vocabulary

    @property
    def classes(self) -> int:
        """The number of different targets."""
        return self.form.classes

    def sizes(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """Return the sizes of tokens `B N`, targets `B` or `B N`, and losses `B 1`; two documents have one target."""
        examples = shape.batch // self.form.documents
        targets = (examples, shape.seq_len) if self.form.kind == "label" else (examples,)
        return (shape.batch, shape.seq_len), targets, (examples, 1)

    def draw(self, shape: Shape, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw tokens and targets, int64; dout is constant."""
        import torch

        tokens, targets, losses = self.sizes(shape)
        return (
            torch.randint(self.vocabulary**self.form.fields, tokens, generator=generator),
            torch.randint(self.classes, targets, generator=generator),
            torch.full(losses, 1 / losses[0]),
        )

    def weights(self, setting: Setting, generator: "Generator") -> "tuple[Tensor, ...]":
        """Draw what `encoder` has; the classifier of two documents reads more."""
        *others, _, _ = super().weights(setting, generator)
        return (*others, *Draw(generator).product(self.classes, self._read_width(setting.shape)))

    def call(
        self, setting: Setting, within: Sequence[Attend], weights: "tuple[Tensor, ...]", *inputs: "Tensor"
    ) -> "Tensor":
        """Map tokens `B N` and targets `B` or `B N` to losses `B 1`."""
        from torch.nn.functional import cross_entropy

        tokens, targets = inputs
        scores = self.scores(setting, within, weights, tokens)
        if self.form.kind == "class":
            return cross_entropy(scores, targets, reduction="none")[:, None]
        losses = cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=UNSCORED)
        many = (targets != UNSCORED).sum(dim=1, keepdim=True).clamp(min=1)
        return losses.view(targets.shape).sum(dim=1, keepdim=True) / many

    def embedded(self, tokens: "Tensor", embedding: "Tensor") -> "Tensor":
        """Return the vectors `B N C` of tokens: for several fields their sum."""
        found = super().embedded(tokens % self.vocabulary, embedding)
        for place in range(1, self.form.fields):
            found = found + super().embedded(tokens // self.vocabulary**place % self.vocabulary, embedding)
        return found

    def read(self, x: "Tensor", tokens: "Tensor") -> "Tensor":
        """Return what the classifier reads: every token, or their mean, of two documents with what compares them."""
        import torch

        if self.form.kind == "label":
            return x
        mean = x.mean(dim=1)
        if self.form.padded:
            there = (tokens != 0).to(x.dtype).unsqueeze(-1)
            mean = (x * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        if self.form.documents == 1:
            return mean
        first, second = torch.unflatten(mean, 0, (-1, 2)).unbind(1)
        return torch.cat([first, second, first * second, first - second], dim=-1)

    def flops(self, setting: Setting) -> int:
        """Count the feed-forward networks and the classifier."""
        shape = setting.shape
        read = shape.batch // self.form.documents * (shape.seq_len if self.form.kind == "label" else 1)
        blocks = self.layers * 4 * self.hidden(shape) * shape.batch * shape.seq_len * width_of(shape)
        head = 2 * self.classes * self._read_width(shape) * read
        return of_products(blocks + head, setting.direction).flops

    def refusal(self, setting: Setting) -> str | None:
        """Refuse half of a pair of documents, and what is not trained."""
        if setting.shape.batch % self.form.documents:
            return f"{self.data} has pairs of documents, found a batch of {setting.shape.batch}"
        return super().refusal(setting)

    def _read_width(self, shape: Shape) -> int:
        return width_of(shape) * (1 if self.form.documents == 1 else _COMPARED)


LEVEL = Task
