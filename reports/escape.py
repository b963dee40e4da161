"""Foreign text inside Markdown: reasons come from exceptions, names from suites."""

import re

_LONGEST = 400
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")
_MARKUP = re.compile(r"[\\`*|\[\]~$]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def text(value: object) -> str:
    """One line of Markdown that reads as `value` does: no markup, no HTML, cut off where it is very long."""
    line = " ".join(_CONTROL.sub("", str(value)).split())
    if len(line) > _LONGEST:
        line = line[: _LONGEST - 1] + "…"
    line = re.sub("[&<>]", lambda found: _ENTITIES[found.group()], line)
    return _MARKUP.sub(lambda found: "\\" + found.group(), line)


def fenced(body: str, language: str = "") -> str:
    """A code block around any text: its fence is longer than every run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body.rstrip(chr(10))}\n{fence}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table of escaped cells; the first column is words, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
