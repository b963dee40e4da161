"""Settings and series: the cases of a setting share one table or panel, and those of a series one line in it."""

from dataclasses import fields
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from attnbench.reports.data.values import cell
from attnbench.reports.stats.statistics import IntArray
from attnbench.variants import ATTENTION, AXES, DECODE, DEFAULTS, FLOOR, ONE_CLASS, Shape, levels

SETTING = (*(name for name in AXES if name not in ("seq_len", "direction")), "direction")
"""The columns that define a setting: every axis except the length. Direction varies fastest."""
SHAPE = tuple(each.name for each in fields(Shape) if each.name != "seq_len")
SIZES = tuple(each.name for each in fields(Shape) if each.type is int)
"""The axes that are always numbers."""
_NAMED = (
    "batch",
    "heads",
    "kv_heads",
    "head_dim",
    "layout",
    "padding",
    "dtype",
    "device",
    "threads",
    "direction",
    "level",
    "hardware",
)
"""The axes that `told` and `shape` write in words of their own."""
SERIES = ("label", "implementation")
"""The columns that name a series within a setting."""


class Setting(NamedTuple):
    """Cases of one setting, and its place in a grid of panels."""

    title: str
    """Direction, dtype, device and whatever else varies between the settings of the run."""
    row: int
    """Settings that differ by direction alone share a row; each direction is a column."""
    column: int
    frame: pd.DataFrame


def settings(frame: pd.DataFrame) -> list[Setting]:
    """Return the settings of a frame, in its order, without those in which every case is unsupported."""
    alive = frame.groupby(list(SETTING))["status"].transform(lambda status: (status != "unsupported").any())
    frame = frame[alive.astype(bool)]
    named = {"direction", "dtype", "device", *varied(frame)}
    rest = frame.groupby(list(SETTING[:-1]), sort=False).ngroup()
    directions = list(frame["direction"].unique())
    found = []
    for _, part in frame.groupby(list(SETTING), sort=False):
        first = part.iloc[0]
        row, column = int(rest.loc[part.index[0]]), directions.index(first["direction"])
        found.append(Setting(", ".join(told(first, named)), row, column, part))
    return sorted(found, key=lambda each: (each.row, each.column))


def without_floor(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cases that mix tokens: a floor is no rival of theirs."""
    return frame[frame["family"] != FLOOR]


def varied(frame: pd.DataFrame) -> set[str]:
    """Return the columns in which the settings of a frame differ."""
    return {name for name in SETTING if frame[name].nunique() > 1}


def told(row: pd.Series, named: set[str]) -> list[str]:
    """Write the named columns of a setting in words: `training`, `float32`, `cpu`, `4 threads`, `B1 H8 D64`.

    Axes that differ from their default are always included, and so is the shape if its layout or padding does.
    """
    words = [str(row[name]) for name in ("direction", "dtype", "device") if name in named]
    if "level" in named or row["level"] != ATTENTION:
        words.append(levels.brief(row["level"]))
    if "threads" in named:
        words.append(f"{row['threads']} thread{'s' if row['threads'] != '1' else ''}")
    if named & set(SHAPE) or any(row[name] != DEFAULTS[name] for name in ("layout", "padding")):
        words.append(shape(row))
    if row["hardware"] and ("hardware" in named or row["hardware"] != ONE_CLASS):
        words.append(row["hardware"])
    others = [name for name in SETTING if name not in _NAMED]
    return words + [f"{name}={row[name]}" for name in others if name in named or row[name] != cell(DEFAULTS[name])]


def shape(row: pd.Series) -> str:
    """Write a shape without its length: `B1 H8 D64`, with key heads, layout and padding if they are unusual."""
    keys = f"/{row['kv_heads']}" if row["kv_heads"] != row["heads"] else ""
    more = [row[name] for name in ("layout", "padding") if row[name] != DEFAULTS[name]]
    return " ".join([f"B{row['batch']} H{row['heads']}{keys} D{row['head_dim']}", *more])


def series(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return each series of a setting by its name `label/implementation`, in the frame's order, lengths ascending."""
    groups = frame.groupby(list(SERIES), sort=False)
    return [("/".join(cast(tuple[str, str], name)), part.sort_values("seq_len")) for name, part in groups]


def names(frame: pd.DataFrame) -> pd.Series:
    """Return the name of each case's series, `label/implementation`."""
    return frame["label"] + "/" + frame["implementation"]


def call_tokens(frame: pd.DataFrame) -> IntArray:
    """Return the tokens of each sequence in a call of each case: all N, or one in `decode`."""
    return np.where(frame["direction"] == DECODE, 1, frame["seq_len"]).astype(np.int64)


def tokens(frame: pd.DataFrame) -> IntArray:
    """Return the tokens of all sequences in a call of each case, without padding."""
    every = np.array(frame["batch"] * call_tokens(frame), np.int64)
    padded = frame["padding"] != DEFAULTS["padding"]
    shapes = (Shape.of({**row, **{name: int(row[name]) for name in SIZES}}) for _, row in frame[padded].iterrows())
    every[padded] = [sum(each.lengths or ()) for each in shapes]
    return every


def attempted(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the series of a setting that are supported at some length."""
    return [(name, part) for name, part in series(frame) if (part["status"] != "unsupported").any()]


def scaled(scaling: pd.DataFrame, setting: Setting) -> list[tuple[str, pd.Series]]:
    """Return the rows of `scaling` for one setting, each with the name of its series."""
    same = (scaling[list(SETTING)] == setting.frame[list(SETTING)].iloc[0]).all(axis=1)
    found = scaling[same]
    return [(name, row) for name, (_, row) in zip(names(found), found.iterrows(), strict=True)]


def comparison_length(frame: pd.DataFrame) -> int:
    """Return the longest length at which a case and its baseline passed, else the one that most series passed."""
    passed = frame[frame["status"] == "passed"]
    beside = passed[passed["speedup"].notna() & (names(passed) != passed["baseline"])]
    if len(beside):
        return int(beside["seq_len"].max())
    counts = passed.groupby("seq_len").size()
    return int(counts[counts == counts.max()].index.max())


def which(frame: pd.DataFrame, part: pd.DataFrame) -> str:
    """Name some cases of a frame: `full/eager at N = 4096, 8192 (forward); ...`."""
    if len(part) == frame["device"].isin(part["device"]).sum():
        return f"every case on {' and '.join(part['device'].unique())}"
    named = varied(frame)
    found: dict[tuple[str, str], list[str]] = {}
    words: dict[tuple[object, ...], str] = {}
    rows = part[[*SETTING]].itertuples(index=False, name=None)
    for name, values, n in zip(names(part), rows, part["seq_len"], strict=True):
        if values not in words:
            words[values] = " ".join(told(pd.Series(dict(zip(SETTING, values, strict=True))), named))
        found.setdefault((name, words[values]), []).append(str(n))
    # Settings with the same lengths share one entry.
    joined: dict[tuple[str, str], list[str]] = {}
    for (name, setting), ns in found.items():
        joined.setdefault((name, ", ".join(ns)), []).append(setting)
    return "; ".join(f"{name} at N = {ns}{_in(where)}" for (name, ns), where in joined.items())


def _in(where: list[str]) -> str:
    """Write settings in brackets; nothing if the frame has only one."""
    return f" ({', '.join(where)})" if any(where) else ""
