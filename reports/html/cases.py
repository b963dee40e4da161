"""The table of all cases with its search and filter, and the details of a case: data for the page's scripts."""

import json
import math
import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from attnbench.reports.data import flags
from attnbench.reports.data.frame import COLUMNS
from attnbench.reports.data.profiles import shares, short
from attnbench.reports.data.settings import names
from attnbench.reports.data.values import plain
from attnbench.reports.findings.run import Run
from attnbench.reports.html import pictures, shell
from attnbench.variants import AXES, DEFAULTS

MOST_TIMES = 100_000
"""With more times of processes than this, the page leaves them out: it would become too large."""
_MOST_OPERATORS = 5
_SIGNIFICANT = {"time": 7, "ratio": 6}
_OTHERWISE = 5
"""Digits that are kept of numbers that are not whole, by their kind; their intervals justify fewer."""


class Column(NamedTuple):
    """Column of the frame as the page has it."""

    name: str
    """Its name in the frame."""
    word: str
    """What expressions call it, beside its name in the frame."""
    title: str
    unit: str
    """The kind of number, see templates/format.js; empty for words."""


def columns(group: str) -> list[Column]:
    """Read lines of `name | word | title | unit`; an empty word is the name."""
    lines = [[part.strip() for part in line.split("|")] for line in group.strip().splitlines()]
    return [Column(name, word or name, title, unit) for name, word, title, unit in lines]


_GROUPS: Mapping[str, list[Column]] = {
    "Result": columns("""
        status        |          | status                           |
        reason        |          | reason                           |
        time_ns       | time     | time                             | time
        time_low_ns   | time_low | from                             | time
        time_high_ns  | time_high| to                               | time
        processes     |          | processes                        | count
        speedup       |          | speed-up                         | ratio
        speedup_low   |          | from                             | ratio
        speedup_high  |          | to                               | ratio
        baseline      |          | baseline                         |
        tokens_per_s  |          | tokens per second                | number
        energy_j      | energy   | energy                           | energy
        energy_low_j  |          | from                             | energy
        energy_high_j |          | to                               | energy
        energy_fraction      |   | energy, times the baseline's     | ratio
        energy_fraction_low  |   | from                             | ratio
        energy_fraction_high |   | to                               | ratio
        flags         |          | flags                            |
    """),
    "Proof": columns("""
        proved          |          | share of elements checked      | share
        repeats_exactly |          | repeats exactly                |
        max_abs_error   | error    | error                          | error
        error_vs_full   |          | error against full attention   | number
        error_of_mean   |          | the same of the mean           | number
        ties            |          | ties                           | count
        proof_s         |          | time of the proof              | seconds
    """),
    "Work": columns("""
        allowed_pairs    |    | pairs allowed                        | count
        computed_pairs   |    | pairs computed                       | count
        waste            |    | waste                                | number
        flops            |    | FLOPs of a call                      | count
        flops_per_s      |    | FLOPs per second                     | rate
        bound_speedup    | bound | bound on the speed-up             | ratio
        realised         |    | realised                             | share
        roof_share       |    | share of the roof                    | share
        roof_share_low   |    | from                                 | share
        roof_share_high  |    | to                                   | share
        roof_flops_per_s |    | roof                                 | rate
        parameter_count  |    | learned numbers                      | count
    """),
    "Memory": columns("""
        peak_bytes      | memory   | peak memory                    | size
        peak_fraction   |          | times the baseline's           | number
        gross_bytes     |          | with inputs and masks          | size
        net_bytes       |          | without what is returned       | size
        resident_bytes  |          | growth of the process          | size
        reserved_bytes  |          | reserved by the allocator      | size
        predicted_bytes |          | predicted peak                 | size
        prepared_bytes  |          | masks and layouts              | size
        state_bytes     |          | cache or state                 | size
        budget_bytes    |          | budget                         | size
        fits_up_to      |          | fits the budget up to N        | count
        fits_source     |          | known by                       |
    """),
    "Spread": columns("""
        within_sd               | | within a process               | spread
        between_sd              | | between processes              | spread
        drift                   | | change over the run            | spread
        drift_p                 | | its p value                    | number
        processes_for_1_percent | | processes for ±1%              | count
    """),
    "Before the first value": columns("""
        prepare_ns     | prepare    | building masks and layouts      | time
        compile_ns     | compile    | compilation                     | time
        compile_cached |            | found on disk                   |
        first_call_ns  | first_call | first call                      | time
    """),
    "Conditions": columns("""
        device           |          | device                        |
        dtype            |          | dtype                         |
        direction        |          | direction                     |
        threads          |          | threads                       |
        level            |          | level                         |
        batch            |          | batch                         | plain
        heads            |          | heads                         | plain
        kv_heads         |          | key heads                     | plain
        seq_len          | N        | N                             | plain
        head_dim         |          | head dimension                | plain
        layout           |          | layout                        |
        padding          |          | padding                       |
        copy_bytes_per_s |          | fastest copy per second       | size
        hot_time_ns      | hot_time | time with a hot cache         | time
        host_ns          | host     | time of the host              | time
        launch_bound     |          | launch bound                  |
        throttled        |          | throttled                     |
    """),
    "Case": columns("""
        variant          |          | variant                       |
        implementation   |          | implementation                |
        label            |          | label                         |
        family           |          | family                        |
        case             |          | key                           |
    """),
}
"""The details of a case: every column of the frame, under headings. Other axes and parameters are added to them."""

