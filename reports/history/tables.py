"""Tables of a history: `history.csv`, `history.md`, and the lines for the terminal."""

import math
from collections.abc import Iterator

import pandas as pd

from attnbench.reports.data.values import plain
from attnbench.reports.history.change_points import FEWEST
from attnbench.reports.history.changes import BASELINE, STATUS, Change, Changes, Group
from attnbench.reports.history.history import ERROR, RATIO, TIME, TIMES, History
from attnbench.reports.text import escape, units
from attnbench.reports.text.phrases import listed

COLUMNS = ("run", "commit", "date", "machine", "case", "name", "metric", "value", "low", "high")
"""The columns of `history.csv`: one row per run, case and metric that has a value."""
_IN_TERMINAL = 22
"""Most lines of changes in the terminal."""
_EACH = 6
"""Most changes of a group in the terminal."""
_LEFT_OUT = 4
"""Most lines of runs that are left out in the terminal."""
_FEWER = 4
"""Most runs with fewer cases that are named."""
_IN_TABLE = 100
"""Most changes of a group in `history.md`."""
_WORDS = {
    **dict.fromkeys((RATIO, TIME, BASELINE), ("slower", "faster")),
    "peak_bytes": ("more memory", "less memory"),
    "allowed_pairs": ("other pairs", "other pairs"),
    "computed_pairs": ("more work", "less work"),
    ERROR: ("larger error", "smaller error"),
    STATUS: ("lost", "passes again"),
}
"""Each metric's words for worse and better."""
_HOW_TO_READ = """\
- **Time**: that of a case over that of its baseline in the same run, paired by process, so that a slow day does not
  count. Only where a suite has no baseline are the times themselves compared. Machines are told apart in both. If all
  cases relative to a baseline changed alike, and their own times less than its, the baseline is named instead.
- **Change points** of times come from PELT, and a t test with corrections for the numbers of runs and cases. They have
  at least three runs on each side, and are at least 3 %. The interval is that of the factor, 95 %.
- **Memory, work and error** repeat exactly. Any difference of pairs, or of memory with the same torch, instruction set,
  threads and GPU, is a change. An error may double before it counts.
- A change lies **between** two runs: the commits after the first one, up to the second one, come into question. If both
  have the same commit, something else than the code changed.
- A change that coincides with another machine cannot be told from it, and is not reported."""


def machine(number: int) -> str:
    """Name a machine of a history: A, B, and so on."""
    return chr(ord("A") + number) if number < 26 else f"M{number}"


def csv(history: History) -> str:
    """Return all values as CSV; a missing end of an interval is an empty field."""
    parts = []
    for name, values in history.values.items():
        for run, recorded in enumerate(history.runs):
            part = history.cases[["case", "title"]].rename(columns={"title": "name"})
            part = part.assign(metric=name, **{end: each[:, run] for end, each in values._asdict().items()})
            part = part.assign(run=recorded.name, commit=recorded.commit, date=recorded.date)
            parts.append(part.assign(machine=machine(int(history.machines[run])))[part["value"].notna()])
    return pd.concat(parts)[list(COLUMNS)].to_csv(index=False, lineterminator="\n")


def headline(changes: Changes) -> str:
    """Return what a history holds in one line."""
    history = changes.history
    count = len(history.runs)
    ends = " to ".join(dict.fromkeys(history.label(run) for run in (0, count - 1)))
    dates = [each.date[:10] for each in (history.runs[0], history.runs[-1])]
    when = f" ({' to '.join(dict.fromkeys(dates))})" if all(dates) else ""
    machines = _counted(int(history.machines.max()) + 1, "machine")
    what = f"{_counted(count, 'run')} of {_counted(len(history.cases), 'case')} on {machines}"
    return f"{plain(history.suite)}: {what}, {ends}{when}"


def answer(changes: Changes) -> list[str]:
    """Return what changed in a few sentences, and what could have been found."""
    told = [f"{summary(each, changes.history)}." for each in changes.groups[:3]] or ["No change was found."]
    if len(changes.groups) > 3:
        told.append(f"There are changes at {_counted(len(changes.groups) - 3, 'more place')}.")
    return [*told, sight(changes), *missing(changes.history)]


def missing(history: History) -> list[str]:
    """Say which runs have fewer cases than the history, and how many; nothing if all have all of them."""
    many = (history.status != "").sum()
    fewer = [(run, int(count)) for run, count in enumerate(many) if count < len(history.cases)]
    if not fewer:
        return []
    told = listed([f"{history.label(run)} has {count}" for run, count in fewer[:_FEWER]])
    rest = len(fewer) - _FEWER
    more = f"; {rest} more {'has' if rest == 1 else 'have'} fewer" if rest > 0 else ""
    return [f"Not every run has all {_counted(len(history.cases), 'case')}: {told}{more}."]


