"""Suites: what they expand to, their defaults, and what travels on with them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import attnbench.variants
from attnbench import variants
from attnbench.runner.cli.common import load_suite
from attnbench.suites import SuiteError, shipped
from attnbench.suites.schema.limits import Budget
from attnbench.suites.schema.load import from_dict, load
from attnbench.suites.schema.suite import Suite

LEAST = {"name": "least", "question": "Q?", "shape": {"seq_len": 64}, "variants": ["full"]}


def suite(**keys: Any) -> Suite:
    """The least suite, changed."""
    return from_dict({**LEAST, **keys})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose variants can be added for the length of a test."""
    monkeypatch.setattr(attnbench.variants, "__path__", list(attnbench.variants.__path__))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("attnbench.variants."):
            del sys.modules[name]


def test_defaults() -> None:
    it = suite()
    axes = vars(it)
    assert axes["level"] == ("attention",)
    assert (it.shape.batch, it.shape.heads, it.shape.kv_heads, it.shape.head_dim) == ((1,), (8,), None, (64,))
    told = [axes[name] for name in ("dtype", "device", "direction", "threads")]
    assert told == [("float32",), ("cpu",), ("forward",), ("auto",)]
    assert it.baseline == ("full/sdpa",)
    assert (it.measure.processes, it.measure.values, it.measure.value_ms) == (5, 10, 10)
    assert (it.budget.case_s, it.budget.suite_s, it.budget.memory) == (60, 1800, "80%")
    assert it.exclude == ()


def test_one_case() -> None:
    (case,) = suite().cases()
    assert case.title == "full/sdpa N=64 float32 cpu forward"
    assert (
        case.setting.shape.batch,
        case.setting.shape.heads,
        case.setting.shape.kv_heads,
        case.setting.shape.head_dim,
    ) == (1, 8, 8, 64)


@pytest.mark.parametrize("key", ["dtype", "device", "direction", "threads"])
def test_a_scalar_is_a_list_of_one(key: str) -> None:
    value = getattr(suite(), key)[0]
    assert suite(**{key: value}) == suite(**{key: [value]})


def test_the_order_of_cases() -> None:
    cases = suite(
        shape={"heads": [2, 1], "seq_len": [64, 16]},
        direction=["training", "forward"],
        variants=["bigbird", {"full": {"implementation": ["sdpa", "eager"]}}],
    ).cases()
    told = [
        (
            case.setting.shape.heads,
            case.setting.shape.seq_len,
            case.setting.direction,
            case.mechanism.name,
            case.implementation,
        )
        for case in cases
    ]
    assert told == [
        (heads, seq_len, direction, *how)
        for heads in (2, 1)
        for seq_len in (16, 64)
        for direction in ("training", "forward")
        for how in (("bigbird", "native"), ("full", "sdpa"), ("full", "eager"))
    ]


def test_a_grid_runs_its_last_parameter_fastest() -> None:
    grid = {"truncated": {"right": [0, 1], "left": [2, None], "implementation": ["eager", "sdpa"]}}
    told = [(*case.mechanism.parameters.values(), case.implementation) for case in suite(variants=[grid]).cases()]
    assert told == [(left, right, 1, how) for left in (2, None) for right in (0, 1) for how in ("eager", "sdpa")]


def test_parameters_hold_every_default() -> None:
    (case,) = suite(variants=[{"local_window": {"window": 3}}]).cases()
    assert case.mechanism.parameters == {"window": 3, "dilation": 1, "edges": "clip", "causal": False, "sinks": 0}


def test_powers_of_two() -> None:
    assert suite(shape={"seq_len": {"pow2": [0, 3]}}).shape.seq_len == (1, 2, 4, 8)


def test_kv_heads_are_heads_unless_told() -> None:
    by_default = suite(shape={"heads": [2, 4], "seq_len": 8}).cases()
    assert [case.setting.shape.kv_heads for case in by_default] == [2, 4]
    told = suite(shape={"heads": [2, 4], "kv_heads": [1, 2], "seq_len": 8}).cases()
    assert [(case.setting.shape.heads, case.setting.shape.kv_heads) for case in told] == [
        (2, 1),
        (2, 2),
        (4, 1),
        (4, 2),
    ]


