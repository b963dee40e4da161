"""What a person sees while a run goes on: a live line, plain lines, or nothing."""

import sys
from typing import Protocol

from attnbench.suites import Case, Probe, Status
from attnbench.suites.profile import Profile


class Progress(Protocol):
    """Told by the engine what it does. `left_s` is the forecast of the seconds left, if there is one."""

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Say what is under way."""

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Say how a case ended."""

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Say that a replicate is over."""

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """Say that a case was profiled."""

    def close(self) -> None:
        """The run is over, or was interrupted."""


class Quiet:
    """Nothing."""

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class Plain(Quiet):
    """One line a case and one a replicate, for logs."""

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """`[12/46] passed local_window(window=129)/blockwise N=512 ... (0:44 left)`."""
        _line(f"[{done}/{total}] {told(case, probe)}", left_s)

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """`timed in process 2 of 5 (0:21 left)`."""
        _line(f"timed in process {done} of {total}", left_s)

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """`[3/16] profiled local_window(window=129)/blockwise N=512 ...`."""
        _line(f"[{done}/{total}] {_profiled(profile)}", None)


class Live(Quiet):
    """A bar that moves with finished work, for terminals; cases that did not pass stay on the screen."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.fields[phase]:>5}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]:>12}", style="cyan"),
            TextColumn("{task.description}", style="dim"),
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", phase="", left="", total=None)
        self._bar.start()

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Move the bar. It is drawn only when something changes, so that it takes no time from what is measured."""
        from rich.markup import escape

        left = f"{clock(left_s)} left" if left_s is not None else ""
        self._bar.update(
            self._task, description=escape(doing), completed=done, total=total, phase=phase, left=left, refresh=True
        )

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Keep what did not pass on the screen."""
        del done, total, left_s
        from rich.markup import escape

        if probe.status is not Status.PASSED:
            self._bar.console.print(escape(told(case, probe)), style="yellow", highlight=False)

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """Keep what could not be profiled on the screen."""
        del done, total
        from rich.markup import escape

        if profile.status is not Status.PASSED:
            self._bar.console.print(escape(_profiled(profile)), style="yellow", highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def choose(*, quiet: bool) -> Progress:
    """Nothing if asked for, a bar on a terminal, else plain lines."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Plain()


def told(case: Case, probe: Probe) -> str:
    """How a case ended, in one line."""
    return f"{probe.status} {case.title}" + (f": {probe.reason}" if probe.reason else "")


def _profiled(profile: Profile) -> str:
    """How a profile ended, in one line."""
    passed = profile.status is Status.PASSED
    return f"profiled {profile.title}" if passed else f"profile {profile.status} {profile.title}: {profile.reason}"


def _line(text: str, left_s: float | None) -> None:
    left = f" ({clock(left_s)} left)" if left_s else ""
    print(text + left, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """`1:05`, `2:03:04`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
