"""Patterns by hand: documents, chunks of streaming speech, attention sinks, neighbourhood attention, graphs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settings import case_of, pattern_of

from attnbench.reports.selftest import closed_forms
from attnbench.runner.worker import admission
from attnbench.suites import Case, Status
from attnbench.suites.schema.load import parse
from attnbench.variants import BoolArray, Shape, Spans
from attnbench.variants._pattern import MOST_SPANS


def mask(name: str, n: int, **parameters: Any) -> BoolArray:
    """Which pairs `[N, N]` a pattern allows."""
    pattern = pattern_of(name, parameters)
    assert pattern.unsupported(n) is None
    return pattern.spans(n).mask()


def keys(name: str, n: int, **parameters: Any) -> list[list[int]]:
    """The keys of every query."""
    return [np.flatnonzero(row).tolist() for row in mask(name, n, **parameters)]


def key_of(name: str, **parameters: Any) -> str:
    """The key of a case with these parameters, as a run stores it."""
    return case_of(name, parameters, "blockwise", Shape(1, 2, 2, 64, 8)).key


# Documents


def test_documents_follow_each_other_again_and_again() -> None:
    assert keys("document", 8, lengths=(3, 2)) == [*3 * [[0, 1, 2]], *2 * [[3, 4]], *3 * [[5, 6, 7]]]
    assert keys("document", 5, lengths=(3, 2), causal=True) == [[0], [0, 1], [0, 1, 2], [3], [3, 4]]


def test_a_list_of_lists_is_a_grid_of_documents() -> None:
    suite = "name: n\nquestion: Q?\nshape: {seq_len: 64}\nvariants: [document: {lengths: [[512, 256, 256], [3, 2]]}]"
    cases = parse(suite).cases()
    assert [case.label for case in cases] == ["document", "document(lengths=3x2)"]
    assert [Case.from_json(case.flat()).key for case in cases] == [case.key for case in cases]


# Chunks


def test_a_chunk_sees_itself_and_its_context() -> None:
    first, second, third = [0, 1, 2, 3, 4], [2, 3, 4, 5, 6, 7, 8], [6, 7, 8, 9]
    assert keys("truncated", 10, left=2, right=1, chunk=4) == [*4 * [first], *4 * [second], *2 * [third]]


@pytest.mark.parametrize("left_chunks", [0, 1, 3])
@pytest.mark.parametrize("n", [1, 5, 16, 61])
def test_left_context_of_whole_chunks_is_the_mask_of_icefall_and_wenet(n: int, left_chunks: int) -> None:
    """Frame t belongs to chunk c = t // chunk, which sees the chunks from c - left_chunks to c."""
    chunk = np.arange(n) // 4
    seen = (chunk[None, :] <= chunk[:, None]) & (chunk[None, :] >= chunk[:, None] - left_chunks)
    assert (mask("truncated", n, left=4 * left_chunks, right=0, chunk=4) == seen).all()


def test_all_the_past_of_a_chunk_is_seen() -> None:
    assert keys("truncated", 6, left=None, right=0, chunk=3) == [*3 * [[0, 1, 2]], *3 * [[0, 1, 2, 3, 4, 5]]]
    assert mask("truncated", 6, left=0, right=0, chunk=100).all()


def test_a_chunk_of_one_is_the_pattern_without_chunks() -> None:
    assert key_of("truncated", left=128, right=128, chunk=1) == "a1c0cda255fe", "as before there were chunks"
    assert key_of("truncated", left=128, right=128) == "a1c0cda255fe"
    assert key_of("truncated", left=128, right=128, chunk=2) != key_of("truncated", left=128, right=128)
    assert (mask("truncated", 61, left=8, right=3, chunk=1) == mask("truncated", 61, left=8, right=3)).all()


def test_an_older_revision_is_not_told_of_parameters_that_it_does_not_know() -> None:
    chunk, without = (
        case_of("truncated", {"left": 8, "right": 8, "chunk": chunk}, "blockwise", Shape(1, 2, 2, 64, 8))
        for chunk in (4, 1)
    )
    assert without.request()["parameters"] == {"left": 8, "right": 8}
    assert chunk.request()["parameters"] == {"left": 8, "right": 8, "chunk": 4}
    assert Case.from_json(without.request()).key == without.key


