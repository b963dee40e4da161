"""Progress of a run: a live line, plain lines, lines of JSON, or nothing."""

import json
import sys
from typing import Any, Protocol

from attnbench.reports.text.units import clock
from attnbench.suites import Probe, Sample, Status
from attnbench.suites.profile import Profile
from attnbench.suites.result import Score

_BUILDING = "compiling native for this CPU, once, which takes about 10 seconds"


class Progress(Protocol):
    """Events of a run, which the engine reports as it works.

    `title` names a case with every axis in which cases differ. `left_s` estimates the seconds left, if known.
    """

    def resumed(self, probes: int, samples: int) -> None:
        """Report what a resumed run already holds."""

    def building(self) -> None:
        """Report that the C++ code of `native` is compiled now."""

    def refused(self, node: str, reason: str) -> None:
        """Report that a machine does not measure."""

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Report what begins now."""

    def probed(self, title: str, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Report the probe of a case."""

    def sampled(self, title: str, sample: Sample) -> None:
        """Report the sample of a case in a replicate."""

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Report that a replicate has finished."""

    def profiled(self, title: str, profile: Profile, done: int, total: int) -> None:
        """Report the profile of a case."""

    def close(self) -> None:
        """Clean up after a run that finished or was interrupted."""


class Quiet:
    """No output."""

    def resumed(self, probes: int, samples: int) -> None:
        """Say nothing."""

    def building(self) -> None:
        """Say nothing."""

    def refused(self, node: str, reason: str) -> None:
        """Say nothing."""

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def probed(self, title: str, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def sampled(self, title: str, sample: Sample) -> None:
        """Say nothing."""

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Say nothing."""

    def profiled(self, title: str, profile: Profile, done: int, total: int) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class Plain(Quiet):
    """One line for each case and each replicate, for logs."""

    def resumed(self, probes: int, samples: int) -> None:
        """Print `resumes: 46 probes and 120 samples exist`."""
        _line(_there(probes, samples), None)

    def building(self) -> None:
        """Print what is compiled."""
        _line(_BUILDING, None)

    def refused(self, node: str, reason: str) -> None:
        """Print `left out node-1: torch: expected 2.13.0, found 2.12.0`."""
        _line(_left_out(node, reason), None)

    def probed(self, title: str, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Print `[12/46] passed local_window(window=129)/blockwise N=512 ... (0:44 left)`."""
        _line(f"[{done}/{total}] {told(title, probe)}", left_s)

    def sampled(self, title: str, sample: Sample) -> None:
        """Print `trained full/sdpa N=64 ..., seed 2: score 0.841`; times are too many to print."""
        if isinstance(sample, Score):
            ended = sample.reason if sample.score is None else f"score {sample.score:.3f}"
            _line(f"trained {title}, seed {sample.replicate + 1}: {ended}", None)

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Print `timed in process 2 of 5 (0:21 left)`."""
        _line(f"timed in process {done} of {total}", left_s)

    def profiled(self, title: str, profile: Profile, done: int, total: int) -> None:
        """Print `[3/16] profiled local_window(window=129)/blockwise N=512 ...`."""
        _line(f"[{done}/{total}] {_profiled(title, profile)}", None)


class Live(Quiet):
    """A progress bar for terminals. Cases that did not pass stay on the screen."""

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
        """Print what exists, above the bar."""
        self._bar.console.print(_there(probes, samples), highlight=False)

    def building(self) -> None:
        """Print what is compiled, above the bar."""
        self._bar.console.print(_BUILDING, highlight=False)

    def refused(self, node: str, reason: str) -> None:
        """Print the machine above the bar."""
        from rich.markup import escape

        self._bar.console.print(escape(_left_out(node, reason)), style="yellow", highlight=False)

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Move the bar. It is drawn only on changes, so that it uses no CPU time during measurements."""
        from rich.markup import escape

        left = f"{clock(left_s)} left" if left_s is not None else ""
        self._bar.update(
            self._task, description=escape(doing), completed=done, total=total, phase=phase, left=left, refresh=True
        )

    def probed(self, title: str, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Print a case that did not pass above the bar."""
        del done, total, left_s
        from rich.markup import escape

        if probe.status is not Status.PASSED:
            self._bar.console.print(escape(told(title, probe)), style="yellow", highlight=False)

    def profiled(self, title: str, profile: Profile, done: int, total: int) -> None:
        """Print a case that could not be profiled above the bar."""
        del done, total
        from rich.markup import escape

        if profile.status is not Status.PASSED:
            self._bar.console.print(escape(_profiled(title, profile)), style="yellow", highlight=False)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


class Lines:
    """A JSON line on standard output for each event. `docs/run.md` lists the fields."""

    def resumed(self, probes: int, samples: int) -> None:
        """Print a `resumed` event."""
        event("resumed", probes=probes, samples=samples)

    def building(self) -> None:
        """Print a `building` event."""
        event("building")

    def refused(self, node: str, reason: str) -> None:
        """Print a `refused` event."""
        event("refused", node=node, reason=reason)

    def working(self, phase: str, doing: str, done: int, total: int, left_s: float | None) -> None:
        """Print a `progress` event."""
        event("progress", phase=phase, doing=doing, done=done, total=total, left_s=_rounded(left_s))

    def probed(self, title: str, probe: Probe, done: int, total: int, left_s: float | None) -> None:
        """Print a `probe` event with the row of `samples.jsonl`."""
        event("probe", title=title, done=done, total=total, left_s=_rounded(left_s), row=probe.to_json())

    def sampled(self, title: str, sample: Sample) -> None:
        """Print a `sample` event with the row of `samples.jsonl`."""
        event("sample", title=title, row=sample.to_json())

    def replicated(self, done: int, total: int, left_s: float | None) -> None:
        """Print a `replicate` event."""
        event("replicate", done=done, total=total, left_s=_rounded(left_s))

    def profiled(self, title: str, profile: Profile, done: int, total: int) -> None:
        """Print a `profile` event; the results are in `profile.jsonl`."""
        ended = {"case": profile.case, "status": profile.status, "reason": profile.reason}
        event("profile", title=title, done=done, total=total, **ended)

    def close(self) -> None:
        """Do nothing: the caller reports how the run ended."""


def event(name: str, **facts: Any) -> None:
    """Print an event as one JSON line, and flush it."""
    print(json.dumps({"event": name, **facts}), flush=True)


def _rounded(seconds: float | None) -> float | None:
    """Round an estimate to 0.1 s."""
    return None if seconds is None else round(seconds, 1)


def choose(*, quiet: bool, as_json: bool = False) -> Progress:
    """Return the display: JSON lines or nothing if requested, a bar on a terminal, otherwise plain lines."""
    if as_json:
        return Lines()
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Plain()


def told(title: str, probe: Probe) -> str:
    """Return status, title and reason of a case in one line."""
    return f"{probe.status} {title}" + (f": {probe.reason}" if probe.reason else "")


def _there(probes: int, samples: int) -> str:
    """Return what a resumed run already holds, in words."""
    return f"resumes: {probes} probes and {samples} samples exist"


def _left_out(node: str, reason: str) -> str:
    """Return which machine does not measure, and why, in words."""
    return f"left out {node}: {reason}"


def _profiled(title: str, profile: Profile) -> str:
    """Return status, title and reason of a profile in one line."""
    passed = profile.status is Status.PASSED
    return f"profiled {title}" if passed else f"profile {profile.status} {title}: {profile.reason}"


def _line(text: str, left_s: float | None) -> None:
    left = f" ({clock(left_s)} left)" if left_s else ""
    print(text + left, file=sys.stderr, flush=True)
