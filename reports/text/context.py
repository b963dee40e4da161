"""What a table or figure was measured on, and how its intervals were made, in one line each."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from attnbench.reports.data.settings import SHAPE, shape
from attnbench.reports.findings.run import Run
from attnbench.reports.text.phrases import listed


def context(run: Run) -> str:
    """Return run, device, dtype, shape and processes in one line."""
    frame = pd.concat([each.frame for each in run.settings] or [run.frame])
    environment = run.meta["environment"]
    told = [str(run.meta["name"])]
    for device in frame["device"].unique():
        name = machines(run, "gpu" if device == "cuda" else "cpu") or device
        told.append(f"{device}: {name}{_threads(frame, environment) if device == 'cpu' else ''}")
    told.append(" and ".join(frame["dtype"].unique()))
    shapes = {shape(row) for _, row in frame.drop_duplicates(list(SHAPE)).iterrows()}
    told += shapes if len(shapes) == 1 else []
    processes = frame["processes"].max() if len(frame) else 0
    if processes:
        told.append("1 process" if processes == 1 else f"{processes} processes")
    return " · ".join(filter(None, told))


def machines(run: Run, kind: str) -> str:
    """Return the names of the processors of a kind, `cpu` or `gpu`, on which the parts of a run were measured."""
    return listed(list(dict.fromkeys(str(each.environment[kind]) for each in run.parts if each.environment.get(kind))))


def intervals(run: Run, words: str) -> str:
    """Return a note on intervals; `words` is how they are drawn, `Bands` or `Bars`."""
    enough = run.outcomes.processes is not None
    return f"{words}: 95 % intervals over processes." if enough else "Too few processes for intervals."


def _threads(frame: pd.DataFrame, environment: Mapping[str, Any]) -> str:
    """Return the number of threads if all cases have the same; else nothing."""
    told = set(frame["threads"])
    count = environment.get("threads") if told == {"auto"} else told.pop() if len(told) == 1 else None
    return f", {count} thread{'s' if str(count) != '1' else ''}" if count else ""
