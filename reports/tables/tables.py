"""Tables of a run: CSV for programs, Markdown for readers, and one for the terminal."""

from typing import TYPE_CHECKING

import pandas as pd

from attnbench.reports.data import flags
from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import Setting, attempted, comparison_length, scaled, settings, which
from attnbench.reports.summary import sweeps
from attnbench.reports.summary.directions import ratios
from attnbench.reports.summary.threads import gains
from attnbench.reports.text import cells, escape, units

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NOTHING = "No case was measured."


def csv(frame: pd.DataFrame) -> str:
    """Every column of a frame; empty where there is no number."""
    return frame.to_csv(index=False, lineterminator="\n")


def markdown(run: Run) -> str:
    """All tables: time and memory, growth, keys per query, work, first values, directions, threads, flags, failures."""
    found = settings(run.frame)
    parts = [lengths(each) for each in found] or [NOTHING]
    parts += [growth(run.scaling, each) for each in found if each.frame["seq_len"].nunique() > 1]
    parts += [table for each in found if (table := swept_keys(run, each))]
    for told in (work, before):
        parts += [told(each) for each in found if (each.frame["status"] == "passed").any()]
    parts += [*gradients(run), *threads(run)]
    return "\n\n".join([*parts, flagged(run.frame), failures(run.frame)]) + "\n"


def lengths(setting: Setting) -> str:
    """Series by length, as in Long Range Arena: calls per second, then peak memory."""
    columns = sorted(int(n) for n in setting.frame["seq_len"].unique())
    header = ["", *(f"N = {n}" for n in columns)]
    title, against = escape.text(setting.title), escape.text(_baseline(setting.frame))
    rows = [(escape.text(name), cells.by_length(part)) for name, part in attempted(setting.frame)]
    speed = [[name, *(cells.ended(part.get(n), cells.speed) for n in columns)] for name, part in rows]
    memory = [[name, *(cells.ended(part.get(n), cells.memory) for n in columns)] for name, part in rows]
    return "\n\n".join(
        [
            f"### {title}: calls per second{against and f' (times {against})'}",
            escape.table(header, speed),
            f"### {title}: peak memory{against and f' (fraction of {against})'}",
            escape.table(header, memory),
        ]
    )


def growth(scaling: pd.DataFrame, setting: Setting) -> str:
    """Growth exponents with their intervals, and the length from which each series is faster."""
    names = {name for name, _ in attempted(setting.frame)}
    rows = [
        [
            escape.text(name),
            cells.time_exponent(row),
            cells.memory_exponent(row),
            cells.fitted(row),
            cells.crossover(row) or cells.NONE,
        ]
        for name, row in scaled(scaling, setting)
        if name in names
    ]
    against = escape.text(_baseline(setting.frame)) or "the baseline"
    header = ["", "time grows as", "memory grows as", "fitted over N", f"faster than {against}"]
    return f"### {escape.text(setting.title)}: growth\n\n{escape.table(header, rows)}"


def work(setting: Setting) -> str:
    """Work and what it bought, at the length that series are compared at."""
    n = comparison_length(setting.frame)
    header = [
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
    ]
    found = [(name, cells.by_length(part).get(n)) for name, part in attempted(setting.frame)]
    rows = [[escape.text(name), *cells.work(row)] for name, row in found if row is not None]
    return f"### {escape.text(setting.title)}: work at N = {n}\n\n{escape.table(header, rows)}"


def before(setting: Setting) -> str:
    """What each case took before its first value, at the length that series are compared at; in no time of a call."""
    n = comparison_length(setting.frame)
    header = ["", "preparation", "held", "compilation", "first call"]
    found = [(name, cells.by_length(part).get(n)) for name, part in attempted(setting.frame)]
    rows = [[escape.text(name), *cells.before(row)] for name, row in found if row is not None]
    return f"### {escape.text(setting.title)}: before the first value at N = {n}\n\n{escape.table(header, rows)}"


def swept_keys(run: Run, setting: Setting) -> str:
    """What each sweep over keys per query found; nothing where the setting has none."""
    found = sweeps.sweeps(run, setting)
    if not found:
        return ""
    against = next((each.baseline for each in found if each.baseline), "")
    density = sweeps.common_density(found)
    header = ["", "keys per query", "a call takes about", "time grows as", "twice the time of the fewest"]
    header += [f"faster than {escape.text(against) or 'the baseline'}"]
    header += [] if density is None else [f"realised at a density of {cells.density(density)}"]
    rows = [[escape.text(each.name), *cells.sweep(each, density)] for each in found]
    title = f"### {escape.text(setting.title)}: keys per query at N = {found[0].seq_len}"
    return f"{title}\n\n{escape.table(header, rows)}"


