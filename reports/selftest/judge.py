"""Judges a self-test: each figure against its target."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.reports.data.reading import RunError, book
from attnbench.reports.decision.decide import Decision, Rule, Verdict, decide
from attnbench.reports.decision.rates import clopper_pearson_upper, clustered_interval
from attnbench.reports.selftest.closed_forms import flops
from attnbench.reports.stats.statistics import FloatArray
from attnbench.suites import Case, Status
from attnbench.suites.problem import found as found_instead
from attnbench.suites.records import paired_timing

ROWS = paired_timing.SELFTEST
_CALLED = (Verdict.REGRESSED, Verdict.IMPROVED)


@dataclass(frozen=True)
class Figure:
    """One figure of a self-test."""

    name: str
    found: str
    target: str
    holds: bool | None
    """None where there is nothing to judge yet."""
    otherwise: str
    """What to change where it does not hold."""


@dataclass(frozen=True)
class Selftest:
    """A self-test, read and judged."""

    environment: Mapping[str, Any]
    cases: Mapping[str, Case]
    decisions: Mapping[float, Sequence[Mapping[str, Decision]]]
    """By injected slow-down, one decision a run."""
    spreads: Mapping[str, float]
    """Of each case, the standard deviation of a pair's log ratio over all A/A screening pairs."""
    figures: Sequence[Figure]

    @property
    def trusted(self) -> bool:
        """Whether no figure failed."""
        return not any(figure.holds is False for figure in self.figures)


def load(folder: Path) -> Selftest:
    """The self-test in `folder`.

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
    figures = [
        *_same_code(decisions.get(0.0, [])),
        *(_power(slowdown, runs) for slowdown, runs in decisions.items() if slowdown > 0),
        *_agreement(rows),
        *_costs(rows, same),
        *_memory(rows, cases),
    ]
    return Selftest(environment["facts"], cases, decisions, _spreads(same), figures)


def _refuse_others(cases: Mapping[str, Case], decided: Sequence[Mapping[str, Any]]) -> None:
    """Refuse cases that are none here, and decisions on others than the cases.

    Raises:
        ValueError: there are some.
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
    """False alarms by run, and how often the interval of the ratio covers 1."""
    if not runs:
        return []
    alarms = sum(any(each.verdict in _CALLED for each in run.values()) for run in runs)
    upper = clopper_pearson_upper(alarms, len(runs))
    judged = sum(len(run) for run in runs)
    shared = [key for key in runs[0] if all(key in run and run[key].pairs >= 3 for run in runs)]
    covered, holds = _coverage([[run[key].low <= 1 <= run[key].high for key in shared] for run in runs])
    return [
        Figure(
            "A/A runs with a false call",
            f"{alarms} of {len(runs)}, {judged} decisions; the true rate is below {upper:.1%} with 95 % confidence",
            "0",
            alarms == 0,
            "Find out what else runs here: bench doctor.",
        ),
        Figure(
            "95 % intervals that cover 1, A/A",
            covered,
            "at least 93 %",
            holds,
            "The spread between processes is not what it seems: quiet the machine, see bench doctor.",
        ),
    ]


def _coverage(covers: Sequence[Sequence[bool]]) -> tuple[str, bool | None]:
    """The share of intervals, by run and case, that cover the truth, and whether that is enough."""
    if not covers[0]:
        return "no case has three pairs in every run", None
    rate = clustered_interval(np.array(covers))
    spread = "" if np.isnan(rate.low) else f" [{rate.low:.1%}, {rate.high:.1%}] over runs"
    return f"{rate.share:.1%}{spread}", rate.share >= 0.93


def _power(slowdown: float, runs: Sequence[Mapping[str, Decision]]) -> Figure:
    """The share of slower cases that were called `regressed`."""
    called = Counter(each.verdict for run in runs for each in run.values())
    found, of = called[Verdict.REGRESSED], sum(called.values())
    target = {0.05: 0.95, 0.10: 0.99}.get(slowdown)
    return Figure(
        f"a true slow-down of {slowdown:.0%} that is found",
        f"{found} of {of} ({found / of:.1%})" if of else "no case has enough calls in a value",
        f"at least {target:.0%}" if target else "reported, no target",
        found / of >= target if target and of else None,
        "At this spread no more is found: quiet the machine, see bench doctor.",
    )


def _agreement(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Our clock against torch's timer, interleaved in one process."""
    told = [row for row in rows if row["kind"] == "agreement"]
    ratios = [_median_ratio(pairs) for row in told for pairs in row["pairs_ns"].values()]
    if not ratios:
        return []
    close = sum(1 / 1.02 <= ratio <= 1.02 for ratio in ratios)
    return [
        Figure(
            "cases whose median ratio to torch's timer is within 2 %",
            f"{close} of {len(ratios)} ({close / len(ratios):.1%}), furthest {max(ratios, key=_distance):.3f}",
            "at least 95 %",
            close >= 0.95 * len(ratios),
            "Quiet the machine; where it stays, the loop around the call is at fault.",
        )
    ]


def _costs(rows: Sequence[Mapping[str, Any]], same: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """What measuring itself takes."""
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
    """Peak bytes and work: the same in every process, and what closed forms say."""
    told = [row["peak_flops_pairs"] for row in rows if row["kind"] == "memory"]
    figures = []
    if told:
        equal = sum(all(row.get(key) == told[0][key] for row in told) for key in told[0])
        found = f"{equal} of {len(told[0])} cases, {len(told)} processes each"
        otherwise = "Something allocates by chance: name the case in an issue."
        name = "cases whose peak bytes and work are bit-equal over processes"
        figures.append(Figure(name, found, "all", equal == len(told[0]), otherwise))
    probes = {row["key"]: row["probe"] for row in rows if row["kind"] == "case"}
    probes = {key: probe for key, probe in probes.items() if probe["status"] == Status.PASSED}
    expected = {key: flops(cases[key]) for key in probes}
    known = {key: value for key, value in expected.items() if value is not None}
    if known:
        equal = sum(probes[key].get("flops") == value for key, value in known.items())
        otherwise = "A pattern counts other pairs than its formula: name the case in an issue."
        found = f"{equal} of {len(known)}"
        figures.append(Figure("FLOPs that equal the closed form", found, "all", equal == len(known), otherwise))
    predicted = [(probe.get("peak_bytes"), probe.get("predicted_bytes")) for probe in probes.values()]
    predicted = [(peak, bytes_) for peak, bytes_ in predicted if bytes_ and peak is not None]
    if predicted:
        near = sum(abs(peak / bytes_ - 1) <= 0.1 for peak, bytes_ in predicted)
        otherwise = (
            "An implementation's formula does not fit this version of torch: its prediction is off, not its peak."
        )
        found = f"{near} of {len(predicted)}"
        name = "peaks within 10 % of the implementation's formula"
        figures.append(Figure(name, found, "all", near == len(predicted), otherwise))
    return figures


def _spreads(same: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    ratios: dict[str, list[float]] = {}
    for row in same:
        for key, values in row["screen"].items():
            ratios.setdefault(key, []).extend(values)
    return {key: float(np.std(values, ddof=1)) for key, values in ratios.items() if len(values) > 1}


def _median_ratio(pairs: Sequence[Sequence[float]]) -> float:
    ours, theirs = np.array(pairs).T
    return float(np.exp(np.median(np.log(ours / theirs))))


def _distance(ratio: float) -> float:
    return abs(float(np.log(ratio)))


def noise_floor(found: Selftest) -> FloatArray:
    """The spread of a pair of each case, in percent, ascending."""
    return np.sort(100 * np.expm1(np.array(list(found.spreads.values()))))
