"""The page of a comparison: `comparison.html`, one file with all that `comparison.md` says."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnbench.reports import html
from attnbench.reports.compare import cells, forms, page, tables
from attnbench.reports.compare.answer import answer
from attnbench.reports.compare.comparison import METRICS, Comparison
from attnbench.reports.data import columns
from attnbench.reports.data.files import put
from attnbench.reports.data.settings import varied
from attnbench.reports.data.values import plain

MOST_DRAWN = 200
"""Cases of the figure of all ratios, and findings that are listed, the worst first."""
_WIDTH = 220.0
"""Width of the figure of a ratio."""
_ROUND = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
_FARTHEST = 1e4
"""The largest ratio that is drawn at its place."""
_GROUPS = {
    "": "series | name | case |",
    "Time": """
        verdict            |            | verdict                    |
        reason             |            | reason                     |
        ratio              |            | ratio                      | ratio
        ratio_low          |            |                            | ratio
        ratio_high         |            |                            | ratio
        minimum_detectable | detectable | detectable                 | change
        limit              |            | limit                      | change
        p_value            | p          | p value                    | number
        a_ns               | a          | time of A                  | time
        b_ns               | b          | time of B                  | time
        processes          |            | processes                  | count
    """,
    "Memory": """
        memory             |            | memory                     |
        memory_ratio       |            | times that of A            | ratio
        a_peak_bytes       | a_memory   | peak of A                  | size
        b_peak_bytes       | b_memory   | peak of B                  | size
    """,
    "Work": """
        work               |            | work                       |
        a_allowed_pairs    |            | pairs allowed in A         | count
        b_allowed_pairs    |            | pairs allowed in B         | count
        a_computed_pairs   |            | pairs computed in A        | count
        b_computed_pairs   |            | pairs computed in B        | count
        operators          |            | operators                  |
        operators_changed  |            | operators that differ      |
    """,
    "Error": """
        error              |            | error                      |
        a_max_abs_error    | a_error    | error in A                 | error
        b_max_abs_error    | b_error    | error in B                 | error
        a_proved           |            | share checked in A         | share
        b_proved           |            | share checked in B         | share
    """,
    "Case": """
        implementation     |            | implementation             |
        label              |            | label                      |
        against            |            | compared with              |
        case               |            | key                        |
    """,
}
"""The details of a case: columns under headings, in lines that `described` reads. Axes are added to the last."""


class Drawn(NamedTuple):
    """A ratio with its interval on the common axis: places from 0 to `width`; NaN if there is none."""

    verdict: str
    words: str
    middle: float
    low: float
    high: float
    band: tuple[float, float]
    """The margin of `unchanged`."""


class Axis(NamedTuple):
    """The common logarithmic axis."""

    width: float
    one: float
    ticks: list[tuple[float, str]]


def write(comparison: Comparison, folder: Path, source: str = "") -> Path | None:
    """Write `comparison.html` and return its path; None if the packages of `html` are not here.

    `source` is the command that made the comparison.
    """
    return put(folder / "comparison.html", render(comparison, source)) if html.installed() else None


def render(comparison: Comparison, source: str = "") -> str:
    """Return the page of a comparison."""
    # Not at the top, so that `write` works without the packages.
    from attnbench.reports.html import shell

    first = tables.first(comparison)
    axis, drawn = ratios(comparison)
    titles = [cells.title(row, comparison.named) for _, row in comparison.shown.head(len(drawn)).iterrows()]
    made = [("Comparison", source)] if source else []
    told = [*page.findings(comparison, MOST_DRAWN), *page.explained(comparison)]
    return shell.render(
        "comparison.html.j2",
        title=f"{plain(comparison.title)} · attnbench",
        heading=plain(comparison.title, longest=None),
        verdict=plain(forms.headline(comparison), longest=None),
        fails=bool(comparison.failing),
        answer=[plain(each, longest=None) for each in answer(comparison)],
        rows=[[plain(cell, longest=None) for cell in row] for row in first],
        judged=any(row[0] for row in first),
        also=any(row[-1] for row in first),
        rest=tables.left_out(comparison, len(first)),
        ratio=comparison.ratio.value,
        axis=axis,
        drawn=drawn,
        titles=titles,
        untold=tables.left_out(comparison, len(drawn)),
        cases=_cases(comparison),
        sections=shell.sections("\n\n".join(told)),
        environments=_environments(comparison),
        sides=("A", "B") if len(comparison.environments) > 1 else ("",),
        commands=[(name, plain(command, longest=None)) for name, command in [*comparison.commands, *made]],
    )


def ratios(comparison: Comparison) -> tuple[Axis, list[Drawn]]:
    """Return the axis of the worst cases' ratios, and each of them."""
    frame = comparison.shown.head(MOST_DRAWN)
    margins = comparison.margins[frame.index].to_numpy(np.float64)
    ends = frame[["ratio", "low", "high"]].to_numpy(np.float64)
    known = np.abs(np.log(ends[np.isfinite(ends) & (ends > 0)]))
    reach = min(max(1.3 * float(known.max(initial=0.0)), math.log(1.1)), math.log(_FARTHEST))

    def place(ratio: float) -> float:
        if math.isnan(ratio):
            return math.nan
        share = math.log(ratio) / reach if ratio > 0 else -1.0
        return round(_WIDTH / 2 * (1 + min(max(share, -1.0), 1.0)), 1)

    drawn = [
        Drawn(
            str(row["verdict"]),
            cells.change(row),
            *(place(row["ratio"]), place(row["low"]), place(row["high"])),
            (place(1 / (1 + margin)), place(1 + margin)),
        )
        for (_, row), margin in zip(frame.iterrows(), margins.tolist(), strict=True)
    ]
    upper = [each for each in _ROUND if math.log(each) < 0.8 * reach][-1:]
    ticks = [(place(each), f"{each:.2g}") for low in upper for each in (1 / low, 1.0, low)]
    return Axis(_WIDTH, place(1.0), ticks), drawn


