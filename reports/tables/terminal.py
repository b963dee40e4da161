"""The first screen of a run on the terminal: question, answer and a table, with every name in one piece."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnbench.reports.data.values import FASTER, SLOWER, verdicts
from attnbench.reports.findings.run import Run
from attnbench.reports.findings.summary import SOUND
from attnbench.reports.text import escape, first_screen, outcomes
from attnbench.reports.text.answer import answer
from attnbench.reports.text.names import shortest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LONGEST_QUESTION, _LONGEST_LINE = 280, 190
_GAP = "  "
_LEAST_NAME = 20
"""Columns are left out that leave a name less than this many characters."""
_IMPORTANT = ("times as fast", "a call", "score", "trust", "faster from", "it is", "memory", "realised")
"""Columns that are shown if there is room, the most important first."""
_BLANK = "\N{NO-BREAK SPACE}"
_COLOURS = {FASTER: "green", SLOWER: "red"}


def show(run: Run, console: "Console") -> None:
    """Print the first screen. A name that is longer than the terminal is wide is not broken by us."""
    for line in screen(run, console.width):
        console.print(line, highlight=False, no_wrap=True, overflow="ignore", crop=False)


def screen(run: Run, width: int) -> "list[Text]":
    """Return the lines of the first screen, at most 38 if they are at least 100 characters wide.

    A row of the table is green if its series is faster than the baseline, red if it is slower, and yellow is a doubt.
    """
    from rich.text import Text

    question = _wrapped(escape.plain(run.meta["question"], _LONGEST_QUESTION), width)
    found = [Text(line, "bold") for line in question]
    for sentence in answer(run):
        found += map(Text, _wrapped(f"- {sentence}", width, "  ", _names(run)))
    if run.summary is not None:
        caption = _wrapped(first_screen.caption(run), width)
        found += [Text(""), *(Text(line, "italic") for line in caption), *_table(run, width)]
    found.append(Text(""))
    for line in outcomes.lines(run.outcomes):
        found += map(Text, _wrapped(escape.plain(line, _LONGEST_LINE), width))
    return found


def _names(run: Run) -> list[str]:
    """Return the names in sentences that have blanks."""
    sweeps = [each for results in run.results for each in results.sweeps]
    found = {*shortest(run.frame).values(), *(each.label for each in sweeps), *(each.name for each in sweeps)}
    return sorted((name for name in found if " " in name), key=len, reverse=True)


def _wrapped(line: str, width: int, indent: str = "", names: Sequence[str] = ()) -> list[str]:
    """Break a line at blanks, but not those of a name."""
    for name in names:
        line = line.replace(name, name.replace(" ", _BLANK))
    told = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [each.replace(_BLANK, " ") for each in told]


def _table(run: Run, width: int) -> "list[Text]":
    """Return the table of the first screen.

    A line below names the columns that do not fit. A name that is too long has a line of its own.
    """
    from rich.cells import cell_len
    from rich.text import Text

    header, rows = first_screen.table(run)
    widths = [max(cell_len(each[column]) for each in (header, *rows)) for column in range(len(header))]
    shown: list[int] = []
    for column in sorted(range(1, len(header)), key=lambda column: _IMPORTANT.index(header[column])):
        room = width - _LEAST_NAME - sum(len(_GAP) + widths[each] for each in (*shown, column))
        shown += [column] if room >= 0 or len(shown) < 2 else []
    shown.sort()
    first = min(max(width - sum(len(_GAP) + widths[column] for column in shown), 0), widths[0])

    def line(cells: list[str]) -> str:
        return "".join(_GAP + " " * (widths[column] - cell_len(cells[column])) + cells[column] for column in shown)

    found = [Text(" " * first + line(header), "bold")]
    assert run.summary is not None
    for cells, row in zip(rows, run.summary.rows, strict=True):
        told = line(cells)
        colour = _COLOURS.get(str(verdicts(row.case["speedup_low"], row.case["speedup_high"])), "")
        name = cells[0] + " " * (first - cell_len(cells[0]))
        if cell_len(name) > first:
            found.append(Text(name))
            name = " " * first
        trust = len(told) - len(cells[-1])
        found.append(
            Text.assemble(name, (told[:trust], colour), (told[trust:], "" if row.trust == SOUND else "yellow"))
        )
    left_out = [header[column] for column in range(1, len(header)) if column not in shown]
    if left_out:
        found += [Text(each, "italic") for each in _wrapped(f"in the report: {', '.join(left_out)}", width)]
    return found
