"""An encoder and decoder that learns to answer a sequence with a sequence, such as its copy.

The model is that of level `encoder_decoder`. Source and target share one table of tokens: a target is a token for each
class, after token 0, which begins it. The score is the share of the target's tokens that the decoder finds most likely
after the true ones before them. Sizes, seeds and steps are as at level `task`.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.
"""

from dataclasses import dataclass

from attnbench.variants._setting import Shape
from attnbench.variants.levels._learning import Learning
from attnbench.variants.levels.encoder_decoder import EncoderDecoder


@dataclass(frozen=True)
class SequenceTask(Learning, EncoderDecoder):
    """An encoder and decoder that learns sequences."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form.kind != "sequence":
            raise ValueError(f"data: expected sequences to learn, found {self.data}; use level: task")
        if self.target is not None:
            raise ValueError("target: expected none, because the data has it; leave it out")

    @property
    def vocabulary(self) -> int:
        """The number of tokens of source and target."""
        return max(self.form.vocabulary, self.form.classes + 1)

    def _read(self, shape: Shape) -> Shape:
        """Return the shape of what the decoder reads."""
        return shape.at(min(self.form.target_len, shape.seq_len))


LEVEL = SequenceTask
