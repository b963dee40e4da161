"""The page of a run's profiles, from `profile.jsonl` only."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from attnbench.reports.data.files import put
from attnbench.reports.data.reading import PROFILE, RUN, profiles
from attnbench.reports.figures import drawing, memory_timeline
from attnbench.reports.text import escape, units
from attnbench.suites import Status
from attnbench.suites.profile import Operator, Profile

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
    drawing.save({f"memory_{each.case}": partial(memory_timeline.case, each) for each in passed}, folder)
    return write_tables(found, folder, figure=True)


def write_tables(found: Mapping[str, Profile], folder: Path, *, figure: bool = False) -> Path:
    """`operators.csv` and `operators.md`: every operator of every profile."""
    put(folder / "operators.csv", operators(found).to_csv(index=False, lineterminator="\n"))
    parts = ["# Operators", CAUTION, *(section(each, figure=figure) for each in found.values())]
    return put(folder / "operators.md", "\n\n".join(parts) + "\n")


def operators(found: Mapping[str, Profile]) -> pd.DataFrame:
    """A row per operator and case, the longest first within a case; see `COLUMNS`."""
    rows = [
        (
            *(profile.case, profile.title, each.operator, each.calls, each.self_ns, each.self_cuda_ns),
            *(share(profile, each), each.allocated_bytes),
        )
        for profile in found.values()
        for each in ordered(profile)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ordered(profile: Profile) -> list[Operator]:
    """The operators by the time that counts."""
    return sorted(profile.operators, key=lambda each: (-profile.spent_ns(each), -each.self_ns, each.operator))


def share(profile: Profile, operator: Operator) -> float:
    """An operator's share of the time that counts."""
    return profile.spent_ns(operator) / profile.total_ns if profile.total_ns else 0.0


def section(profile: Profile, *, figure: bool) -> str:
    """One case: its operators as a table, and where its trace is."""
    title = f"## {escape.text(profile.title)}"
    if profile.status is not Status.PASSED:
        return f"{title}\n\n{profile.status}: {escape.text(profile.reason)}"
    calls = "1 call" if profile.calls == 1 else f"{profile.calls} calls"
    words = f"Means over {calls}, each {units.time(profile.call_ns or 0)} while recorded. "
    words += f"Trace: [traces/{profile.case}.json.gz](traces/{profile.case}.json.gz), for <https://ui.perfetto.dev>."
    header, rows = cells(profile)
    table = escape.table(header, [[escape.text(each) for each in row] for row in rows])
    picture = [f"![memory over time](figures/memory_{profile.case}.svg)"] if figure else []
    return "\n\n".join([title, words, table, *picture])


def cells(profile: Profile) -> tuple[list[str], list[list[str]]]:
    """The table of one case: its header and its rows."""
    times = ["self CPU time", *(["self CUDA time"] if profile.on_cuda else []), "share"]
    rows = [
        [each.operator, f"{each.calls:g}", units.time(each.self_ns)]
        + ([units.time(each.self_cuda_ns or 0)] if profile.on_cuda else [])
        + [f"{share(profile, each):.1%}", units.size(each.allocated_bytes) if each.allocated_bytes else ""]
        for each in ordered(profile)
    ]
    return ["operator", "calls", *times, "allocated"], rows


def terminal(profile: Profile, most: int = 12) -> str:
    """The longest operators as text for the terminal."""
    header, rows = cells(profile)
    told = [header, *rows[:most]]
    widths = [max(len(row[i]) for row in told) for i in range(len(header))]
    lines = []
    for name, *numbers in told:
        aligned = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *aligned]))
    more = len(rows) - most
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])
