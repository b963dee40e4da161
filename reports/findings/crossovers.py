"""Crossovers of the same series with several numbers of threads, and which of them more threads move."""

import math
from typing import NamedTuple

import pandas as pd

from attnbench.reports.data.settings import SERIES, SETTING
from attnbench.reports.data.values import ALWAYS, CROSSES, UNCLEAR

LONGER, SHORTER = "longer", "shorter"
"""With the most threads, a series beats its baseline from a longer or a shorter length on than with the fewest."""


class Crossovers(NamedTuple):
    """A series, and its growth with each number of threads."""

    name: str
    """`label/implementation`."""
    by_count: dict[int, pd.Series]
    """Rows of the run's `scaling`, the fewest threads first."""
    moved: str | None
    """`LONGER`, `SHORTER`, or empty if it is not shown to move; None if there are no two crossovers to compare."""


def crossovers(part: pd.DataFrame, scaling: pd.DataFrame) -> list[Crossovers]:
    """Return the series that were compared with their baseline with at least one number of threads.

    `part` has the cases that passed, with their number of threads as `count`. There are none with fewer than two
    lengths.
    """
    if part["seq_len"].nunique() < 2:
        return []
    keys = [*SERIES, *SETTING]
    grown = dict(zip(scaling[keys].itertuples(index=False, name=None), scaling.iterrows(), strict=True))
    counted = part.drop_duplicates([*SERIES, "count"]).sort_values("count", kind="stable")
    fewest, most = int(counted["count"].min()), int(counted["count"].max())
    found: dict[str, dict[int, pd.Series]] = {}
    for *key, count in counted[[*keys, "count"]].itertuples(index=False, name=None):
        found.setdefault("/".join(key[: len(SERIES)]), {})[int(count)] = grown[tuple(key)][1]
    return [
        Crossovers(name, rows, _moved(rows.get(fewest), rows.get(most)))
        for name, rows in found.items()
        if any(row["crossover"] for row in rows.values())
    ]


def _moved(few: pd.Series | None, many: pd.Series | None) -> str | None:
    """Compare the crossovers with the fewest and the most threads: they differ if their intervals do not overlap."""
    if few is None or many is None or not few["crossover"] or not many["crossover"]:
        return None
    if few["crossover"] == many["crossover"] != CROSSES or UNCLEAR in (few["crossover"], many["crossover"]):
        return None
    (few_low, few_high), (many_low, many_high) = _ends(few), _ends(many)
    return LONGER if many_low > few_high else SHORTER if many_high < few_low else ""


def _ends(row: pd.Series) -> tuple[float, float]:
    """Return the ends of the interval of a crossover, which may lie outside of the lengths that were compared."""
    first, last = float(row["compared_from"]), float(row["compared_to"])
    if row["crossover"] == CROSSES:
        low = float(row["crossover_low"])
        return (0.0 if math.isnan(low) else low), float(row["crossover_high"])
    return (0.0, first) if row["crossover"] == ALWAYS else (last, math.inf)
