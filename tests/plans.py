"""What the groups of a plan compute, as matrices: for the tests of every way to plan."""

from collections.abc import Iterable

import numpy as np

from attnbench.variants import BoolArray, IntArray
from attnbench.variants.kernels.blockwise.plan import Group


def mask(group: Group) -> BoolArray:
    """Which query of a block sees which of its keys, the leading keys that all see among them."""
    whole = np.ones((group.rows.shape[1], group.keys.shape[1]), np.bool_)
    whole[:, whole.shape[1] - group.mask.shape[1] :] = group.mask
    return whole


def covered(groups: Iterable[Group], n: int) -> tuple[IntArray, IntArray]:
    """How often each query is planned `[N]`, and each pair computed and not masked `[N, N]`; keys must ascend."""
    planned, pairs = np.zeros(n, np.int64), np.zeros((n, n), np.int64)
    for group in groups:
        for rows, keys in zip(group.rows, group.keys, strict=True):
            assert (np.diff(keys) > 0).all()
            planned[rows] += 1
            pairs[np.ix_(rows, keys)] += mask(group)
    return planned, pairs
