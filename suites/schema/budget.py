"""How often a suite measures, and its limits on time and memory."""

from typing import Annotated

from attnbench.suites.schema.values import As, Model, integer, number, scalar, text

_SECONDS = scalar(number(0.001, 1_000_000))
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_PERCENT = text('a percentage such as "80%"', "^(100|[1-9][0-9]?)%$")
_SIZE = text('a size such as "4GiB"', rf"^[1-9][0-9]{{0,5}}(\.[0-9]{{1,6}})? ?({'|'.join(_UNITS)})$")


class Measure(Model):
    """How often to measure."""

    processes: Annotated[int, As(scalar(integer(1, 1000)))] = 5
    """Replicates: fresh processes that each measure every case once."""
    values: Annotated[int, As(scalar(integer(1, 100_000)))] = 10
    """At most so many values of a case in a replicate, at least one."""
    value_ms: Annotated[float, As(scalar(number(0.001, 60_000)))] = 10.0
    """Milliseconds of calls in one value; one call, if that takes longer."""


class Budget(Model):
    """What the suite may use up."""

    case_s: Annotated[float, As(_SECONDS)] = 60.0
    """Seconds for the values of one case, over all replicates, the first value and the warm-up in each apart; also for
    its probe, and for any single call or value."""
    suite_s: Annotated[float, As(_SECONDS)] = 1800.0
    """Seconds for the whole suite."""
    memory: Annotated[int | str, As(scalar(_PERCENT, _SIZE, integer(1, 2**53)))] = "80%"
    """Bytes for one case: a percentage of the memory that is available, a size, or a number of bytes."""

    def bytes_of(self, available: int) -> int:
        """The memory budget in bytes, where so many bytes are available."""
        if isinstance(self.memory, int):
            return self.memory
        if self.memory.endswith("%"):
            return available * int(self.memory[:-1]) // 100
        unit = self.memory.lstrip("0123456789. ")
        return int(float(self.memory.removesuffix(unit)) * _UNITS[unit])
