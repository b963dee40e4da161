"""Windows on a grid: what they see, how they travel through suites and rows, and what `blockwise` makes of them."""

import json
from typing import Any, Literal

import numpy as np
import pytest
import torch
from definitions import label
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import covered
from proofs import check_whole
from settings import case_of, check, pattern_of, setting
from stages import unheard

from attnbench.reports.selftest.closed_forms import flops
from attnbench.runner.execution import pattern_images
from attnbench.runner.machine import memory
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.probe import probe
from attnbench.suites import Case, Status
from attnbench.suites.schema.suite import Suite
from attnbench.suites.selection import pick
from attnbench.variants import Shape, Spans, kernels
from attnbench.variants.kernels.blockwise import grid, plan, rows
from attnbench.variants.local_window import LocalWindow
from attnbench.variants.local_window_2d import LocalWindow2d

IMPLEMENTATIONS = ["blockwise", "eager", "sdpa_masked"]
WINDOWS: list[tuple[dict[str, Any], int]] = [
    ({"window": (7, 7)}, 169),
    ({"window": (5, 3), "grid": (9, 23)}, 207),
    ({"window": (3, 9), "grid": (23, 9), "causal": True}, 207),
    ({"window": (5, 5), "grid": (21, 11), "dilation": (3, 2)}, 231),
    ({"window": (5, 3), "grid": (21, 11), "dilation": (3, 2), "edges": "slide"}, 231),
    ({"window": (7, 9), "grid": (11, 21), "edges": "slide"}, 231),
    ({"window": (151, 151), "grid": (13, 17)}, 221),
]


def suite(**keys: Any) -> Suite:
    return Suite.model_validate({"name": "n", "question": "Q?", **keys})


def test_a_window_that_slides_sees_exactly_its_rows_by_columns() -> None:
    spans = LocalWindow2d(window=(5, 3), grid=(11, 9), dilation=(2, 3), edges="slide").spans(99)
    assert (spans.counts() == 15).all()


def test_a_window_that_clips_sees_all_of_it_inside_and_a_quarter_in_the_corners() -> None:
    counts = LocalWindow2d(window=(7, 5), grid=(9, 11)).spans(99).counts().reshape(9, 11)
    assert (counts[3:-3, 2:-2] == 35).all()
    assert counts[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [4 * 3] * 4


def test_a_causal_window_is_the_mask_of_a_masked_convolution() -> None:
    mask = LocalWindow2d(window=(3, 5), grid=(4, 7), causal=True).spans(28).mask()
    seen = mask[2 * 7 + 3].reshape(4, 7).astype(int).tolist()
    assert seen == [[0] * 7, [0, 1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 0, 0, 0], [0] * 7]


@pytest.mark.parametrize("edges", ["clip", "slide"])
def test_one_row_or_one_column_is_a_window_in_one_dimension(edges: Literal["clip", "slide"]) -> None:
    line = LocalWindow(window=5, dilation=2, edges=edges).spans(31).mask()
    row = LocalWindow2d(window=(1, 5), grid=(1, 31), dilation=(1, 2), edges=edges)
    column = LocalWindow2d(window=(5, 1), grid=(31, 1), dilation=(2, 1), edges=edges)
    assert (row.spans(31).mask() == line).all()
    assert (column.spans(31).mask() == line).all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_attention_without_queries_is_a_mean_over_the_window(implementation: str) -> None:
    """A reference of another kind: torch's average pooling, with the zeros of its padding not counted."""
    pattern = LocalWindow2d(window=(5, 7), grid=(13, 19))
    kernel = kernels.load(implementation).build(pattern, setting(Shape(2, 3, 3, 247, 4), "float64", "cpu"))
    q, k, v, _ = inputs(Shape(2, 3, 3, 247, 4), "float64", "cpu")
    image = v.transpose(2, 3).reshape(2, 12, 13, 19)
    pooled = torch.nn.functional.avg_pool2d(image, (5, 7), 1, (2, 3), count_include_pad=False)
    expected = pooled.reshape(2, 3, 4, 247).transpose(2, 3)
    assert torch.allclose(kernel.call(torch.zeros_like(q), k, v), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "n", "reason"),
    [
        ({}, 50, "a square grid needs a square number of tokens, found seq_len = 50; give grid: [rows, columns]"),
        ({"grid": (7, 8)}, 64, "grid: [7, 8] has 56 tokens, found seq_len = 64"),
        ({"edges": "slide", "causal": True}, 64, "a causal window cannot slide inward; use edges: clip"),
        (
            {"edges": "slide", "dilation": (1, 3)},
            64,
            "edges: slide needs dilation * window <= side of the grid, found 3 * 3 > 8",
        ),
        ({"edges": "slide", "grid": (2, 32)}, 64, "found 1 * 3 > 2"),
    ],
    ids=label,
)
def test_a_window_says_where_it_does_not_exist(parameters: dict[str, Any], n: int, reason: str) -> None:
    told = LocalWindow2d(window=(3, 3), **parameters).unsupported(n)
    assert told is not None
    assert told.endswith(reason)