def test_a_case_listed_twice_is_one() -> None:
    it = suite(shape={"seq_len": [64, 64]}, variants=["full", {"full": {"causal": [False, True, True]}}])
    assert [case.mechanism.parameters["causal"] for case in it.cases()] == [False, True]


@pytest.mark.parametrize(
    ("exclusion", "left"),
    [
        ({"seq_len": 16}, [8, 32]),
        ({"seq_len": [8, 32]}, [16]),
        ({"seq_len": "> 16"}, [8, 16]),
        ({"seq_len": ">= 16"}, [8]),
        ({"seq_len": "<16"}, [16, 32]),
        ({"seq_len": "<= 16"}, [32]),
        ({"seq_len": "!= 16"}, [16]),
        ({"seq_len": ["== 16", "=8"]}, [32]),
        ({"seq_len": ["< 16", "> 16"]}, [16]),
        ({"seq_len": 16, "variant": "full", "threads": "auto", "causal": False}, [8, 32]),
    ],
)
def test_exclusions(exclusion: dict[str, Any], left: list[int]) -> None:
    it = suite(shape={"seq_len": [8, 16, 32]}, exclude=[exclusion])
    assert [case.setting.shape.seq_len for case in it.cases()] == left


def test_an_exclusion_matches_only_where_all_its_keys_do() -> None:
    it = suite(
        shape={"seq_len": [8, 16]},
        variants=["full", {"truncated": {"left": [1, None], "right": 2}}],
        exclude=[{"left": None, "seq_len": 16}, {"left": "<= 3", "seq_len": 8}],
    )
    assert [case.label for case in it.cases()] == ["full", "truncated(left=null, right=2)", "full", LABEL]


LABEL = "truncated(left=1, right=2)"


def test_only_unequal_holds_for_what_is_no_number() -> None:
    threads = ["auto", 1, 2]
    assert [case.setting.threads for case in suite(threads=threads, exclude=[{"threads": "< 9"}]).cases()] == ["auto"]
    assert [case.setting.threads for case in suite(threads=threads, exclude=[{"threads": "!= 2"}]).cases()] == [2]


def test_the_baseline_is_the_first_of_the_same_group() -> None:
    it = suite(
        shape={"seq_len": [8, 16]},
        direction=["forward", "training"],
        variants=["bigbird", {"full": {"causal": [True, False]}}],
        exclude=[{"variant": "full", "seq_len": 16, "direction": "training"}],
    )
    for case in it.cases():
        found = next(iter(it.baselines_of(case)), None)
        if (case.setting.shape.seq_len, case.setting.direction) == (16, "training"):
            assert found is None
        else:
            assert found is not None
            assert (found.setting, found.mechanism.parameters, found.implementation) == (
                case.setting,
                {"causal": True},
                "sdpa",
            )


@pytest.mark.parametrize("keys", [{"baseline": None}, {"variants": ["bigbird"]}])
def test_no_baseline(keys: dict[str, Any]) -> None:
    it = suite(**keys)
    assert it.baseline == ()
    assert [it.baselines_of(case) for case in it.cases()] == [()]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("80%", 800_000_000),
        ("100%", 1_000_000_000),
        ("4GiB", 4 * 2**30),
        ("1.5 KiB", 1536),
        ("500MB", 500_000_000),
        ("2kB", 2000),
        ("1TB", 10**12),
        ("3MiB", 3 * 2**20),
        (12345, 12345),
    ],
)
def test_the_memory_budget_in_bytes(memory: object, expected: int) -> None:
    budget = Budget.model_validate({"memory": memory})
    assert budget.bytes_of(1_000_000_000) == expected
    assert budget.memory == memory


def test_json_is_the_same_suite_again() -> None:
    for path in shipped().values():
        it = load(path)
        again = from_dict(json.loads(json.dumps(it.to_json())))
        assert again.to_json() == it.to_json()
        assert [case.key for case in again.cases()] == [case.key for case in it.cases()]


def test_a_suite_keeps_its_text() -> None:
    path = shipped()["quick"]
    assert load(path).source == load(str(path)).source == path.read_text()
    assert suite().source == ""


