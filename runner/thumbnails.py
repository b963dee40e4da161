"""Small pictures of what each variant looks at, kept with a run so that a report needs no variants."""

from typing import Any

import numpy as np

from attnbench.reports import picture
from attnbench.suites import Case

LONGEST = 2048
"""No pattern is drawn at a longer length: one that says only which pairs it allows takes N^2 time."""
SIDE = 256
"""Pixels a side at the most."""


def of(cases: list[Case]) -> list[dict[str, Any]]:
    """One picture for each mechanism of the cases, at the longest of its lengths that can be drawn.

    What a variant raises here ends its own cases, where it is told, and not the run.
    """
    lengths: dict[str, tuple[Case, int]] = {}
    for case in cases:
        n = min(case.shape.seq_len, LONGEST)
        if n > lengths.get(case.label, (case, 0))[1] and _exists(case, n):
            lengths[case.label] = (case, n)
    return [drawn for case, n in lengths.values() if (drawn := _picture(case, n))]


def _exists(case: Case, n: int) -> bool:
    try:
        return case.pattern.unsupported(n) is None
    except Exception:  # see `of`
        return False


def _picture(case: Case, n: int) -> dict[str, Any] | None:
    """A bitmap: a pixel is set where any of its pairs is allowed; rows are queries, packed in hex."""
    try:
        seen = picture.bitmap(case.pattern.spans(n), SIDE)
    except Exception:  # see `of`
        return None
    rows = [np.packbits(row).tobytes().hex() for row in seen]
    return {"label": case.label, "variant": case.variant, "n": len(seen), "seq_len": n, "rows": rows}
