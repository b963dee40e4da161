"""The table of all cases with its search and filter, and the details of a case: data for the page's scripts."""

import json
import math
import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pandas as pd
from markupsafe import Markup

from attnbench.reports.data import columns, flags
from attnbench.reports.data.columns import Column
from attnbench.reports.data.profiles import shares, short
from attnbench.reports.data.settings import names
from attnbench.reports.data.values import plain, word
from attnbench.reports.data.where import LONGEST
from attnbench.reports.findings.run import Run
from attnbench.reports.html import pictures, shell
from attnbench.variants import AXES

MOST_TIMES = 100_000
"""With more times of processes than this, the page leaves them out: it would become too large."""
_MOST_OPERATORS = 5
_SIGNIFICANT = {"time": 7, "ratio": 6}
_OTHERWISE = 5
"""Digits that are kept of numbers that are not whole, by their kind; their intervals justify fewer."""


_INTERVALS = ("score", "score_gain", "time_ns", "speedup", "energy_j", "energy_fraction", "roof_share")
"""These show their interval, which the two columns after them hold."""
_SHOWN = ("score", "time_ns", "speedup", "peak_bytes", "realised", "max_abs_error", "flags")
"""What the table shows beside the name, the axes that vary, and the status."""
BARE: dict[str, Any] = {
    "flags": {},
    "again": "",
    "baselines": [],
    "times": None,
    "processes": 0,
    "profiles": {"operators": [], "of": {}},
    "pictures": {},
}
"""What the scripts get of cases that are not those of one run: no processes, profiles, pictures or commands."""


def section(run: Run) -> Markup:
    """Return the table of a run's cases with all that it needs, for the body of a page."""
    frame = run.frame.assign(series=names(run.frame).map(plain))
    example = "time < 5ms and speedup >= 2"
    return table(_data(run, frame), present(frame, columns.groups(frame)), frame["status"], "status", example)


def table(
    data: Mapping[str, Any], groups: Mapping[str, list[Column]], statuses: pd.Series, status: str, example: str
) -> Markup:
    """Return a table of cases with all that it needs; a menu filters it by `statuses`, which are called `status`.

    `groups` are the columns in which some case has a value, `example` a condition that the table can have.
    """
    filled = {each.name for found in groups.values() for each in found}
    shown = [name for name in data["shown"] if name in filled]
    return Markup(
        shell.render(
            "cases.html.j2",
            status=status,
            example=example,
            statuses=statuses.value_counts().to_dict(),
            cases=len(statuses),
            groups=groups,
            longest=LONGEST,
            data=shell.data({**data, "shown": shown, "status": statuses.name, "units": columns.UNITS}),
            library=_library(),
        )
    )


def _data(run: Run, frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the scripts get: columns, and what the details show beside them."""
    groups = columns.groups(frame).items()
    varied = [name for name in AXES if frame[name].nunique() > 1]
    return {
        "cases": len(frame),
        "columns": [packed(frame[each.name], each, group) for group, found in groups for each in found],
        "shown": ["series", *varied, "status", *_SHOWN],
        "intervals": _INTERVALS,
        "flags": flags.MEANINGS,
        "again": [_again(part.command) for part in run.parts],
        "baselines": run.baseline_rows.tolist(),
        "times": _times(run),
        "processes": run.log_ns.shape[1],
        "profiles": _profiles(run),
        "pictures": pictures.places(run),
    }


def present(frame: pd.DataFrame, groups: Mapping[str, list[Column]]) -> dict[str, list[Column]]:
    """Return the columns in which some case has a value."""
    return {
        group: [each for each in found if bool((frame[each.name].notna() & (frame[each.name] != "")).any())]
        for group, found in groups.items()
    }


def packed(values: pd.Series, column: Column, group: str) -> dict[str, Any]:
    """Return a column with its values, or with its distinct values and the place of each, whichever is shorter."""
    kept = _SIGNIFICANT.get(column.unit, _OTHERWISE)
    cells = [_rounded(each, kept) for each in values.astype(object)] if column.unit else [*values.astype(object)]
    codes, found = pd.factorize(pd.Series(cells, dtype=object), use_na_sentinel=False)
    distinct = [_rounded(each, kept) if column.unit else word(each) for each in found]
    coded: dict[str, Any] = {"distinct": distinct, "codes": codes.tolist() if len(distinct) > 1 else []}
    forms: list[dict[str, Any]] = [coded, {"values": cells}] if column.unit else [coded]
    told = {**column._asdict(), "names": column.names, "isFlag": columns.is_flag(values), "group": group}
    return told | min(forms, key=lambda each: len(json.dumps(each)))


def _rounded(value: Any, significant: int) -> Any:
    """Return a number with so many digits; a whole one as it is, and none for what is no number."""
    if isinstance(value, int):
        return value
    if pd.isna(value) or math.isinf(value):
        return None
    short = float(f"{value:.{significant}g}")
    return int(short) if short.is_integer() else short


def _times(run: Run) -> list[list[int | None]] | None:
    """Return each process's time of each case, as its distance from the case's time in steps of 0.01 % (log scale).

    None if there are too many.
    """
    if run.log_ns.size > MOST_TIMES:
        return None
    found = []
    for times, middle in zip(run.log_ns.tolist(), run.frame["time_ns"], strict=True):
        centre = math.log(middle)
        steps = [None if math.isnan(each) else round((each - centre) * 1e4) for each in times]
        found.append([] if math.isnan(centre) else steps)
    return found


def _profiles(run: Run) -> dict[str, Any]:
    """Return the operators with the largest shares of each profiled case, by its row."""
    operators: dict[str, int] = {}
    found = {}
    for row, key in enumerate(run.frame["case"]):
        profile = run.profiles.get(key)
        if profile and profile.operators:
            largest = shares(profile)[:_MOST_OPERATORS]
            found[row] = [
                [operators.setdefault(plain(short(each.operator.operator)), len(operators)), _rounded(each.share, 3)]
                for each in largest
            ]
    return {"operators": [*operators], "of": found}


def _again(command: str) -> str:
    """Return the start of a command that measures a case again: `bench run SUITE`, and the folders of variants.

    Empty if the run's command does not say which suite it was.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if words[:2] != ["bench", "run"] or len(words) < 3 or words[2].startswith("-"):
        return ""
    folders = [each for pair in pairwise(words) if pair[0] == "--variants" for each in pair]
    return shlex.join([*words[:3], *folders])


@cache
def _library() -> Markup:
    """Return DataTables as a script that gives the page its name; the wheel of itables brings it as a module."""
    source = (files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    exported = re.search(r"export\s*\{[^}]*?([$\w]+) as default[^}]*\};?", source)
    if exported is None:
        raise RuntimeError("itables: expected a module that exports DataTables, found none; install itables 2.9")
    start, end = exported.span()
    script = f"{source[:start]};globalThis.DataTable={exported[1]};{source[end:]}"
    # HTML reads these as the start of a comment or of a script, even within a script.
    return Markup(re.sub(r"<(?=!--|/?script)", r"\\x3C", script, flags=re.IGNORECASE))
