"""The work of one call: FLOPs and pairs."""

from dataclasses import dataclass

FLOPS_PER_PAIR = {"forward": 4, "backward": 8, "training": 12}
"""FLOPs for each allowed pair of query and key, in multiples of the head width, by direction.

Two matrix products forward and four backward, each with a multiplication and an addition.
"""


@dataclass(frozen=True)
class Work:
    """The work of one call in the setting's direction, over batch and heads."""

    flops: int
    allowed_pairs: int | None = None
    """Pairs of query and key; None for a mechanism that is no pattern."""


def of_products(forward_flops: int, direction: str) -> Work:
    """The work of matrix products: the backward pass computes two for each of them, training all three."""
    return Work(forward_flops * FLOPS_PER_PAIR[direction] // FLOPS_PER_PAIR["forward"])
