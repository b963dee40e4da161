"""The figures of a run, each as SVG and PNG."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from attnbench.reports.data.frame import Run
from attnbench.reports.figures import keys, lengths, patterns, ranking, speedup, threads
from attnbench.reports.figures.style import STYLE
from attnbench.reports.summary.threads import groups

LENGTHS: dict[str, Callable[[Run], Figure]] = {
    "time": lengths.time,
    "memory": lengths.memory,
    "speedup": speedup.speedup,
}
ONE_LENGTH: dict[str, Callable[[Run], Figure]] = {"ranking": ranking.ranking}
KEYS: dict[str, Callable[[Run], Figure]] = {"time_by_keys": keys.time, "speedup_by_keys": keys.speedup}
THREADS: dict[str, Callable[[Run], Figure]] = {"time_by_threads": threads.time}
FIGURES = {**LENGTHS, **ONE_LENGTH, **KEYS, **THREADS, "patterns": patterns.patterns}
"""Every figure by the name of its files."""

_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Nothing that changes from one writing to the next."""


def of(run: Run) -> list[str]:
    """The figures of a run: against lengths, against what else it varies; where that is nothing, at the one length."""
    by_keys = bool(keys.swept(run))
    several = run.frame["seq_len"].nunique() > 1
    plain = LENGTHS if several else () if by_keys else ONE_LENGTH
    told = [*plain, *(KEYS if by_keys else ()), *(THREADS if groups(run) else ())]
    return [*told, "patterns"]


def write(run: Run, folder: Path) -> list[Path]:
    """`folder/figures/NAME.{svg,png}` of each figure of the run: the same run gives the same bytes of SVG."""
    return save({name: partial(FIGURES[name], run) for name in of(run)}, folder)


def save(figures: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """`folder/figures/NAME.{svg,png}` of each figure, drawn in the house's style.

    Raises:
        OSError: a file cannot be written, or a font cannot be read.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(cast(Any, STYLE)), _fonts_read():
        for name, draw in figures.items():
            figure = draw()
            for kind, metadata in _METADATA.items():
                path = folder / "figures" / f"{name}.{kind}"
                part = path.with_suffix(f".{kind}.part")
                figure.savefig(part, format=kind, metadata=metadata, dpi=200, bbox_inches="tight", pad_inches=0.1)
                os.replace(part, path)
                written.append(path)
    return written


@contextmanager
def _fonts_read() -> Iterator[None]:
    """Raise the error of a font that cannot be read: matplotlib ignores it, and draws no letters or fails later."""
    unread: list[OSError] = []
    usual = sys.unraisablehook

    def hear(ignored: "sys.UnraisableHookArgs") -> None:
        if isinstance(ignored.exc_value, OSError):
            unread.append(ignored.exc_value)
        else:
            usual(ignored)

    sys.unraisablehook = hear
    try:
        yield
    except Exception:
        if unread:
            raise unread[0] from None
        raise
    finally:
        sys.unraisablehook = usual
    if unread:
        raise unread[0]
