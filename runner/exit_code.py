"""What `bench run` returns to the shell."""

from collections.abc import Iterable

from attnbench.suites import Probe, Result, Sample, Status

OK = 0
USAGE = 2
NOT_PASSED = 3
NOTHING = 5
OUT_OF_TIME = 124
INTERRUPTED = 130

_FAULTS = (Status.WRONG, Status.CRASHED, Status.FAILED, Status.TIMED_OUT, Status.OUT_OF_MEMORY)


def of(rows: Iterable[Result], *, out_of_time: bool) -> int:
    """The exit code of a run: what was not to be expected counts, `unsupported` and predictions do not."""
    rows = list(rows)
    if out_of_time:
        return OUT_OF_TIME
    if any(row.status in _FAULTS and not (isinstance(row, Probe) and row.predicted) for row in rows):
        return NOT_PASSED
    if not any(isinstance(row, Sample) and row.status is Status.PASSED for row in rows):
        return NOTHING
    return OK
