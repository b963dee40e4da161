"""Tables of a run: as CSV for programs, and as Markdown for readers."""

from collections.abc import Callable
from itertools import product

import pandas as pd

from attnbench.reports.data import flags
from attnbench.reports.data.capacity import NO_BUDGET, NO_FORWARD, TOO_FEW
from attnbench.reports.findings.growth import APART, FEW_LAST, FEW_LENGTHS, NO_COST
from attnbench.reports.findings.lengths import Floor
from attnbench.reports.findings.outcomes import Outcomes
from attnbench.reports.findings.paired import Ratio, Threads
from attnbench.reports.findings.run import Results, Run
from attnbench.reports.findings.shared import Shared, by_title
from attnbench.reports.tables import at_length
from attnbench.reports.text import answer, cells, escape, units
from attnbench.reports.text.names import shortest

_OF_RANKS = ("rank_bytes", "sent_bytes")
NOTHING = "No case was measured."
_REASONS = (FEW_LENGTHS, APART, FEW_LAST, NO_COST, NO_BUDGET, NO_FORWARD, TOO_FEW, cells.NONE)


def csv(frame: pd.DataFrame) -> str:
    """Return every column of a frame as CSV; a missing number is an empty field."""
    return frame.to_csv(index=False, lineterminator="\n")


def markdown(run: Run) -> str:
    """Return all tables: of each setting, of levels, directions and threads, of flags and of failures."""
    named, first = shortest(run.frame), run.summary
    parts = []
    for results in run.results:
        # The answer of the run is about the most important setting.
        if first is not None and results is not first.results and results.passed:
            said = " ".join(answer.of(results, named))
            parts.append(f"**{escape.text(results.setting.title)}.** {escape.text(said, longest=None)}")
        parts += _of(results)
    parts = parts or [NOTHING]
    alike: dict[tuple[str, str, int], list[Ratio]] = {}
    for each in (*run.levels, *run.gradients):
        alike.setdefault((each.title, each.against, each.seq_len), []).append(each)
    parts += map(ratios, alike.values())
    parts += [threads(each) for each in run.threads if each.gains]
    parts += [crossovers(each) for each in run.threads if each.crossovers]
    parts += [processes(title, found) for title, found in by_title(run.shared).items()]
    return "\n\n".join([*parts, flagged(run.outcomes), failures(run.outcomes)]) + "\n"


def _of(results: Results) -> list[str]:
    """Return the tables of one setting."""
    found = [lengths(results), *(floor(each, results.compared_at) for each in results.floors)]
    found += [implementations(results)] if results.implementations else []
    found += [growth(results)] if results.several_lengths and results.passed else []
    found += [swept_keys(results)] if results.sweeps else []
    return [*found, *(at_length.tables(results) if results.passed else [])]


def lengths(results: Results) -> str:
    """Return series by length, as in Long Range Arena: calls per second, peak memory, energy, and what is kept."""
    frame = results.setting.frame
    columns = sorted(int(n) for n in frame["seq_len"].unique())
    header = ["", *(f"N = {n}" for n in columns)]
    title, against = escape.text(results.setting.title), escape.text(results.baseline)
    speeds = [(escape.text(name), units.number(speed, 2)) for name, speed in results.other_baselines]
    others = "".join(f"; {name} is {speed}x as fast" for name, speed in speeds)
    rows = [(escape.text(name), by_length) for name, by_length in results.cases.items()]
    speed = [[name, *(_speed(results, part.get(n)) for n in columns)] for name, part in rows]
    found = [
        f"### {title}: calls per second{against and f' (times {against}{others})'}",
        escape.table(header, speed),
        f"### {title}: peak memory{against and f' (fraction of {against})'}",
        _memory(results, header, columns),
    ]
    if results.has_energy:
        energy = [[name, *(cells.ended(part.get(n), cells.energy) for n in columns)] for name, part in rows]
        found.append(f"### {title}: energy of one call{against and f' (fraction of {against})'}")
        found.append(escape.table(header, energy))
    if results.kept:
        state = [[name, *(cells.ended(part.get(n), cells.state) for n in columns)] for name, part in rows]
        found += [f"### {title}: cache or state", escape.table(header, state)]
    return "\n\n".join(found)


def _memory(results: Results, header: list[str], columns: list[int]) -> str:
    """Return peak memory by length, how it grows, and the longest sequence that fits the budget."""
    growth, rows = dict(results.growth), []
    budgets = results.setting.frame["budget_bytes"].dropna()
    for name, by_length in results.cases.items():
        passed = [row for row in by_length.values() if row["status"] == "passed"]
        peaks = [cells.ended(by_length.get(n), cells.memory) for n in columns]
        grows = [cells.memory_exponent(growth[name])] if results.several_lengths else []
        fits = cells.fits(passed[-1]) if passed else cells.NONE
        rows.append([escape.text(name), *peaks, *grows, fits])
    fit = f"fits {units.size(budgets.iloc[0])} up to N" if len(budgets) else "fits up to N"
    more = ["grows as", fit] if results.several_lengths else [fit]
    return escape.folded([*header, *more], rows, _REASONS)


def _speed(results: Results, row: pd.Series | None) -> str:
    """Write calls per second, the fastest at a length in bold, and what is not shown to be slower."""
    told = cells.ended(row, cells.speed)
    best = row is not None and f"{row['label']}/{row['implementation']}" in results.leading.get(int(row["seq_len"]), ())
    return f"**{told}**" if best else told


