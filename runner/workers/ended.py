"""How a worker process ended, as an exception in the parent."""

from collections.abc import Callable
from typing import Any, TypeVar

from attnbench.suites import Status
from attnbench.suites.status import NOT_STARTED

RUBBISH = "its process sent rubbish instead of a reply"

T = TypeVar("T")


class WorkerEnded(Exception):
    """A worker died or had to be killed: the status and reason for what it was doing."""

    def __init__(self, status: Status, reason: str, index: int) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.index = index
        """The case in flight, as marked."""


class NotStarted(WorkerEnded):
    """The system refused a worker, or it ended before it was ready: that says nothing of any case."""

    def __init__(self, reason: str) -> None:
        super().__init__(Status.FAILED, f"{NOT_STARTED}: {reason}", 0)


def understood(make: Callable[[Any], T], reply: Any) -> T:
    """What a reply says, as `make` reads it.

    Raises:
        WorkerEnded: it is no such reply.
    """
    try:
        return make(reply)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise WorkerEnded(Status.CRASHED, RUBBISH, 0) from None
