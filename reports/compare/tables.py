"""Tables of a comparison, the worst case first, for the terminal and as Markdown, CSV and JSON."""

import json
from typing import TYPE_CHECKING

from attnbench.reports.compare import cells
from attnbench.reports.compare.answer import answer, notes, nothing
from attnbench.reports.compare.comparison import COLUMNS, METRICS, Comparison
from attnbench.reports.data.values import finite
from attnbench.reports.decision.rule import Verdict
from attnbench.reports.text import escape, units

if TYPE_CHECKING:
    from rich.table import Table

HEADER = ("time", "case", "ratio", "detectable", "A", "B", *METRICS, "why", "limits")
_COLOURS = {
    **dict.fromkeys((Verdict.REGRESSED, Verdict.ERROR, Verdict.MISSING), "red"),
    **dict.fromkeys((Verdict.UNSTABLE, Verdict.INCONCLUSIVE, Verdict.INCOMPARABLE), "yellow"),
    **dict.fromkeys((Verdict.IMPROVED, Verdict.NEW), "green"),
    Verdict.UNCHANGED: "dim",
}
MOST_FIRST = 10
"""Cases of the first screen."""
FIRST = ("", "time", "case", "ratio", "detectable", "also")


def rows(comparison: Comparison, most: int | None = None) -> list[list[str]]:
    """Return the table as plain text, one row per case; at most `most` rows if given."""
    frame = comparison.shown
    return [
        [
            str(row["verdict"]),
            cells.title(row, comparison.named),
            cells.change(row),
            units.change(row["minimum_detectable"]),
            cells.time(row["a_ns"]),
            cells.time(row["b_ns"]),
            cells.memory(row),
            cells.work(row),
            cells.operators(row),
            cells.error(row),
            str(row["reason"]),
            cells.limits(row, comparison),
        ]
        for _, row in frame.head(len(frame) if most is None else most).iterrows()
    ]


def markdown(comparison: Comparison, most: int | None = None) -> str:
    """Return the table as Markdown without empty columns; with `most`, at most so many rows and a note on the rest."""
    shown = [[escape.text(each) for each in row] for row in rows(comparison, most)]
    told = [place for place in range(len(HEADER)) if not shown or any(row[place] for row in shown)]
    header, aligned = ([each[place] for place in told] for each in (HEADER, "llrrrrllllll"))
    left_out = len(comparison.shown) - len(shown)
    more = f"\n\n{left_out} more cases, none worse than these, are left out." if left_out else ""
    return escape.table(header, [[row[place] for place in told] for row in shown], "".join(aligned)) + more


def csv(comparison: Comparison) -> str:
    """Return every column as CSV; a missing number is an empty field."""
    return comparison.worst_first.to_csv(index=False, lineterminator="\n")


def as_json(comparison: Comparison) -> str:
    """Return everything as JSON. Missing numbers are null, and `findings` is null without a policy."""
    named = ("case", "metric", "verdict", "severity", "told")
    found = comparison.findings
    told = {
        "format": 1,
        "a": comparison.a,
        "b": comparison.b,
        "ratio": comparison.ratio.value,
        "answer": [*nothing(comparison), *answer(comparison)],
        "notes": notes(comparison),
        "cut": comparison.cut,
        "how": comparison.how,
        "findings": None if found is None else [{name: getattr(each, name) for name in named} for each in found],
        "counts": comparison.counts(),
        "detectable": {
            "median": finite(comparison.median_detectable),
            "worst": finite(comparison.worst_detectable),
        },
        "noise": comparison.noise,
        "differences": {name: list(pair) for name, pair in comparison.differences.items()},
        "cases": [
            {name: finite(value) for name, value in zip(COLUMNS, row, strict=True)}
            for row in comparison.worst_first.itertuples(index=False, name=None)
        ],
    }
    return json.dumps(told, indent=1) + "\n"


def first(comparison: Comparison, most: int = MOST_FIRST) -> list[list[str]]:
    """Return the worst cases as plain text, one row each in the columns of `FIRST`."""
    severities = {each.case: each.severity for each in reversed(comparison.findings or ())}
    frame = comparison.shown.head(most)
    return [
        [
            severities.get(row["case"], ""),
            str(row["verdict"]),
            cells.title(row, comparison.named),
            cells.change(row),
            units.change(row["minimum_detectable"]),
            cells.others(row, comparison),
        ]
        for _, row in frame.iterrows()
    ]


def left_out(comparison: Comparison, shown: int) -> str:
    """Return how many cases a table leaves out; empty if none."""
    more = len(comparison.shown) - shown
    return f"{more:,} more case{'s' if more > 1 else ''}, none worse than these" if more > 0 else ""


def first_markdown(comparison: Comparison) -> str:
    """Return the worst cases as Markdown, without empty columns."""
    found = first(comparison)
    there = [place for place in range(len(FIRST)) if any(row[place] for row in found)]
    told = [[escape.text(row[place]) for place in there] for row in found]
    aligned = "".join("lllrrl"[place] for place in there)
    rest = left_out(comparison, len(found))
    table = escape.table([FIRST[place] for place in there], told, aligned)
    return f"{table}\n\n{rest}." if rest else table


def terminal(comparison: Comparison, most: int = MOST_FIRST) -> "Table":
    """Return the worst cases as a table for the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    found = first(comparison, most)
    caption = left_out(comparison, len(found)) or None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left", show_header=bool(found))
    table.collapse_padding = True
    judged = any(row[0] for row in found)
    for name in FIRST[0 if judged else 1 : 4]:
        table.add_column(name, no_wrap=name != "case", overflow="fold", ratio=1 if name == "case" else None)
    for severity, verdict, case, ratio, _, others in found:
        words = Text.assemble(case, "\n" if others else "", (others, "dim"))
        start = [Text(severity, _COLOURS[Verdict.REGRESSED])] if judged else []
        table.add_row(*start, Text(verdict, _COLOURS[Verdict(verdict)]), words, ratio)
    return table
