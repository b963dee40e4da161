"""Functions that escape untrusted text for Markdown, such as exception messages and suite names."""

import re
from collections.abc import Sequence

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


def folded(header: list[str], rows: list[list[str]], reasons: Sequence[str]) -> str:
    """Return a table without columns in which every row has the same reason for no number; a line below has these.

    A dash needs no line: it stands for what the mechanisms do not have, or for a number whose reason is beside it.
    """
    if not rows:
        return table(header, rows)
    alike = {column: rows[0][column] for column in range(1, len(header)) if len({row[column] for row in rows}) == 1}
    dropped = {column: reason for column, reason in alike.items() if reason in reasons}
    shown = [column for column in range(len(header)) if column not in dropped]
    told = [f"{header[column]} ({reason})" for column, reason in dropped.items() if " " in reason]
    parts = [table([header[column] for column in shown], [[row[column] for column in shown] for row in rows])]
    return "\n\n".join([*(parts if len(shown) > 1 else []), *([f"Left out: {', '.join(told)}."] if told else [])])


def table(header: list[str], rows: list[list[str]], align: str = "l") -> str:
    """Return a Markdown table of escaped cells; `align` is l or r for each column, r for the rest."""
    rule = ["---" if side == "l" else "---:" for side in align.ljust(len(header), "r")]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
