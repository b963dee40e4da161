"""Limits of a suite: how often it measures, what it may use, and what `bench check` allows."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from attnbench.suites.schema.kinds import Model

Severity = Literal["fail", "warn", "ignore"]
_TIMES = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_DECIMAL = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES = {**_DECIMAL, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BUDGET = rf"^[1-9][0-9]{{0,5}}(\.[0-9]{{1,6}})? ?({'|'.join(_SIZES)})$"
_NUMBER = r"^[0-9]{1,9}(\.[0-9]{1,6})?"
_Seconds = Annotated[StrictFloat, Field(ge=0.001, le=1_000_000)]
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?%$", title='a percentage such as "5%"')]
_Time = Annotated[str, Field(pattern=rf"{_NUMBER} ?({'|'.join(_TIMES)})$", title='a time such as "50us"')]
_Size = Annotated[str, Field(pattern=rf"{_NUMBER} ?({'|'.join(_SIZES)})$", title='a size such as "1MiB"')]
_Memory = (
    Annotated[str, Field(pattern="^(100|[1-9][0-9]?)%$", title='a percentage such as "80%"')]
    | Annotated[str, Field(pattern=_BUDGET, title='a size such as "4GiB"')]
    | Annotated[StrictInt, Field(ge=1, le=2**53)]
)


Estimate = Literal["minimum", "quartile", "median"]
"""What represents a process."""
QUANTILES: Mapping[Estimate, float] = {"minimum": 0.0, "quartile": 0.25, "median": 0.5}
"""The quantile of a process's values that each estimate is."""


class Measure(Model):
    """How often to measure, and what represents a process."""

    processes: Annotated[StrictInt, Field(ge=1, le=1000)] = 5
    """Fresh processes. Each measures every case."""
    values: Annotated[StrictInt, Field(ge=1, le=100_000)] = 10
    """Values of a case in each process; fewer if budget.case_s does not allow so many."""
    value_ms: Annotated[StrictFloat, Field(ge=0.001, le=60_000)] = 10.0
    """Milliseconds of calls that make a value; a longer call makes a value alone."""
    estimate: Estimate = "minimum"
    """What represents a process: the minimum, lower quartile or median of its values."""


class Budget(Model):
    """Limits of time and memory."""

    case_s: _Seconds = 60.0
    """Seconds for the values of one case over all processes, without the warm-up and the first value of each; also for
    its probe, and for any single call or value."""
    suite_s: _Seconds = 1800.0
    """Seconds for the whole suite."""
    memory: _Memory = "80%"
    """Memory for one case: a percentage of what is available, a size, or a number of bytes."""

    def bytes_of(self, available: int) -> int:
        """Return the memory budget in bytes, given the available bytes."""
        if isinstance(self.memory, int):
            return self.memory
        if self.memory.endswith("%"):
            return available * int(self.memory[:-1]) // 100
        return int(_quantity(self.memory, _SIZES))


class Exact(Model):
    """A metric in which any change for the worse counts."""

    severity: Severity = "fail"
    """Whether a worse result fails the check, is a warning, or is ignored."""


class TimeLimit(Exact):
    """How much longer a call may take. An increase within either limit passes."""

    relative: Percent = "15%"
    """Share of the stored time. Runs made at different times differ by the load of the machine."""
    absolute: _Time = "0ns"
    """Time of one call."""
    severity: Severity = "warn"
    """Whether a worse result fails the check, is a warning, or is ignored."""

    def of(self, stored_ns: float) -> float:
        """Return the share by which a stored time may grow. `stored_ns` is NaN if only the ratio is known."""
        relative, absolute_ns = share(self.relative), _quantity(self.absolute, _TIMES)
        return max(relative, absolute_ns / stored_ns) if stored_ns > 0 else relative

    def allows(self, ratio: float, stored_ns: float) -> bool:
        """Check whether a time may be `ratio` times the stored one."""
        return ratio <= 1 + self.of(stored_ns)


class MemoryLimit(Exact):
    """How much more memory a call may take. An increase within either limit passes."""

    relative: Percent = "0%"
    """Share of the stored peak, which is the same integer every time."""
    absolute: _Size = "0B"
    """Part of the peak."""

    def allows(self, peak_bytes: float, stored_bytes: float) -> bool:
        """Check whether a peak is allowed, given the stored one."""
        grown = peak_bytes - stored_bytes
        return grown <= max(share(self.relative) * stored_bytes, _quantity(self.absolute, _SIZES))


class Check(Model):
    """What `bench check` allows."""

    time: TimeLimit = TimeLimit()
    memory: MemoryLimit = MemoryLimit()
    work: Exact = Exact()
    """Allowed and computed pairs, on any machine."""
    operators: Exact = Exact()
    """Calls of each operator, if both runs were profiled."""
    error: Exact = Exact()
    """The error against the oracle. It may double."""

    def severity(self, metric: str) -> Severity:
        """Return the severity of a worse result of a metric."""
        limit: Exact = getattr(self, metric)
        return limit.severity


def share(percent: str) -> float:
    """Return a percentage as a fraction."""
    return float(percent.removesuffix("%")) / 100


def _quantity(told: str, units: Mapping[str, float]) -> float:
    """Convert a number with a unit to the base unit."""
    unit = told.lstrip("0123456789. ")
    return float(told.removesuffix(unit)) * units[unit]
