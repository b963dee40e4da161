"""Tables of a run: CSV for programs, Markdown for readers."""

import math
from collections.abc import Callable

import pandas as pd

from attnbench.reports import escape, units
from attnbench.reports.frame import Run
from attnbench.reports.scaling import ALWAYS, CROSSES, NEVER, UNCLEAR
from attnbench.reports.settings import SERIES, SETTING, Setting, attempted, settings, told, varied

SHORT = {
    "wrong": "WRONG",
    "out_of_memory": "OOM",
    "timed_out": "TIME-OUT",
    "crashed": "CRASHED",
    "failed": "FAILED",
    "unsupported": "n/a",
    "skipped": "skipped",
}
"""How a status other than `passed` is written in a cell."""

NOTHING = "No case was measured."


def csv(frame: pd.DataFrame) -> str:
    """Every column of a frame; empty where there is no number."""
    return frame.to_csv(index=False, lineterminator="\n")


def markdown(run: Run) -> str:
    """All tables: time and memory, scaling, work, and what did not pass."""
    found = settings(run.frame)
    parts = [lengths(each) for each in found] or [NOTHING]
    parts += [growth(run.scaling, each) for each in found]
    parts += [work(each) for each in found if (each.frame["status"] == "passed").any()]
    return "\n\n".join([*parts, failures(run.frame)]) + "\n"


def lengths(setting: Setting) -> str:
    """Series by length, as in Long Range Arena: calls per second, then peak memory."""
    columns = sorted(setting.frame["seq_len"].unique())
    header = [f"N = {n}" for n in columns]
    title, against = escape.text(setting.title), _against(setting.frame)
    rows = [(name, part.set_index("seq_len")) for name, part in attempted(setting.frame)]
    speed = [[escape.text(name), *(_cell(part, n, _speed) for n in columns)] for name, part in rows]
    memory = [[escape.text(name), *(_cell(part, n, _memory) for n in columns)] for name, part in rows]
    return "\n\n".join(
        [
            f"### {title}: calls per second{against and f' (times {against})'}",
            escape.table(["", *header], speed),
            f"### {title}: peak memory{against and f' (fraction of {against})'}",
            escape.table(["", *header], memory),
        ]
    )


def growth(scaling: pd.DataFrame, setting: Setting) -> str:
    """Growth exponents with their intervals, and the length from which each series is faster."""
    keys = setting.frame[list(SETTING)].iloc[0]
    chosen = scaling[(scaling[list(SETTING)] == keys).all(axis=1)]
    names = {name for name, _ in attempted(setting.frame)}
    rows = [
        [escape.text(name), _exponent(row), *_memory_growth(row), crossover(row) or "–"]
        for _, row in chosen.iterrows()
        if (name := "/".join(row[list(SERIES)])) in names
    ]
    against = _against(setting.frame) or "the baseline"
    header = ["", "time grows as", "memory grows as", "fitted over N", f"faster than {against}"]
    return f"### {escape.text(setting.title)}: growth\n\n" + escape.table(header, rows)


def work(setting: Setting) -> str:
    """Work and what it bought, at the longest length that the most series passed."""
    n = common_length(setting.frame)
    header = ["", "allowed pairs", "computed pairs", "waste", "GFLOP/s", "bound", "speed-up", "realised", "error"]
    rows = []
    for name, part in attempted(setting.frame):
        at = part[part["seq_len"] == n]
        if len(at):
            rows.append([escape.text(name), *_work(at.iloc[0])])
    return f"### {escape.text(setting.title)}: work at N = {n}\n\n" + escape.table(header, rows)


def failures(frame: pd.DataFrame) -> str:
    """Every case that did not pass, those with the same reason together."""
    parts = ["### What did not pass"]
    failed = frame[frame["status"] != "passed"]
    if not len(failed):
        return "\n\n".join([*parts, "Every case passed." if len(frame) else "The run has no cases."])
    rows = [
        [escape.text(status), escape.text(reason), str(len(part)), escape.text(which(frame, part))]
        for (status, reason), part in failed.groupby(["status", "reason"], sort=False)
    ]
    return "\n\n".join([*parts, escape.table(["status", "reason", "cases", "which"], rows)])


def which(frame: pd.DataFrame, part: pd.DataFrame) -> str:
    """Names for some cases of a frame: `full/eager at N = 4096, 8192 (forward); ...`."""
    if len(part) == frame["device"].isin(part["device"]).sum():
        return f"every case on {' and '.join(part['device'].unique())}"
    named = varied(frame)
    lengths: dict[str, dict[str, list[str]]] = {}
    for _, row in part.iterrows():
        setting = lengths.setdefault("/".join(row[list(SERIES)]), {})
        setting.setdefault(" ".join(told(row, named)), []).append(str(row["seq_len"]))
    joined: dict[tuple[str, str], list[str]] = {}
    for name, by_setting in lengths.items():
        for setting_name, found in by_setting.items():
            joined.setdefault((name, ", ".join(found)), []).append(setting_name)
    return "; ".join(f"{name} at N = {found}{_in(names)}" for (name, found), names in joined.items())


