"""Functions that write a self-test: `selftest.json`, `selftest.md`, figures, and lines for the terminal."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from attnbench.reports.data.files import put
from attnbench.reports.drawing.saving import save
from attnbench.reports.drawing.style import BASELINE_COLOUR, NOTE_COLOUR
from attnbench.reports.selftest.judge import Selftest
from attnbench.reports.text import escape


def write(found: Selftest, folder: Path) -> Path:
    """Write `selftest.json`, `selftest.md` and `figures/`, and return the page's path."""
    told = {
        "trusted": found.trusted,
        "figures": [asdict(figure) for figure in found.figures],
        "environment": dict(found.environment),
        "spread_of_a_pair": {found.cases[key].title: value for key, value in found.spreads.items()},
    }
    put(folder / "selftest.json", json.dumps(told, indent=1) + "\n")
    save({"noise": partial(_noise, found), "power": partial(_power, found)}, folder)
    return put(folder / "selftest.md", _page(found))


def lines(found: Selftest) -> list[str]:
    """Return one line per figure and, if it failed, a line that says what to change."""
    told = []
    for figure in found.figures:
        mark = {True: "ok", False: "FAILED", None: "-"}[figure.holds]
        told.append(f"{mark:6}  {figure.name}: {figure.found} (must be {figure.target})")
        if figure.holds is False:
            told.append(f"        {figure.otherwise}")
    return told


def _page(found: Selftest) -> str:
    marks = {True: "yes", False: "no", None: "-"}
    table = [[figure.name, figure.found, figure.target, marks[figure.holds]] for figure in found.figures]
    failed = [figure for figure in found.figures if figure.holds is False]
    verdict = (
        "No figure failed: this machine can be trusted for what was tested."
        if found.trusted
        else f"{len(failed)} of {len(found.figures)} figures failed: numbers of this machine need care."
    )
    if found.noise:
        median, worst = found.median_noise, found.noise[-1][1]
        verdict += f" The spread of a pair is {median:.1f} % for the median case, {worst:.1f} % for the worst."
    environment = [[escape.text(name), escape.text(value)] for name, value in found.environment.items()]
    parts = [
        "# Self-test",
        verdict,
        *(f"- {escape.text(figure.name)}: {escape.text(figure.otherwise, longest=None)}" for figure in failed),
        escape.table(
            ["figure", "found", "must be", "holds"], [[escape.text(c, longest=None) for c in r] for r in table], "llll"
        ),
        "![noise floor](figures/noise.svg)",
        "Each dot is a case: the spread of log(B / A) over pairs of processes that ran the same code.",
        "![power](figures/power.svg)",
        "The share of cases called `regressed`, by the slow-down that was injected as real work.",
        escape.table(["", "value"], environment, "ll"),
    ]
    return "\n\n".join(parts) + "\n"


def _noise(found: Selftest) -> Figure:
    """Draw one dot per case, the noisiest on top."""
    titles, values = [title for title, _ in found.noise], [percent for _, percent in found.noise]
    figure = Figure(figsize=(6.4, 1.0 + 0.16 * max(len(values), 1)))
    axes = figure.add_subplot()
    axes.set_title("Noise floor: the same code against itself", loc="left")
    axes.plot(values, range(len(values)), "o", color=BASELINE_COLOUR, markersize=4)
    axes.set_yticks(range(len(values)), titles, fontsize=6.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("standard deviation of a pair's ratio, %")
    axes.grid(axis="x", color="#e8e8e8", linewidth=0.6)
    return figure


def _power(found: Selftest) -> Figure:
    """Draw the share of cases called `regressed` over the injected slow-down; at 0 these calls are false."""
    figure = Figure(figsize=(4.2, 2.8))
    axes = figure.add_subplot()
    axes.set_title("Slow-downs found", loc="left")
    points = [
        (100 * slowdown, 100 * regressed / decisions, decisions)
        for slowdown, regressed, decisions in found.called
        if decisions
    ]
    for x, y, many in points:
        axes.annotate(f"{many}", (x, y), xytext=(4, -10), textcoords="offset points", fontsize=6.5, color=NOTE_COLOUR)
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "o-", color=BASELINE_COLOUR, markersize=4)
    axes.set_xlabel("injected slow-down, %")
    axes.set_ylabel("cases called regressed, %")
    axes.set_ylim(-4, 104)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
    return figure
