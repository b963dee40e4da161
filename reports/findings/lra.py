"""Long Range Arena's published tables, and the rows of a run in their layout: training steps of an encoder by length.

The files `lra_efficiency.csv` and `lra_accuracy.csv` hold tables 2 and 1 of Tay et al. 2020, arXiv 2011.04006. A step
is the call of an encoder at direction `training`.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.settings import Setting, attempted, without_floor

THOUSANDS = (1, 2, 3, 4)
"""The lengths of the published table, in thousands of tokens."""
_NEAR = 0.05
"""A length counts as one of these if it differs by at most this share, as 4,096 does."""
_FULL = "transformer"
_MODELS = {
    "full": _FULL,
    "block_local": "local",
    "linear": "linear_transformer",
    "fixed": "sparse_transformer",
    **{
        name: name
        for name in ("linformer", "reformer", "sinkhorn", "synthesizer", "bigbird", "performer", "longformer")
    },
}
"""The published model of each variant."""
TASKS = {
    **{f"lra_{name}": name for name in ("listops", "text", "retrieval", "image", "pathfinder")},
    **{name: name for name in ("listops", "text", "pathfinder")},
}
"""The published task of each kind of data. Those that are drawn here have other examples."""


class Number(NamedTuple):
    """Number with its ratio to that of full attention; NaN if it does not exist."""

    value: float
    ratio: float
    status: str = "passed"
    """How its case ended."""


class Row(NamedTuple):
    """Model at the lengths `THOUSANDS`."""

    name: str
    published: bool
    steps_per_s: tuple[Number, ...]
    peak_bytes: tuple[Number, ...]
    scores: Mapping[str, float]
    """The published scores by task, in percent."""

    @property
    def score(self) -> float:
        """Their mean; NaN if there is none."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else math.nan


class Arena(NamedTuple):
    """Rows of one setting; a row of the run is followed by that of its published model."""

    title: str
    rows: list[Row]


def arenas(settings: tuple[Setting, ...]) -> list[Arena]:
    """Return the settings that train an encoder at a length of the published table."""
    found = []
    for setting in settings:
        frame = without_floor(setting.frame)
        first = frame.iloc[0] if len(frame) else None
        if first is None or first["direction"] != "training" or first["level"].partition("(")[0] != "encoder":
            continue
        frame = frame.assign(thousand=[_thousand(int(n)) for n in frame["seq_len"]])
        if (frame["thousand"] > 0).any():
            found.append(Arena(setting.title, list(_rows(frame))))
    return found


def _rows(frame: pd.DataFrame) -> Iterator[Row]:
    """Yield the rows of a setting, each with its published one, and then the published rows without one of the run."""
    left = dict(published())
    is_full = set(frame.loc[frame["variant"] == "full", "label"] + "/" + frame["implementation"])
    for name, part in attempted(frame):
        at = {int(row["thousand"]): row for _, row in part[part["thousand"] > 0].iterrows()}
        rows = [at.get(each) for each in THOUSANDS]
        yield Row(
            name,
            published=False,
            steps_per_s=tuple(_number(row, "steps_per_s", "speedup", is_full) for row in rows),
            peak_bytes=tuple(_number(row, "peak_bytes", "peak_fraction", is_full) for row in rows),
            scores={},
        )
        known = left.pop(model_of(str(part["variant"].iloc[0])), None)
        if known:
            yield known
    yield from left.values()


def model_of(variant: str) -> str:
    """Return the published model of a variant, or an empty text."""
    return _MODELS.get(variant, "")


def _number(row: "pd.Series | None", column: str, ratio: str, is_full: set[str]) -> Number:
    """Return a number of a case, and its ratio to the baseline if that is full attention."""
    if row is None or row["status"] != "passed":
        return Number(math.nan, math.nan, "passed" if row is None else str(row["status"]))
    value = 1e9 / row["time_ns"] if column == "steps_per_s" else row[column]
    value = math.nan if pd.isna(value) else float(value)
    return Number(value, float(row[ratio]) if row["baseline"] in is_full else math.nan)


def _thousand(n: int) -> int:
    """Return which length of the published table a length is; 0 if it is none."""
    return next((each for each in THOUSANDS if abs(n / (1000 * each) - 1) <= _NEAR), 0)


@cache
def published() -> Mapping[str, Row]:
    """Return the published rows by model, in the order of table 1. Two models have no speed and no memory."""
    efficiency, accuracy = (_read(name) for name in ("lra_efficiency.csv", "lra_accuracy.csv"))

    def numbers(model: str, quantity: str, unit: float = 1.0) -> tuple[Number, ...]:
        names = [f"{quantity}_{each}k" for each in THOUSANDS]
        told, full = efficiency.get(model, dict.fromkeys(names, math.nan)), efficiency[_FULL]
        return tuple(Number(told[name] * unit, told[name] / full[name]) for name in names)

    return {
        model: Row(
            model,
            published=True,
            steps_per_s=numbers(model, "steps"),
            peak_bytes=numbers(model, "gb", 1e9),
            scores=scores,
        )
        for model, scores in accuracy.items()
    }


def _read(name: str) -> dict[str, dict[str, float]]:
    """Return the numbers of a file by model and column, without the average as printed."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        row["model"]: {key: float(value) for key, value in row.items() if key not in ("model", "average_printed")}
        for row in rows
    }
