"""Where two suites, two machines or the parts of a run differ."""

from itertools import product
from typing import Any

import pytest

from attnbench.runner.execution.resuming import differences
from attnbench.suites import fingerprint


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1, "b": [1, {"c": None}]}, {"b": [1, {"c": None}], "a": 1.0}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a.b": (1, 2)}),
        ({"a": [1, 2, 3]}, {"a": [1, 5, 3]}, {"a[1]": (2, 5)}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": ([1, 2], [1])}),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, {"a[1].b": (2, 3)}),
        ({"a": 1}, {"b": 2}, {"a": (1, None), "b": (None, 2)}),
        ({"a": {"b": 1}}, {"a": None}, {"a": ({"b": 1}, None)}),
        ({"a": [1]}, {"a": 1}, {"a": ([1], 1)}),
    ],
)
def test_values_that_differ_are_named_by_their_path(a: Any, b: Any, expected: dict[str, tuple[Any, Any]]) -> None:
    assert differences(a, b) == expected
    assert differences(b, a) == {path: (other, one) for path, (one, other) in expected.items()}


HERE = {"cpu": "one", "torch": "2.13", "memory_bytes": 2**33, "commit": "aaa", "load": 0.5}


def test_machines_differ_in_what_times_depend_on() -> None:
    assert fingerprint.differences(HERE, HERE | {"load": 2.0, "commit": "bbb", "memory_bytes": 2**33 + 4096}) == {}
    assert fingerprint.differences(HERE, HERE | {"cpu": "two", "memory_bytes": 2**34}) == {
        "cpu": ("one", "two"),
        "memory_gib": (8, 16),
    }


def test_a_peer_of_another_version_is_a_difference_and_an_unknown_one_is_not() -> None:
    old, none = HERE, HERE | {"peers": None}
    alone, both = (HERE | {"peers": f"transformers 4.50{more}"} for more in ("", ", xformers 0.0.35"))
    later = HERE | {"peers": "transformers 5.2, xformers 0.0.35"}
    for one, other in product((old, none, alone, both), repeat=2):
        assert fingerprint.changed(one, other) == {}
    for each in (alone, both):
        changed = {"transformers": ("4.50", "5.2")}
        assert fingerprint.changed(each, later) == changed
        assert fingerprint.between({"environment": each}, {"environment": later}) == changed
        assert fingerprint.unequal(*(fingerprint.software({"environment": run}) for run in (each, later))) == changed
    mixed = {"environment": alone, "resumed": [{"environment": later}]}
    assert fingerprint.between({"environment": both}, mixed) == {"transformers": ("4.50", "4.50, then 5.2")}
    assert fingerprint.between({"environment": old}, mixed) == {"transformers": (None, "4.50, then 5.2")}
    assert fingerprint.machine(mixed) == fingerprint.machine({"environment": old})


def test_the_parts_of_a_run_share_their_code_too() -> None:
    assert fingerprint.changed(HERE, HERE | {"load": 2.0}) == {}
    assert fingerprint.changed(HERE, HERE | {"cpu": "two", "commit": "bbb"}) == {
        "cpu": ("one", "two"),
        "commit": ("aaa", "bbb"),
    }


def test_a_run_that_mixes_machines_is_like_none() -> None:
    plain = {"environment": HERE}
    same = {"environment": HERE, "resumed": [{"environment": HERE | {"load": 3.0}}]}
    mixed = {"environment": HERE, "resumed": [{"environment": HERE | {"torch": "2.14"}}, {"environment": HERE}]}
    assert fingerprint.between(plain, same) == {}
    assert fingerprint.between(plain, mixed) == {"torch": ("2.13", "2.13, then 2.14")}
    assert fingerprint.between(mixed, mixed) == {"torch": ("2.13, then 2.14", "2.13, then 2.14")}
    coded = {"environment": HERE, "resumed": [{"environment": HERE | {"commit": "bbb"}}]}
    assert fingerprint.between(coded, plain) == {"commit": ("aaa, then bbb", "aaa")}
    other = {"environment": HERE | {"commit": "ccc"}}
    assert fingerprint.between(other, coded) == {"commit": ("ccc", "aaa, then bbb")}
    assert fingerprint.what_differs(fingerprint.between(coded, plain)) == "runs"
    elsewhere = {"environment": HERE | {"cpu": "two", "commit": "ccc"}}
    assert fingerprint.between(plain, elsewhere) == {"cpu": ("one", "two")}
    assert fingerprint.what_differs(fingerprint.between(coded, elsewhere)) == "machines"
