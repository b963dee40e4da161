"""Columns that follow from samples and shapes: memory, share of the roof, spread, flags, clocks and proofs."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from statistics import median

import numpy as np
import pandas as pd

from attnbench.reports.data import flags
from attnbench.reports.data.settings import call_tokens
from attnbench.reports.data.values import FloatArray, floats, positive
from attnbench.reports.stats import spread
from attnbench.reports.stats.statistics import interval, log_quantiles
from attnbench.suites import Sample
from attnbench.variants import Shape, levels

MEMORY = ("gross_bytes", "net_bytes")
"""Gross is the peak plus the memory held outside it: inputs, what was prepared, a cache or state and, with gradients,
dout. Net is the peak without what the call returns: the output, or the gradients of inputs and learned weights."""
ROOF = ("roof_flops_per_s", "copy_bytes_per_s", "roof_share", "roof_share_low", "roof_share_high")
"""Rates of the fastest matrix product (at the case's dtype and threads) and of the fastest copy: geometric means over
processes. The first counts for each of the processes that share a sequence. `roof_share` is the case's FLOP/s over
those of the product, paired by process, with its interval."""
QUALITY = ("within_sd", "between_sd", "drift", "drift_p", "processes_for_1_percent", "flags")
"""Components of the spread on the log scale, and flags of doubtful numbers."""
CONDITIONS = ("hot_time_ns", "host_ns", "launch_bound", "throttled")
"""Known on CUDA only. `time_ns` is measured with a cold L2 cache, `hot_time_ns` with a hot one. `host_ns` is the time
that the host takes to queue a call. `launch_bound`: in some process, queueing took longer than the call itself.
`throttled`: in some process, the device lowered its clocks."""
PROOF = ("proved", "repeats_exactly", "proof_s")
"""`proved` is the share of the elements of output and gradients that the proof checked. `repeats_exactly` is true if
calls on the same inputs gave the same bits. `proof_s` is the time of the proof in the probe and all processes."""
ABOVE_ROOF = 1.05
"""Nothing runs faster than the roof. A share whose interval lies above this is a measurement error."""
_ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

Timed = Sequence[tuple[int, Sample]]
"""The samples that passed, each with the row of its case."""


def add(frame: pd.DataFrame, log_ns: FloatArray, timed: Timed, cores: Mapping[int, int]) -> None:
    """Fill in the columns above; `log_ns [cases, P]` holds each process's log time.

    `cores` has the number of cores of each part of the run, where known.
    """
    _add_memory(frame)
    _add_roof(frame, log_ns, timed)
    _add_quality(frame, log_ns, timed, cores)
    _add_conditions(frame, timed)
    # The column holds the probe's seconds so far. Each process repeats a part of the proof.
    seconds = floats(frame["proof_s"]).copy()
    for row, sample in timed:
        if sample.proof_s is not None:
            seconds[row] = np.nansum([seconds[row], sample.proof_s])
    frame["proof_s"] = seconds


def _add_memory(frame: pd.DataFrame) -> None:
    backward = frame["direction"].isin(["backward", "training"]).to_numpy()
    size = frame["dtype"].map(_ITEM_BYTES).to_numpy(np.int64)
    names = ("level", "batch", "heads", "kv_heads", "head_dim")
    sizes = zip(*(frame[name] for name in names), call_tokens(frame), strict=True)
    numbers = np.array([_numbers(*each) for each in sizes], np.int64).reshape(-1, 3)
    differentiable, integers, output = numbers[:, 0] * size, numbers[:, 1] * 8, numbers[:, 2] * size
    learned = frame["parameter_count"].fillna(0).to_numpy(np.int64) * size
    held = frame["prepared_bytes"] + frame["state_bytes"].fillna(0)
    frame["gross_bytes"] = frame["peak_bytes"] + held + differentiable + integers + np.where(backward, output, 0)
    frame["net_bytes"] = frame["peak_bytes"] - np.where(backward, differentiable + learned, output)


@lru_cache
def _numbers(level: str, batch: int, heads: int, kv_heads: int, head_dim: int, tokens: int) -> tuple[int, int, int]:
    """Return how many numbers a call has in inputs with a gradient, in inputs that are integers, and in its output."""
    found = levels.read(level)
    if found is None:
        width = batch * tokens * head_dim
        return width * (heads + 2 * kv_heads), 0, width * heads
    *inputs, output = map(prod, found.sizes(Shape(batch, heads, kv_heads, tokens, head_dim)))
    return (0, sum(inputs), output) if found.integers else (sum(inputs), 0, output)


def _add_roof(frame: pd.DataFrame, log_ns: FloatArray, timed: Timed) -> None:
    roof, copy = (_by_process(timed, name, log_ns.shape) for name in ROOF[:2])
    # It is that of one of the processes that share a sequence.
    roof += np.log(floats(frame["world"].astype(float)))[:, None]
    frame["roof_flops_per_s"], frame["copy_bytes_per_s"] = (np.exp(interval(each).mean) for each in (roof, copy))
    flops = positive(floats(frame["flops"]))
    # The roof of the same process cancels what slows a whole process, such as its clock.
    share = interval(np.log(flops * 1e9)[:, None] - log_ns - roof)
    for name, value in zip(ROOF[2:], share[:3], strict=True):
        frame[name] = np.exp(value)


def _by_process(timed: Timed, name: str, shape: tuple[int, ...]) -> FloatArray:
    """Return the log of a rate for each case and process `[cases, P]`; NaN if it was not measured."""
    found = np.full(shape, np.nan)
    columns = {process: p for p, process in enumerate(sorted({sample.process for _, sample in timed}))}
    for row, sample in timed:
        value = getattr(sample, name)
        if value is not None:
            found[row, columns[sample.process]] = value
    return np.asarray(np.log(found))


def _add_quality(frame: pd.DataFrame, log_ns: FloatArray, timed: Timed, cores: Mapping[int, int]) -> None:
    threads = [int(each) if each != "auto" else 0 for each in frame["threads"].where(frame["device"] == "cpu", "auto")]
    rows = np.array([row for row, _ in timed], np.int64)
    samples = [sample for _, sample in timed]
    drift = spread.drift(log_ns)
    found = spread.components([each.values_ns for each in samples], rows, len(frame))
    frame["within_sd"], frame["between_sd"] = found
    frame["drift"], frame["drift_p"] = drift
    frame["processes_for_1_percent"] = pd.array(spread.needed_processes(log_ns)).astype("Int64")

    def some(told: Sequence[bool]) -> flags.BoolArray:
        return np.bincount(rows, np.array(told, np.float64), len(frame)) > 0

    raised = {
        "noisy": flags.noisy(interval(log_ns)),
        "drifting": flags.drifting(drift),
        "not_steady": some([not each.steady for each in samples]),
        "throttled": some([bool(each.throttled) for each in samples]),
        "bimodal": flags.bimodal(log_ns),
        # The low end, so that noise alone does not raise the flag. Too few processes have no interval.
        "above_roof": (frame["roof_share_low"].fillna(frame["roof_share"]) > ABOVE_ROOF).to_numpy(),
        "memory_off": flags.memory_off(*(floats(frame[name]) for name in ("peak_bytes", "predicted_bytes"))),
        "oversubscribed": some([threads[row] > cores.get(each.part, np.inf) for row, each in timed]),
    }
    frame["flags"] = pd.Series(flags.words(raised, len(frame)), frame.index, "str")


def _add_conditions(frame: pd.DataFrame, timed: Timed) -> None:
    seen: dict[int, list[Sample]] = {}
    for row, sample in timed:
        if sample.hot_values_ns:
            seen.setdefault(row, []).append(sample)
    found: dict[str, list[float | bool | None]] = {name: [None] * len(frame) for name in CONDITIONS}
    for row, samples in seen.items():
        # The median of each process, then the geometric mean over processes.
        found["hot_time_ns"][row] = float(np.exp(log_quantiles([each.hot_values_ns for each in samples], 0.5).mean()))
        host = [each.host_ns for each in samples if each.host_ns is not None]
        found["host_ns"][row] = median(host) if host else None
        for name in ("launch_bound", "throttled"):
            known = [getattr(each, name) for each in samples if getattr(each, name) is not None]
            found[name][row] = any(known) if known else None
    for name, values in found.items():
        told = pd.Series(values, frame.index, "object")
        frame[name] = told.astype("boolean" if name in ("launch_bound", "throttled") else "Float64")
