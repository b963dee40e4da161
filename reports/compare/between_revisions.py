"""Functions that read the results of `bench ab`: two revisions or environments measured in one run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from attnbench.reports.compare import metrics
from attnbench.reports.compare.comparison import COLUMNS, METRICS, NUMBERS, Comparison, Ending, lost_or_new
from attnbench.reports.data.reading import RunError, book
from attnbench.reports.data.settings import SIZES
from attnbench.reports.data.values import cell
from attnbench.reports.decision.decide import Decision, Rule, decide
from attnbench.reports.decision.pairs import largest_shown
from attnbench.reports.decision.rule import Verdict
from attnbench.suites import Case, Probe, Status, fingerprint
from attnbench.suites.records import paired_timing
from attnbench.suites.schema.limits import Check

ROWS = paired_timing.AB
_HOW = (
    "Both {what} were measured together: two live workers took turns of about a millisecond or a call, in pairs of "
    "fresh processes; what looked changed was confirmed on new pairs, with Holm's correction over what was flagged."
)
_UNTIMED = "Both {what} were checked, and no case was timed: why stands beside each."
IDENTICAL = "both revisions import the same files for it: not timed"
UNREACHED = "not reached: the run ended before"
UNTOUCHED = "imports nothing from --path on either side: it says nothing of them"
ONE_SIDED = "imports something from --path on one side alone: the other may have measured what is installed"
UNTESTED = (UNTOUCHED, ONE_SIDED)

_Row = Mapping[str, Any]


class Asked(NamedTuple):
    """Request of a comparison: what was to be compared, and how."""

    command: str
    suite: str
    """The name of the suite."""
    policy: Check
    rule: Rule
    sides: tuple[str, str]
    """The names of both revisions, with their commits, or of both environments."""
    cases: list[tuple[Case, str]]
    """Cases with their labels, because a variant may not exist here."""
    environments: Mapping[str, _Row] | None
    """Both environments, by side; None for revisions."""
    facts: _Row
    """Facts of the machine, and of the process that compared."""


def load(folder: Path) -> Comparison:
    """Read the comparison in `folder`.

    Raises:
        RunError: its rows are missing or cannot be read.
    """
    (_, suite, _, rule, sides, cases, environments, facts), rows = _read(folder)
    probes = {(row["arm"], row["probe"]["case"]): row for row in rows if row["kind"] == "probe"}
    pairs = [row for row in rows if row["kind"] == "pair"]
    same = _ratios(pairs, "same", set())
    noise = largest_shown(same) if same else None
    timed = {key for row in pairs for key in [*row["ratios"], *row["ended"]]}
    screen, confirm = (_ratios(pairs, stage, timed if stage == "screen" else set()) for stage in ("screen", "confirm"))
    try:
        decisions = decide(screen, confirm, rule)
    except ValueError as error:
        raise RunError(f"{folder / ROWS}: {error}") from None
    ended = _ended(pairs)
    told = [
        _told(case, label, probes, decisions.get(case.key), ended.get(case.key), noise, rule, environments is None)
        for case, label in cases
    ]
    frame = pd.DataFrame(told)
    for name in [f"{side}_{each}" for side in "ab" for each in NUMBERS]:
        frame[name] = frame[name].astype("Float64")
    metrics.add(frame, same_memory=True)
    frame.loc[frame["reason"].isin(UNTESTED), list(METRICS)] = Verdict.INCOMPARABLE.value
    what = "revisions" if environments is None else "environments"
    how = (_HOW if any(row["stage"] == "screen" for row in pairs) else _UNTIMED).format(what=what)
    differences = _differences(environments) if environments else {}
    return Comparison(
        *sides,
        frame[list(COLUMNS)],
        differences,
        how,
        rule,
        noise,
        suite=suite,
        cut=_cut(rows),
        what=what,
        environments=tuple(environments[side]["facts"] for side in "AB") if environments else (facts,),
    )


def asked(folder: Path) -> Asked:
    """Read the request of the comparison in `folder`.

    Raises:
        RunError: its rows are missing or cannot be read.
    """
    return _read(folder)[0]


def _read(folder: Path) -> tuple[Asked, list[dict[str, Any]]]:
    """Read the request and all rows."""
    told, rows = book(folder / ROWS)
    environments = told.get("environments")
    if environments is None:
        a, b = (f"{each['name']} ({each['commit'][:12]})" for each in (told["revisions"][side] for side in "AB"))
    else:
        a, b = (environments[side]["name"] for side in "AB")
    cases = [(Case.from_json(each), each["label"]) for each in told["cases"]]
    policy, rule = Check.model_validate(told["policy"]), Rule.of(told["pairs"])
    suite = (told.get("suite") or {}).get("name", "")
    return Asked(told["command"], suite, policy, rule, (a, b), cases, environments, told["facts"]), rows


def _differences(environments: Mapping[str, _Row]) -> dict[str, tuple[Any, Any]]:
    """Return the variables, packages and facts in which two environments differ, with both values."""
    a, b = environments["A"], environments["B"]
    found: dict[str, tuple[Any, Any]] = {}
    for kind, absent in (("variables", "as it was"), ("packages", "not installed")):
        names = sorted(a[kind].keys() | b[kind].keys())
        both = {name: (a[kind].get(name, absent), b[kind].get(name, absent)) for name in names}
        found |= {name: each for name, each in both.items() if each[0] != each[1]}
    return fingerprint.differences(a["facts"], b["facts"]) | found


def _ended(pairs: Sequence[_Row]) -> dict[str, Sequence[str]]:
    """Return how cases ended during timing, in B if they did there. Pairs of A with itself say nothing about B."""
    found: dict[str, Sequence[str]] = {}
    for row in pairs:
        if row["stage"] != "same":
            found |= {key: end for key, end in row["ended"].items() if end[0] == "B" or key not in found}
    return found


def _cut(rows: Sequence[_Row]) -> str:
    """Return why the comparison is incomplete; empty if it is complete."""
    kinds = {row["kind"]: row for row in rows}
    if "finished" in kinds:
        return ""
    spent = kinds.get("out_of_time")
    why = "It was interrupted" if spent is None else f"The suite's {spent['suite_s']:g} s (budget.suite_s) were spent"
    return f"{why}: what follows is not the whole."


def _told(
    case: Case,
    label: str,
    probes: Mapping[tuple[str, str], _Row],
    decision: Decision | None,
    ended: Sequence[str] | None,
    noise: float | None,
    rule: Rule,
    by_imports: bool,
) -> dict[str, Any]:
    """Return one row of the comparison, without the verdicts on other metrics than time."""
    probed = [probes.get((arm, case.key)) for arm in "AB"]
    a, b = (_probe(each, case) for each in probed)
    row: dict[str, Any] = {name: value if name in SIZES else cell(value) for name, value in case.flat().items()}
    row |= {"case": case.key, "label": label}
    row |= {"against": "", "a_ns": np.nan, "b_ns": np.nan, "limit": np.nan}
    verdict, reason = _verdict(probed, a, b, decision, ended, noise, rule, by_imports)
    names = ("ratio", "low", "high", "minimum_detectable")
    row |= {"verdict": verdict.value, "reason": reason, **dict.fromkeys((*names, "p_value"), np.nan), "processes": 0}
    if decision is not None and verdict not in (Verdict.ERROR, Verdict.NEW, Verdict.INCOMPARABLE):
        row |= {name: getattr(decision, name) for name in names} | {"processes": decision.pairs}
        row["p_value"] = np.nan if decision.p_value is None else decision.p_value
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
    by_imports: bool,
) -> tuple[Verdict, str]:
    """Return the verdict on a case and its reason. `by_imports` says that only imported files can differ."""
    imports = [row["imports"] for row in probed if row is not None]
    if len(imports) < len(probed):
        return Verdict.INCOMPARABLE, UNREACHED
    untimed = lost_or_new(Ending(a.status, a.reason), Ending(b.status, b.reason))
    if untimed:
        return untimed
    if by_imports and not all(imports) and (any(imports) or decision is None):
        return Verdict.INCOMPARABLE, ONE_SIDED if any(imports) else UNTOUCHED
    # A case that ended in A during timing keeps a change that was called from the pairs before.
    called = decision is not None and decision.verdict in (Verdict.REGRESSED, Verdict.IMPROVED)
    if ended and (ended[0] == "B" or not called):
        arm, status, reason = ended
        return Verdict.ERROR if arm == "B" else Verdict.INCONCLUSIVE, f"while {arm} was timed: {status}: {reason}"
    if decision is None:
        same = by_imports and imports[0] == imports[1]
        return (Verdict.UNCHANGED, IDENTICAL) if same else (Verdict.INCOMPARABLE, UNREACHED)
    # The machine may favour an arm. In one of 20 runs, the same code differed by 4 to 7 % (docs/trust.md).
    if called and noise is not None and noise > rule.floor:
        return Verdict.INCONCLUSIVE, f"{decision.verdict}, but the same code against itself differed by {noise:.1%}"
    return decision.verdict, decision.reason


def _probe(row: _Row | None, case: Case) -> Probe:
    return Probe(case.key, Status.SKIPPED, "not reached") if row is None else Probe.from_json(row["probe"])


def _ratios(pairs: Sequence[_Row], stage: str, keys: set[str]) -> dict[str, np.ndarray]:
    """Return the log ratios of a stage by case."""
    told: dict[str, list[float]] = {key: [] for key in sorted(keys)}
    for row in pairs:
        if row["stage"] == stage:
            for key, ratio in row["ratios"].items():
                told.setdefault(key, []).append(ratio)
    return {key: np.array(values, np.float64) for key, values in told.items()}
