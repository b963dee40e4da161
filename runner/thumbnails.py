"""Small pictures of what each variant looks at, kept with a run so that a report needs no variants."""

from typing import Any

import numpy as np

from attnbench.suites import Case
from attnbench.variants import BoolArray

LONGEST = 2048
"""No pattern is drawn at a longer length: its mask is N x N."""
SIDE = 256
"""Pixels a side at the most."""


def of(cases: list[Case]) -> list[dict[str, Any]]:
    """One picture for each mechanism of the cases, at the longest of its lengths that can be drawn."""
    lengths: dict[str, tuple[Case, int]] = {}
    for case in cases:
        n = min(case.shape.seq_len, LONGEST)
        if case.pattern.unsupported(n) is None and n >= lengths.get(case.label, (case, 0))[1]:
            lengths[case.label] = (case, n)
    return [_picture(case, n) for case, n in lengths.values()]


def _picture(case: Case, n: int) -> dict[str, Any]:
    """A bitmap of the mask: a pixel is set where any of its pairs is allowed; rows are queries, packed in hex."""
    mask = case.pattern.spans(n).mask()
    pixel = -(-n // SIDE)
    side = -(-n // pixel)
    padded = np.zeros((side * pixel, side * pixel), np.bool_)
    padded[:n, :n] = mask
    seen: BoolArray = np.asarray(padded.reshape(side, pixel, side, pixel).any(axis=(1, 3)))
    rows = [np.packbits(row).tobytes().hex() for row in seen]
    return {"label": case.label, "variant": case.variant, "n": side, "seq_len": n, "rows": rows}