def test_only_patterns_without_chunks_have_a_closed_form() -> None:
    without = {"left": 8, "right": 3}
    for same in (without, {**without, "chunk": 1}):
        case = case_of("truncated", same, "blockwise", Shape(1, 2, 2, 64, 8))
        assert closed_forms.flops(case) == 4 * 2 * 8 * mask("truncated", 64, **without).sum()
    assert closed_forms.flops(case_of("truncated", {**without, "chunk": 4}, "eager", Shape(1, 2, 2, 64, 8))) is None


# Sinks


def test_sinks_are_seen_by_all_later_queries() -> None:
    assert keys("local_window", 8, window=3, causal=True, sinks=2) == [
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 3, 4, 5],
        [0, 1, 4, 5, 6],
        [0, 1, 5, 6, 7],
    ]


def test_a_dilated_window_keeps_its_keys_beside_sinks() -> None:
    assert keys("local_window", 10, window=3, dilation=3, causal=True, sinks=2)[7:] == [
        [0, 1, 4, 7],
        [0, 1, 2, 5, 8],
        [0, 1, 3, 6, 9],
    ]


@pytest.mark.parametrize("n", [1, 5, 61])
def test_more_sinks_than_tokens_are_full_causal_attention(n: int) -> None:
    assert (mask("local_window", n, window=2, causal=True, sinks=n + 1) == np.tri(n, dtype=bool)).all()


def test_without_sinks_a_window_has_its_old_key() -> None:
    given = {"window": 17, "dilation": 1, "edges": "clip", "causal": True}
    assert key_of("local_window", **given, sinks=0) == key_of("local_window", **given) == "7edbaf929caa"
    assert key_of("local_window", **given, sinks=4) != key_of("local_window", **given)


# Even windows, and axes that are causal


def natten(i: int, length: int, window: int, dilation: int, causal: bool, slide: bool = True) -> list[int]:
    """The keys of a query on one axis in NATTEN: within its residue class, `start` to `start + window`."""
    residue, place = i % dilation, i // dilation
    members = range(residue, length, dilation)
    left, right = window // 2, window // 2 + (window % 2 - 1)
    if causal:
        found = range(max(place - left - right, 0), place + 1)
    elif slide:
        start = max(place - left, 0)
        start += len(members) - right - place - 1 if place + right >= len(members) else 0
        found = range(start, start + window)
    else:
        found = range(max(place - left, 0), min(place + right + 1, len(members)))
    return [members[each] for each in found]


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("window", [1, 2, 4, 5, 8])
def test_a_sliding_window_is_that_of_natten(window: int, dilation: int) -> None:
    for n in (24, 25, 61):
        found = keys("local_window", n, window=window, dilation=dilation, edges="slide")
        assert found == [natten(i, n, window, dilation, causal=False) for i in range(n)]
        assert {len(each) for each in found} == {window}
        found = keys("local_window", n, window=window, dilation=dilation, causal=True)
        assert found == [natten(i, n, window, dilation, causal=True) for i in range(n)]


def test_an_even_window_has_one_key_more_before_the_query() -> None:
    assert keys("local_window", 6, window=4) == [[0, 1], [0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5]]
    assert keys("local_window", 5, window=4, causal=True)[3:] == [[0, 1, 2, 3], [1, 2, 3, 4]]


def test_an_even_window_has_its_closed_form() -> None:
    for edges in ("clip", "slide"):
        given = {"window": 6, "dilation": 1, "edges": edges, "causal": False}
        case = case_of("local_window", given, "blockwise", Shape(1, 2, 2, 64, 8))
        assert closed_forms.flops(case) == 4 * 2 * 8 * mask("local_window", 64, **given).sum()


CAUSAL = {"down": (True, False), "across": (False, True), "both": (True, True)}
"""NATTEN's `is_causal`."""


