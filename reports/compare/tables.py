"""Tables of a comparison, the worst case first, for the terminal and as Markdown, CSV and JSON."""

import json
from typing import TYPE_CHECKING

from attnbench.reports.compare import cells
from attnbench.reports.compare.answer import answer
from attnbench.reports.compare.comparison import COLUMNS, METRICS, Comparison
from attnbench.reports.data.values import finite
from attnbench.reports.decision.rule import Verdict
from attnbench.reports.text import escape

if TYPE_CHECKING:
    from rich.table import Table

HEADER = ("time", "case", "ratio", "detectable", "A", "B", *METRICS, "why", "limits")
_COLOURS = {
    **dict.fromkeys((Verdict.REGRESSED, Verdict.ERROR, Verdict.MISSING), "red"),
    **dict.fromkeys((Verdict.UNSTABLE, Verdict.INCONCLUSIVE, Verdict.INCOMPARABLE), "yellow"),
    **dict.fromkeys((Verdict.IMPROVED, Verdict.NEW), "green"),
    Verdict.UNCHANGED: "dim",
}
_MOST_IN_TERMINAL = 40


def rows(comparison: Comparison, most: int | None = None) -> list[list[str]]:
    """Return the table as plain text, one row per case; at most `most` rows if given."""
    frame = comparison.worst_first
    return [
        [
            str(row["verdict"]),
            cells.title(row, comparison.named),
            cells.change(row),
            cells.share(row["minimum_detectable"]),
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
    left_out = len(comparison.frame) - len(shown)
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
        "answer": answer(comparison),
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


def terminal(comparison: Comparison) -> "Table":
    """Return the cases that are not unchanged as a table for the terminal, the worst first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    every = rows(comparison)
    told = [(row, others) for row in every if (others := _others(row)) or row[0] != Verdict.UNCHANGED]
    shown = told[:_MOST_IN_TERMINAL]
    hidden = [f"{len(every) - len(told)} unchanged"] if len(told) < len(every) else []
    hidden += [f"{len(told) - len(shown)} more, none worse than these"] if len(shown) < len(told) else []
    caption = f"not shown: {', '.join(hidden)}" if hidden else None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left", show_header=bool(shown))
    for name in ("time", "case", "ratio"):
        table.add_column(name, no_wrap=name != "case", overflow="fold", ratio=1 if name == "case" else None)
    for (verdict, case, ratio, *_, why, _limits), others in shown:
        also = [each for each in (others, why) if each]
        words = Text.assemble(case, *[part for each in also for part in ("\n", (each, "dim"))])
        table.add_row(Text(verdict, _COLOURS[Verdict(verdict)]), words, ratio)
    return table


def _others(row: list[str]) -> str:
    """Return the verdicts of a row on other metrics than time, without those that say nothing."""
    named = dict(zip(HEADER, row, strict=True))
    quiet = (Verdict.UNCHANGED, Verdict.INCOMPARABLE, "")
    return ", ".join(f"{name} {named[name]}" for name in METRICS if named[name] not in quiet)
