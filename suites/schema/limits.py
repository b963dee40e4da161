"""Limits of a suite: how often it measures, what it may use, and what `bench check` allows."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Required

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StrictFloat,
    StrictInt,
    model_serializer,
)

from attnbench.suites.case import Case
from attnbench.suites.schema.choices import MOST_EXCLUSIONS, choices
from attnbench.suites.schema.expand import Exclusion, matching
from attnbench.suites.schema.kinds import Late, Model, mapping

Severity = Literal["fail", "warn", "ignore"]
TIMES = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_DECIMAL = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SIZES = {**_DECIMAL, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BUDGET = rf"^[1-9][0-9]{{0,5}}(\.[0-9]{{1,6}})? ?({'|'.join(SIZES)})$"
_NUMBER = r"^[0-9]{1,9}(\.[0-9]{1,6})?"
_Seconds = Annotated[StrictFloat, Field(ge=0.001, le=1_000_000)]
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?%$", title='a percentage such as "5%"')]
_Time = Annotated[str, Field(pattern=rf"{_NUMBER} ?({'|'.join(TIMES)})$", title='a time such as "50us"')]
_Size = Annotated[str, Field(pattern=rf"{_NUMBER} ?({'|'.join(SIZES)})$", title='a size such as "1MiB"')]
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
        return int(_quantity(self.memory, SIZES))


class Exact(Model):
    """A metric in which any change for the worse counts."""

    severity: Severity = "fail"
    """Whether a worse result fails the check, is a warning, or is ignored."""

    def __str__(self) -> str:
        """Return the limit in words: `fail`, `fail above 10% or 20us`."""
        amounts = [getattr(self, name, "0") for name in ("relative", "absolute")]
        told = " or ".join(each for each in amounts if re.search("[1-9]", each))
        return f"{self.severity} above {told}" if told and self.severity != "ignore" else self.severity


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
        relative, absolute_ns = share(self.relative), _quantity(self.absolute, TIMES)
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
        return grown <= max(share(self.relative) * stored_bytes, _quantity(self.absolute, SIZES))


def _stored(where: Any) -> Exclusion:
    """Return the names and values of an entry in a record."""
    if not isinstance(where, Mapping) or not all(isinstance(each, list | tuple) for each in where.values()):
        raise ValueError("expected names with lists of values")
    # A value that is a list in JSON is a pair.
    return {
        name: tuple(tuple(each) if isinstance(each, list) else each for each in held) for name, held in where.items()
    }


def _some(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry if it sets some limit, or raise."""
    if not entry.keys() - {"where"}:
        raise ValueError("expected some limit, found none")
    return entry


class _Metrics(Model):
    """The limit of each metric."""

    time: TimeLimit = TimeLimit()
    memory: MemoryLimit = MemoryLimit()
    work: Exact = Exact()
    """Allowed and computed pairs, on any machine."""
    operators: Exact = Exact()
    """Calls of each operator, if both runs were profiled."""
    error: Exact = Exact()
    """The error against the oracle. It may double."""


METRICS = tuple(_Metrics.model_fields)


def _some_of(limit: type[Exact]) -> Any:
    """Return the type of some keys of a limit, without their defaults."""
    keys = {
        name: Annotated[(each.annotation, *each.metadata, Field(title=each.title, description=each.description))]
        for name, each in limit.model_fields.items()
    }
    described = {"description": limit.__doc__, "minProperties": 1}
    return Annotated[mapping(f"Some{limit.__name__}", keys, **described), AfterValidator(_some)]


_WHERE = Field(description="The cases that the limits are for, as in an entry of `exclude`.")
_Where: Any = Annotated[Any, Late(lambda: choices().exclusion, _stored), _WHERE]
_KINDS = {kind: _some_of(kind) for kind in (TimeLimit, MemoryLimit, Exact)}
_SOME = {
    name: Annotated[_KINDS[type(each.default)], Field(description=each.description)]
    for name, each in _Metrics.model_fields.items()
}
_Entry: Any = Annotated[
    mapping("CaseLimits", {"where": Required[_Where], **_SOME}, minProperties=2), AfterValidator(_some)
]


class Check(_Metrics):
    """What `bench check` allows."""

    cases: Annotated[tuple[_Entry, ...], Field(max_length=MOST_EXCLUSIONS)] = ()
    """Other limits for some cases. Of the entries that match a case and set a key, the last holds."""

    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out `cases` if there are none: records then are as they were before there was this key."""
        told: dict[str, Any] = dump(self)
        return told if self.cases else {name: each for name, each in told.items() if name != "cases"}

    def by_case(self, cases: Mapping[str, Case]) -> "dict[str, Check]":
        """Return the policy of each case, by key: this one without entries, with those that match the case."""
        holding: dict[str, tuple[int, ...]] = dict.fromkeys(cases, ())
        for place, keys in enumerate(matching(cases, [entry["where"] for entry in self.cases])):
            holding |= {key: (*holding[key], place) for key in keys}
        made = {places: self._with(self.cases[place] for place in places) for places in set(holding.values())}
        return {key: made[places] for key, places in holding.items()}

    def _with(self, entries: Iterable[Mapping[str, Any]]) -> "Check":
        """Return the policy with the limits of some entries, the later over the earlier ones."""
        limits = self.model_dump(include=set(METRICS))
        for entry in entries:
            limits = {metric: {**held, **entry.get(metric, {})} for metric, held in limits.items()}
        return Check.model_validate(limits)

    def limit(self, metric: str) -> Exact:
        """Return the limit of a metric."""
        limit: Exact = getattr(self, metric)
        return limit

    def severity(self, metric: str) -> Severity:
        """Return the severity of a worse result of a metric."""
        return self.limit(metric).severity


def share(percent: str) -> float:
    """Return a percentage as a fraction."""
    return float(percent.removesuffix("%")) / 100


def _quantity(told: str, units: Mapping[str, float]) -> float:
    """Convert a number with a unit to the base unit."""
    unit = told.lstrip("0123456789. ")
    return float(told.removesuffix(unit)) * units[unit]
