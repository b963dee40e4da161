"""Judgement of a self-test: each figure is compared with its target."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from attnbench.reports.data.reading import RunError, book
from attnbench.reports.decision.decide import Decision, Rule, Verdict, decide
from attnbench.reports.selftest.closed_forms import flops
from attnbench.reports.stats.statistics import clopper_pearson_upper, clustered_interval
from attnbench.suites import Case, Status
from attnbench.suites.problem import found as found_instead
from attnbench.suites.records import paired_timing

ROWS = paired_timing.SELFTEST
_CALLED = (Verdict.REGRESSED, Verdict.IMPROVED)


@dataclass(frozen=True)
class Figure:
    """Figure of a self-test, with its target."""

    name: str
    found: str
    target: str
    holds: bool | None
    """None if there is nothing to judge."""
    otherwise: str
    """What to change if the target is missed."""


class Called(NamedTuple):
    """Number of decisions on cases with an injected slow-down, a ratio minus 1, and of those that were `regressed`."""

    slowdown: float
    regressed: int
    decisions: int


@dataclass(frozen=True)
class Selftest:
    """Self-test that was read from its folder and judged."""

    environment: Mapping[str, Any]
    cases: Mapping[str, Case]
    called: Sequence[Called]
    """One entry for each injected slow-down, ascending."""
    spreads: Mapping[str, float]
    """The standard deviation of a pair's log ratio over all A/A screening pairs, by case."""
    figures: Sequence[Figure]

    @property
    def noise(self) -> list[tuple[str, float]]:
        """The title and the spread of a pair, in percent, of each case; spreads ascend."""
        ordered = sorted(self.spreads.items(), key=lambda each: each[1])
        return [(self.cases[key].title, 100 * math.expm1(value)) for key, value in ordered]

    @property
    def median_noise(self) -> float:
        """The spread of a pair of the median case, in percent."""
        return median(percent for _, percent in self.noise)

    @property
    def trusted(self) -> bool:
        """Check that no figure failed."""
        return not any(figure.holds is False for figure in self.figures)


def load(folder: Path) -> Selftest:
    """Read and judge the self-test in `folder`.

    Raises:
        RunError: its rows are missing or cannot be read.
    """
    environment, rows = book(folder / ROWS)
    cases = {row["key"]: Case.from_json(row["case"]) for row in rows if row["kind"] == "case"}
    decided = [row for row in rows if row["kind"] == "decision"]
    decisions: dict[float, list[dict[str, Decision]]] = {}
    try:
        _refuse_others(cases, decided)
        for row in sorted(decided, key=lambda row: row["slowdown"]):
            decisions.setdefault(row["slowdown"], []).append(_decide(row, Rule.of(environment["pairs"])))
    except ValueError as error:
        raise RunError(f"{folder / ROWS}: {error}") from None
    same = [row for row in decided if row["slowdown"] == 0]
    called = [_called(slowdown, runs) for slowdown, runs in decisions.items()]
    figures = [
        *_same_code(decisions.get(0.0, [])),
        *(_power(each) for each in called if each.slowdown > 0),
        *_agreement(rows),
        *_costs(rows, same),
        *_memory(rows, cases),
    ]
    return Selftest(environment["facts"], cases, called, _spreads(same), figures)


def _refuse_others(cases: Mapping[str, Case], decided: Sequence[Mapping[str, Any]]) -> None:
    """Check that all cases are known here, and that all decisions are on these cases.

    Raises:
        ValueError: a case is unknown, or a decision is on another case.
    """
    for case in cases.values():
        try:
            flops(case), case.title
        except (ArithmeticError, AttributeError, ImportError, LookupError, TypeError, ValueError):
            told = f"expected a variant that is known here, with its parameters, {found_instead(case.mechanism.name)}"
            raise ValueError(told) from None
    others = {key for row in decided for stage in ("screen", "confirm") for key in row[stage]} - cases.keys()
    if others:
        raise ValueError(f"expected decisions on the cases of the self-test, {found_instead(min(others))}")


def _decide(row: Mapping[str, Any], rule: Rule) -> dict[str, Decision]:
    screen = {key: np.array(values) for key, values in row["screen"].items()}
    confirm = {key: np.array(values) for key, values in row["confirm"].items()}
    return decide(screen, confirm, rule)


def _same_code(runs: Sequence[Mapping[str, Decision]]) -> list[Figure]:
    """Judge false alarms by run, and the share of intervals of the ratio that cover 1."""
    if not runs:
        return []
    # The unit is the run: errors of cases within one are not independent.
    alarms = sum(any(each.verdict in _CALLED for each in run.values()) for run in runs)
    upper = clopper_pearson_upper(alarms, len(runs))
    judged = sum(len(run) for run in runs)
    told = f"{alarms} of {len(runs)}, {judged} decisions; the true rate is below {upper:.1%} with 95 % confidence"
    shared = [key for key in runs[0] if all(key in run and run[key].pairs >= 3 for run in runs)]
    covered, holds = _coverage([[run[key].low <= 1 <= run[key].high for key in shared] for run in runs])
    otherwise = "The spread between processes is not what it seems: quiet the machine, see bench doctor."
    return [
        Figure("A/A runs with a false call", told, "0", alarms == 0, "Find out what else runs here: bench doctor."),
        Figure("95 % intervals that cover 1, A/A", covered, "at least 93 %", holds, otherwise),
    ]


