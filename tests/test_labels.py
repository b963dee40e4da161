"""Names in figures do not overlap, and stay where they are wanted if there is room."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.reports.drawing import labels
from attnbench.reports.drawing.labels import Box

PLACES = st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.2)), max_size=30)


@given(PLACES)
def test_names_at_line_ends_keep_their_order_and_do_not_overlap(places: list[tuple[float, float]]) -> None:
    wanted, tall = sorted(middle for middle, _ in places), [height for _, height in places]
    found = labels.apart(wanted, tall)
    edges = [(middle - height / 2, middle + height / 2) for middle, height in zip(found, tall, strict=True)]
    assert all(above[1] <= below[0] + 1e-9 for above, below in pairwise(edges))


def test_names_with_room_stay() -> None:
    assert labels.apart([0.1, 0.5, 0.9], [0.1, 0.1, 0.1]) == pytest.approx([0.1, 0.5, 0.9])
    assert labels.apart([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])


def test_a_name_beside_a_disc_takes_the_nearest_free_place() -> None:
    room, disc = Box(0, 5, 0, 5), labels.around(2, 2, 0.2, 0.2)
    first = labels.beside(2, 2, 0.1, "linear", [disc], room)
    assert first is not None
    assert first.left > 2.1
    assert first.middle[1] == pytest.approx(2)
    second = labels.beside(2, 2, 0.1, "linear", [disc, first], room)
    assert second is not None
    assert not second.overlaps(first)
    assert not second.overlaps(disc)
    assert second.inside(room)
    assert labels.beside(2, 2, 0.1, "linear", [Box(-9, 9, -9, 9)], room) is None
