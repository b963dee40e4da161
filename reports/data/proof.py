"""Columns about the proofs: share of elements checked, exact repeatability, and time."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import floats
from attnbench.suites import Sample

COLUMNS = ("proved", "repeats_exactly", "proof_s")
"""`proved` is the share of the elements of output and gradients that the proof looked at; `repeats_exactly` whether
calls on the same inputs gave the same bits; `proof_s` the seconds that the proof took, in the probe and all
processes."""


def add(frame: pd.DataFrame, timed: Sequence[tuple[int, Sample]]) -> None:
    """Add to `proof_s`, which holds that of the probes, what the samples took; each comes with the row of its case."""
    seconds = floats(frame["proof_s"]).copy()
    for row, sample in timed:
        if sample.proof_s is not None:
            seconds[row] = np.nansum([seconds[row], sample.proof_s])
    frame["proof_s"] = seconds
