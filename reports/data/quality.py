"""How far each case's numbers can be trusted: components of its spread, and flags."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.reports.data import flags, roof
from attnbench.reports.stats import spread
from attnbench.reports.stats.statistics import FloatArray, IntArray, floats, interval
from attnbench.suites import Sample

COLUMNS = ("within_sd", "between_sd", "drift", "drift_p", "processes_for_1_percent", "flags")


def add(frame: pd.DataFrame, log_ns: FloatArray, rows: IntArray, samples: Sequence[Sample]) -> None:
    """Fill in `COLUMNS`.

    `log_ns [cases, P]` holds each process's log time; `samples` are those that passed, `rows [samples]` the row of the
    case of each.
    """
    found = spread.components([each.values_ns for each in samples], rows, len(frame))
    drift = spread.drift(log_ns)
    frame["within_sd"], frame["between_sd"] = found
    frame["drift"], frame["drift_p"] = drift
    frame["processes_for_1_percent"] = pd.array(spread.needed_processes(log_ns)).astype("Int64")

    def some(told: Sequence[bool]) -> flags.BoolArray:
        return np.bincount(rows, np.array(told, np.float64), len(frame)) > 0

    peaks = (floats(frame[name]) for name in ("peak_bytes", "predicted_bytes"))
    raised = {
        "noisy": flags.noisy(interval(log_ns)),
        "drifting": flags.drifting(drift),
        "not_steady": some([not each.steady for each in samples]),
        "throttled": some([bool(each.throttled) for each in samples]),
        "bimodal": flags.bimodal(log_ns),
        "above_roof": roof.above(frame).to_numpy(),
        "memory_off": flags.memory_off(*peaks),
    }
    frame["flags"] = pd.Series(flags.words(raised, len(frame)), frame.index, "str")
