"""How the cases of a run ended: which passed, are flagged or failed, and how much the proofs checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.data import flags
from attnbench.reports.data.frame import untried
from attnbench.reports.data.settings import which
from attnbench.reports.data.values import FEWEST_PROCESSES, floats


class Cases(NamedTuple):
    """Cases that share a flag, or a status and its reason."""

    word: str
    """The flag or the status."""
    reason: str
    many: int
    which: str
    """Their names."""


@dataclass(frozen=True)
class Outcomes:
    """Summary of how the cases of a run ended."""

    cases: int
    with_result: int
    """Cases that have a result: those that the run did not try before it ended have none."""
    passed: int
    processes: tuple[int, int] | None
    """Fewest and most processes of a case that passed; None if no case has enough for an interval."""
    flagged: int
    """Cases that passed and have a flag."""
    flags: list[Cases]
    """One for each flag."""
    failures: list[Cases]
    """One for each status and reason."""
    partly_proved: int
    """Cases of which the proof checked only a part of the elements."""
    least_proved: float
    """The smallest such part; NaN if there is none."""
    proof_s: float
    """Seconds of all proofs; NaN if unknown."""
    run_s: float
    """Seconds of the run if it finished without being resumed, else NaN."""


def outcomes(frame: pd.DataFrame, meta: Mapping[str, Any]) -> Outcomes:
    """Summarise how the cases of a frame ended; `meta` is the content of `run.json`."""
    passed, failed = frame[frame["status"] == "passed"], frame[frame["status"] != "passed"]
    processes = passed["processes"]
    carried = {flag: flags.carrying(frame, flag) for flag in flags.MEANINGS}
    part = frame[floats(frame["proved"]) < 1]
    seconds = floats(frame["proof_s"])
    return Outcomes(
        cases=len(frame),
        with_result=int((~untried(frame)).sum()),
        passed=len(passed),
        processes=(int(processes.min()), int(processes.max())) if (processes >= FEWEST_PROCESSES).any() else None,
        flagged=int((passed["flags"] != "").sum()),
        flags=[Cases(flag, "", len(them), which(frame, them)) for flag, them in carried.items() if len(them)],
        failures=[
            Cases(str(status), str(reason), len(them), which(frame, them))
            for (status, reason), them in failed.groupby(["status", "reason"], sort=False)
        ],
        partly_proved=len(part),
        least_proved=float(part["proved"].min()) if len(part) else np.nan,
        proof_s=np.nan if np.isnan(seconds).all() else float(np.nansum(seconds)),
        run_s=_run_s(meta),
    )


def _run_s(meta: Mapping[str, Any]) -> float:
    if meta.get("resumed") or not meta.get("finished"):
        return np.nan
    try:
        begun, ended = (datetime.fromisoformat(meta[name]) for name in ("started", "finished"))
        return (ended - begun).total_seconds()
    except (KeyError, TypeError, ValueError):
        return np.nan
