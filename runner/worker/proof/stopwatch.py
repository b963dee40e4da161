"""A stopwatch: the seconds spent inside it, added up."""

import time
from types import TracebackType
from typing import Self


class Stopwatch:
    """Runs while it is entered."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._begun_s = 0.0

    def __enter__(self) -> Self:
        self._begun_s = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.total_s += time.perf_counter() - self._begun_s