def test_a_square_is_near_every_length_and_another_grid_keeps_rows_and_columns_apart() -> None:
    square, given_ = LocalWindow2d(window=(3, 5)), LocalWindow2d(window=(3, 5), grid=(100, 2))
    for n in (1, 5, 61, 97, 1553):
        assert square.unsupported(square.near(n)[1]) is None
        other, m = given_.near(n)
        assert other.unsupported(m) is None
        assert other.grid is not None
        assert other.grid[0] == other.grid[1] + 1
        assert (other.window, other.edges) == (given_.window, given_.edges)


@pytest.mark.parametrize("shape", [(4, 4), (6, 2)], ids=["heads", "groups"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("parameters", "n"), WINDOWS, ids=label)
def test_it_equals_the_oracle(parameters: dict[str, Any], n: int, implementation: str, shape: tuple[int, int]) -> None:
    pattern = LocalWindow2d(**parameters)
    for dtype in ("float32", "bfloat16", "float16"):
        sizes = Shape(2, *shape, n, 8)
        kernel = kernels.load(implementation).build(pattern, setting(sizes, dtype, "cpu"))
        assert check(kernel.call, pattern.spans(n), sizes, dtype, "cpu", gradients=True).problem is None
        assert check(kernel.call, pattern.spans(n), sizes, dtype, "cpu").problem is None


def test_long_rows_equal_the_oracle() -> None:
    shape, pattern = Shape(1, 2, 1, 2491, 16), LocalWindow2d(window=(9, 7), grid=(47, 53))
    kernel = kernels.load("blockwise").build(pattern, setting(shape, "float32", "cpu"))
    assert check_whole(kernel.call, pattern.spans(2491), inputs(shape, "float32", "cpu")).problem is None


@st.composite
def any_window(draw: st.DrawFn) -> Spans:
    """The spans of any window on any small grid."""
    side, odd = st.integers(1, 12), st.integers(0, 4).map(lambda reach: 2 * reach + 1)
    grid = draw(st.tuples(side, side))
    pattern = LocalWindow2d(
        window=draw(st.tuples(odd, odd)),
        grid=grid,
        dilation=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        edges=draw(st.sampled_from(["clip", "slide"])),
        causal=draw(st.booleans()),
    )
    n = grid[0] * grid[1]
    return (pattern if pattern.unsupported(n) is None else LocalWindow2d(window=(3, 3), grid=grid)).spans(n)


@settings(max_examples=60)
@given(spans=any_window())
def test_tiles_cover_what_is_allowed_and_mask_the_rest(spans: Spans) -> None:
    planned, pairs = covered(grid.plan(spans), spans.n)
    assert (planned == 1).all()
    assert (pairs == spans.mask()).all()


@pytest.mark.parametrize(
    ("side", "window", "most"), [(28, 7, 3.0), (56, 7, 2.9), (56, 13, 2.0), (128, 13, 2.0)], ids=label
)
def test_tiles_compute_few_pairs_beside_those_allowed(side: int, window: int, most: float) -> None:
    spans = LocalWindow2d(window=(window, window)).spans(side * side)
    assert sum(group.pairs for group in grid.plan(spans)) < most * spans.pairs()


def test_patterns_in_one_dimension_have_no_tiles() -> None:
    for name, parameters in (
        ("local_window", {"window": 17, "dilation": 3}),
        ("longformer", {"window": 17}),
        ("bigbird", {"block": 8}),
        ("full", {}),
    ):
        for n in (1, 5, 61, 400):
            spans = pattern_of(name, parameters).spans(n)
            blocks, tiles = ([group.rows.tolist() for group in plan(spans)] for plan in (plan.plan, grid.plan))
            assert blocks == tiles


def test_rows_that_overlap_are_gathered_once() -> None:
    index = np.array([[1, 4, 9, 2, 7], [9, 2, 7, 0, 3], [7, 0, 3, 8, 5]])
    found = rows.rows(index, "cpu")
    assert isinstance(found, rows.Overlapping)
    assert (found.shape, found.copied) == ((3, 5), 9)
    tensor = torch.randn(2, 10, 3, dtype=torch.float64)
    read = found.read(tensor)
    assert torch.equal(read, tensor[:, torch.from_numpy(index)])
    sums, expected = torch.zeros_like(tensor), torch.zeros_like(tensor)
    found.add(sums, read)
    expected.index_add_(1, torch.from_numpy(index).view(-1), read.reshape(2, -1, 3))
    assert torch.allclose(sums, expected)


def test_rows_that_do_not_go_on_from_each_other_are_gathered_block_by_block() -> None:
    for index in ([[0, 1, 5], [0, 3, 4]], [[1, 4, 9], [9, 2, 7], [3, 9, 5]], [[5, 2, 8]]):
        assert isinstance(rows.rows(np.array(index), "cpu"), rows.Gathered)


@pytest.mark.parametrize("shape", [Shape(1, 8, 8, 1024, 64), Shape(1, 8, 2, 784, 64)], ids=["heads", "groups"])
@pytest.mark.parametrize("direction", ["forward", "training", "backward"])
def test_predicted_bytes_are_those_allocated(direction: str, shape: Shape) -> None:
    pattern = LocalWindow2d(window=(7, 7))
    kernel = kernels.load("blockwise").build(pattern, setting(shape, "float32", "cpu"))
    *tensors, dout = inputs(shape, "float32", "cpu")
    q, k, v = (each.requires_grad_() for each in tensors)
    out = kernel.call(q, k, v)

    def call() -> object:
        if direction == "forward":
            with torch.no_grad():
                return kernel.call(q, k, v)
        there = out if direction == "backward" else kernel.call(q, k, v)
        return torch.autograd.grad(there, (q, k, v), dout, retain_graph=direction == "backward")

    call()
    asked = pattern, setting(shape, direction=direction), torch.get_num_threads()
    predicted = kernels.load("blockwise").predict_bytes(*asked)
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


def test_a_list_of_two_numbers_is_a_pair_and_a_list_of_pairs_makes_a_grid() -> None:
    it = suite(
        shape={"seq_len": [16, 36]},
        variants=[
            {"local_window_2d": {"window": [[3, 3], [3, 5]], "grid": [None, [4, 4]]}},
            {"local_window": {"window": [3, 5]}},
        ],
    )
    told = [(case.label, case.setting.shape.seq_len) for case in it.cases()]
    assert told == [
        (f"local_window{label}", n)
        for n in (16, 36)
        for label in (
            "_2d(window=3x3)",
            "_2d(window=3x3, grid=4x4)",
            "_2d(window=3x5)",
            "_2d(window=3x5, grid=4x4)",
            "(window=3)",
            "(window=5)",
        )
    ]
    (one,) = suite(shape={"seq_len": 16}, variants=[{"local_window_2d": {"window": [3, 5]}}]).cases()
    assert one.mechanism.parameters["window"] == (3, 5)
    assert one.title == "local_window_2d(window=3x5)/native N=16 float32 cpu forward"


def test_pairs_come_back_from_json() -> None:
    (case,) = suite(shape={"seq_len": 16}, variants=[{"local_window_2d": {"window": [3, 5], "grid": [2, 8]}}]).cases()
    again = Case.from_json(json.loads(json.dumps(case.flat())))
    assert again == case
    assert (again.key, again.family, again.pattern) == (case.key, case.family, case.pattern)


def test_a_case_is_found_by_its_window() -> None:
    cases = suite(shape={"seq_len": 16}, variants=[{"local_window_2d": {"window": [[3, 5], [5, 3]]}}]).cases()
    assert pick(cases, "2d 5x3") == cases[1]


@pytest.mark.parametrize(
    ("exclusion", "left"),
    [
        ({"window": [[3, 3]]}, ["_2d(window=3x5, grid=4x4)", "(window=3)"]),
        ({"window": 3}, ["_2d(window=3x3, grid=4x4)", "_2d(window=3x5, grid=4x4)"]),
        ({"window": [3, [3, 3]]}, ["_2d(window=3x5, grid=4x4)"]),
        ({"window": [[3, 3]], "grid": [4, 4]}, ["_2d(window=3x5, grid=4x4)", "(window=3)"]),
        ({"grid": [[4, 4], [5, 5]]}, ["(window=3)"]),
    ],
)
def test_exclusions(exclusion: dict[str, Any], left: list[str]) -> None:
    listed = [{"local_window_2d": {"window": [[3, 3], [3, 5]], "grid": [4, 4]}}, {"local_window": {"window": 3}}]
    it = suite(shape={"seq_len": 16}, variants=listed, exclude=[exclusion])
    assert [case.label for case in it.cases()] == [f"local_window{each}" for each in left]


def test_a_pattern_too_long_to_be_drawn_is_drawn_at_a_length_near_it() -> None:
    listed = [{"local_window_2d": {"window": [3, 3], "grid": [None, [49, 64]]}}]
    drawn = pattern_images.of(suite(shape={"seq_len": [784, 3136]}, variants=listed).cases())
    assert [(each["label"], each["seq_len"]) for each in drawn] == [
        ("local_window_2d(window=3x3)", 2025),
        ("local_window_2d(window=3x3, grid=49x64)", 2070),
    ]


@pytest.mark.parametrize(("parameters", "n"), WINDOWS, ids=label)
def test_closed_forms_count_what_the_pattern_allows(parameters: dict[str, Any], n: int) -> None:
    pattern = LocalWindow2d(**parameters)
    case = case_of("local_window_2d", vars(pattern), "blockwise", Shape(1, 2, 2, n, 8), "float32", "cpu", "forward", 1)
    known = pattern.dilation == (1, 1) and not pattern.causal
    assert flops(case) == (4 * pattern.spans(n).pairs() * 2 * 8 if known else None)


def test_small_grids_that_an_implementation_does_not_take_are_left_out() -> None:
    """A window over all of a single row needs no mask; on a grid of several rows it does."""
    parameters = {"window": (1, 511), "grid": (1, 256)}
    case = case_of("local_window_2d", parameters, "sdpa", Shape(1, 2, 1, 256, 8), "float32", "cpu", "training", 1)
    found = probe(case, 2**30, unheard)
    assert (found.status, found.reason) == (Status.PASSED, "")


def test_spans_that_lie_above_each_other_by_chance_are_no_grid() -> None:
    i = np.arange(8)
    spans = Spans.of(8, (i, i + 1), (np.where(i == 4, 6, 0), np.where(i == 4, 7, 0)))
    assert [group.rows.tolist() for group in grid.plan(spans)] == [group.rows.tolist() for group in plan.plan(spans)]
