"""`docs/variants.md`: every shipped variant, from its own file, with a picture of an example."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from settings import case_of

from attnbench import variants
from attnbench.reports.drawing import pattern_image
from attnbench.reports.text import escape
from attnbench.runner.show import describe
from attnbench.suites import Case
from attnbench.suites.problem import shown
from attnbench.suites.schema.schema import values_in_words
from attnbench.variants import Shape, mechanism_peers

FIGURES = "figures/variants"
SOFTMAX = "o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j"
CAUSAL = "hide the keys after the query"
HEAD = """# Variants

`make docs` generates this page. `bench show` prints and checks a variant for any parameters and length. See also
[your own variant](add-a-variant.md).

i is a query, j a key, N the sequence length, D the head width. A pattern computes

    o_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j

over the keys j that satisfy its condition; `causal` hides the keys after the query. Costs are for the forward pass of
one head. Numbers are integers, at least 1 unless noted. Pictures show queries down, keys across.
"""


def text() -> str:
    """The page."""
    return "\n".join([HEAD, *(_section(name) for name in _names())])


def pictures() -> dict[str, str]:
    """The page's pictures, by their paths from the page."""
    drawn = [name for name in _names() if variants.load(name).is_pattern]
    return {_path(name): pattern_image.svg(_seen(name), _title(name)) for name in drawn}


def _names() -> list[str]:
    """The variants that ship."""
    return sorted(path.stem for path in Path(variants.__path__[0]).glob("[!_]*.py"))


def _section(name: str) -> str:
    """One variant."""
    parameters = "\n".join(_parameter(each) for each in _fields(name)) or "No parameters."
    parts = [f"## `{name}`", _described(name), parameters]
    if mechanism_peers.names(name):
        parts += [f"Implementations: {', '.join(f'`{each}`' for each in variants.implementations(name, ()))}."]
    if not variants.load(name).is_pattern:
        return "\n\n".join([*parts, ""])
    return "\n\n".join([*parts, f"![{_case(name).label}, N = {_spans(name).n}]({_path(name)})\n"])


def _described(name: str) -> str:
    """The docstring, without what the top of the page says for all variants."""
    described = variants.describe(name).replace(f"{SOFTMAX},   ", "")
    return re.sub(r"FLOPs\s+forward\s+for\s+one\s+head", "FLOPs", described)


def _fields(name: str) -> Any:
    return fields(variants.load(name).parameters)


def _parameter(each: Any) -> str:
    """An item of a list: name, values, default and meaning."""
    values = ", ".join(filter(None, [_values(each), _default(each.default)]))
    meaning = each.metadata["doc"]
    return f"- `{each.name}` ({values})" + ("" if meaning == CAUSAL else f": {escape.text(meaning)}")


def _default(value: Any) -> str:
    if value is MISSING:
        return "required"
    return "default null" if value is None else f"default {shown(value)}"


def _values(each: Any) -> str:
    """The values of a parameter in short; empty for a flag, and for an integer from 1 (see HEAD)."""
    words = re.sub(r"^an? | from 1 to \d+", "", values_in_words(each))
    return "" if words in ("integer", "true or false") else re.sub(r" from (\d+) to \d+", r" >= \1", words)


def _case(name: str) -> Case:
    """The example."""
    defaults = {each.name: each.default for each in _fields(name)}
    given = variants.load(name).examples[0]
    return case_of(name, {**defaults, **given}, "eager", Shape(1, 1, 1, 1, 1), "float32", "cpu", "forward", "auto")


def _spans(name: str) -> variants.Spans:
    return describe.spans(_case(name).pattern, None)


def _seen(name: str) -> variants.BoolArray:
    return pattern_image.bitmap(_spans(name), describe.SIDE)


def _title(name: str) -> str:
    return describe.title(_case(name).label, _spans(name).n)


def _path(name: str) -> str:
    return f"{FIGURES}/{name}.svg"
