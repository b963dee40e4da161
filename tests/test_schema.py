"""The JSON Schema and the loader agree on what is a suite."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from attnbench.suites import SuiteError, shipped
from attnbench.suites.schema.load import load, parse
from attnbench.suites.schema.schema import as_text, schema

DATA = Path(__file__).parent / "data" / "suites"
BASE = {
    "name": "name: base",
    "question": "question: Is it fast?",
    "shape": "shape: {seq_len: 256}",
    "variants": "variants: [full, bigbird]",
}
ONLY_THE_LOADER = (
    "a divisor of heads",
    "exponents in ascending order",
    "one of this suite's",
    "an entry that matches some case",
    "some case to be left",
    "at most 10000 cases",
    "a grid of at most",
)
"""Words of the errors for rules that JSON Schema cannot say."""

SCHEMA = Draft202012Validator(schema())


def document(text: str) -> str:
    """A document of the data files, with what it leaves out."""
    if text.startswith("---"):
        return text
    told = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    return "\n".join([*(line for key, line in BASE.items() if key not in told), text])


def documents(name: str) -> list[Any]:
    """The documents of a data file, under their names."""
    texts = yaml.safe_load((DATA / name).read_text())
    return [pytest.param(document(text), id=str(title)) for title, text in texts.items()]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_the_schema_in_the_tree_is_current() -> None:
    stored = (Path(next(iter(shipped().values()))).parent / "schema.json").read_text()
    assert stored == as_text(), "suites/schema.json is old: make docs"


@pytest.mark.parametrize("text", documents("good.yaml"))
def test_both_accept(text: str) -> None:
    assert not list(SCHEMA.iter_errors(yaml.safe_load(text)))
    assert parse(text).cases()


@pytest.mark.parametrize("text", documents("bad.yaml"))
def test_both_refuse(text: str) -> None:
    assert not SCHEMA.is_valid(yaml.safe_load(text))
    with pytest.raises(SuiteError, match="expected .*, found "):
        parse(text)


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites(name: str) -> None:
    path = shipped()[name]
    assert not list(SCHEMA.iter_errors(yaml.safe_load(path.read_text())))
    assert load(path).name == name
    assert path.read_text().startswith("# yaml-language-server: $schema=./schema.json\n")


def test_a_suite_written_as_json_is_a_suite() -> None:
    for path in shipped().values():
        assert SCHEMA.is_valid(load(path).to_json())


def test_every_key_is_described() -> None:
    made, undescribed = schema(), list[str]()

    def walk(node: Any, path: str) -> None:
        for key, below in node.get("properties", {}).items():
            target = made["$defs"][below["$ref"].split("/")[-1]] if "$ref" in below else below
            if not (below.get("description") or target.get("description")):
                undescribed.append(f"{path}.{key}")

    walk(made, "")
    for name, node in made["$defs"].items():
        if name != "exclusion":
            walk(node, name)
    assert not undescribed


ALL_GOOD = [yaml.safe_load(document(text)) for text in yaml.safe_load((DATA / "good.yaml").read_text()).values()]
NUMBERS = [None, True, False, 0, 1, 2, 3, 8, 257, -1, 2.5, 512.0, 2**24, 2**31, 10**12, 1e-3]
NAMES = ["", "auto", "full", "truncated", "full/sdpa", "sdpa", "blockwise", "cpu", "float32", "forward", "clip"]
FORMS = ["> 3", "<= 512", "80%", "4GiB", "seq_len", "causal", "left", "pow2", "implementation", "bnhd"]
KEYS = ["heads", "causal", "left", "typo", "seq_len", "layout", "window", "grid"]
SCALARS = st.sampled_from([*NUMBERS, *NAMES, *FORMS])
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["pow2", "full", "left"]), below),
    max_leaves=4,
)


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Every container of the data with every key or index of it."""
    if not isinstance(data, dict | list):
        return []
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    return [(data, key) for key in keys] + [place for key in keys for place in _places(data[key])]


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """A suite with one or two values replaced, removed, renamed, or put into a list."""
    data = copy.deepcopy(draw(st.sampled_from(ALL_GOOD)))
    for _ in range(draw(st.integers(1, 2))):
        container, key = draw(st.sampled_from(_places(data)))
        change = draw(st.sampled_from(["replace", "remove", "wrap", "add"]))
        if change == "replace":
            container[key] = draw(VALUES)
        elif change == "remove":
            del container[key]
        elif change == "wrap":
            container[key] = [container[key]]
        elif isinstance(container, dict):
            container[draw(st.sampled_from(KEYS))] = draw(VALUES)
        else:
            container.insert(key, draw(VALUES))
        if not _places(data):
            break
    return data


def problems(text: str) -> list[str]:
    """What the loader finds wrong."""
    try:
        parse(text)
    except SuiteError as error:
        return [each.text for each in error.problems]
    return []


@settings(max_examples=60)
@given(data=mutants())
def test_both_judge_mutants_alike(data: Any) -> None:
    found = problems(json.dumps(data))
    sayable = [text for text in found if not any(rule in text for rule in ONLY_THE_LOADER)]
    assert bool(sayable) is not SCHEMA.is_valid(data), (found, list(SCHEMA.iter_errors(data)))
