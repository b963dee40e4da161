"""What a run says of its proofs: how much each looked at, whether calls repeat bit for bit, and what proving took."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports import units
from attnbench.reports.statistics import floats
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


def in_part(frame: pd.DataFrame) -> str | None:
    """That of some cases not every element was looked at, in a sentence; nothing where of all."""
    some = frame[floats(frame["proved"]) < 1]
    if not len(some):
        return None
    cases = f"{len(some)} case{'s' if len(some) > 1 else ''}"
    least = units.percent(float(some["proved"].min()))
    return f"the proof of {cases} covered a part of the elements, as little as {least} in one: see proved in table.csv."


def price(frame: pd.DataFrame, meta: Mapping[str, Any]) -> str | None:
    """What the proofs took, and where the run was made in one go, as a share of it; nothing where no row tells."""
    seconds = floats(frame["proof_s"])
    if np.isnan(seconds).all():
        return None
    told = f"Proving took {units.time(np.nansum(seconds) * 1e9)}"
    wall_s = _wall_s(meta)
    return f"{told}, {units.percent(np.nansum(seconds) / wall_s)} of the run." if wall_s else f"{told}."


def _wall_s(meta: Mapping[str, Any]) -> float | None:
    """The seconds of a run that was made in one go, and is finished."""
    if meta.get("resumed") or not meta.get("finished"):
        return None
    try:
        begun, ended = (datetime.fromisoformat(meta[name]) for name in ("started", "finished"))
        return (ended - begun).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