def sight(changes: Changes) -> str:
    """Say how small a slow-down could have been found."""
    if not changes.detectable:
        return f"Times were not compared: this takes {2 * FEWEST} runs with a time, {FEWEST} on each side of a change."
    seen = " or ".join(f"{share:.0%} in the last {after} runs" for after, share in changes.detectable.items())
    return f"Half of the {changes.tested} series of times would have shown a slow-down of {seen}."


def terminal(changes: Changes) -> list[str]:
    """Return at most 40 lines for the terminal."""
    history = changes.history
    lines = [headline(changes), *_left_out(history)]
    room = _IN_TERMINAL
    for place, group in enumerate(changes.groups):
        shown = group.changes[:_EACH]
        if room < len(shown) + 2:
            lines += ["", f"Changes at {_counted(len(changes.groups) - place, 'more place')}: see --out."]
            break
        lines += ["", summary(group, history)]
        lines += [_line(each, history) for each in shown]
        lines += [f"  and {len(group.changes) - len(shown)} more"] if len(shown) < len(group.changes) else []
        room -= len(shown) + 3
    return [*lines, "", *([] if changes.groups else ["No change was found."]), sight(changes)]


def markdown(changes: Changes) -> str:
    """Return the page as Markdown."""
    history = changes.history
    parts = [
        f"# {escape.text(headline(changes), longest=None)}",
        "\n".join(f"- {escape.text(each, longest=None)}" for each in answer(changes)),
    ]
    for group in changes.groups:
        rows = [[escape.text(each) for each in cells(change, history)] for change in group.changes[:_IN_TABLE]]
        parts += [
            f"## {escape.text(summary(group, history), longest=None)}",
            escape.table(["case", "metric", "change", "factor", "before", "after"], rows, "lllrrr"),
        ]
        if len(group.changes) > len(rows):
            parts.append(f"{len(group.changes) - len(rows)} more, none worse than these, are left out.")
    parts += ["## Runs", escape.table(["run", "commit", "date", "machine"], [*_runs(history)], "llll")]
    if history.left_out:
        parts += ["## Runs left out", "\n".join(f"- {escape.text(each)}" for each in history.left_out)]
    return "\n\n".join([*parts, "## How to read this", _HOW_TO_READ]) + "\n"


def summary(group: Group, history: History) -> str:
    """Return who changed where: `2 cases got worse and 1 better between a1b2 and c3d4 (2026-01-02)`."""
    counts = {"worse": group.worse, "better": len({each.case for each in group.changes if not each.worse})}
    told = [f"{_counted(count, 'case')} got {word}" for word, count in counts.items() if count]
    a, b = history.label(group.before), history.label(group.after)
    where = f"between {a} and {b}" if a != b else f"between two runs of {a}, so not by its code"
    date = history.runs[group.after].date[:10]
    versions = ", ".join(f"{name} {was} to {now}" for name, (was, now) in group.software.items())
    also = f"; also {plain(versions)}" if versions else ""
    return f"{' and '.join(told)} {where}{f' ({date})' if date else ''}{also}"


def cells(change: Change, history: History) -> list[str]:
    """Return the cells of a change: case, metric, word, factor, and the values before and after."""
    metric = change.metric.replace("_", " ")
    if change.metric == RATIO:
        metric = f"time over {history.cases['title'][history.baseline_rows[change.case]]}"
    word = _WORDS[change.metric][0 if change.worse else 1]
    ends = [_value(change.metric, each) for each in (change.was, change.now)]
    return [str(history.cases["title"][change.case]), metric, word, _factor(change), *ends]


def _line(change: Change, history: History) -> str:
    """Return the line of a change for the terminal."""
    case, _, word, factor, was, now = cells(change, history)
    told = factor if change.metric in (*TIMES, BASELINE) else f"{was} to {now}"
    return f"  {word:13} {told:22} {case}"


def _factor(change: Change) -> str:
    """Write a factor, with its interval if it has one; empty if there is none."""
    if not math.isfinite(change.factor):
        return ""
    if math.isnan(change.low):
        return f"{units.number(change.factor, 3)}x"
    return units.interval(change.factor, change.low, change.high, "x")


def _value(metric: str, value: float | str) -> str:
    """Write a value with its unit; empty if it is missing."""
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return ""
    if metric in (TIME, BASELINE):
        return units.time(value)
    if metric == "peak_bytes":
        return units.size(value)
    return f"{value:,.0f}" if metric.endswith("pairs") else f"{value:.3g}"


def _runs(history: History) -> Iterator[list[str]]:
    """Yield the rows of the table of runs."""
    for each, number in zip(history.runs, history.machines, strict=True):
        yield [escape.text(told) for told in (each.name, each.commit, each.date, machine(int(number)))]


def _left_out(history: History) -> list[str]:
    """Return lines for the first runs that are left out."""
    shown = [f"left out: {plain(each, 160)}" for each in history.left_out[:_LEFT_OUT]]
    more = len(history.left_out) - len(shown)
    return [*shown, *([f"left out: {more} more"] if more else [])]


def _counted(count: int, word: str) -> str:
    """Write a count with its word: `1 run`, `3 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