def gradients(run: Run) -> list[str]:
    """Time and peak memory of the other directions over those of `forward`, a table a setting."""
    tables = []
    found = ratios(run)
    for title, n in dict.fromkeys((each.title, each.seq_len) for each in found):
        here = [each for each in found if each.title == title]
        directions = list(dict.fromkeys(each.direction for each in here))
        told = {(each.name, each.direction): each for each in here}
        header = ["", *directions, *(f"peak memory of {each}" for each in directions)]
        rows = []
        for name in dict.fromkeys(each.name for each in here):
            mine = [told.get((name, each)) for each in directions]
            times = ["" if each is None else cells.ratio(each.time) for each in mine]
            peaks = ["" if each is None else cells.multiple(each.peak) for each in mine]
            rows.append([escape.text(name), *times, *peaks])
        tables.append(f"### {escape.text(title)}: against forward at N = {n}\n\n{escape.table(header, rows)}")
    return tables


def threads(run: Run) -> list[str]:
    """Time with the fewest threads over time with the most, a table a setting, series by length."""
    tables = []
    found = gains(run)
    for title in dict.fromkeys(each.title for each in found):
        here = [each for each in found if each.title == title]
        lengths = list(dict.fromkeys(each.seq_len for each in here))
        told = {(each.name, each.seq_len): cells.ratio(each.time) for each in here}
        names = dict.fromkeys(each.name for each in here)
        rows = [[escape.text(name), *(told.get((name, n), "") for n in lengths)] for name in names]
        header = ["", *(f"N = {n}" for n in lengths)]
        words = f"faster with {here[0].most} threads than with {here[0].fewest}"
        tables.append(f"### {escape.text(title)}: {words}\n\n{escape.table(header, rows)}")
    return tables


def flagged(frame: pd.DataFrame) -> str:
    """Every flag that some case carries: what it says, what to do, and which cases."""
    title = "### Flags\n\n"
    rows = []
    for flag, meaning in flags.MEANINGS.items():
        part = flags.carrying(frame, flag)
        if len(part):
            found = escape.text(which(frame, part), longest=None)
            rows.append([escape.text(flag), str(len(part)), meaning.says, meaning.do, found])
    if not rows:
        return f"{title}No case is flagged."
    return title + escape.table(["flag", "cases", "it says", "what to do", "which"], rows, "lrlll")


def failures(frame: pd.DataFrame) -> str:
    """Every case that did not pass, those with the same reason together."""
    title = "### What did not pass\n\n"
    failed = frame[frame["status"] != "passed"]
    if not len(failed):
        return title + ("Every case passed." if len(frame) else "The run has no cases.")
    rows = [
        [escape.text(status), str(len(part)), escape.text(reason), escape.text(which(frame, part), longest=None)]
        for (status, reason), part in failed.groupby(["status", "reason"], sort=False)
    ]
    return title + escape.table(["status", "cases", "reason", "which"], rows, "lrll")


def terminal(run: Run) -> "Table":
    """A table for the terminal: each series by length, its time, half its interval and its speed-up.

    Green is faster than the baseline, red slower, dim neither for sure; what did not pass is yellow; `!` marks a case
    that is flagged.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    found = settings(run.frame)
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
    """A cell of the terminal's table: `1.23 ms ±2%` over `3.1x`, with a trailing `!` where it is flagged."""
    from rich.text import Text

    if row is None:
        return Text("")
    if row["status"] != "passed":
        return Text(cells.SHORT[row["status"]], "yellow")
    low, high = row["time_low_ns"], row["time_high_ns"]
    time = f"{units.time(row['time_ns'], low, high)} {units.spread(low, high)}".rstrip()
    sure = "green" if row["speedup_low"] > 1 else "red" if row["speedup_high"] < 1 else "dim"
    return Text.assemble(time, "\n", (cells.times(row), sure), " !" if row["flags"] else "")


def _baseline(frame: pd.DataFrame) -> str:
    """The name of a setting's baseline, or nothing."""
    return next((name for name in frame["baseline"] if name), "")
