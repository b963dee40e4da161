"""The JSON Schema of suites, for editors and other readers, and errors in its words.

The schema accepts what the loader accepts, as far as JSON Schema can express it. Only the loader checks that

- kv_heads divides every number of heads, and the exponents of pow2 ascend;
- a padding has no length above N and no more than 100 lengths;
- the baseline is a variant and implementation of the suite;
- every exclusion and every entry of `check.cases` matches some case, and some case is left;
- the number of cases, and of points in the grid of a variant, is within its limit;
- the parameters of a variant are valid together;
- numbers of parameters are as equal as `equal_parameters` demands;
- the width of an encoder is heads x head_dim;
- the file is small, and every reader of YAML reads it alike.
"""

import json
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from attnbench.suites.problem import KeyPath, Problem, found, found_variant, shown
from attnbench.suites.schema.document import Document
from attnbench.suites.schema.kinds import union, values
from attnbench.suites.schema.suite import Suite
from attnbench.variants import levels
from attnbench.variants.levels._learning import Learning

_WIDTH = 160
Node = Mapping[str, Any]
"""Part of a JSON Schema without alternatives."""


class _Plain(GenerateJsonSchema):
    """Generator that leaves out titles, which would repeat the names of keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False."""
        del schema
        return False


def schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of suites with the variants that exist."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **_rules(Suite), "title": "A suite of attnbench", **_length()}


def _length() -> dict[str, Any]:
    """Return the rule that a shape has a length, unless all levels learn from data, which fixes it."""
    names = [name for name in levels.names() if issubclass(levels.load(name), Learning)]
    one = {"anyOf": [{"enum": names}, {"type": "object", "minProperties": 1, "propertyNames": {"enum": names}}]}
    learn = {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}

    def shape(**rules: Any) -> dict[str, Any]:
        return {"properties": {"shape": rules}}

    return {
        "if": {"properties": {"level": learn}, "required": ["level"]},
        "then": shape(properties={"seq_len": {"type": "null"}}),
        "else": shape(properties={"seq_len": {"not": {"type": "null"}}}, required=["seq_len"]),
    }


def as_text() -> str:
    """Return the schema as in the file `schema.json`."""
    return _text_of(schema()) + "\n"


def _text_of(node: Any, indent: str = "\n") -> str:
    """Return a part of the schema as JSON. If it is short, or contains no lists and mappings, it is one line."""
    line = json.dumps(node)
    within = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if len(line) < _WIDTH or not any(isinstance(each, dict | list) for each in within):
        return line
    inner = indent + " "
    if isinstance(node, list):
        return f"[{inner}{f',{inner}'.join(_text_of(each, inner) for each in node)}{indent}]"
    parts = (f"{json.dumps(key)}: {_text_of(each, inner)}" for key, each in node.items())
    return f"{{{inner}{f',{inner}'.join(parts)}{indent}}}"


def explain(error: ValidationError, document: Document, kind: Any = Suite) -> list[Problem]:
    """Return the problems behind a pydantic error that occurred when it read the document's data as `kind`.

    Each is one line. It says what was expected in the words of the JSON Schema at the place of the mistake.
    """
    rules = _rules(kind)
    problems: dict[tuple[KeyPath, str], Problem] = {}
    for each in error.errors(include_url=False):
        mistake, steps = each["type"], each["loc"]
        # Both follow from another mistake: the first from another field, the second from a wrong value of the list.
        if mistake == "default_factory_not_called" or (mistake == "too_short" and each["input"]):
            continue
        key = steps[-1:] if mistake in ("extra_forbidden", "missing") else ()
        path, value, nodes = _at(steps[: len(steps) - len(key)], document.data, rules)
        place = document.place(path)
        if mistake == "extra_forbidden":
            keys = [name for node in nodes for name in node.get("properties", {})]
            tell = found_variant if path[:1] == ("variants",) and len(path) == 2 else found
            place = document.keys.get((*path, *key), place)
            text = f"expected one of {', '.join(keys)}, {tell(key[0], keys)}"
            home = _home(str(key[0]), path, rules) if kind is Suite else ""
            if home:
                here = f"in {path[0]}:" if path else "at the top"
                text = f"expected {shown(key[0])} {home}, found it {here}; move it there"
        elif mistake == "missing" and isinstance(key[0], str):
            path, text = (*path, *key), "expected a value, found nothing"
        elif mistake == "value_error":
            text = each["msg"].removeprefix("Value error, ")
        else:
            text = _text(value, _fitting(nodes, value))
        problems.setdefault((path, text), Problem(document.file, *place, path, text))
    return list(problems.values())


