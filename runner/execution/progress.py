"""Progress of a run: a live line, plain lines, lines of JSON, or nothing."""

import json
import sys
from typing import Any, Protocol

from attnbench.reports.text.units import clock
from attnbench.suites import Case, Probe, Sample, Status
from attnbench.suites.profile import Profile


class Progress(Protocol):
    """Told by the engine what it does. `left_s` is an estimate of the seconds left, if there is one."""

    def resumed(self, probes: int, samples: int) -> None:
        """Say what a run that goes on holds already."""

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Say what is under way."""

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Say how a case ended."""

    def sampled(self, case: Case, sample: Sample) -> None:
        """Say that a case was timed in a replicate, or ended there."""

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Say that a replicate is over."""

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """Say that a case was profiled."""

    def close(self) -> None:
        """The run is over, or was interrupted."""


class Quiet:
    """Nothing."""

    def resumed(self, probes: int, samples: int) -> None:
        """Say nothing."""

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def sampled(self, case: Case, sample: Sample) -> None:
        """Say nothing."""

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class Plain(Quiet):
    """One line a case and one a replicate, for logs."""

    def resumed(self, probes: int, samples: int) -> None:
        """`goes on: 46 probes and 120 samples are there`."""
        _line(_there(probes, samples), None)

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

    def resumed(self, probes: int, samples: int) -> None:
        """Say what is there, above the bar."""
        self._bar.console.print(_there(probes, samples), highlight=False)

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


class Lines:
    """A line of JSON for each event, on the standard output: `docs/run.md` says what stands in it."""

    def resumed(self, probes: int, samples: int) -> None:
        """`resumed`."""
        event("resumed", probes=probes, samples=samples)

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """`progress`."""
        event("progress", phase=phase, doing=doing, done=done, total=total, left_s=_rounded(left_s))

    def probed(self, case: Case, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """`probe`, with the row as it stands in `samples.jsonl`."""
        event("probe", title=case.title, done=done, total=total, left_s=_rounded(left_s), row=probe.to_json())

    def sampled(self, case: Case, sample: Sample) -> None:
        """`sample`, with the row as it stands in `samples.jsonl`."""
        event("sample", title=case.title, row=sample.to_json())

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """`replicate`."""
        event("replicate", done=done, total=total, left_s=_rounded(left_s))

    def profiled(self, profile: Profile, done: int, total: int) -> None:
        """`profile`; what was found stands in `profile.jsonl`."""
        ended = {"case": profile.case, "status": profile.status, "reason": profile.reason}
        event("profile", title=profile.title, done=done, total=total, **ended)

    def close(self) -> None:
        """Nothing: what ended a run is told by who ran it."""


def event(name: str, **facts: Any) -> None:
    """Tell a program what happened, in one line, at once."""
    print(json.dumps({"event": name, **facts}), flush=True)


def _rounded(seconds: float | None) -> float | None:
    """An estimate without digits that it does not have."""
    return None if seconds is None else round(seconds, 1)


def choose(*, quiet: bool, as_json: bool = False) -> Progress:
    """Lines of JSON or nothing if asked for, a bar on a terminal, else plain lines."""
    if as_json:
        return Lines()
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Plain()


def told(case: Case, probe: Probe) -> str:
    """How a case ended, in one line."""
    return f"{probe.status} {case.title}" + (f": {probe.reason}" if probe.reason else "")


def _there(probes: int, samples: int) -> str:
    """What a run that goes on holds."""
    return f"goes on: {probes} probes and {samples} samples are there"


def _profiled(profile: Profile) -> str:
    """How a profile ended, in one line."""
    passed = profile.status is Status.PASSED
    return f"profiled {profile.title}" if passed else f"profile {profile.status} {profile.title}: {profile.reason}"


def _line(text: str, left_s: float | None) -> None:
    left = f" ({clock(left_s)} left)" if left_s else ""
    print(text + left, file=sys.stderr, flush=True)