_INTERVALS = ("time_ns", "speedup", "energy_j", "energy_fraction", "roof_share")
"""These show their interval, which the two columns after them hold."""
_SHOWN = ("time_ns", "speedup", "peak_bytes", "realised", "max_abs_error", "flags")
"""What the table shows beside the name, the axes that vary, and the status."""


def section(run: Run) -> Markup:
    """Return the table of a run's cases with all that it needs, for the body of a page."""
    return table(_data(run), _present(run.frame), run.frame["status"], "status")


def table(data: Mapping[str, Any], groups: Mapping[str, list[Column]], statuses: pd.Series, status: str) -> Markup:
    """Return a table of cases with all that it needs; a menu filters it by `statuses`, which are called `status`."""
    return Markup(
        shell.render(
            "cases.html.j2",
            status=status,
            statuses=statuses.value_counts().to_dict(),
            cases=len(statuses),
            groups=groups,
            data=shell.data({**data, "status": statuses.name}),
            library=_library(),
        )
    )


def _data(run: Run) -> dict[str, Any]:
    """Return what the scripts get: columns, and what the details show beside them."""
    frame = run.frame
    columns = [packed(names(frame).map(plain), Column("name", "name", "mechanism", ""), "")]
    for group, found in _present(frame).items():
        columns += [packed(frame[each.name], each, group) for each in found]
    varied = [name for name in AXES if frame[name].nunique() > 1]
    return {
        "cases": len(frame),
        "columns": columns,
        "shown": ["name", *varied, "status", *_SHOWN],
        "intervals": _INTERVALS,
        "flags": flags.MEANINGS,
        "again": [_again(part.command) for part in run.parts],
        "defaults": {name: DEFAULTS[name] for name in AXES if name in DEFAULTS},
        "times": _times(run),
        "processes": run.log_ns.shape[1],
        "profiles": _profiles(run),
        "pictures": pictures.places(run),
    }


def _present(frame: pd.DataFrame) -> dict[str, list[Column]]:
    """Return the columns in which some case has a value, by their heading; with those that a run has of its own."""
    known = {each.name for found in _GROUPS.values() for each in found} | {"parameters"}
    others = [str(name) for name in frame if name not in known]
    axes = [Column(name, name, name, "") for name in others if name in COLUMNS]
    parameters = [Column(name, name, name, _unit(frame[name])) for name in others if name not in COLUMNS]
    added = {"Conditions": axes, "Case": parameters}
    groups = {group: [*found, *added.get(group, ())] for group, found in _GROUPS.items()}
    return {
        group: [each for each in found if bool((frame[each.name].notna() & (frame[each.name] != "")).any())]
        for group, found in groups.items()
    }


def axis(column: pd.Series) -> Column:
    """Return the column of an axis."""
    name = "N" if column.name == "seq_len" else str(column.name)
    return Column(str(column.name), name, name, _unit(column))


def _unit(column: pd.Series) -> str:
    """Return the kind of a column of an axis or a parameter: a plain number, or words."""
    return "plain" if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) else ""


def packed(values: pd.Series, column: Column, group: str) -> dict[str, Any]:
    """Return a column with its values, or with its distinct values and the place of each, whichever is shorter."""
    kept = _SIGNIFICANT.get(column.unit, _OTHERWISE)
    told = [_rounded(each, kept) for each in values.astype(object)] if column.unit else [*values.astype(object)]
    codes, found = pd.factorize(pd.Series(told, dtype=object), use_na_sentinel=False)
    distinct = [_rounded(each, kept) if column.unit else _word(each) for each in found]
    coded: dict[str, Any] = {"distinct": distinct, "codes": codes.tolist() if len(distinct) > 1 else []}
    forms: list[dict[str, Any]] = [coded, {"values": told}] if column.unit else [coded]
    return {**column._asdict(), "group": group, **min(forms, key=lambda each: len(json.dumps(each)))}


def _rounded(value: Any, significant: int) -> Any:
    """Return a number with so many digits; a whole one as it is, and none for what is no number."""
    if isinstance(value, int):
        return value
    if pd.isna(value) or math.isinf(value):
        return None
    short = float(f"{value:.{significant}g}")
    return int(short) if short.is_integer() else short


def _word(value: Any) -> str:
    """Return a value as words on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if pd.isna(value) else plain(value)


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
