"""Tables of a run: as CSV for programs, as Markdown for readers, and for the terminal."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reports.data import flags
from attnbench.reports.data.outcomes import Outcomes
from attnbench.reports.data.paired import Ratio, Threads
from attnbench.reports.data.run import Results, Run
from attnbench.reports.data.settings import attempted
from attnbench.reports.data.values import FASTER, SLOWER, verdicts
from attnbench.reports.text import cells, escape, units

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NOTHING = "No case was measured."
_WORK = (
    "",
    "allowed pairs",
    "computed pairs",
    "waste",
    "GFLOP/s",
    "of roof",
    "bound",
    "speed-up",
    "realised",
    "error",
    "error vs full (of mean)",
    "tokens/s",
    "ties",
)
_BEFORE = ("", "preparation", "held", "compilation", "first call")


def csv(frame: pd.DataFrame) -> str:
    """Return every column of a frame as CSV; a missing number is an empty field."""
    return frame.to_csv(index=False, lineterminator="\n")


def markdown(run: Run) -> str:
    """Return all tables: of each setting, of levels, directions and threads, of flags and of failures."""
    found = run.results
    passed = [each for each in found if each.passed]
    parts = [lengths(each) for each in found] or [NOTHING]
    parts += [growth(each) for each in found if each.several_lengths]
    parts += [swept_keys(each) for each in found if each.sweeps]
    parts += [_compared(each, "work", [*_WORK], cells.work) for each in passed]
    parts += [_compared(each, "before the first value", [*_BEFORE], cells.before) for each in passed]
    alike: dict[tuple[str, str, int], list[Ratio]] = {}
    for each in (*run.levels, *run.gradients):
        alike.setdefault((each.title, each.against, each.seq_len), []).append(each)
    parts += map(ratios, alike.values())
    parts += [threads(each) for each in run.threads if each.gains]
    return "\n\n".join([*parts, flagged(run.outcomes), failures(run.outcomes)]) + "\n"


def lengths(results: Results) -> str:
    """Return series by length, in the form of Long Range Arena: calls per second, peak memory, and what is kept."""
    frame = results.setting.frame
    columns = sorted(int(n) for n in frame["seq_len"].unique())
    header = ["", *(f"N = {n}" for n in columns)]
    title, against = escape.text(results.setting.title), escape.text(results.baseline)
    speeds = [(escape.text(name), units.number(speed, 2)) for name, speed in results.other_baselines]
    others = "".join(f"; {name} is {speed}x as fast" for name, speed in speeds)
    rows = [(escape.text(name), cells.by_length(part)) for name, part in attempted(frame)]
    speed = [[name, *(cells.ended(part.get(n), cells.speed) for n in columns)] for name, part in rows]
    memory = [[name, *(cells.ended(part.get(n), cells.memory) for n in columns)] for name, part in rows]
    parts = [
        f"### {title}: calls per second{against and f' (times {against}{others})'}",
        escape.table(header, speed),
        f"### {title}: peak memory{against and f' (fraction of {against})'}",
        escape.table(header, memory),
    ]
    if results.kept:
        state = [[name, *(cells.ended(part.get(n), cells.state) for n in columns)] for name, part in rows]
        parts += [f"### {title}: cache or state", escape.table(header, state)]
    return "\n\n".join(parts)


def growth(results: Results) -> str:
    """Return growth exponents, from which length a series is faster, up to which it fits, and its stated cost."""
    shown = {name for name, _ in attempted(results.setting.frame)}
    header = ["", "time grows as", "memory grows as", "fitted over N"]
    header += [f"faster than {escape.text(results.baseline) or 'the baseline'}", "fits up to N"]
    header += ["time, last two octaves", "stated cost there", "GFLOP/s there"]
    written = (
        cells.time_exponent,
        cells.memory_exponent,
        cells.fitted,
        lambda row: cells.crossover(row) or cells.NONE,
        cells.fits,
        cells.last_exponent,
        cells.cost_exponent,
        cells.rates,
    )
    rows = [[escape.text(name), *(cell(row) for cell in written)] for name, row in results.growth if name in shown]
    return _titled(results, "growth", escape.table(header, rows))


def swept_keys(results: Results) -> str:
    """Return the results of each sweep over keys per query."""
    found = results.sweeps
    against = next((each.against for each in found if each.against), "")
    header = ["", "keys per query", "a call takes about", "time grows as", "twice the time of the fewest"]
    header += [f"faster than {escape.text(against) or 'the baseline'}"]
    header += [] if results.density is None else [f"realised at a density of {cells.density(results.density)}"]
    rows = [[escape.text(each.name), *cells.sweep(each)] for each in found]
    return _titled(results, f"keys per query at N = {found[0].seq_len}", escape.table(header, rows))


def _compared(results: Results, words: str, header: list[str], written: Callable[[pd.Series], list[str]]) -> str:
    """Return a table with one row per series, at the comparison length."""
    n = results.compared_at
    found = [(name, cells.by_length(part).get(n)) for name, part in attempted(results.setting.frame)]
    rows = [[escape.text(name), *written(row)] for name, row in found if row is not None]
    return _titled(results, f"{words} at N = {n}", escape.table(header, rows))


def _titled(results: Results, words: str, table: str) -> str:
    return f"### {escape.text(results.setting.title)}: {words}\n\n{table}"


def ratios(found: list[Ratio]) -> str:
    """Return time and peak memory of other directions or levels over those of one, for one setting."""
    values = list(dict.fromkeys(each.value for each in found))
    told = {(each.name, each.value): each for each in found}
    header = ["", *values, *(f"peak memory of {each}" for each in values)]
    rows = []
    for name in dict.fromkeys(each.name for each in found):
        mine = [told.get((name, each)) for each in values]
        times = ["" if each is None else cells.ratio(each.time) for each in mine]
        rows.append([escape.text(name), *times, *("" if each is None else cells.multiple(each.peak) for each in mine)])
    title = f"{escape.text(found[0].title)}: against {escape.text(found[0].against)} at N = {found[0].seq_len}"
    return f"### {title}\n\n{escape.table([*map(escape.text, header)], rows)}"


def threads(found: Threads) -> str:
    """Return time with the fewest threads over time with the most, series by length."""
    lengths = list(dict.fromkeys(each.seq_len for each in found.gains))
    told = {(each.name, each.seq_len): cells.ratio(each.time) for each in found.gains}
    names = dict.fromkeys(each.name for each in found.gains)
    rows = [[escape.text(name), *(told.get((name, n), "") for n in lengths)] for name in names]
    words = f"faster with {found.most} threads than with {found.fewest}"
    return f"### {escape.text(found.title)}: {words}\n\n{escape.table(['', *(f'N = {n}' for n in lengths)], rows)}"


def flagged(found: Outcomes) -> str:
    """Return every flag that a case has: its meaning, what to do, and which cases have it."""
    title = "### Flags\n\n"
    if not found.flags:
        return f"{title}No case is flagged."
    rows = [
        [escape.text(each.word), str(each.many), *flags.MEANINGS[each.word], escape.text(each.which, longest=None)]
        for each in found.flags
    ]
    return title + escape.table(["flag", "cases", "it says", "what to do", "which"], rows, "lrlll")


def failures(found: Outcomes) -> str:
    """Return every case that did not pass, grouped by reason."""
    title = "### What did not pass\n\n"
    if not found.failures:
        return title + ("Every case passed." if found.cases else "The run has no cases.")
    rows = [
        [escape.text(each.word), str(each.many), escape.text(each.reason), escape.text(each.which, longest=None)]
        for each in found.failures
    ]
    return title + escape.table(["status", "cases", "reason", "which"], rows, "lrll")


def terminal(run: Run) -> "Table":
    """Return a table for the terminal: series by length, each with time, half of its interval and speed-up.

    Green is faster than the baseline, red is slower and dim is not sure. Cases that did not pass are yellow, and `!`
    marks flagged cases.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    found = run.settings
    columns = sorted({int(n) for each in found for n in each.frame["seq_len"]})
    caption = (
        "! flagged: the report's table of flags says why, and what to do" if (run.frame["flags"] != "").any() else None
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("" if found else NOTHING, overflow="fold")
    for n in columns:
        table.add_column(f"N = {n}", justify="right")
    for setting in found:
        table.add_section()
        table.add_row(Text(setting.title, "bold"))
        for name, part in attempted(setting.frame):
            rows = cells.by_length(part)
            table.add_row(Text(name.replace("/", "\n")), *(_coloured(rows.get(n)) for n in columns))
    return table


def _coloured(row: pd.Series | None) -> "Text":
    """Return a cell of the terminal's table: `1.23 ms ±2%` above `3.1x`, with `!` if the case is flagged."""
    from rich.text import Text

    if row is None:
        return Text("")
    if row["status"] != "passed":
        return Text(cells.SHORT[row["status"]], "yellow")
    low, high = row["time_low_ns"], row["time_high_ns"]
    time = f"{units.time(row['time_ns'], low, high)} {units.spread(low, high)}".rstrip()
    colours = {FASTER: "green", SLOWER: "red"}
    sure = colours.get(str(verdicts(row["speedup_low"], row["speedup_high"])), "dim")
    return Text.assemble(time, "\n", (cells.times(row), sure), " !" if row["flags"] else "")