@pytest.mark.parametrize("edges", ["clip", "slide"])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
@pytest.mark.parametrize("window", [(3, 4), (4, 5)])
@pytest.mark.parametrize("causal", CAUSAL)
def test_causal_axes_are_those_of_natten(
    causal: str, window: tuple[int, int], dilation: tuple[int, int], edges: str
) -> None:
    height, width = grid = 9, 11
    pattern = pattern_of(
        "local_window_2d", {"window": window, "grid": grid, "dilation": dilation, "edges": edges, "causal": causal}
    )
    if causal == "both" and edges == "slide":
        assert pattern.unsupported(99) == "a causal window cannot slide inward; use edges: clip"
        return
    seen = pattern.spans(99).mask().reshape(height, width, height, width)
    for y in range(height):
        for x in range(width):
            rows, columns = (
                natten(at, side, size, apart, ends, edges == "slide")
                for at, side, size, apart, ends in zip((y, x), grid, window, dilation, CAUSAL[causal], strict=True)
            )
            assert np.flatnonzero(seen[y, x].any(axis=1)).tolist() == rows
            assert np.flatnonzero(seen[y, x].any(axis=0)).tolist() == columns
            assert seen[y, x].sum() == len(rows) * len(columns)


def test_causal_in_raster_order_keeps_its_meaning_and_its_key() -> None:
    whole = mask("local_window_2d", 36, window=(3, 5))
    assert (mask("local_window_2d", 36, window=(3, 5), causal=True) == whole & np.tri(36, dtype=bool)).all()
    given = {"window": (3, 5), "grid": None, "dilation": (1, 1), "edges": "clip"}
    # The keys of an earlier version, in which `causal` was a flag.
    found = [key_of("local_window_2d", **given, causal=causal) for causal in (False, True)]
    assert found == ["0ed14269aa5f", "1fc199aed75b"]


def test_a_causal_axis_does_not_slide_but_the_other_does() -> None:
    sizes = {"window": (3, 4), "grid": (5, 6), "edges": "slide"}
    counts = mask("local_window_2d", 30, **sizes, causal="down").sum(axis=1).reshape(5, 6)
    assert counts.tolist() == [[4 * min(y + 1, 3)] * 6 for y in range(5)]


# Graphs


def test_a_ring_goes_around_the_ends() -> None:
    assert keys("graph", 7, degree=4) == [
        [0, 1, 2, 5, 6],
        [0, 1, 2, 3, 6],
        [0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5],
        [2, 3, 4, 5, 6],
        [0, 3, 4, 5, 6],
        [0, 1, 4, 5, 6],
    ]


def test_a_grid_has_neighbours_beside_above_and_below() -> None:
    assert keys("graph", 6, kind="grid", degree=4, grid=(2, 3)) == [
        [0, 1, 3],
        [0, 1, 2, 4],
        [1, 2, 5],
        [0, 3, 4],
        [1, 3, 4, 5],
        [2, 4, 5],
    ]
    whole = mask("local_window_2d", 30, window=(3, 3), grid=(5, 6))
    assert (mask("graph", 30, kind="grid", degree=8, grid=(5, 6)) == whole).all()


@pytest.mark.parametrize("kind", ["ring", "erdos_renyi", "expander"])
@pytest.mark.parametrize("n", [1, 2, 9, 61])
def test_edges_lead_both_ways_and_a_token_sees_itself(kind: str, n: int) -> None:
    seen = mask("graph", n, kind=kind, degree=4)
    assert (seen == seen.T).all()
    assert seen.diagonal().all()
    assert seen.all() == (n <= 5)


@pytest.mark.parametrize("degree", [1, 3, 8, 40, 58, 59, 60])
def test_erdos_renyi_has_its_number_of_edges(degree: int) -> None:
    seen = mask("graph", 61, kind="erdos_renyi", degree=degree)
    assert (seen.sum() - 61) // 2 == 61 * degree // 2


def test_erdos_renyi_draws_every_edge_alike() -> None:
    n, degree, seeds = 9, 3, 400
    found = sum(mask("graph", n, kind="erdos_renyi", degree=degree, seed=seed).astype(int) for seed in range(seeds))
    share = np.asarray(found)[np.tril_indices(n, -1)] / seeds
    # Of 36 edges 13 are drawn; the share of one has a standard deviation of 0.024.
    assert share.mean() == pytest.approx(13 / 36)
    assert np.abs(share - 13 / 36).max() < 0.1


