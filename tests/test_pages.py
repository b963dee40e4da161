"""The pages that are made from the code are what the code makes."""

from pathlib import Path

import pytest
from pages import pages, variants
from pages import suites as page

from attnbench.suites import shipped
from attnbench.suites.schema.load import load, parse
from attnbench.suites.schema.schema import schema


@pytest.mark.parametrize("path", pages(), ids=lambda path: Path(path).name)
def test_a_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path](), f"{path.name} is old: make docs"


def test_every_key_of_a_suite_is_on_a_page() -> None:
    text, rules = page.text() + variants.text(), schema()
    known = [rules, *(node for name, node in rules["$defs"].items() if name != "exclusion")]
    keys = {key for node in known for key in node.get("properties", {})} - {"implementation"}
    assert [key for key in sorted(keys) if f"`{key}`" not in text and key != "pow2"] == []
    assert "pow2" in text


def test_every_shipped_suite_is_on_its_page_with_its_question() -> None:
    text = page.text()
    for name, path in shipped().items():
        assert f"- `{name}`: {load(path).question} " in text


def test_the_suite_of_the_page_is_one() -> None:
    text, *_parts = (block.split("```")[0] for block in page.text().split("```yaml\n")[1:])
    assert len(parse(text).cases()) == 22


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 4096}, "integer 1 to 4,096"),
        ({"type": "integer", "minimum": 1, "maximum": 9, "not": {"multipleOf": 2}}, "odd integer 1 to 9"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"enum": [*"abcdefghij"]}, "a name such as `a`"),
        (
            {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "boolean"}}]},
            "`true` or `false` or list",
        ),
        (
            {"anyOf": [{"type": "null"}, {"type": "string", "title": 'a percentage such as "80%"'}]},
            "`null` or a percentage such as `80%`",
        ),
    ],
)
def test_words_of_a_node(node: dict[str, object], words: str) -> None:
    assert page.takes(node, {}) == words
