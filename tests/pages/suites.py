"""docs/suites.md: every key of a suite, from the schema, and every suite that ships."""

import json
from collections.abc import Mapping
from typing import Any

from attnbench import variants
from attnbench.reports.text import escape
from attnbench.suites import shipped
from attnbench.suites.schema.catalog import NAMES
from attnbench.suites.schema.load import load
from attnbench.suites.schema.schema import schema
from attnbench.suites.schema.suite import Suite

_MOST_NAMES = 8
"""Of more names than this an example stands for all."""
_TEXTS = {
    r"\S": "text",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "up to 64 letters, digits and `.` `_` `-`, a letter or digit first",
    "^(100|[1-9][0-9]?)%$": "a percentage such as `80%`",
    "^[0-9]{1,4}(\\.[0-9]{1,4})?%$": "a percentage such as `5%`",
}
"""Patterns of text in words; of the others, those that end in units are a size or a time."""

_HEAD = """\
# Suites

A suite is one YAML file, and the whole experiment: the command line only narrows it. `bench validate SUITE.yaml` names
every mistake with its line and column and measures nothing; `bench schema` prints the same rules as JSON Schema, with
which editors complete and check as you type:

```yaml
# yaml-language-server: $schema=./schema.json
name: mine
question: Does a window pay at the lengths of my model, and does it in training?
shape: {batch: 2, heads: 8, head_dim: 64, seq_len: [512, 1024, 2048]}
direction: [forward, training]
variants:
  - full: {implementation: [eager, sdpa]}
  - local_window: {window: [65, 257]}
baseline: full/sdpa
exclude:
  - {implementation: eager, seq_len: "> 1024"}
measure: {processes: 5, values: 10, value_ms: 10}
budget: {case_s: 60, suite_s: 1800, memory: 80%}
```

A case is one point: a variant with its parameters, an implementation, a shape, dtype, device, direction and threads.
Where a key takes a list, every combination is measured. A value and a list of one mean the same. This page is made from
the schema by `make docs`, and a test compares the two.
"""

_SHIPPED = """\
## Suites that ship

`bench run NAME` finds them by name. Each opens with its question, and its report answers it; see
[reading a report](reading-a-report.md). What ends `bench run` and `bench ab` early is `budget.suite_s`.
`bench ab` and `bench selftest` take pairs of processes as [they need them](trust.md); of a suite's `measure` they take
`value_ms` alone, as the shortest warm-up.
"""

_VARIANTS = """\
### `variants`

A list of at least one. An entry is a name, `full`, or a name with parameters, `local_window: {{window: 65}}`. A list of
values makes a grid: `local_window: {{window: [65, 257], causal: [false, true]}}` is four. Every variant also takes
`implementation`, one or a list of {implementations}; by default `sdpa` for
`full` and `blockwise` for the others. A variant of your own is one file: `bench run SUITE.yaml --variants FOLDER`.
"""

_EXCLUDE = """\
### `exclude`

A list of entries; a case that matches every key of one of them is left out. The keys are
{axes},
and every parameter of a variant. A value may be a list, and of a number it may be a comparison in quotes, with `>`,
`>=`, `<`, `<=` or `!=`: `{{variant: full, seq_len: "> 4096"}}`. An entry that matches no case is a mistake, and so are
entries that leave none.
"""

_REFUSED = """\
## What is refused

A file must mean the same to every reader of YAML 1.1, YAML 1.2 and JSON. So tags (`!!python/name:...`) are refused and
never acted upon, and so are merge keys, repeated keys, keys that are not text, and plain scalars that readers disagree
on: `yes`, `1_000`, `010`, `0o17`, `1:30`, `1e3`, `2001-01-01`, `.inf`. Anchors and aliases work. A file holds at most
1 MiB, 2,000 values and 20 of them within each other, and a suite at most 10,000 cases before exclusions.

Reading a suite runs nothing and writes nothing. `python tests/benchmarks/fuzz.py 10000` reads 10,000 files that were
changed at random, from flipped bits to grafted trees, tags that call programs and bombs of aliases. 10,000 of 10,000
ended well: 726 were still suites, 9,274 were refused with the place of every mistake; nothing was started or written,
memory grew by 31 MiB, and on two busy cores the slowest took 5 s.
"""


def text() -> str:
    """The page."""
    rules = schema()
    known = rules["$defs"]
    parts = [_HEAD, _SHIPPED, _suites(), "## Keys\n", _table(rules, known)]
    for name in ("shape", "measure", "budget", "check"):
        part = _followed(rules["properties"][name], known)
        parts += [f"### `{name}`\n", f"{part['description']}\n", _table(part, known)]
    for name, below in _followed(rules["properties"]["check"], known)["properties"].items():
        limit = _followed(below, known)
        meaning = below.get("description") or limit["description"]
        parts += [f"`check.{name}`: {_sentence(meaning)}\n", _table(limit, known, below)]
    parts += [_VARIANTS.format(implementations=_implementations(known)), *_variants(known)]
    parts += [_EXCLUDE.format(axes=", ".join(f"`{name}`" for name in NAMES)), _REFUSED]
    return "\n".join(parts)


