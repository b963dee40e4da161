"""The policy of a check: which changes of each metric pass."""

from typing import Annotated, Literal, Self

from attnbench.suites.schema.values import As, Model, one_of, scalar, text

Severity = Literal["fail", "warn", "ignore"]
METRICS = ("time", "memory", "work", "operators", "error")
_TIMES = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SEVERITY = scalar(one_of(["fail", "warn", "ignore"]))
_PERCENT = scalar(text('a percentage such as "5%"', r"^[0-9]{1,4}(\.[0-9]{1,4})?%$"))
_NUMBER = r"^[0-9]{1,9}(\.[0-9]{1,6})?"
_TIME = scalar(text('a time such as "50us"', rf"{_NUMBER} ?({'|'.join(_TIMES)})$"))
_SIZE = scalar(text('a size such as "1MiB"', rf"{_NUMBER} ?({'|'.join(_SIZES)})$"))


class Exact(Model):
    """A metric of which any worsening counts."""

    severity: Annotated[Severity, As(_SEVERITY)] = "fail"
    """Whether a worsening fails the check, is told, or is nothing."""


class TimeLimit(Exact):
    """How much longer a call may take: what is within either limit passes."""

    relative: Annotated[str, As(_PERCENT)] = "15%"
    """Of the stored time. Two runs at different times differ by what else a machine does."""
    absolute: Annotated[str, As(_TIME)] = "0ns"
    """Of one call."""
    severity: Annotated[Severity, As(_SEVERITY)] = "warn"
    """Whether a worsening fails the check, is told, or is nothing."""

    def allows(self, ratio: float, stored_ns: float) -> bool:
        """Whether a time may be `ratio` times the stored one, which is NaN where only the ratio is known."""
        absolute_ns = _quantity(self.absolute, _TIMES)
        return ratio <= 1 + share(self.relative) or (ratio - 1) * stored_ns <= absolute_ns


class MemoryLimit(Exact):
    """How much more memory a call may take: what is within either limit passes."""

    relative: Annotated[str, As(_PERCENT)] = "0%"
    """Of the stored peak, which is the same integer every time."""
    absolute: Annotated[str, As(_SIZE)] = "0B"
    """Of the peak."""

    def allows(self, peak_bytes: float, stored_bytes: float) -> bool:
        """Whether a peak may be so large where the stored one is `stored_bytes`."""
        grown = peak_bytes - stored_bytes
        return grown <= max(share(self.relative) * stored_bytes, _quantity(self.absolute, _SIZES))


class Check(Model):
    """What `bench check` lets pass."""

    time: TimeLimit = TimeLimit()
    memory: MemoryLimit = MemoryLimit()
    work: Exact = Exact()
    """Pairs allowed and computed, on any machine."""
    operators: Exact = Exact()
    """Calls of each operator, where both runs were profiled."""
    error: Exact = Exact()
    """The error against the oracle: it may double."""

    def severity(self, metric: str) -> Severity:
        """What a worsening of a metric means."""
        limit: Exact = getattr(self, metric)
        return limit.severity

    def changed(self, changes: dict[str, dict[str, str]]) -> Self:
        """With some keys of some metrics changed.

        Raises:
            ValidationError: a change is none.
        """
        told = self.model_dump()
        for metric, keys in changes.items():
            told[metric] = {**told[metric], **keys}
        return type(self).model_validate(told)


def share(percent: str) -> float:
    """A percentage as a share of 1."""
    return float(percent.removesuffix("%")) / 100


def _quantity(told: str, units: dict[str, float] | dict[str, int]) -> float:
    unit = told.lstrip("0123456789. ")
    return float(told.removesuffix(unit)) * units[unit]
