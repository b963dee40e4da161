"""Turns pydantic's errors into problems: one plain line for each mistake, with its place in the file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from attnbench.suites.problem import KeyPath, Problem, found, found_variant
from attnbench.suites.schema.document import Document, Place
from attnbench.suites.schema.values import TAG

_WORDS = {
    "model_type": "a mapping",
    "tuple_type": "a list",
    "union_tag_not_found": "the name of a variant, or a mapping from one name to its parameters",
}
_UNKNOWN = ("extra_forbidden", "union_tag_invalid")
_NOISE = ("default_factory_not_called",)
"""What pydantic says because of another mistake."""


def explain(errors: Sequence[ErrorDetails], document: Document, schema: Callable[[], dict[str, Any]]) -> list[Problem]:
    """The problems behind errors; `schema` is asked for the keys that there are if one is unknown."""
    problems = []
    rules = schema() if any(error["type"] in _UNKNOWN for error in errors) else {}
    for error in errors:
        if error["type"] in _NOISE or (error["type"] == "too_short" and error["input"]):
            continue
        path = _path(error)
        if error["type"] in _UNKNOWN:
            tell = found_variant if error["type"] == "union_tag_invalid" else found
            problems.append(_unknown(path, document, rules, tell))
        else:
            problems.append(Problem(document.file, *_place(path, document), path, _text(error)))
    return problems


def _path(error: ErrorDetails) -> KeyPath:
    """The path in the file, the branches of unions left out; of an unknown key the path of the key."""
    steps: KeyPath = error["loc"]
    unknown: KeyPath = ()
    if error["type"] == "extra_forbidden":
        steps, unknown = steps[:-1], steps[-1:]
    if error["type"] == "union_tag_invalid":
        unknown = (next(iter(error["input"])),)
    return *(step for step in steps if isinstance(step, int) or not step.startswith(TAG)), *unknown


def _text(error: ErrorDetails) -> str:
    """What was expected, and what was found."""
    context = error.get("ctx", {})
    if error["type"] == "missing":
        return "expected a value, found nothing"
    if error["type"] == "too_short":
        return "expected at least one entry, found an empty list"
    if error["type"] == "too_long":
        return f"expected at most {context['max_length']} entries, found {len(error['input'])}"
    if context.get("instead") is not None:
        return f"expected {context['words']}, found {context['instead']}"
    words = context.get("words") or _WORDS.get(error["type"]) or f"something else ({error['msg']})"
    return f"expected {words}, {found(error['input'], context.get('choices', ()))}"


def _unknown(
    path: KeyPath, document: Document, schema: dict[str, Any], tell: Callable[[object, list[str]], str]
) -> Problem:
    """A key that does not exist."""
    keys = _keys(schema, path[:-1])
    text = f"expected one of {', '.join(keys)}, {tell(path[-1], keys)}"
    return Problem(document.file, *document.keys.get(path, _place(path, document)), path[:-1], text)


def _place(path: KeyPath, document: Document) -> Place:
    """Where a value stands, or what it is missing from."""
    while path and path not in document.places:
        path = path[:-1]
    return document.places.get(path, (1, 1))


def _keys(schema: Mapping[str, Any], path: KeyPath) -> list[str]:
    """The keys of the mapping at `path` in a document, as its schema knows them."""
    nodes = _branches(schema, schema)
    for step in path:
        inside = [
            node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, {})
            for node in nodes
        ]
        nodes = [branch for node in inside for branch in _branches(node, schema)]
    return [key for node in nodes for key in node.get("properties", {})]


def _branches(node: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A node of a schema and all its alternatives."""
    nodes = [node]
    if "$ref" in node:
        nodes += _branches(schema["$defs"][node["$ref"].removeprefix("#/$defs/")], schema)
    for each in [*node.get("oneOf", []), *node.get("anyOf", [])]:
        nodes += _branches(each, schema)
    return nodes
