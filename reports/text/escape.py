"""Functions that escape untrusted text for Markdown, such as exception messages and suite names."""

import re

from attnbench.reports.data.values import LONGEST
from attnbench.reports.data.values import plain as plain

_MARKUP = re.compile(r"[\\`*|\[\]~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_REFERENCE = re.compile(r"@(?=[0-9A-Za-z])|(?<!&)#(?=[0-9])")
"""Text that GitHub would read as a mention of a person or an issue, and notify them."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(value: object, longest: int | None = LONGEST) -> str:
    """Return one line of Markdown that shows the text of `plain`, without markup, HTML or mentions."""
    line = plain(value, longest)
    line = re.sub("[&<>]", lambda found: _ENTITIES[found.group()], line)
    line = _MARKUP.sub(lambda found: "\\" + found.group(), line)
    # An empty comment after `@` or `#` breaks the mention and does not show.
    return _REFERENCE.sub(r"\g<0><!-- -->", line)


def fenced(body: str, language: str = "") -> str:
    """Return a code block around any text. Its fence is longer than every run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body.rstrip(chr(10))}\n{fence}"


def table(header: list[str], rows: list[list[str]], align: str = "l") -> str:
    """Return a Markdown table of escaped cells; `align` is l or r for each column, r for the rest."""
    rule = ["---" if side == "l" else "---:" for side in align.ljust(len(header), "r")]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
