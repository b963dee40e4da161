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


def of_products(flops: int, direction: str, fixed_flops: int = 0) -> Work:
    """The work of matrix products from their FLOPs forward: backward there are two for each of them.

    `fixed_flops` are those of products with something that has no gradient: backward there is one for each of them.
    """
    forward, backward = direction != "backward", direction != "forward"
    return Work(flops * (forward + 2 * backward) + fixed_flops * (forward + backward))
