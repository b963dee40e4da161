"""The frame of every page: its templates, escaped, and Markdown of a report as its folded sections."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

_TEMPLATES = Path(__file__).parent / "templates"
_BREAK = "<!-- -->"
"""What the Markdown of a report puts into `@name`, so that GitHub notifies nobody. Pages have no need of it."""
_TAGS = {
    "</table>": "</table></div>",
    "<th>": '<th class="words">',
    "<td>": '<td class="words">',
    '<tr>\n<td class="words">': "<tr>\n<td>",
    ' style="text-align:right"': "",
    "</td>\n": "",
    "</th>\n": "",
    "</tr>\n": "",
}
"""What becomes of the renderer's tags. Tables are most of a page with many cases, so their cells are short: most hold
numbers, the first of a row is a name, and HTML needs no end tags of cells and rows."""


class Section(NamedTuple):
    """Part of a report under a heading."""

    title: Markup
    body: Markup
    """What stands before the first heading below it."""
    parts: "tuple[Section, ...]"
    """The sections under headings one level below."""


def render(template: str, **values: Any) -> str:
    """Fill a template of the folder `templates`. Text in `values` is escaped; Markup is not."""
    return _environment().get_template(template).render(**values)


def source(name: str) -> Markup:
    """Return a style sheet or script of the folder `templates`."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def data(value: Any) -> Markup:
    """Return a value as JSON for a script of type `application/json`, in which nothing ends the script."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def sections(markdown: str, level: int = 2) -> list[Section]:
    """Return the sections of a report's Markdown whose headings have a level; what stands before them is left out.

    HTML in the Markdown stays text, and links and images are not made.
    """
    tokens = _markdown().parse(markdown.replace(_BREAK, ""))
    return [_section(title, part, level) for title, part in _split(tokens, level)[1]]


def prose(markdown: str) -> Markup:
    """Return Markdown without headings as HTML."""
    return _html(_markdown().parse(markdown.replace(_BREAK, "")), "table")


def _section(title: Token, tokens: list[Token], level: int) -> Section:
    body, parts = _split(tokens, level + 1)
    head = _html([title], "")
    words = head.striptags()
    return Section(head, _html(body, words), tuple(_section(*each, level + 1) for each in parts))


def _split(tokens: list[Token], level: int) -> tuple[list[Token], list[tuple[Token, list[Token]]]]:
    """Return the tokens before the first heading of a level, then each heading's text with the tokens below it."""
    starts = [i for i, each in enumerate(tokens) if each.type == "heading_open" and each.tag == f"h{level}"]
    # A heading is three tokens: its start, its text and its end.
    found = [(tokens[start + 1], tokens[start + 3 : end]) for start, end in pairwise([*starts, len(tokens)])]
    return tokens[: starts[0] if starts else len(tokens)], found


def _html(tokens: list[Token], label: str) -> Markup:
    """Render tokens. Tables get a box that scrolls, by keys too; `label` names it for those who cannot see it."""
    parser = _markdown()
    found: str = parser.renderer.render(tokens, parser.options, {})
    # All of these tags are the renderer's, because those in the text are escaped.
    for tag, written in _TAGS.items():
        found = found.replace(tag, written)
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'
    return Markup(found.replace("<table>", box))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "image", "autolink"])


def _breakable(name: str) -> Markup:
    """Escape a name, and let a line end before its parameters."""
    return Markup("<wbr>(").join(map(escape, name.split("(")))


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["breakable"] = _breakable
    found.globals |= {"source": source, "data": data}
    return found