def _coverage(covers: Sequence[Sequence[bool]]) -> tuple[str, bool | None]:
    """Return the share of intervals, by run and case, that cover the truth, and whether that is enough."""
    if not covers[0]:
        return "no case has three pairs in every run", None
    rate = clustered_interval(np.array(covers))
    spread = "" if np.isnan(rate.low) else f" [{rate.low:.1%}, {rate.high:.1%}] over runs"
    return f"{rate.share:.1%}{spread}", rate.share >= 0.93


def _called(slowdown: float, runs: Sequence[Mapping[str, Decision]]) -> Called:
    verdicts = [each.verdict for run in runs for each in run.values()]
    return Called(slowdown, sum(each is Verdict.REGRESSED for each in verdicts), len(verdicts))


def _power(called: Called) -> Figure:
    """Judge the share of slower cases that were called `regressed`."""
    slowdown, found, of = called
    target = {0.05: 0.95, 0.10: 0.99}.get(slowdown)
    return Figure(
        f"a true slow-down of {slowdown:.0%} that is found",
        f"{found} of {of} ({found / of:.1%})" if of else "no case has enough calls in a value",
        f"at least {target:.0%}" if target else "reported, no target",
        found / of >= target if target and of else None,
        "At this spread no more is found: quiet the machine, see bench doctor.",
    )


def _agreement(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Compare our clock with torch's timer, interleaved in one process."""
    told = [row for row in rows if row["kind"] == "agreement"]
    ratios = [_median_log_ratio(pairs) for row in told for pairs in row["pairs_ns"].values()]
    if not ratios:
        return []
    close = sum(abs(ratio) <= math.log(1.02) for ratio in ratios)
    found = f"{close} of {len(ratios)} ({close / len(ratios):.1%}), furthest {math.exp(max(ratios, key=abs)):.3f}"
    name = "cases whose median ratio to torch's timer is within 2 %"
    otherwise = "Quiet the machine; where it stays, the loop around the call is at fault."
    return [Figure(name, found, "at least 95 %", close >= 0.95 * len(ratios), otherwise)]


def _costs(rows: Sequence[Mapping[str, Any]], same: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Judge the cost of measuring: the loop around a call, and the CPU time of the parent."""
    figures = []
    for row in (row for row in rows if row["kind"] == "overhead"):
        share = row["empty_ns"] * row["calls"] / row["value_ns"]
        told = f"{share:.3%} of a value of {row['calls']} calls, the most that any case has"
        otherwise = "Calls are too short beside the loop around them: give SUITE longer sequences."
        figures.append(Figure("overhead inside the timed region", told, "at most 0.1 %", share <= 0.001, otherwise))
    if same:
        share = sum(row["parent_cpu_s"] for row in same) / sum(row["wall_s"] for row in same)
        otherwise = "The parent takes time from what it measures: give SUITE fewer threads than there are cores."
        found = f"{share:.2%} of a core"
        figures.append(Figure("the parent's CPU while workers measure", found, "under 2 %", share < 0.02, otherwise))
    return figures


def _memory(rows: Sequence[Mapping[str, Any]], cases: Mapping[str, Case]) -> list[Figure]:
    """Check that peak bytes and work are equal in every process and agree with their formulas."""
    told = [row["peak_flops_pairs"] for row in rows if row["kind"] == "memory"]
    probes = {row["key"]: row["probe"] for row in rows if row["kind"] == "case"}
    probes = {key: probe for key, probe in probes.items() if probe["status"] == Status.PASSED}
    equal = [all(row.get(key) == told[0][key] for row in told) for key in (told[0] if told else ())]
    known = [(probe.get("flops"), flops(cases[key])) for key, probe in probes.items()]
    predicted = [(probe.get("peak_bytes"), probe.get("predicted_bytes")) for probe in probes.values()]
    return [
        *_all(
            "cases whose peak bytes and work are bit-equal over processes",
            equal,
            "Something allocates by chance: name the case in an issue.",
            f" cases, {len(told)} processes each",
        ),
        *_all(
            "FLOPs that equal the closed form",
            [counted == expected for counted, expected in known if expected is not None],
            "A pattern counts other pairs than its formula: name the case in an issue.",
        ),
        *_all(
            "peaks within 10 % of the implementation's formula",
            [abs(peak / bytes_ - 1) <= 0.1 for peak, bytes_ in predicted if bytes_ and peak is not None],
            "An implementation's formula does not fit this version of torch: its prediction is off, not its peak.",
        ),
    ]


def _all(name: str, holds: Sequence[bool], otherwise: str, words: str = "") -> list[Figure]:
    """Return a figure that must hold for all cases; none if there are no cases."""
    found = f"{sum(holds)} of {len(holds)}{words}"
    return [Figure(name, found, "all", all(holds), otherwise)] if holds else []


def _spreads(same: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    ratios: dict[str, list[float]] = {}
    for row in same:
        for key, values in row["screen"].items():
            ratios.setdefault(key, []).extend(values)
    return {key: float(np.std(values, ddof=1)) for key, values in ratios.items() if len(values) > 1}


def _median_log_ratio(pairs: Sequence[Sequence[float]]) -> float:
    ours, theirs = np.array(pairs).T
    return float(np.median(np.log(ours / theirs)))
