"""Sentences on the proofs: elements not checked, and time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.stats.statistics import floats
from attnbench.reports.text import units


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
