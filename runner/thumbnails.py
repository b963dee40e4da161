"""Small pictures of what each variant looks at, kept with a run so that a report needs no variants."""

from typing import Any

import numpy as np

from attnbench.suites import Case
from attnbench.variants import BoolArray, Pattern

LONGEST = 2048
"""No pattern is drawn at a longer length: its mask is N x N."""
SIDE = 256
"""Pixels a side at the most."""


def of(cases: list[Case]) -> list[dict[str, Any]]:
    """One picture for each mechanism of the cases, at the longest of its lengths that can be drawn."""
    drawn: dict[str, tuple[Case, Pattern, int]] = {}
    for case in cases:
        n = case.shape.seq_len
        pattern, n = (case.pattern, n) if n <= LONGEST else case.pattern.near(LONGEST)
        if pattern.unsupported(n) is None and n >= drawn.get(case.label, (case, pattern, 0))[2]:
            drawn[case.label] = (case, pattern, n)
    return [_picture(*each) for each in drawn.values()]


def _picture(case: Case, pattern: Pattern, n: int) -> dict[str, Any]:
    """A bitmap of the mask: a pixel is set where any of its pairs is allowed; rows are queries, packed in hex."""
    mask = pattern.spans(n).mask()
    pixel = -(-n // SIDE)
    side = -(-n // pixel)
    padded = np.zeros((side * pixel, side * pixel), np.bool_)
    padded[:n, :n] = mask
    seen: BoolArray = np.asarray(padded.reshape(side, pixel, side, pixel).any(axis=(1, 3)))
    rows = [np.packbits(row).tobytes().hex() for row in seen]
    return {"label": case.label, "variant": case.variant, "n": side, "seq_len": n, "rows": rows}
