"""Profile of a case in a worker: time and memory by operator. Recording slows calls, so these times are no results."""

import bisect
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as recording

from attnbench.runner.worker.call import calls, clocks, programs, sampling
from attnbench.runner.worker.call.clocks import Clock
from attnbench.runner.worker.call.inputs import inputs_of
from attnbench.runner.worker.process import failure
from attnbench.runner.worker.process.failure import Stage
from attnbench.suites import Case, Status
from attnbench.suites.profile import OUTSIDE, Held, Operator, Profile, Step
from attnbench.variants.kernels._peak import allocations

MOST_CALLS = 5
MOST_POINTS = 2000
"""Maximum number of points of the memory held over time."""
MOST_STEPS = 8
_RECORDED_NS = 1e9
_WARM_UP_NS = 1e7
_CALL = "attnbench call"
_ALLOCATORS = ("aten::empty", "aten::new_empty", "aten::resize_")
"""Operators that allocate on behalf of their caller."""
_MADE = re.compile("CompiledFxGraph|Torch-Compiled Region")


def profile(case: Case, trace: Path, stage: Stage, content: int = 0) -> Profile:
    """Record a few calls of a case and write their Chrome trace to `trace`, a `.json.gz`."""
    try:
        return _profile(case, trace, stage, content)
    except BaseException as error:  # a kernel may raise anything; only its own case ends
        status, reason = failure.of_exception(error)
        return Profile(case.key, status, reason, case.title)


def _profile(case: Case, trace: Path, stage: Stage, content: int) -> Profile:
    stage("building layouts and masks")
    program = programs.build(case, content)
    if programs.compiles(program):
        stage("compiling it", anew=True)
    given = inputs_of(case.setting, content)
    call = calls.ready(program, given, case.setting.direction).run
    stage("warming up")
    clock = clocks.for_warm_up(case.setting.device)
    if case.setting.device == "cuda":
        clock(call, 1)  # CUDA libraries choose their algorithms in the first call
    many = warmed_up(call, clock, case.setting.device)
    stage("recording calls")
    profiler = _record(call, many, case.setting.device)
    stage("writing the trace")
    trace.parent.mkdir(exist_ok=True)
    part = trace.with_name(f"part-{trace.name}")
    profiler.export_chrome_trace(str(part))
    os.replace(part, trace)
    return _read(case, profiler)


def warmed_up(call: Callable[[], object], clock: Clock, device: str) -> int:
    """Warm up a case and return how many calls to record: one if a call takes more than a second."""
    if clock(call, 1) > sampling.LONG_CALL_NS:
        return 1
    sampling.warm_up(call, clock, device, _WARM_UP_NS)
    _record(call, 1, device)  # the first recording in a process takes longer
    return max(1, min(MOST_CALLS, int(_RECORDED_NS / clock(call, 1))))


