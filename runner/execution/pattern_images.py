"""Small bitmaps of the patterns of a run, stored with it so that a report needs no variants."""

from typing import Any

import numpy as np

from attnbench.reports.drawing import pattern_image
from attnbench.suites import Case
from attnbench.variants import Pattern

LONGEST = 2048
"""No pattern is drawn at a longer length: one that says only which pairs it allows takes N^2 time."""
SIDE = 256
"""Pixels a side at the most."""


def of(cases: list[Case]) -> list[dict[str, Any]]:
    """One picture for each mechanism of the cases, at the longest of its lengths that can be drawn.

    What a variant raises here ends its own cases, where it is told, and not the run.
    """
    longest: dict[str, tuple[Case, Pattern, int]] = {}
    for case in cases:
        found = _drawable(case)
        if found and found[1] >= longest.get(case.label, (case, *found))[2]:
            longest[case.label] = (case, *found)
    return [drawn for each in longest.values() if (drawn := _picture(*each))]


def _drawable(case: Case) -> tuple[Pattern, int] | None:
    """The case's pattern and length, or one near the longest that is drawn; nothing where it does not exist."""
    n = case.setting.shape.seq_len
    try:
        if not isinstance(case.parameters, Pattern):
            return None
        pattern, n = (case.parameters, n) if n <= LONGEST else case.parameters.near(LONGEST)
        return None if pattern.unsupported(n) else (pattern, n)
    except (Exception, SystemExit):  # see `of`
        return None


def _picture(case: Case, pattern: Pattern, n: int) -> dict[str, Any] | None:
    """A bitmap: a pixel is set where any of its pairs is allowed; rows are queries, packed in hex."""
    try:
        seen = pattern_image.bitmap(pattern.spans(n), SIDE)
    except (Exception, SystemExit):  # see `of`
        return None
    rows = [np.packbits(row).tobytes().hex() for row in seen]
    return {"label": case.label, "variant": case.mechanism.name, "n": len(seen), "seq_len": n, "rows": rows}