def test_a_suite_does_not_change() -> None:
    it, key = suite(), "name"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(it, key, "other")


def test_what_the_shipped_suites_measure() -> None:
    quick = load(shipped()["quick"])
    assert {case.setting.shape.seq_len for case in quick.cases()} == {256, 512, 1024, 2048}
    assert max(case.setting.shape.seq_len for case in quick.cases() if case.implementation == "eager") == 512
    length = load(shipped()["length"]).cases()
    assert {case.setting.shape.seq_len for case in length} == {512, 1024, 2048, 4096, 8192}
    assert max(case.setting.shape.seq_len for case in length if case.implementation == "sdpa_masked") == 4096


def test_mistakes_in_a_dictionary_are_told_by_their_paths() -> None:
    with pytest.raises(SuiteError) as caught:
        from_dict({**LEAST, "shape": {"seq_len": [64, "long"]}, "direction": "forwards"})
    assert str(caught.value).splitlines() == [
        'shape.seq_len[1]: expected an integer from 1 to 16777216, found "long"',
        'direction: expected one of forward, backward, training, decode, found "forwards"; did you mean "forward"?',
    ]


OWN_VARIANT = '''
"""Every other key."""

from dataclasses import dataclass
from typing import Literal

from attnbench.variants import Pattern, Spans, Variant, parameter


@dataclass(frozen=True)
class Every(Pattern):
    """Query i sees every other key."""

    copy: int = parameter("a name that models have too", default=2, minimum=2)
    scale: float = parameter("a number", default=0.5)
    mode: Literal["a", 1] | None = parameter("a choice", default=None)
    depth: int | bool = parameter("a number or a flag", default=True)
    size: int | Literal["auto"] = parameter("a number or a word", default="auto", minimum=1)

    def spans(self, n: int) -> Spans:
        """One span a row."""
        return Spans.of(n, (0, n))


VARIANT = Variant(Every, source="here"{own})
'''


def test_a_variant_of_ones_own(folder: Path) -> None:
    (folder / "every_other.py").write_text(OWN_VARIANT.replace("{own}", ""))
    variants.extend(folder)
    it = suite(variants=["full", {"every_other": {"copy": [2, 3], "scale": 1, "mode": ["a", 1, None], "size": 5}}])
    parameters = [case.mechanism.parameters for case in it.cases()[1:]]
    assert parameters == [
        {"copy": copy, "scale": 1.0, "mode": mode, "depth": True, "size": 5}
        for copy in (2, 3)
        for mode in ("a", 1, None)
    ]
    assert it.cases()[1].implementation == "native"
    assert "every_other" in Suite.model_json_schema()["$defs"]
    with pytest.raises(SuiteError, match="expected an integer from 2 to 2147483647, found 1"):
        suite(variants=[{"every_other": {"copy": 1}}])
    with pytest.raises(SuiteError, match="expected one of a, 1 or null, found true"):
        suite(variants=[{"every_other": {"mode": True}}])


def test_one_is_not_true(folder: Path) -> None:
    (folder / "every_other.py").write_text(OWN_VARIANT.replace("{own}", ""))
    variants.extend(folder)
    it = suite(variants=[{"every_other": {"depth": [0, 1, False, True]}}], exclude=[{"depth": 1}])
    assert [repr(case.mechanism.parameters["depth"]) for case in it.cases()] == ["0", "False", "True"]


def test_a_variant_with_its_own_kernel(folder: Path) -> None:
    (folder / "every_other.py").write_text(OWN_VARIANT.replace("{own}", ", build=lambda *args: None"))
    variants.extend(folder)
    assert [case.implementation for case in suite(variants=["every_other"]).cases()] == ["own"]
    both = suite(variants=[{"every_other": {"implementation": ["eager", "own"]}}], baseline="every_other/own")
    assert both.baselines_of(both.cases()[0]) == (both.cases()[1],)


def test_importing_suites_does_not_import_what_reading_them_takes() -> None:
    code = "import sys, attnbench.suites; print({'pydantic', 'yaml', 'torch', 'pandas', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_folder_does_not_hide_a_suite_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ci").mkdir()
    assert load_suite(Path("ci"), ()).name == "ci"
