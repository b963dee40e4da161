"""Patterns: every derived quantity equals the definition, pair by pair."""

import hashlib
import types
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
from definitions import CASES, DEFINITIONS, defined, exists, label
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from settings import pattern_of

from attnbench import variants
from attnbench.variants import Spans
from attnbench.variants.bigbird import BigBird, mix

LENGTHS = (1, 5, 61, 130)
SHIPPED = sorted(path.stem for path in Path(variants.__path__[0]).glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_variant_is_described(name: str) -> None:
    assert name in variants.names()
    assert "Source: " in variants.describe(name)
    assert "Cost:" in variants.describe(name)
    assert all(each.metadata["doc"] for each in fields(variants.load(name).parameters))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_name_alone_is_a_variant(name: str) -> None:
    made = variants.load(name).parameters()
    assert made.unsupported(made.near(1024)[1]) is None


POINTS = [(name, parameters, n) for name, parameters in CASES for n in LENGTHS]


@pytest.mark.parametrize(("name", "parameters", "n"), [each for each in POINTS if exists(*each)], ids=label)
def test_a_pattern_is_its_definition(name: str, parameters: dict[str, Any], n: int) -> None:
    pattern = pattern_of(name, parameters)
    assert pattern.unsupported(n) is None
    spans = pattern.spans(n)
    expected = defined(name, parameters, n)
    assert (spans.mask() == expected).all()
    assert (spans.counts() == expected.sum(axis=1)).all()
    assert spans.pairs() == expected.sum()
    assert expected.diagonal().all()


@pytest.mark.parametrize(("name", "parameters", "n"), [each for each in POINTS if not exists(*each)], ids=label)
def test_a_pattern_that_does_not_exist_says_so(name: str, parameters: dict[str, Any], n: int) -> None:
    assert pattern_of(name, parameters).unsupported(n)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=label)
def test_the_layout_holds_the_tiles_that_are_not_empty(name: str, parameters: dict[str, Any]) -> None:
    pattern, n = pattern_of(name, parameters).near(61)
    for height, width in ((1, 1), (7, 5), (16, 16), (3, 61), (200, 200)):
        assert_layout(pattern.spans(n), height, width)