def _home(key: str, path: KeyPath, rules: Node) -> str:
    """Return where in a suite a key belongs, such as `in measure:`; empty if nowhere.

    The key of the suite below which it was found is left out.
    """
    (suite,) = _alternatives(rules, rules)
    if path and key in suite["properties"]:
        return "at the top"
    homes = []
    for name, part in suite["properties"].items():
        nodes = _alternatives(part, rules)
        if name == "variants":
            nodes = [each for node in nodes if "items" in node for each in _alternatives(node["items"], rules)]
        if name in path[:1]:
            continue
        homes += [f"in {name}:" for node in nodes if key in node.get("properties", {})]
        homes += [
            "in a variant of variants:" if name == "variants" else f"in {name}: {{{within}: ...}}"
            for node in nodes
            for within, each in node.get("properties", {}).items()
            if any(key in inner.get("properties", {}) for inner in _alternatives(each, rules))
        ]
    return next(iter(homes), "")


def values_in_words(each: "Field[Any]") -> str:
    """Return the values that a parameter takes, in words."""
    rules = _rules(union(*values(each)))
    return _words(_alternatives(rules, rules))


def _rules(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of a type."""
    return TypeAdapter(kind).json_schema(schema_generator=_Plain)


def _at(steps: KeyPath, data: Any, rules: Node) -> tuple[KeyPath, Any, list[Node]]:
    """Return the path in the file, its value, and the parts of the schema there.

    Some of pydantic's steps are not in the file and are left out: into a single value that is read as a list, into a
    branch of a union, and into a list of integers that is one value.
    """
    path: KeyPath = ()
    nodes = _alternatives(rules, rules)
    for step in steps:
        if isinstance(step, str):
            below = [node["properties"][step] for node in nodes if step in node.get("properties", {})]
        else:
            there = isinstance(data, list | tuple) and step < len(data)
            below = [node["items"] for node in _fitting(nodes, data) if _is_list(node)] if there else []
        if below:
            path = (*path, step)
            data = data[step] if isinstance(step, int) else data.get(step) if isinstance(data, Mapping) else None
            nodes = [each for node in below for each in _alternatives(node, rules)]
    return path, data, nodes


def _alternatives(node: Node, rules: Node) -> list[Node]:
    """Return the alternatives of a part of a schema, with references resolved."""
    if "$ref" in node:
        return _alternatives(rules["$defs"][node["$ref"].removeprefix("#/$defs/")], rules)
    if "anyOf" in node:
        return [each for one in node["anyOf"] for each in _alternatives(one, rules)]
    return [node]


def _fitting(nodes: list[Node], value: object) -> list[Node]:
    """Return the alternatives that a value was meant for: lists, mappings, or single values, such as pairs."""
    lists = [node for node in nodes if _is_list(node)]
    mappings = [node for node in nodes if node.get("type") == "object"]
    single = [node for node in nodes if node not in lists and node not in mappings]
    if isinstance(value, Mapping):
        return mappings or single or nodes
    if isinstance(value, list | tuple) and not (
        value and isinstance(value[0], int | float) and any(node.get("type") == "array" for node in single)
    ):
        return lists or single or nodes
    return single or nodes


def _is_list(node: Node) -> bool:
    """Check whether a part of a schema is a list of values. A list that is one value has a title."""
    return "items" in node and "title" not in node


def _text(value: Any, nodes: list[Node]) -> str:
    """Return what was expected and what was found."""
    if isinstance(value, list | tuple) and "items" in nodes[0]:
        if not value:
            return "expected at least one entry, found an empty list"
        if len(value) > nodes[0].get("maxItems", len(value)):
            return f"expected at most {nodes[0]['maxItems']} entries, found {len(value)}"
    told = f"expected {_words(nodes)}, {found(value, [str(name) for node in nodes for name in _names(node)])}"
    even = type(value) is int and value % 2 == 0
    if even and any("not" in node and node["minimum"] <= value <= node["maximum"] for node in nodes):
        return f"{told}; take {value - 1} or {value + 1}"
    return told


def _names(node: Node) -> list[Any]:
    """Return the names or numbers that a value must be one of."""
    return [node["const"]] if "const" in node else list(node.get("enum", []))


def _words(nodes: list[Node]) -> str:
    """Return alternatives in words."""
    return " or ".join(dict.fromkeys(_word(node) for node in nodes))


def _word(node: Node) -> str:
    """Return one alternative in words."""
    kind, names = node.get("type"), [str(name) for name in _names(node)]
    if kind == "object":
        return "a mapping"
    if "title" in node:
        return str(node["title"])
    if names:
        return f"one of {', '.join(names)}" if len(names) > 1 else names[0]
    if kind in ("integer", "number"):
        article = "an odd" if "not" in node else "an" if kind == "integer" else "a"
        return f"{article} {kind}" + (f" from {node['minimum']} to {node['maximum']}" if "minimum" in node else "")
    return {"boolean": "true or false", "null": "null", "array": "a list"}.get(str(kind), "text")
