"""The memory that a call needs in all, at several lengths. Reports find in it the longest sequence that fits."""

import sys
from contextlib import suppress

from attnbench.runner.worker import admission
from attnbench.runner.worker.call import calls
from attnbench.suites import Case
from attnbench.variants import OWN, Setting
from attnbench.variants.kernels import Program

_PARTS = (4, 2, 1)
"""Three lengths tell a constant, a linear and a quadratic part. Shorter ones than the case's cost less than it does."""


def needed_bytes(case: Case, program: Program, peak_bytes: int) -> tuple[tuple[int, int], ...]:
    """Return lengths, each with the bytes that a call needs there: inputs, weights, masks and layouts, and its peak.

    If the implementation predicts its peak, these are a quarter, half and all of the case's length, as far as the
    mechanism exists there; `backward` includes what its forward pass keeps. Otherwise it is only the case's own length,
    with the measured `peak_bytes`, and none for `backward`, whose peak leaves that out.
    """
    setting = case.setting
    backward = setting.direction == "backward"
    if case.implementation == OWN:
        return () if backward else ((setting.shape.seq_len, peak_bytes + _held_bytes(program, setting)),)
    found = []
    for part in _PARTS:
        n = setting.shape.seq_len // part
        # A mechanism may not exist at another length, a pattern may raise anything there, and a case that just fits
        # leaves no room for other masks.
        with suppress(Exception):
            like = case.changed(shape=setting.shape.at(n), direction="training" if backward else setting.direction)
            peak = admission.admit(like, sys.maxsize)
            if peak is not None:
                found.append((n, peak + _held_bytes(calls.build(like), like.setting)))
    return tuple(found)


def _held_bytes(program: Program, setting: Setting) -> int:
    """Return the bytes that are held outside a call: inputs, weights, masks and layouts."""
    given = calls.input_bytes(setting, dout=setting.direction != "forward")
    return given + program.prepared_bytes + sum(each.nbytes for each in program.weights)