def _cases(comparison: Comparison) -> Any:
    """Return the table of all cases, the worst first."""
    from attnbench.reports.html import cases

    frame = comparison.worst_first.rename(columns={"low": "ratio_low", "high": "ratio_high"})
    frame["series"] = (frame["label"] + "/" + frame["implementation"]).map(plain)
    groups = {group: columns.described(lines) for group, lines in _GROUPS.items()}
    axes = [str(name) for name in frame if name not in {each.name for found in groups.values() for each in found}]
    groups["Case"] += [columns.named(frame)[name] for name in axes]
    shown = ["series", *(name for name in axes if name in varied(frame) or name == "seq_len"), "against", "verdict"]
    data = cases.BARE | {
        "cases": len(frame),
        "columns": [cases.packed(frame[each.name], each, group) for group, found in groups.items() for each in found],
        "shown": [*shown, "ratio", "minimum_detectable", *_compared(comparison)],
        "intervals": ("ratio",),
    }
    example = "ratio > 1.1 and verdict != unchanged"
    return cases.table(data, cases.present(frame, groups), frame["verdict"], "verdict", example)


def _compared(comparison: Comparison) -> list[str]:
    """Return the metrics beside time that some case was compared in."""
    return [name for name in METRICS if (comparison.frame[name] != "incomparable").any()]


def _environments(comparison: Comparison) -> list[tuple[str, list[str], bool]]:
    """Return each fact of the machines with its values, and whether they differ."""
    told: list[Mapping[str, Any]] = [
        {name: value for name, value in each.items() if not isinstance(value, dict | list)}
        for each in comparison.environments
    ]
    names = dict.fromkeys(name for each in told for name in each)
    rows = [(plain(name), ["-" if each.get(name) is None else plain(each[name]) for each in told]) for name in names]
    return [(name, values, len(set(values)) > 1) for name, values in rows]
