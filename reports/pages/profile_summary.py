"""The section on profiles in a run's report."""

from collections.abc import Mapping
from functools import partial

from attnbench.reports.data.frame import Run
from attnbench.reports.data.settings import Setting, settings
from attnbench.reports.figures import drawing, memory_timeline
from attnbench.reports.figures import operators as bars
from attnbench.reports.pages.profile import CAUTION, ordered, share
from attnbench.reports.summary.operators import compared, short
from attnbench.reports.text import cells, escape
from attnbench.suites import Status
from attnbench.suites.profile import OUTSIDE, Profile

_TOLD = 3
_LEAST = 0.01
"""A share that is told."""

_WORDS = (
    f"{CAUTION} Every operator of every case stands in [operators.md](operators.md) and `operators.csv`; the files "
    "`traces/KEY.json.gz` open in <https://ui.perfetto.dev>."
)


def draw(run: Run, profiles: Mapping[str, Profile]) -> None:
    """`figures/profile` and `figures/profile_memory`."""
    drawn = {
        "profile": partial(bars.bars, run, profiles),
        "profile_memory": partial(memory_timeline.run, run, profiles),
    }
    drawing.save(drawn, run.folder)


def section(run: Run, profiles: Mapping[str, Profile]) -> str:
    """The section of the report."""
    found = [(each, *compared(each, profiles)) for each in settings(run.frame)]
    tables = [_table(*each) for each in found if each[2]]
    failed = [each for each in profiles.values() if each.status is not Status.PASSED]
    missing = [f"- {escape.text(each.title)}: {each.status}, {escape.text(each.reason)}" for each in failed]
    pictures = ["![profile](figures/profile.svg)", "![memory within one call](figures/profile_memory.svg)"]
    more = ["### What could not be profiled", "\n".join(missing)] if missing else []
    return "\n\n".join(["## Profiles", _WORDS, *pictures, *tables, *more])


def _table(setting: Setting, n: int, found: list[tuple[str, Profile]]) -> str:
    """The largest operators of each series at one length."""
    header = ["", "largest", "second", "third", "outside operators", "operators in a call"]
    rows = [[escape.text(name), *_row(profile)] for name, profile in found]
    title = f"### {escape.text(setting.title)}: operators at N = {n}"
    return f"{title}\n\n{escape.table(header, rows, 'llll')}"


def _row(profile: Profile) -> list[str]:
    """The largest operators with their shares, what no operator accounts for, and how many are called."""
    named = [each for each in ordered(profile) if each.operator != OUTSIDE]
    outside = sum(share(profile, each) for each in profile.operators if each.operator == OUTSIDE)
    largest = [(short(each.operator), share(profile, each)) for each in named[:_TOLD]]
    told = [f"{escape.text(name)} {part:.0%}" for name, part in largest if part >= _LEAST]
    told += [cells.NONE] * (_TOLD - len(told))
    return [*told, f"{outside:.0%}", f"{sum(each.calls for each in named):,.0f}"]
