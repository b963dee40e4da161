"""The status with which a case ended."""

from enum import StrEnum

SPENT = "(budget.suite_s) were spent"
"""How the reason of a case ends that was skipped because the suite's time was."""
NOT_STARTED = "no worker could be started"
"""How the reason of a case begins that failed because the system refused a worker: nothing was tried."""


class Status(StrEnum):
    """The end of a case. Each but `passed` comes with a reason; numbers exist only when `passed`."""

    PASSED = "passed"
    WRONG = "wrong"
    """Its output or a gradient is further from the oracle than the tolerance."""
    OUT_OF_MEMORY = "out_of_memory"
    """It met the memory budget, or was predicted to and not tried."""
    TIMED_OUT = "timed_out"
    """It did not answer within its time."""
    CRASHED = "crashed"
    """Its process died."""
    FAILED = "failed"
    """It raised an error."""
    UNSUPPORTED = "unsupported"
    """It does not exist here: no such device, or the implementation refuses."""
    SKIPPED = "skipped"
    """It was not tried: a shorter one ran out of memory or time, or the suite's time was spent."""


_FAULTS = (Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT, Status.OUT_OF_MEMORY)


def is_fault(status: Status, *, predicted: bool) -> bool:
    """Whether a case ended as none should; `unsupported`, `skipped` and what was predicted are findings."""
    return status in _FAULTS and not predicted
