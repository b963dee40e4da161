"""The pages of profiles: of `bench profile` alone, and the section in a run's report."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from attnbench.reports.data.files import put
from attnbench.reports.data.profiles import Profiled, shares, short
from attnbench.reports.data.reading import PROFILE, RUN, profiles
from attnbench.reports.data.run import Run
from attnbench.reports.drawing import memory_timeline, saving
from attnbench.reports.text import escape, units
from attnbench.reports.text.cells import NONE
from attnbench.suites import Status
from attnbench.suites.profile import OUTSIDE, Profile

COLUMNS = ("case", "title", "operator", "calls", "self_ns", "self_cuda_ns", "share", "allocated_bytes")
"""The columns of `operators.csv`: per call, and the share of the time that counts (of kernels, on CUDA)."""

CAUTION = (
    "Recording slows calls: shares and bytes tell where a call's time and memory go, and no time here may stand "
    "beside one that was measured."
)


def alone(folder: Path) -> bool:
    """Whether a folder is what `bench profile` leaves: profiles without a run."""
    return (folder / PROFILE).is_file() and not (folder / RUN).exists()


def write(folder: Path) -> Path:
    """`operators.csv`, `operators.md` and `figures/memory_KEY` of every profile; returns the Markdown's path.

    Raises:
        RunError: `profile.jsonl` cannot be read.
    """
    found = profiles(folder)
    passed = [each for each in found.values() if each.status is Status.PASSED]
    saving.save({f"memory_{each.case}": partial(memory_timeline.case, each) for each in passed}, folder)
    return write_tables(found, folder, figure=True)


def write_tables(found: Mapping[str, Profile], folder: Path, *, figure: bool = False) -> Path:
    """`operators.csv` and `operators.md`: every operator of every profile."""
    put(folder / "operators.csv", operators(found).to_csv(index=False, lineterminator="\n"))
    parts = ["# Operators", CAUTION, *(_case(each, figure=figure) for each in found.values())]
    return put(folder / "operators.md", "\n\n".join(parts) + "\n")


def operators(found: Mapping[str, Profile]) -> pd.DataFrame:
    """A row per operator and case, the longest first within a case; see `COLUMNS`."""
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
    """One case: its operators as a table, and where its trace is."""
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
    """The table of one case: its header and its rows."""
    times = ["self CPU time", *(["self CUDA time"] if profile.on_cuda else []), "share"]
    rows = [
        [each.operator, f"{each.calls:g}", units.time(each.self_ns)]
        + ([units.time(each.self_cuda_ns or 0)] if profile.on_cuda else [])
        + [f"{share:.1%}", units.size(each.allocated_bytes) if each.allocated_bytes else ""]
        for each, share in shares(profile)
    ]
    return ["operator", "calls", *times, "allocated"], rows


def terminal(profile: Profile, most: int = 12) -> str:
    """The longest operators as text for the terminal."""
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
"""A share that is told."""

_WORDS = (
    f"{CAUTION} Every operator of every case stands in [operators.md](operators.md) and `operators.csv`; the files "
    "`traces/KEY.json.gz` open in <https://ui.perfetto.dev>."
)


def section(run: Run) -> str:
    """The section of the report."""
    tables = [_table(each) for each in run.profiled if each.compared]
    failed = [each for each in run.profiles.values() if each.status is not Status.PASSED]
    missing = [f"- {escape.text(each.title)}: {each.status}, {escape.text(each.reason)}" for each in failed]
    pictures = ["![profile](figures/profile.svg)", "![memory within one call](figures/profile_memory.svg)"]
    more = ["### What could not be profiled", "\n".join(missing)] if missing else []
    return "\n\n".join(["## Profiles", _WORDS, *pictures, *tables, *more])


def _table(found: Profiled) -> str:
    """The largest operators of each series of a setting at the length that series are compared at."""
    header = ["", "largest", "second", "third", "outside operators", "operators in a call"]
    rows = [[escape.text(name), *_row(profile)] for name, profile in found.compared]
    title = f"### {escape.text(found.setting.title)}: operators at N = {found.compared_at}"
    return f"{title}\n\n{escape.table(header, rows, 'llll')}"


def _row(profile: Profile) -> list[str]:
    """The largest operators with their shares, what no operator accounts for, and how many are called."""
    found = shares(profile)
    named = [each for each in found if each.operator.operator != OUTSIDE]
    outside = sum(each.share for each in found if each.operator.operator == OUTSIDE)
    told = [f"{escape.text(short(each.operator.operator))} {each.share:.0%}" for each in named if each.share >= _LEAST]
    told = [*told[:_TOLD], *[NONE] * (_TOLD - len(told))]
    return [*told, f"{outside:.0%}", f"{sum(each.operator.calls for each in named):,.0f}"]
