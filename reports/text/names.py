"""Short names of series, each still the name of one series only."""

import pandas as pd

from attnbench.reports.data.settings import SERIES, names


def short(frame: pd.DataFrame) -> dict[str, str]:
    """Map the name of each series of a run to its label, if that has one implementation, else to itself."""
    pairs = frame[[*SERIES]].drop_duplicates()
    alone = ~pairs["label"].duplicated(keep=False)
    return dict(zip(names(pairs), pairs["label"].where(alone, names(pairs)), strict=True))


def shortest(frame: pd.DataFrame) -> dict[str, str]:
    """Map the name of each series of a run to its variant, if that has no other series, or with its implementation.

    If neither is its own alone, the name is that of `short`.
    """
    pairs = frame[["variant", *SERIES]].drop_duplicates()
    found = pd.Series(list(short(frame).values()), pairs.index)
    for shorter in (pairs["variant"] + "/" + pairs["implementation"], pairs["variant"]):
        alone = ~shorter.duplicated(keep=False) & (shorter.str.len() < found.str.len())
        found = shorter.where(alone, found)
    return dict(zip(names(pairs), found, strict=True))