def implementations(results: Results) -> str:
    """Return the fastest implementation of each variant at each length, and the time of the next one over its time.

    The fastest is bold if the next one is shown to be slower.
    """
    columns = sorted({each.seq_len for each in results.implementations})
    told: dict[str, dict[int, str]] = {}
    for each in results.implementations:
        first, following = escape.text(each.implementation), escape.text(each.following)
        first = f"**{first}**" if each.is_shown else first
        told.setdefault(each.label, {})[each.seq_len] = f"{first}; {following} {cells.ratio(each.time)}"
    rows = [[escape.text(label), *(by_length.get(n, "") for n in columns)] for label, by_length in told.items()]
    table = escape.table(["", *(f"N = {n}" for n in columns)], rows, "l" * (1 + len(columns)))
    return at_length.titled(results, "fastest implementation; the next one over it", table)


def floor(found: Floor, n: int) -> str:
    """Return what a layer takes that does not mix tokens, as shares of what the baseline takes."""
    told = f"The floor, a layer without mixing ({found.name}), takes {cells.share(found.time)} of the time of "
    told += f"{found.against} at N = {n}"
    told += f" and {units.percent(found.peak)} of its peak memory." if found.peak >= 0 else "."
    return escape.text(told, longest=None)


def growth(results: Results) -> str:
    """Return growth exponents of time, from which length a series is faster, and its stated cost."""
    header = ["", "time grows as", "fitted over N"]
    header += [f"faster than {escape.text(results.baseline) or 'the baseline'}"]
    header += ["over the last two octaves", "stated cost there", "GFLOP/s there"]
    written = (
        cells.time_exponent,
        cells.fitted,
        cells.crossover,
        cells.last_exponent,
        cells.cost_exponent,
        cells.rates,
    )
    shown = [(name, row) for name, row in results.growth if name in results.cases]
    rows = [[escape.text(name), *(cell(row) for cell in written)] for name, row in shown]
    return at_length.titled(results, "growth", escape.folded(header, rows, _REASONS))


def swept_keys(results: Results) -> str:
    """Return the results of each sweep over keys per query."""
    found = results.sweeps
    against = next((each.against for each in found if each.against), "")
    header = ["", "keys per query", "a call takes about", "time grows as", "twice the time of the fewest"]
    header += [f"faster than {escape.text(against) or 'the baseline'}"]
    header += [f"peak memory, times that of {escape.text(against) or 'the baseline'}"]
    header += [] if results.density is None else [f"realised at a density of {cells.density(results.density)}"]
    rows = [[escape.text(each.name), *cells.sweep(each)] for each in found]
    return at_length.titled(results, f"keys per query at N = {found[0].seq_len}", escape.table(header, rows))


def ratios(found: list[Ratio]) -> str:
    """Return time, peak memory and work of other directions or levels over those of one, for one setting."""
    values = list(dict.fromkeys(each.value for each in found))
    told = {(each.name, each.value): each for each in found}
    written: dict[str, Callable[[Ratio], str]] = {
        "": lambda each: cells.ratio(each.time),
        "peak memory of ": lambda each: cells.multiple(each.peak),
        "work of ": lambda each: cells.multiple(each.work),
    }
    columns = [*product(written.values(), values)]
    rows = [
        [escape.text(name), *(cell(told[name, value]) if (name, value) in told else "" for cell, value in columns)]
        for name in dict.fromkeys(each.name for each in found)
    ]
    title = f"{escape.text(found[0].title)}: against {escape.text(found[0].against)} at N = {found[0].seq_len}"
    header = ["", *(f"{words}{escape.text(value)}" for words, value in product(written, values))]
    return f"### {title}\n\n{escape.table(header, rows)}"


def threads(found: Threads) -> str:
    """Return time with the fewest threads over time with the most, series by length."""
    lengths = list(dict.fromkeys(each.seq_len for each in found.gains))
    told = {(each.name, each.seq_len): cells.ratio(each.time) for each in found.gains}
    names = dict.fromkeys(each.name for each in found.gains)
    rows = [[escape.text(name), *(told.get((name, n), "") for n in lengths)] for name in names]
    words = f"faster with {found.most} threads than with {found.fewest}"
    return f"### {escape.text(found.title)}: {words}\n\n{escape.table(['', *(f'N = {n}' for n in lengths)], rows)}"


def crossovers(found: Threads) -> str:
    """Return from which length each series is faster than its baseline, with each number of threads."""
    counts = sorted({count for each in found.crossovers for count in each.by_count})
    against = {row["baseline"] for each in found.crossovers for row in each.by_count.values() if row["crossover"]}
    rows = [
        [escape.text(each.name), *(cells.crossover(each.by_count[n]) if n in each.by_count else "" for n in counts)]
        for each in found.crossovers
    ]
    words = f"faster than {escape.text(against.pop()) if len(against) == 1 else 'the baseline'}, by threads"
    header = ["", *(f"{count} thread{'' if count == 1 else 's'}" for count in counts)]
    return f"### {escape.text(found.title)}: {words}\n\n{escape.table(header, rows)}"


def processes(title: str, found: list[Shared]) -> str:
    """Return what several processes gain that share a sequence, and what each of them holds and sends."""
    rows = [
        [
            escape.text(each.label),
            str(each.seq_len),
            str(each.world),
            units.time(*(each.case[f"time{end}_ns"] for end in ("", "_low", "_high"))),
            cells.ratio(each.over_one),
            cells.ratio(each.over_threads),
            *(cells.NONE if pd.isna(each.case[name]) else units.size(each.case[name]) for name in _OF_RANKS),
        ]
        for each in found
    ]
    header = ["", "N", "processes", "time of a call", "faster than one", "faster than as many threads"]
    header += ["memory of one", "sent by one"]
    return f"### {escape.text(title)}: several processes\n\n{escape.table(header, rows)}"


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
