"""A self-test as files: `selftest.json`, `selftest.md` and its plots; and as lines for the terminal."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from attnbench.reports.data.files import put
from attnbench.reports.figures.drawing import save
from attnbench.reports.selftest import plots
from attnbench.reports.selftest.judge import Selftest, noise_floor
from attnbench.reports.text import escape


def write(found: Selftest, folder: Path) -> Path:
    """Write `selftest.json`, `selftest.md` and `figures/`; returns the page's path."""
    told = {
        "trusted": found.trusted,
        "figures": [asdict(figure) for figure in found.figures],
        "environment": dict(found.environment),
        "spread_of_a_pair": {found.cases[key].title: value for key, value in found.spreads.items()},
    }
    put(folder / "selftest.json", json.dumps(told, indent=1) + "\n")
    save({"noise": partial(plots.noise, found), "power": partial(plots.power, found)}, folder)
    return put(folder / "selftest.md", _page(found))


def lines(found: Selftest) -> list[str]:
    """The figures, one line each, and what to change where one failed."""
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
        else (f"{len(failed)} of {len(found.figures)} figures failed: numbers of this machine need care.")
    )
    noise = noise_floor(found)
    floor = (
        f" The spread of a pair is {np.median(noise):.1f} % for the median case, {noise[-1]:.1f} % for the worst."
        if len(noise)
        else ""
    )
    environment = [[escape.text(name), escape.text(value)] for name, value in found.environment.items()]
    parts = [
        "# Self-test",
        verdict + floor,
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
