"""The two plots of a self-test: the noise floor of each case, and what share of slow-downs is found."""

import numpy as np
from matplotlib.figure import Figure

from attnbench.reports.decision.decide import Verdict
from attnbench.reports.figures.style import BASELINE_COLOUR, NOTE_COLOUR
from attnbench.reports.selftest.judge import Selftest


def noise(found: Selftest) -> Figure:
    """One dot a case, the noisiest on top."""
    ordered = sorted(found.spreads.items(), key=lambda each: each[1])
    figure = Figure(figsize=(6.4, 1.0 + 0.16 * max(len(ordered), 1)))
    axes = figure.add_subplot()
    axes.set_title("Noise floor: the same code against itself", loc="left")
    values = [100 * np.expm1(value) for _, value in ordered]
    axes.plot(values, range(len(values)), "o", color=BASELINE_COLOUR, markersize=4)
    axes.set_yticks(range(len(values)), [found.cases[key].title for key, _ in ordered], fontsize=6.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("standard deviation of a pair's ratio, %")
    axes.grid(axis="x", color="#e8e8e8", linewidth=0.6)
    return figure


def power(found: Selftest) -> Figure:
    """The share of cases called, against what was injected; at 0 the share called wrongly."""
    figure = Figure(figsize=(4.2, 2.8))
    axes = figure.add_subplot()
    axes.set_title("Slow-downs found", loc="left")
    points = []
    for slowdown, runs in sorted(found.decisions.items()):
        verdicts = [each.verdict for run in runs for each in run.values()]
        if verdicts:
            points.append(
                (100 * slowdown, 100 * sum(v is Verdict.REGRESSED for v in verdicts) / len(verdicts), len(verdicts))
            )
    for x, y, many in points:
        axes.annotate(f"{many}", (x, y), xytext=(4, -10), textcoords="offset points", fontsize=6.5, color=NOTE_COLOUR)
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "o-", color=BASELINE_COLOUR, markersize=4)
    axes.set_xlabel("injected slow-down, %")
    axes.set_ylabel("cases called regressed, %")
    axes.set_ylim(-4, 104)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
    return figure
