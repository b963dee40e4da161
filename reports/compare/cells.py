"""Table cells for one case of a comparison."""

import math

import pandas as pd

from attnbench.reports.compare.comparison import METRICS, UNDECIDED, Comparison
from attnbench.reports.data.settings import told
from attnbench.reports.decision.rule import Verdict
from attnbench.reports.text import units


def title(row: pd.Series, named: set[str]) -> str:
    """Name a case by its `named` settings: `local_window(window=257)/blockwise N=4096 (training)`."""
    setting = ", ".join(told(row, named))
    against = f" against {row['against']}" if row["against"] else ""
    return f"{row['label']}/{row['implementation']} N={row['seq_len']}{f' ({setting})' if setting else ''}{against}"


def change(row: pd.Series) -> str:
    """Write a ratio: `1.12x (1.08 to 1.16)`; empty if there is none."""
    ratio = row["ratio"]
    return "" if math.isnan(ratio) else units.interval(ratio, row["low"], row["high"], "x")


def limits(row: pd.Series, comparison: Comparison) -> str:
    """Write the limits of a case in those metrics in which the limits of cases differ: `time fail above 30%`."""
    policy = (comparison.policies or {}).get(row["case"])
    return "" if policy is None else ", ".join(f"{name} {policy.limit(name)}" for name in comparison.limited)


def others(row: pd.Series, comparison: Comparison) -> str:
    """Write other verdicts than that on time that say something, the reason of that on time, and limits that differ."""
    written = {name: metric(row, name) for name in METRICS}
    quiet = (Verdict.UNCHANGED, Verdict.INCOMPARABLE)
    told = [f"{name} {written[name]}" for name in METRICS if row[name] not in quiet]
    reason = "" if row["reason"] == UNDECIDED else str(row["reason"])
    limit = limits(row, comparison)
    return "; ".join(filter(None, [*told, reason, f"limit: {limit}" if limit else ""]))


def time(ns: float) -> str:
    """Write a time: `3.1 ms`; empty if there is none."""
    return "" if pd.isna(ns) else units.time(ns)


def memory(row: pd.Series) -> str:
    """Write the verdict and, if they differ, both peaks; in bytes if three digits look the same."""
    if row["memory"] not in ("regressed", "improved"):
        return str(row["memory"])
    peaks = row["a_peak_bytes"], row["b_peak_bytes"]
    a, b = (units.size(each) for each in peaks)
    if a == b:
        a, b = (f"{int(each):,} B" for each in peaks)
    return f"{row['memory']} {a} to {b}"


def work(row: pd.Series) -> str:
    """Write the verdict and, if they differ, both numbers of allowed pairs, else of computed pairs."""
    pairs = [(row[f"a_{kind}_pairs"], row[f"b_{kind}_pairs"]) for kind in ("allowed", "computed")]
    told = [f"{int(a):,} to {int(b):,}" for a, b in pairs if not pd.isna(a) and not pd.isna(b) and a != b]
    return " ".join([str(row["work"]), *told[:1]])


def operators(row: pd.Series) -> str:
    """Write the verdict with the operators that differ; empty if they were not compared."""
    if row["operators"] == "incomparable":
        return ""
    return f"{row['operators']} {row['operators_changed']}".rstrip()


def metric(row: pd.Series, name: str) -> str:
    """Write the verdict on a metric, and what was found: `unchanged 1.003x (0.994 to 1.012), detectable 2.1%`."""
    if name != "time":
        return {"memory": memory, "work": work, "operators": operators, "error": error}[name](row)
    told = f"{row['verdict']} {change(row)}".rstrip()
    detectable = units.change(row["minimum_detectable"])
    told += f", detectable {detectable}" if detectable else ""
    return f"{told}: {row['reason']}" if row["reason"] else told


def error(row: pd.Series) -> str:
    """Write `unchanged`, or the verdict with both errors."""
    if row["error"] == "unchanged" or pd.isna(row["a_max_abs_error"]) or pd.isna(row["b_max_abs_error"]):
        return str(row["error"])
    return f"{row['error']} {row['a_max_abs_error']:.1e} to {row['b_max_abs_error']:.1e}"
