"""The memory that a call needs in all, at several lengths. Reports find in it the longest sequence that fits."""

import sys
import time
from contextlib import suppress
from itertools import count

from attnbench.runner.worker import admission
from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import input_bytes
from attnbench.suites import Case
from attnbench.variants import OWN, Setting
from attnbench.variants.kernels import Program

Needed = tuple[int, int, int | None]
"""A length, the bytes of a call there with its inputs, and those that are held beside, None if unknown."""
_PARTS = (4, 2, 1)
"""Three lengths tell a constant, a linear and a quadratic part. Shorter ones than the case's cost less than it does."""
_PATIENCE_S = 0.25
"""Longer lengths are asked for until this time is spent: most patterns reach 16,384 to 65,536."""


def needed_bytes(case: Case, program: Program, peak_bytes: int, budget_bytes: int) -> tuple[Needed, ...]:
    """Return what a call needs at several lengths.

    If the implementation predicts its peak, these are a quarter, half and all of the case's length, then twice the
    length before, while it takes little time and fits the budget. `backward` includes what its forward pass keeps.
    Otherwise it is only the case's own length, with the measured `peak_bytes`, and none for `backward`, whose peak
    leaves that out.
    """
    setting = case.setting
    backward = setting.direction == "backward"
    if case.implementation == OWN:
        known = (setting.shape.seq_len, peak_bytes + _input_bytes(setting), _held_bytes(program))
        return () if backward else (known,)
    case = case.changed(direction="training" if backward else setting.direction)
    found: list[Needed] = []
    start = time.perf_counter()
    for n in (setting.shape.seq_len // part for part in _PARTS):
        # A mechanism may not exist at another length, a pattern may raise anything there, and a case that just fits
        # leaves no room for other masks.
        with suppress(Exception):
            like = case.changed(shape=setting.shape.at(n))
            # A build may take long, and this one is there already.
            built = program if n == setting.shape.seq_len else programs.build(like)
            found.append((n, _call_bytes(like), _held_bytes(built)))
    for doublings in count(1):
        if not found or found[-1][1] > budget_bytes or time.perf_counter() - start > _PATIENCE_S:
            break
        try:
            like = case.changed(shape=setting.shape.at(setting.shape.seq_len * 2**doublings))
            found.append((like.setting.shape.seq_len, _call_bytes(like), None))
        except Exception:  # as above
            break
    return tuple(found)


def _call_bytes(case: Case) -> int:
    """Return the predicted bytes of a call with its inputs.

    Raises:
        Ended: the case does not exist.
    """
    peak = admission.admit(case, sys.maxsize)
    assert peak is not None  # only a variant's own kernel predicts nothing
    return peak + _input_bytes(case.setting)


def _input_bytes(setting: Setting) -> int:
    return input_bytes(setting, dout=setting.direction in ("backward", "training"))


def _held_bytes(program: Program) -> int:
    """Return the bytes of weights, masks and layouts, and of a cache or state."""
    return program.prepared_bytes + (program.state_bytes or 0) + sum(each.nbytes for each in program.weights)
