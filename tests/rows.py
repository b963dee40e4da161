"""Synthetic runs with a known truth: t = a N^k / threads^p, log-normal noise between processes and between values."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from settings import case_of

from attnbench import variants
from attnbench.suites import Case, Probe, Sample, Status
from attnbench.variants import FLOPS_PER_PAIR, Direction, Pattern, Shape

OOM = (Status.OUT_OF_MEMORY, "needs 16.0 GiB, the budget is 12.0 GiB")
TIMED_OUT = (Status.TIMED_OUT, "no answer within 60 s")
SKIPPED = (Status.SKIPPED, "a shorter one ran out of memory or time")

Ending = tuple[Status, str]
Threads = int | Literal["auto"]


@dataclass(frozen=True)
class Series:
    """One variant and implementation whose time is `at_1024_ns (N / 1024)^exponent`."""

    variant: str
    implementation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    at_1024_ns: float = 1e6
    exponent: float = 1.0
    memory_exponent: float = 1.0
    bytes_at_1024: float = 2**22
    waste: float | None = 1.2
    predicted: float = 1.0
    """The predicted peak as a multiple of the peak."""
    parallel: float = 0.0
    """The exponent p of threads, which `auto` takes to be 2."""
    gradients: Mapping[str, float] = field(
        default_factory=lambda: {"forward": 1, "backward": 2, "training": 3, "decode": 0.01}
    )
    """The time of each direction as a multiple."""
    endings: Mapping[int, Ending] = field(default_factory=dict)
    """How it ends at some lengths, where it does not pass."""
    compile_ns: int | None = None
    """What compiling takes, torch having it on disk; None: nothing is compiled."""
    error_vs_full: float | None = None
    watts: float | None = None
    """What a call takes beyond the idle machine; None: no counter of energy."""


@dataclass(frozen=True)
class Plan:
    """What a run measures, and how noisy its machine is."""

    series: tuple[Series, ...]
    lengths: tuple[int, ...]
    directions: tuple[Direction, ...] = ("forward",)
    devices: tuple[str, ...] = ("cpu",)
    dtype: str = "float32"
    threads: tuple[Threads, ...] = ("auto",)
    level: str = "attention"
    processes: int = 5
    values: int = 5
    process_sd: float = 0.02
    """Between processes, on the log scale."""
    value_sd: float = 0.01
    drift: float = 0.0
    """Log change from the first to the last process."""
    unsteady: tuple[int, ...] = ()
    """Replicates whose warm-up ended before times were steady."""
    roof_flops_per_s: float | None = None
    """The fastest matrix product, seen beside every case."""
    proved: float | None = None
    """The share of elements that proofs looked at; None: an old run, which does not tell."""
    baseline: str | list[str] | None = "full/sdpa"
    name: str = "synthetic"
    seed: int = 0


FULL = Series("full", "sdpa", at_1024_ns=2e6, exponent=2.0)
LOCAL = Series("local_window", "blockwise", {"window": 129}, at_1024_ns=1e6, bytes_at_1024=2**23)

QUICK = Plan(
    (
        Series("full", "eager", at_1024_ns=5e6, exponent=2.1, memory_exponent=2.0, bytes_at_1024=2**25, waste=1.0),
        FULL,
        Series("truncated", "blockwise", {"left": 64, "right": 64}, at_1024_ns=0.9e6),
        LOCAL,
        Series("longformer", "blockwise", {"window": 129}, at_1024_ns=1.8e6, exponent=1.1, waste=1.6),
        Series("bigbird", "blockwise", {"block": 32}, at_1024_ns=3.1e6, exponent=1.15, waste=1.1),
    ),
    (256, 512, 1024, 2048),
    ("forward", "training"),
    name="quick",
)


QUIET = Plan((FULL, LOCAL), (512, 1024), processes=10, process_sd=0.004, value_sd=0.002)
"""Two runs of it can be compared."""


def cases(plan: Plan) -> list[tuple[Series, Case]]:
    """All cases of a run, in order."""
    points = product(plan.devices, plan.threads, plan.directions, plan.lengths, plan.series)
    return [
        (series, case(series, n, plan.dtype, device, threads, direction).changed(level=plan.level))
        for device, threads, direction, n, series in points
    ]


def case(series: Series, n: int, dtype: str, device: str, threads: Threads, direction: Direction) -> Case:
    pattern = variants.load(series.variant).parameters(**series.parameters)
    shape = Shape(1, 8, 8, n, 64)
    return case_of(series.variant, vars(pattern), series.implementation, shape, dtype, device, direction, threads)


def ending(series: Series, n: int) -> Ending:
    return series.endings.get(n, (Status.PASSED, ""))


def rows(plan: Plan) -> Iterable[Probe | Sample]:
    """All rows of a run: probes first, then replicate by replicate."""
    rng = np.random.default_rng(plan.seed)
    points = cases(plan)
    for series, each in points:
        found = probe(each, series, *ending(series, each.setting.shape.seq_len))
        if found.status is Status.PASSED and plan.proved is not None:
            found = replace(found, proved=plan.proved, repeats_exactly=True, proof_s=0.25)
        yield found
    for replicate in range(plan.processes):
        drift = plan.drift * replicate / max(plan.processes - 1, 1)
        for order, (series, each) in enumerate(points):
            n = each.setting.shape.seq_len
            if ending(series, n)[0] is Status.PASSED:
                truth = series.at_1024_ns * (n / 1024) ** series.exponent * series.gradients[each.setting.direction]
                truth /= (2 if each.setting.threads == "auto" else each.setting.threads) ** series.parallel
                noise = rng.normal(0, plan.process_sd) + rng.normal(0, plan.value_sd, plan.values) + drift
                values = tuple((truth * np.exp(noise)).tolist())
                steady = replicate not in plan.unsteady
                sample = Sample(each.key, Status.PASSED, "", replicate, 1, values, steady=steady, order=order)
                proof_s = None if plan.proved is None else 0.05
                energy_j = None if series.watts is None else series.watts * float(np.median(values)) / 1e9
                roof = plan.roof_flops_per_s
                yield replace(sample, roof_flops_per_s=roof, proof_s=proof_s, energy_j=energy_j)


def probe(each: Case, series: Series, status: Status, reason: str) -> Probe:
    """What a probe would find; the pairs are those of the pattern, the FLOPs without a pattern those of its `work`."""
    if status is not Status.PASSED:
        return Probe(each.key, status, reason)
    n = each.setting.shape.seq_len
    if isinstance(each.parameters, Pattern):
        pairs = each.pattern.spans(n).pairs() * each.setting.shape.heads
        flops = FLOPS_PER_PAIR[each.setting.direction] * pairs * each.setting.shape.head_dim
    else:
        pairs, flops = None, variants.load(series.variant).flops(each.parameters, each.setting)
    peak = int(series.bytes_at_1024 * (n / 1024) ** series.memory_exponent)
    return Probe(
        each.key,
        status,
        "",
        first_call_ns=10_000_000,
        compile_ns=series.compile_ns,
        compile_cached=None if series.compile_ns is None else True,
        prepare_ns=123_456,
        prepared_bytes=4096,
        peak_bytes=peak,
        resident_bytes=peak + 4096,
        predicted_bytes=int(peak * series.predicted),
        allowed_pairs=pairs,
        computed_pairs=None if series.waste is None or pairs is None else int(pairs * series.waste),
        flops=flops,
        max_abs_error=2.5e-7,
        error_vs_full=series.error_vs_full,
        error_of_mean=None if series.error_vs_full is None else 0.9,
    )


def meta(plan: Plan) -> dict[str, Any]:
    """The contents of `run.json`."""
    every = [each for _, each in cases(plan)]
    named = [(f"{each.mechanism.name}/{each.implementation}", each) for each in every]
    names = plan.baseline if isinstance(plan.baseline, list) else [plan.baseline]
    baselines = {
        setting: [each.key for wanted in names for name, each in named if name == wanted and each.setting == setting]
        for setting in {each.setting for each in every}
    }

    def against(case: Case) -> dict[str, Any]:
        keys = baselines[case.setting]
        return {"baseline": next(iter(keys), None), **({"baselines": keys} if len(keys) > 1 else {})}

    return {
        "format": 1,
        "name": plan.name,
        "question": "From which length on does each pattern beat full attention?",
        "command": f"bench run {plan.name}.yaml",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:14:05+00:00",
        "suite": {"name": plan.name, "baseline": plan.baseline, "measure": {"processes": plan.processes}},
        "source": f"name: {plan.name}\nlevel: attention\n",
        "environment": {
            "attnbench": "0.1.0",
            "python": "3.12.1",
            "torch": "2.13.0",
            "platform": "Linux",
            "cpu": "Example CPU @ 2.10GHz",
            "cores": 2,
            "memory_bytes": 16 * 2**30,
            "gpu": "Example GPU 80GB" if "cuda" in plan.devices else None,
            "threads": 2,
            "wait_policy": "PASSIVE",
            "commit": None,
        },
        "cases": [{"key": each.key, **against(each), **each.flat()} for each in every],
        "patterns": patterns(every),
    }


def patterns(every: list[Case], n: int = 256) -> list[dict[str, Any]]:
    """A thumbnail of each label's pattern."""
    drawn = [each for each in every if isinstance(each.parameters, Pattern)]
    by_label = {each.label: each for each in drawn if each.pattern.unsupported(n) is None}
    return [
        {
            "label": label,
            "variant": each.mechanism.name,
            "n": n,
            "seq_len": n,
            "rows": [np.packbits(row).tobytes().hex() for row in each.pattern.spans(n).mask()],
        }
        for label, each in by_label.items()
    ]


def write(folder: Path, plan: Plan, *extra: Probe | Sample, drop: int = 0) -> Path:
    """A run's folder; `extra` rows follow the others, the last `drop` of which are missing."""
    told = [*rows(plan)]
    return write_rows(folder, meta(plan), [*told[: len(told) - drop], *extra])


def write_on(folder: Path, plan: Plan, policy: Mapping[str, Any] | None = None, **environment: Any) -> Path:
    """A run's folder, from a machine that has `environment` otherwise; `policy` is its suite's."""
    run = meta(plan)
    run["environment"] |= environment
    run["suite"] |= {"check": policy} if policy else {}
    return write_rows(folder, run, rows(plan))


def write_rows(folder: Path, run: Mapping[str, Any], told: Iterable[Probe | Sample]) -> Path:
    """A run's folder with these contents. It was resumed as often as its rows say."""
    told = list(told)
    later = max((row.part for row in told), default=0)
    resumed = [{"started": "later", "processes": 1, "environment": run["environment"], "changed": {}}] * later
    run = {**run, "resumed": resumed} if later and "resumed" not in run else run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    text = "".join(json.dumps(row.to_json()) + "\n" for row in told)
    (folder / "samples.jsonl").write_text(text, encoding="utf-8")
    return folder