@pytest.mark.parametrize("n", [100, 401])
def test_an_expander_is_connected_and_nearly_regular(n: int) -> None:
    """Its second eigenvalue is near 2 sqrt(degree - 1), the least of large graphs; a ring's is near the degree."""
    edges = mask("graph", n, kind="expander", degree=6).astype(float) - np.eye(n)
    degrees = edges.sum(axis=1)
    assert degrees.max() == 6
    assert degrees.mean() > 5.7
    assert np.sort(np.abs(np.linalg.eigvalsh(edges)))[-2] < 2 * np.sqrt(5) + 0.5
    ring = mask("graph", n, degree=6).astype(float) - np.eye(n)
    assert np.sort(np.abs(np.linalg.eigvalsh(ring)))[-2] > 5.5


def test_seeds_draw_other_edges_and_the_same_on_every_machine() -> None:
    for kind in ("erdos_renyi", "expander"):
        first, again, other = (mask("graph", 61, kind=kind, degree=4, seed=seed) for seed in (0, 0, 1))
        assert (first == again).all()
        assert (first != other).any()
    cycle = [[0, 1, 7], [0, 1, 6], [2, 4, 7], [3, 5, 6], [2, 4, 5], [3, 4, 5], [1, 3, 6], [0, 2, 7]]
    assert keys("graph", 8, kind="expander", degree=2) == cycle
    drawn = [[0, 7], [1, 4, 7], [2, 3, 4], [2, 3], [1, 2, 4, 5, 6], [4, 5], [4, 6, 7], [0, 1, 6, 7]]
    assert keys("graph", 8, kind="erdos_renyi", degree=2) == drawn


@pytest.mark.parametrize(
    ("parameters", "n", "reason"),
    [
        ({"degree": 3}, 64, "kind: ring has an even degree, found 3"),
        ({"kind": "expander", "degree": 5}, 64, "kind: expander has an even degree, found 5"),
        ({"kind": "grid", "degree": 6}, 64, "kind: grid has a degree of 4 or 8, found 6"),
        ({"kind": "grid"}, 60, "a square grid needs a square number of tokens"),
        ({"kind": "grid", "grid": (6, 9)}, 60, r"grid: [6, 9] has 54 tokens, found seq_len = 60"),
        ({"kind": "expander", "degree": 1000}, 2**13, "kind: expander can hold 4194304 pairs, found"),
        ({"kind": "erdos_renyi"}, 2**20, "kind: erdos_renyi can hold 4194304 pairs, found"),
    ],
)
def test_a_graph_says_where_it_does_not_exist(parameters: dict[str, Any], n: int, reason: str) -> None:
    assert reason in str(pattern_of("graph", parameters).unsupported(n))


def test_a_ring_and_a_grid_have_any_length() -> None:
    assert pattern_of("graph", {"degree": 2**30}).unsupported(2**20) is None
    assert pattern_of("graph", {"degree": 2**14}).spans(2**17).start.shape == (2**17, 3)
    assert pattern_of("graph", {"kind": "grid"}).spans(2**16).start.shape == (2**16, 3)


@pytest.mark.parametrize("kind", ["erdos_renyi", "expander"])
def test_every_random_graph_exists_up_to_2048(kind: str) -> None:
    assert pattern_of("graph", {"kind": kind, "degree": 2046}).unsupported(2048) is None
    assert pattern_of("graph", {"kind": kind, "degree": 1000}).spans(2048).start.size <= MOST_SPANS


def test_runs_beyond_what_can_be_held_make_the_case_unsupported() -> None:
    made = case_of("graph", {"kind": "erdos_renyi", "degree": 14}, "blockwise", Shape(1, 1, 1, 2**17, 8))
    assert made.parameters.unsupported(2**17) is None
    found = admission.plan(made, 2**34)
    assert found["status"] is Status.UNSUPPORTED
    assert "separate runs of keys; at most 16 can be held" in found["reason"]


@settings(max_examples=50)
@given(data=st.data())
def test_any_pairs_become_spans(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30), label="n")
    numbers = data.draw(st.lists(st.integers(0, n * n - 1)), label="pairs")
    table = np.zeros(n * n, np.bool_)
    table[numbers] = True
    table = table.reshape(n, n) | np.eye(n, dtype=bool)
    i, j = np.divmod(np.array([*numbers, *range(0, n * n, n + 1)]), n)
    spans = Spans.of_pairs(n, i, j)
    assert (spans.mask() == table).all()
    assert (spans.counts() == table.sum(axis=1)).all()
    assert (Spans.where(n, lambda i, j: table[i, j]).start == spans.start).all()
