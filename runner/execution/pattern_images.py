"""Small bitmaps of the patterns of a run, stored with it so that a report needs no variants."""

from typing import Any

import numpy as np

from attnbench.reports.drawing import pattern_image
from attnbench.suites import Case
from attnbench.variants import Pattern

LONGEST = 2048
"""Longest length that is drawn: a pattern that defines only `allowed` takes N^2 time."""
SIDE = 256
"""Most pixels of a side."""


def of(cases: list[Case]) -> list[dict[str, Any]]:
    """Draw one picture for each mechanism of the cases, at its longest length that can be drawn.

    An error of a variant is ignored here, because its probe reports it.
    """
    longest: dict[str, tuple[Case, Pattern, int]] = {}
    for case in cases:
        found = _drawable(case)
        if found and found[1] >= longest.get(case.label, (case, *found))[2]:
            longest[case.label] = (case, *found)
    return [drawn for each in longest.values() if (drawn := _picture(*each))]


def _drawable(case: Case) -> tuple[Pattern, int] | None:
    """Return the case's pattern and its length, at most about `LONGEST`; None if the pattern does not exist there."""
    n = case.setting.shape.seq_len
    try:
        if not isinstance(case.parameters, Pattern):
            return None
        pattern, n = (case.parameters, n) if n <= LONGEST else case.parameters.near(LONGEST)
        return None if pattern.unsupported(n) else (pattern, n)
    except (Exception, SystemExit):  # see `of`
        return None


def _picture(case: Case, pattern: Pattern, n: int) -> dict[str, Any] | None:
    """Return a bitmap in hex; rows are queries. A pixel is set if any of its pairs is allowed."""
    try:
        seen = pattern_image.bitmap(pattern.spans(n), SIDE)
    except (Exception, SystemExit):  # see `of`
        return None
    rows = [np.packbits(row).tobytes().hex() for row in seen]
    return {"label": case.label, "variant": case.mechanism.name, "n": len(seen), "seq_len": n, "rows": rows}
