"""The memory that a call needs in all, at several lengths. Reports find in it the longest sequence that fits."""

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
    mechanism exists there. Otherwise it is only the case's own length, with the measured `peak_bytes`. There is none if
    that peak leaves out what the forward pass keeps.
    """
    setting = case.setting
    if case.implementation == OWN:
        known = setting.direction != "backward"
        return ((setting.shape.seq_len, peak_bytes + _held_bytes(program, setting)),) if known else ()
    found = []
    # A pattern may raise anything at another length, and a case that just fits leaves no room for other masks.
    with suppress(Exception):
        for part in _PARTS:
            n = setting.shape.seq_len // part
            like = case.changed(shape=setting.shape.at(max(n, 1)))
            if n and admission.unsupported(like) is None:
                found.append((n, admission.predicted(like)[1] + _held_bytes(calls.build(like), like.setting)))
    return tuple(found)


def _held_bytes(program: Program, setting: Setting) -> int:
    """Return the bytes that are held outside a call: inputs, weights, masks and layouts."""
    given = calls.input_bytes(setting, dout=setting.direction != "forward")
    return given + program.prepared_bytes + sum(each.nbytes for each in program.weights)
