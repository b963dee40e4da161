"""What one call has to compute."""

FLOPS_PER_PAIR = {"forward": 4, "backward": 8, "training": 12}
"""FLOPs for each allowed pair of query and key, in multiples of the head width, by direction.

Two matrix products forward and four backward, each with a multiplication and an addition.
"""