def _suites() -> str:
    """A table of the suites that ship, and what their files say of them."""
    rows = []
    for name, path in shipped().items():
        suite = load(path)
        # Comments at the margin are the file's own head; those about a key are indented.
        told = " ".join(line.removeprefix("# ") for line in suite.source.splitlines()[1:] if line.startswith("# "))
        rows.append([f"`{name}`", _sentence(suite.question), _sentence(told), *_size(suite)])
    return escape.table(["", "question", "what it is", "cases", "processes", "at most"], rows, "lllrrr") + "\n"


def _size(suite: Suite) -> list[str]:
    """Cases, processes and the limit of time."""
    return [str(len(suite.cases())), str(suite.measure.processes), f"{suite.budget.suite_s / 60:.3g} min"]


def _table(node: Mapping[str, Any], known: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> str:
    """The keys of a mapping: what each takes, its default and its meaning."""
    rows = []
    for name, below in node["properties"].items():
        target = _followed(below, known)
        meaning = below.get("description") or target.get("description", "")
        default = _default(name, below, node, told)
        rows.append([f"`{name}`", takes(below, known), default, _sentence(meaning)])
    return escape.table(["key", "takes", "default", "meaning"], rows, "llll") + "\n"


def _default(name: str, below: Mapping[str, Any], node: Mapping[str, Any], told: Mapping[str, Any] | None) -> str:
    """A key's default as a suite writes it; the whole of a mapping's stands in the mapping's own table."""
    given = (told or {}).get("default", {})
    if name in given or "default" in below:
        value = given.get(name, below.get("default"))
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        return "see below" if isinstance(value, dict) else f"`{_written(value)}`"
    return "required" if name in node.get("required", ()) else "see its meaning"


def takes(node: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """The values of a key in words."""
    words = list(dict.fromkeys(_words(node, known)))
    lists = [each for each in words if each.startswith("a list of ")]
    scalars = [each for each in words if each not in lists]
    for within in (scalars, [each for each in scalars if each != "`null`" and not each.startswith("`{")]):
        told = " or ".join(within)
        if lists == [f"a list of {told}"]:
            return " or ".join([f"{told}, a list of these", *(each for each in scalars if each not in within)])
    return " or ".join(words)


def _words(node: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Each kind of value that a node takes."""
    if "$ref" in node:
        target = _followed(node, known)
        keys = ", ".join(target["properties"])
        return [f"`{{{keys}: [9, 14]}}`"] if "pow2" in target["properties"] else ["a mapping"]
    alternatives = [*node.get("oneOf", []), *node.get("anyOf", [])]
    if alternatives:
        return [word for each in alternatives for word in _words(each, known)]
    if "enum" in node:
        names = [f"`{_written(each)}`" for each in node["enum"]]
        return [", ".join(names) if len(names) <= _MOST_NAMES else f"a name such as {names[0]}"]
    if "const" in node:
        return [f"`{_written(node['const'])}`"]
    if "prefixItems" in node:
        first, *_ = (_words(each, known) for each in node["prefixItems"])
        return [f"a pair of {' or '.join(first).replace('integer', 'integers')}"]
    if node.get("type") == "array":
        inside = _words(node["items"], known)
        return ["a list, see below"] if "a mapping" in inside else [f"a list of {' or '.join(inside)}"]
    return [_scalar(node)]


def _scalar(node: Mapping[str, Any]) -> str:
    """A number, text, a flag or nothing."""
    kind = node.get("type")
    if kind in ("integer", "number"):
        odd = "odd " if "not" in node else ""
        return f"{odd}{kind} from {node['minimum']:,} to {node['maximum']:,}"
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "null":
        return "`null`"
    pattern = str(node.get("pattern", r"\S"))
    if pattern in _TEXTS:
        return _TEXTS[pattern]
    return (
        "a time such as `50us`" if "us|" in pattern else "a size such as `4GiB`" if "GiB" in pattern else f"`{pattern}`"
    )


def _implementations(known: Mapping[str, Any]) -> str:
    """The names of implementations."""
    one, _ = known["full_parameters"]["properties"]["implementation"]["oneOf"]
    return ", ".join(f"`{each}`" for each in one["enum"])


def _variants(known: Mapping[str, Any]) -> list[str]:
    """The parameters of each variant."""
    found = []
    for name in variants.names():
        node = known[f"{name}_parameters"]
        own = {key: below for key, below in node["properties"].items() if key != "implementation"}
        line = variants.describe(name).partition("\n")[0]
        found += [f"`{name}`. {line}\n", _table({**node, "properties": own}, known)]
    return found


def _followed(node: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """A node, or what it refers to."""
    target: Mapping[str, Any] = known[node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node
    return target


def _written(value: Any) -> str:
    """A value as a suite writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _sentence(told: str) -> str:
    """A description on one line."""
    return escape.text(" ".join(told.split()), longest=None).replace("\\`", "`")
