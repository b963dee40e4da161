"""`docs/variants.md`: every variant that ships, from its own file, with a picture of an example."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from settings import case_of

from attnbench import variants
from attnbench.reports.figures import pattern_image
from attnbench.reports.text import escape
from attnbench.runner.show import describe
from attnbench.suites import Case
from attnbench.suites.problem import shown
from attnbench.suites.schema.catalog import leaves
from attnbench.variants import Shape

FIGURES = "figures/variants"
HEAD = """# Variants

What ships. Each is one file of [variants/](../variants), from which `make docs` makes this page; `bench show` prints
the same for any parameters and length, and checks it. To add one: [a variant of your own](add-a-variant.md).

In the formulas i is a query, j a key, N the sequence length, D the head width. Pictures show queries down, keys across.
"""


def text() -> str:
    """The page."""
    rows = [[f"[{name}](#{name})", *_told(name)] for name in _names()]
    table = escape.table(["variant", "what it is", "source"], rows, "lll")
    return "\n".join([HEAD, table, "", *(_section(name) for name in _names())])


def pictures() -> dict[str, str]:
    """The page's pictures, by their paths from the page."""
    drawn = [name for name in _names() if variants.load(name).is_pattern]
    return {_path(name): pattern_image.svg(_seen(name), _title(name)) for name in drawn}


def _names() -> list[str]:
    """The variants that ship."""
    return sorted(path.stem for path in Path(variants.__path__[0]).glob("[!_]*.py"))


def _told(name: str) -> tuple[str, str]:
    """What a variant is, in a line of Markdown as docstrings are, and its source."""
    return variants.describe(name).partition("\n")[0].replace("|", "\\|"), escape.text(variants.load(name).source)


def _section(name: str) -> str:
    """One variant."""
    given = [[f"`{each.name}`", _values(each), _default(each), each.metadata["doc"]] for each in _fields(name)]
    rows = [[cells[0], *(escape.text(cell) for cell in cells[1:])] for cells in given]
    table = escape.table(["parameter", "values", "default", "what it is"], rows, "llll")
    parts = [f"## {name}", variants.describe(name), table if given else "It has no parameters."]
    if not variants.load(name).is_pattern:
        return "\n\n".join([*parts, f"It has {describe.NO_PATTERN}.\n"])
    keys, pairs = describe.counted(_spans(name))
    seen = f"`{_case(name).label}` at N = {_spans(name).n}; {keys}; {pairs}.\n"
    return "\n\n".join([*parts, f"![{_title(name)}]({_path(name)})", seen])


def _fields(name: str) -> Any:
    return fields(variants.load(name).parameters)


def _values(each: Any) -> str:
    return " or ".join(leaf.words for leaf in leaves(each))


def _default(each: Any) -> str:
    return "required" if each.default is MISSING else shown(each.default)


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
