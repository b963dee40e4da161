"""Any spans to plan, and what the groups of a plan compute, as matrices: for the tests of every way to plan."""

from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st

from attnbench.variants import BoolArray, IntArray, Spans
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


@st.composite
def any_spans(draw: st.DrawFn, longest: int, reach: int) -> Spans:
    """Any spans in which each row sees itself, with gaps, steps and rows that see everything."""
    n = draw(st.integers(1, longest))
    step = draw(st.integers(1, 4))
    i = np.arange(n)
    far = np.array(draw(st.lists(st.integers(0, reach), min_size=n, max_size=n)))
    dense = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) & draw(st.booleans())
    own = (np.where(dense, 0, i - far * step), np.where(dense, n, i + far * step + 1))
    beyond = np.minimum(np.array(draw(st.lists(st.integers(0, longest), min_size=n, max_size=n))), n)
    after = np.maximum(beyond, own[1])
    return Spans.of(n, own if step == 1 or dense.any() else (*own, step), (after, np.where(dense, after, after + 2)))