def assert_layout(spans: Spans, height: int, width: int) -> None:
    i, j = np.nonzero(spans.mask())
    expected = sorted(set(zip((i // height).tolist(), (j // width).tolist(), strict=True)))
    rows, columns = spans.layout(height, width)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def parameters_of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any small parameters, from the types and bounds that the variant declares, without files."""
    known = [each for each in fields_of(name) if str not in get_args(each.type)]
    return st.fixed_dictionaries({each.name: values_of(each.type, each.metadata) for each in known})


def fields_of(name: str) -> Any:
    return fields(variants.load(name).parameters)


def values_of(kind: Any, metadata: Any) -> st.SearchStrategy[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of([values_of(each, metadata) for each in get_args(kind)])
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.booleans()
    if kind is type(None):
        return st.none()
    if kind == tuple[int, int]:
        return st.tuples(*[numbers_of(metadata, 8)] * 2)
    if kind == tuple[int, ...]:
        return st.lists(numbers_of(metadata, 20), min_size=1, max_size=4).map(tuple)
    return numbers_of(metadata, 40)


def numbers_of(metadata: Any, most: int) -> st.SearchStrategy[int]:
    numbers = st.integers(metadata.get("minimum") or 0, most)
    return numbers.map(lambda number: number | 1) if metadata.get("odd") else numbers


def lengths_of(name: str, parameters: dict[str, Any]) -> st.SearchStrategy[int]:
    """Any small length; for a pattern that exists at few lengths mostly one of these."""
    lengths = st.integers(1, 45)
    if name not in ("local_window_2d", "graph"):
        return lengths
    grid = parameters["grid"]
    filled = st.integers(1, 6).map(lambda side: side * side) if grid is None else st.just(grid[0] * grid[1])
    return filled | filled | lengths


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@settings(max_examples=25)
@given(data=st.data())
def test_any_pattern_is_its_definition(name: str, data: st.DataObject) -> None:
    parameters = data.draw(parameters_of(name), label="parameters")
    n = data.draw(lengths_of(name, parameters), label="n")
    pattern = pattern_of(name, parameters)
    assert (pattern.unsupported(n) is None) == exists(name, parameters, n)
    assume(exists(name, parameters, n))
    spans = pattern.spans(n)
    expected = defined(name, parameters, n)
    assert (spans.mask() == expected).all()
    assert spans.pairs() == expected.sum()
    assert_layout(spans, data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)))


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("n", [27, 28, 61])
def test_a_sliding_window_sees_exactly_its_width(n: int, dilation: int) -> None:
    spans = pattern_of("local_window", {"window": 9, "dilation": dilation, "edges": "slide"}).spans(n)
    assert (spans.counts() == 9).all()


@pytest.mark.parametrize("n", [1, 5, 61])
def test_truncated_and_local_window_agree(n: int) -> None:
    truncated = pattern_of("truncated", {"left": 8, "right": 8}).spans(n)
    window = pattern_of("local_window", {"window": 17}).spans(n)
    assert (truncated.start == window.start).all()
    assert (truncated.stop == window.stop).all()


@pytest.mark.parametrize(
    ("parameters", "n", "reason"),
    [
        ({"window": 9, "edges": "slide"}, 8, "dilation * window <= seq_len"),
        ({"window": 9, "dilation": 2, "edges": "slide"}, 17, "2 * 9 > 17"),
        ({"window": 9, "edges": "slide", "causal": True}, 100, "use edges: clip"),
        ({"window": 9, "sinks": 4}, 100, "sinks need a causal window, found sinks: 4 and causal: false"),
    ],
)
def test_a_pattern_says_where_it_does_not_exist(parameters: dict[str, Any], n: int, reason: str) -> None:
    assert reason in str(pattern_of("local_window", parameters).unsupported(n))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("longformer", {"window": 4}, "window: expected an odd number, found 4; take 3 or 5"),
        ("local_window", {"window": True}, "window: expected int, found True"),
        ("local_window", {"window": 3, "edges": "wrap"}, "edges: expected one of clip, slide, found 'wrap'"),
        ("block_local", {"block": 0}, "block: expected at least 1, found 0"),
        ("truncated", {"left": "8", "right": 8}, "left: expected int or null, found '8'"),
        ("full", {"causal": 1}, "causal: expected bool, found 1"),
        ("document", {"lengths": (3, 0)}, "lengths: expected at least 1, found 0"),
        ("document", {"lengths": ()}, "lengths: expected a tuple of integers, found ()"),
        ("document", {"lengths": 3}, "lengths: expected a tuple of integers, found 3"),
        ("local_window_2d", {"window": (3, 0)}, "window: expected at least 1, found 0"),
        ("local_window_2d", {"window": 3}, "window: expected a tuple of two integers, found 3"),
        ("local_window_2d", {"window": (3, 3, 3)}, "window: expected a tuple of two integers, found (3, 3, 3)"),
        ("local_window_2d", {"window": (3, True)}, "window: expected int, found True"),
        ("local_window_2d", {"window": (3, 3), "grid": (0, 1)}, "grid: expected at least 1, found 0"),
        (
            "local_window_2d",
            {"window": (3, 3), "grid": "square"},
            "grid: expected a tuple of two integers or null, found 'square'",
        ),
        (
            "local_window_2d",
            {"window": (3, 3), "causal": "rows"},
            "causal: expected one of down, across, both, bool, found 'rows'",
        ),
    ],
)
def test_a_bad_parameter_is_named(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        pattern_of(name, parameters)
    assert str(error.value) == message


def test_bigbird_draws_the_same_blocks_on_every_machine() -> None:
    rows, columns = pattern_of("bigbird", {"block": 64}).spans(4096).layout(64, 64)
    text = " ".join(f"{row},{column}" for row, column in zip(rows.tolist(), columns.tolist(), strict=True))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "58d420a53b3401ab"


@pytest.mark.parametrize("seed", [0, 1])
def test_bigbird_rows_see_their_number_of_blocks(seed: int) -> None:
    counts = pattern_of("bigbird", {"block": 4, "seed": seed}).spans(400).counts()
    assert set(counts[8:-8].tolist()) == {(3 + 2 + 3) * 4}


@pytest.mark.parametrize(("rows", "random"), [(1, 3), (9, 2), (40, 7), (40, 40)])
def test_bigbird_draws_each_unseen_block_by_its_place_among_them(rows: int, random: int) -> None:
    """As the slow, obvious way does: list what is not seen yet, and take one of that."""
    drawn = BigBird(block=1, random=random, seed=3).drawn(rows)
    for r in range(1, max(rows - 1, 1)):
        unseen = [block for block in range(1, rows - 1) if abs(block - r) > 1]
        for draw in range(min(random, len(unseen))):
            assert drawn[r, draw] == unseen.pop(mix(3, r, draw) % len(unseen))


def test_bigbird_seeds_differ() -> None:
    first, second = (pattern_of("bigbird", {"block": 4, "seed": seed}).spans(400).mask() for seed in (0, 1))
    assert (first != second).any()


def test_bounds_are_cut_without_moving_the_progression() -> None:
    spans = Spans.of(10, (-7, 25, 3))
    assert np.flatnonzero(spans.mask()[0]).tolist() == [2, 5, 8]


def test_an_unknown_variant_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        variants.load("no_such_variant")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("fixed", {"block": 2**31 - 1, "summary": 2**31 - 1}),
        ("fixed", {"block": 2**31 - 1, "summary": 2**30}),
        ("fixed", {"block": 2**31 - 1, "summary": 2**31 - 1, "causal": False}),
        ("bigbird", {"random": 2**31 - 1}),
    ],
)
def test_large_parameters_cost_nothing_at_a_short_length(name: str, parameters: dict[str, Any]) -> None:
    """The spans of a pattern are as many as its keys at most, whatever its parameters say."""
    pattern, n = pattern_of(name, parameters), 16
    i, j = np.indices((n, n))
    every = i >= j if parameters.get("causal", name == "fixed") else np.ones((n, n), bool)
    assert (pattern.spans(n).mask() == every).all()