def _in(names: list[str]) -> str:
    """Names of settings in brackets, nothing where there is but one setting."""
    return f" ({', '.join(names)})" if any(names) else ""


def common_length(frame: pd.DataFrame) -> int:
    """The longest of the lengths at which the most series passed."""
    counts = frame[frame["status"] == "passed"].groupby("seq_len").size()
    return int(counts[counts == counts.max()].index.max())


def crossover(row: pd.Series) -> str:
    """From which length on a series is faster than its baseline; empty where there is nothing to compare."""
    kind, count = row["crossover"], row["processes"]
    if kind == CROSSES:
        at = row["crossover_seq_len"], row["crossover_low"], row["crossover_high"]
        told = f"from N = {units.honest(*at)}"
        return told if math.isnan(at[1]) else f"{told} [{units.number(at[1], 3)}, {units.number(at[2], 3)}]"
    unclear = f"unclear: from a length on in {row['crossing_processes']} of {count} processes"
    return {ALWAYS: "at every length measured", NEVER: "none in range", UNCLEAR: unclear}.get(kind, "")


def _cell(part: pd.DataFrame, n: int, written: Callable[[pd.Series], str]) -> str:
    """A cell of a series: its number, or how it ended, or nothing where there is no such case."""
    if n not in part.index:
        return ""
    row = part.loc[n]
    return written(row) if row["status"] == "passed" else SHORT[row["status"]]


def _speed(row: pd.Series) -> str:
    """Calls per second, and times the baseline."""
    calls = [1e9 / row[name] for name in ("time_ns", "time_high_ns", "time_low_ns")]
    return units.honest(calls[0], calls[1], calls[2]) + _times(row, " ({})")


def _memory(row: pd.Series) -> str:
    """Peak memory, and the fraction of the baseline's."""
    if pd.isna(row["peak_bytes"]):
        return "–"
    fraction = row["peak_fraction"]
    return units.size(row["peak_bytes"]) + ("" if math.isnan(fraction) else f" ({units.number(fraction, 2)})")


def _times(row: pd.Series, form: str = "{}") -> str:
    """The speed-up, or nothing where there is none."""
    at = row["speedup"], row["speedup_low"], row["speedup_high"]
    return "" if math.isnan(at[0]) else form.format(f"{number_of_times(*at)}x")


def number_of_times(value: float, low: float, high: float) -> str:
    """A speed-up, to three digits at most."""
    return units.number(value, min(units.digits(value, low, high), 3))


def _exponent(row: pd.Series) -> str:
    """`N^1.98 [1.95, 2.01]`."""
    value, low, high = row["time_exponent"], row["time_exponent_low"], row["time_exponent_high"]
    if math.isnan(value):
        return "–"
    return f"N^{value:.2f}" if math.isnan(low) else f"N^{value:.2f} [{low:.2f}, {high:.2f}]"


def _memory_growth(row: pd.Series) -> list[str]:
    """The exponent of memory, and the lengths that both exponents are fitted over."""
    if math.isnan(row["time_exponent"]):
        return ["–", "–"]
    memory = "–" if math.isnan(row["memory_exponent"]) else f"N^{row['memory_exponent']:.2f}"
    return [memory, f"{row['fitted_from']} to {row['fitted_to']}"]


def _work(row: pd.Series) -> list[str]:
    """Pairs, waste, GFLOP/s, speed-ups and error of one case."""
    if row["status"] != "passed":
        return [SHORT[row["status"]], *[""] * 7]
    rate = [row["flops"] / row[name] for name in ("time_ns", "time_high_ns", "time_low_ns")]
    bound, realised, error = row["bound_speedup"], row["realised"], row["max_abs_error"]
    return [
        f"{row['allowed_pairs']:,}",
        "–" if pd.isna(row["computed_pairs"]) else f"{row['computed_pairs']:,}",
        "–" if math.isnan(row["waste"]) else f"{row['waste']:.2f}",
        units.honest(*rate),
        "–" if math.isnan(bound) else f"{units.number(bound, 3)}x",
        _times(row) or "–",
        "–" if math.isnan(realised) else f"{realised:.0%}",
        "–" if math.isnan(error) else f"{error:.1e}",
    ]


def _against(frame: pd.DataFrame) -> str:
    """The name of a setting's baseline, or nothing."""
    return escape.text(next((name for name in frame["baseline"] if name), ""))