def _record(call: Callable[[], object], many: int, device: str) -> Any:
    """Record `many` calls, each in its own region, and return torch's profiler."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with recording(activities=activities, profile_memory=True) as profiler:
        for _ in range(many):
            with record_function(_CALL):
                call()
            if device == "cuda":
                torch.cuda.synchronize()
    return profiler


def _read(case: Case, profiler: Any) -> Profile:
    """Return the profile of a recording."""
    # Times are means over all calls. The memory over time is that of the last call.
    every = list(profiler.events())
    regions = [event for event in every if event.name == _CALL and _on_cpu(event)]
    windows = [(event.time_range.start, event.time_range.end) for event in regions]
    inside = [event for event in every if _on_cpu(event) and _within(event.time_range.start, windows)]
    changes = [change for change in _changes(profiler, case.setting.device, inside) if _within(change[0], windows)]
    begin_us, end_us = windows[-1]
    last = [((us - begin_us) * 1e3, count, name) for us, count, name in changes if begin_us <= us <= end_us]
    cuda_us = sum(_us(event) for event in every if not _on_cpu(event) and not event.is_user_annotation)
    largest = sorted((each for each in last if each[1] > 0), key=lambda each: -each[1])[:MOST_STEPS]
    return Profile(
        case.key,
        Status.PASSED,
        "",
        case.title,
        calls=len(regions),
        call_ns=round(sum(map(_us, regions)) / len(regions) * 1e3, 1),
        operators=_operators(inside, changes, len(regions), cuda_us if case.setting.device == "cuda" else None),
        held=_held([(ns, count) for ns, count, _ in last], (end_us - begin_us) * 1e3),
        steps=tuple(Step(round(ns, 1), count, name) for ns, count, name in sorted(largest)),
    )


def _operators(
    inside: list[Any], changes: list[tuple[float, int, str]], many: int, cuda_us: float | None
) -> tuple[Operator, ...]:
    """Return one row for each operator, sorted by time. Kernels without an operator count as outside operators."""
    called: Counter[str] = Counter()
    self_us: defaultdict[str, float] = defaultdict(float)
    kernel_us: defaultdict[str, float] = defaultdict(float)
    allocated: Counter[str] = Counter()
    for event in inside:
        name = _name(event)
        called[name] += 1
        self_us[name] += event.self_cpu_time_total
        if name != OUTSIDE:
            kernel_us[name] += sum(kernel.duration for kernel in event.kernels)
    for _, count, name in changes:
        allocated[name] += max(count, 0)
    if cuda_us is not None:
        kernel_us[OUTSIDE] = max(cuda_us - sum(kernel_us.values()), 0)
    rows = [
        Operator(
            name,
            called[name] / many,
            round(self_us[name] / many * 1e3, 1),
            None if cuda_us is None else round(kernel_us[name] / many * 1e3, 1),
            allocated[name] / many,
        )
        for name in called
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.self_cuda_ns or 0), -row.self_ns, row.operator)))


def _changes(profiler: Any, device: str, inside: list[Any]) -> Iterator[tuple[float, int, str]]:
    """Yield every change of the allocated memory: its time in microseconds, its bytes and its operator."""
    threads: dict[int, list[Any]] = {}
    for event in inside:
        threads.setdefault(event.thread, []).append(event)
    starts = {thread: [event.time_range.start for event in events] for thread, events in threads.items()}
    begun_ns = profiler.profiler.kineto_results.trace_start_ns()
    for change in allocations(profiler, device):
        us = (change.start_ns() - begun_ns) / 1e3
        thread = change.start_thread_id()
        place = bisect.bisect_right(starts.get(thread, []), us) - 1
        event = threads[thread][place] if place >= 0 else None
        # Events nest. Find the innermost operator that is still running and is not an allocator itself.
        while event is not None and (event.time_range.end < us or event.name.startswith(_ALLOCATORS)):
            event = event.cpu_parent
        yield us, change.nbytes(), OUTSIDE if event is None else _name(event)


def _held(changes: Sequence[tuple[float, int]], end_ns: float) -> Held:
    """Return the memory held over one call from its changes."""
    points, held = [(0.0, 0)], 0
    for ns, count in changes:
        held += count
        points.append((round(ns, 1), held))
    points = decimated([*points, (round(end_ns, 1), held)], MOST_POINTS)
    return Held(tuple(ns for ns, _ in points), tuple(count for _, count in points))


def decimated(points: list[tuple[float, int]], most: int) -> list[tuple[float, int]]:
    """Return at most `most` of the points: the first, the last, and the lowest and highest of equal parts between."""
    if len(points) <= most:
        return points
    inner = range(1, len(points) - 1)
    stretches = (most - 2) // 2
    kept = {0, len(points) - 1}
    for stretch in range(stretches):
        part = inner[stretch * len(inner) // stretches : (stretch + 1) * len(inner) // stretches]
        kept |= {min(part, key=lambda i: points[i][1]), max(part, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]


def _name(event: Any) -> str:
    """Return the operator's name. A compiled region gets a general name, because its own differs in each process."""
    named = _MADE.search(event.name)
    return named[0] if named else OUTSIDE if event.name == _CALL else str(event.name)


def _on_cpu(event: Any) -> bool:
    return bool(event.device_type.name == "CPU" and not event.is_async)


def _us(event: Any) -> float:
    return float(event.time_range.end - event.time_range.start)


def _within(us: float, windows: list[tuple[float, float]]) -> bool:
    """Check whether a time lies in one of the windows, which are sorted."""
    place = bisect.bisect_right(windows, (us, float("inf"))) - 1
    return place >= 0 and us <= windows[place][1]
