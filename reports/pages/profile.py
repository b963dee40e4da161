"""Pages on profiles: the files of `bench profile`, and the section in a run's report."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from attnbench.reports.data.files import put
from attnbench.reports.data.profiles import Profiled, shares, short
from attnbench.reports.data.reading import PROFILE, RUN, profiles
from attnbench.reports.drawing import memory_timeline, saving
from attnbench.reports.findings.run import Run
from attnbench.reports.text import escape, units
from attnbench.reports.text.cells import NONE
from attnbench.suites import Status
from attnbench.suites.profile import OUTSIDE, Profile

COLUMNS = ("case", "title", "operator", "calls", "self_ns", "self_cuda_ns", "share", "allocated_bytes")
"""The columns of `operators.csv`. Numbers are per call; `share` is of the call's time, on CUDA of the kernel time."""

CAUTION = (
    "Recording slows calls: shares and bytes tell where a call's time and memory go, and no time here may stand "
    "beside one that was measured."
)


def alone(folder: Path) -> bool:
    """Check whether a folder was written by `bench profile`: it has profiles and no run."""
    return (folder / PROFILE).is_file() and not (folder / RUN).exists()


def write(folder: Path) -> Path:
    """Write `operators.csv`, `operators.md` and a figure `memory_KEY` per profile; return the path of the Markdown.

    Raises:
        RunError: `profile.jsonl` cannot be read.
    """
    found = profiles(folder)
    passed = [each for each in found.values() if each.status is Status.PASSED]
    saving.save({f"memory_{each.case}": partial(memory_timeline.case, each) for each in passed}, folder)
    return write_tables(found, folder, figure=True)


def write_tables(found: Mapping[str, Profile], folder: Path, *, figure: bool = False) -> Path:
    """Write every operator of every profile into `operators.csv` and `operators.md`; return the path of the latter."""
    put(folder / "operators.csv", operators(found).to_csv(index=False, lineterminator="\n"))
    parts = ["# Operators", CAUTION, *(_case(each, figure=figure) for each in found.values())]
    return put(folder / "operators.md", "\n\n".join(parts) + "\n")


def operators(found: Mapping[str, Profile]) -> pd.DataFrame:
    """Return one row per operator and case, the longest first within a case; see `COLUMNS`."""
    rows = [
        (
            *(profile.case, profile.title, each.operator, each.calls, each.self_ns, each.self_cuda_ns),
            *(share, each.allocated_bytes),
        )
        for profile in found.values()
        for each, share in shares(profile)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _case(profile: Profile, *, figure: bool) -> str:
    """Return the section of one case: its operators as a table, and a link to its trace."""
    title = f"## {escape.text(profile.title)}"
    if profile.status is not Status.PASSED:
        return f"{title}\n\n{profile.status}: {escape.text(profile.reason)}"
    calls = "1 call" if profile.calls == 1 else f"{profile.calls} calls"
    words = f"Means over {calls}, each {units.time(profile.call_ns or 0)} while recorded. "
    words += f"Trace: [traces/{profile.case}.json.gz](traces/{profile.case}.json.gz), for <https://ui.perfetto.dev>."
    header, rows = _cells(profile)
    table = escape.table(header, [[escape.text(each) for each in row] for row in rows])
    picture = [f"![memory over time](figures/memory_{profile.case}.svg)"] if figure else []
    return "\n\n".join([title, words, table, *picture])


def _cells(profile: Profile) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of one case."""
    times = ["self CPU time", *(["self CUDA time"] if profile.on_cuda else []), "share"]
    rows = [
        [each.operator, f"{each.calls:g}", units.time(each.self_ns)]
        + ([units.time(each.self_cuda_ns or 0)] if profile.on_cuda else [])
        + [f"{share:.1%}", units.size(each.allocated_bytes) if each.allocated_bytes else ""]
        for each, share in shares(profile)
    ]
    return ["operator", "calls", *times, "allocated"], rows


def terminal(profile: Profile, most: int = 12) -> str:
    """Return the longest operators as text for the terminal."""
    header, rows = _cells(profile)
    told = [header, *rows[:most]]
    widths = [max(len(row[i]) for row in told) for i in range(len(header))]
    lines = []
    for name, *numbers in told:
        aligned = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *aligned]))
    more = len(rows) - most
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


_TOLD = 3
_LEAST = 0.01
"""The smallest share that the table shows."""

_WORDS = (
    f"{CAUTION} Every operator of every case stands in [operators.md](operators.md) and `operators.csv`; the files "
    "`traces/KEY.json.gz` open in <https://ui.perfetto.dev>."
)


def section(run: Run) -> str:
    """Return the section of a run's report."""
    tables = [_table(each) for each in run.profiled if each.compared]
    failed = [each for each in run.profiles.values() if each.status is not Status.PASSED]
    missing = [f"- {escape.text(each.title)}: {each.status}, {escape.text(each.reason)}" for each in failed]
    pictures = ["![profile](figures/profile.svg)", "![memory within one call](figures/profile_memory.svg)"]
    more = ["### What could not be profiled", "\n".join(missing)] if missing else []
    return "\n\n".join(["## Profiles", _WORDS, *pictures, *tables, *more])


def _table(found: Profiled) -> str:
    """Return the largest operators of each series of a setting, at the comparison length."""
    header = ["", "largest", "second", "third", "outside operators", "operators in a call"]
    rows = [[escape.text(name), *_row(profile)] for name, profile in found.compared]
    title = f"### {escape.text(found.setting.title)}: operators at N = {found.compared_at}"
    return f"{title}\n\n{escape.table(header, rows, 'llll')}"


def _row(profile: Profile) -> list[str]:
    """Return the largest operators with their shares, the share outside operators, and the number of calls."""
    found = shares(profile)
    named = [each for each in found if each.operator.operator != OUTSIDE]
    outside = sum(each.share for each in found if each.operator.operator == OUTSIDE)
    told = [f"{escape.text(short(each.operator.operator))} {each.share:.0%}" for each in named if each.share >= _LEAST]
    told = [*told[:_TOLD], *[NONE] * (_TOLD - len(told))]
    return [*told, f"{outside:.0%}", f"{sum(each.operator.calls for each in named):,.0f}"]
