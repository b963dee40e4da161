"""A setting: what cases must share to stand in one table or panel. A series: one line through its lengths."""

from typing import NamedTuple, cast

import pandas as pd

SETTING = ("device", "dtype", "threads", "batch", "heads", "kv_heads", "head_dim", "direction")
"""The columns that make a setting; direction varies fastest."""
SERIES = ("label", "implementation")
"""The columns that name a series within a setting."""


class Setting(NamedTuple):
    """The cases of one setting."""

    title: str
    """What tells it from the other settings of the run; always direction, dtype and device."""
    row: int
    """Settings that differ by direction alone share a row; each direction is a column."""
    column: int
    frame: pd.DataFrame


def settings(frame: pd.DataFrame) -> list[Setting]:
    """The settings of a frame in its order. One where every case is unsupported would say nothing: it is left out."""
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


def varied(frame: pd.DataFrame) -> set[str]:
    """The columns by which the settings of a frame differ."""
    return {name for name in SETTING if frame[name].nunique() > 1}


def told(row: pd.Series, named: set[str]) -> list[str]:
    """A setting in words, the named columns only: `training`, `float32`, `cpu`, `4 threads`, `B1 H8 D64`."""
    words = [str(row[name]) for name in ("direction", "dtype", "device") if name in named]
    if "threads" in named:
        words.append(f"{row['threads']} threads")
    return [*words, shape(row)] if named & {"batch", "heads", "kv_heads", "head_dim"} else words


def shape(row: pd.Series) -> str:
    """The shape without its length: `B1 H8 D64`, with the key heads where they are fewer."""
    keys = f"/{row['kv_heads']}" if row["kv_heads"] != row["heads"] else ""
    return f"B{row['batch']} H{row['heads']}{keys} D{row['head_dim']}"


def series(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each series of a setting, `label/implementation`, in the frame's order, lengths ascending."""
    groups = frame.groupby(list(SERIES), sort=False)
    return [("/".join(cast(tuple[str, str], name)), part.sort_values("seq_len")) for name, part in groups]


def attempted(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The series of a setting that are supported at some length."""
    return [(name, part) for name, part in series(frame) if (part["status"] != "unsupported").any()]
