"""What `bench ab` left, read: two revisions that were measured in one go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attnbench.reports.comparison import COLUMNS, NUMBERS, Comparison, Ending, lost_or_new, metrics
from attnbench.reports.decision import Decision, Rule, decide
from attnbench.reports.decision.pairs import largest_shown
from attnbench.reports.journal import book
from attnbench.reports.verdict import Verdict
from attnbench.suites import Case, Probe, Status

ROWS = "ab.jsonl"
_HOW = (
    "Both revisions were measured together: two live workers took turns of about a millisecond, in pairs of fresh "
    "processes; what looked changed was confirmed on new pairs, with Holm's correction over what was flagged."
)
IDENTICAL = "both revisions import the same files for it: not timed"
UNREACHED = "not reached: the run ended before"

_Row = Mapping[str, Any]


def load(folder: Path) -> Comparison:
    """The comparison in `folder`.

    Raises:
        RunError: its rows are missing or cannot be read.
    """
    environment, rows = book(folder / ROWS)
    cases = [Case.from_json(each) for each in environment["cases"]]
    rule = Rule.of(environment["pairs"])
    probes = {(row["arm"], row["probe"]["case"]): row for row in rows if row["kind"] == "probe"}
    pairs = [row for row in rows if row["kind"] == "pair"]
    same = _ratios(pairs, "same", set())
    noise = largest_shown(same) if same else None
    timed = {key for row in pairs for key in [*row["ratios"], *row["ended"]]}
    screen, confirm = (_ratios(pairs, stage, timed if stage == "screen" else set()) for stage in ("screen", "confirm"))
    decisions = decide(screen, confirm, rule)
    ended = {key: end for row in pairs for key, end in row["ended"].items()}
    told = [_told(case, probes, decisions.get(case.key), ended.get(case.key), noise, rule) for case in cases]
    frame = pd.DataFrame(told)
    for name in [f"{side}_{each}" for side in "ab" for each in NUMBERS]:
        frame[name] = frame[name].astype("Float64")
    metrics.add(frame, same_memory=True)
    revisions = environment["revisions"]
    names = [f"{each['name']} ({each['commit'][:12]})" for each in (revisions["A"], revisions["B"])]
    finished = any(row["kind"] == "finished" for row in rows)
    how = _HOW if finished else f"It was interrupted: what follows is not the whole. {_HOW}"
    return Comparison(names[0], names[1], frame[list(COLUMNS)], {}, how, rule, noise)


def _told(
    case: Case,
    probes: Mapping[tuple[str, str], _Row],
    decision: Decision | None,
    ended: Sequence[str] | None,
    noise: float | None,
    rule: Rule,
) -> dict[str, Any]:
    """One row of the comparison, its other metrics still open."""
    probed = [probes.get((arm, case.key)) for arm in "AB"]
    a, b = (_probe(each, case) for each in probed)
    row: dict[str, Any] = {
        name: getattr(case, name) for name in ("label", "implementation", "dtype", "device", "direction")
    }
    row |= {name: getattr(case.shape, name) for name in ("batch", "heads", "kv_heads", "seq_len", "head_dim", "layout")}
    row |= {"case": case.key, "threads": str(case.threads), "against": "", "a_ns": np.nan, "b_ns": np.nan}
    verdict, reason = _verdict(probed, a, b, decision, ended, noise, rule)
    open_ = decision is None or verdict in (Verdict.ERROR, Verdict.NEW, Verdict.INCOMPARABLE)
    numbers = (
        (np.nan, np.nan, np.nan, np.nan, np.nan, 0)
        if open_ or decision is None
        else (
            *(decision.ratio, decision.low, decision.high, decision.minimum_detectable),
            *(np.nan if decision.p_value is None else decision.p_value, decision.pairs),
        )
    )
    names = ("ratio", "low", "high", "minimum_detectable", "p_value", "processes")
    row |= {"verdict": verdict.value, "reason": reason, **dict(zip(names, numbers, strict=True))}
    for side, probe in (("a", a), ("b", b)):
        row |= {f"{side}_{name}": getattr(probe, name) for name in NUMBERS}
    return row


def _verdict(
    probed: Sequence[_Row | None],
    a: Probe,
    b: Probe,
    decision: Decision | None,
    ended: Sequence[str] | None,
    noise: float | None,
    rule: Rule,
) -> tuple[Verdict, str]:
    """The verdict on a case, and why."""
    imports = [row["imports"] for row in probed if row is not None]
    if len(imports) < len(probed):
        return Verdict.INCOMPARABLE, UNREACHED
    untimed = lost_or_new(Ending(a.status, a.reason), Ending(b.status, b.reason))
    if untimed:
        return untimed
    if ended:
        arm, status, reason = ended
        return Verdict.ERROR if arm == "B" else Verdict.INCONCLUSIVE, f"while {arm} was timed: {status}: {reason}"
    if decision is None:
        return (Verdict.UNCHANGED, IDENTICAL) if imports[0] == imports[1] else (Verdict.INCOMPARABLE, UNREACHED)
    if decision.verdict in (Verdict.REGRESSED, Verdict.IMPROVED) and noise is not None and noise > rule.floor:
        return Verdict.INCONCLUSIVE, f"{decision.verdict}, but the same code against itself differed by {noise:.1%}"
    return decision.verdict, decision.reason


def _probe(row: _Row | None, case: Case) -> Probe:
    return Probe(case.key, Status.SKIPPED, "not reached") if row is None else Probe.from_json(row["probe"])


def _ratios(pairs: Sequence[_Row], stage: str, keys: set[str]) -> dict[str, np.ndarray]:
    """The log ratios of a stage by case."""
    told: dict[str, list[float]] = {key: [] for key in sorted(keys)}
    for row in pairs:
        if row["stage"] == stage:
            for key, ratio in row["ratios"].items():
                told.setdefault(key, []).append(ratio)
    return {key: np.array(values, np.float64) for key, values in told.items()}
