"""Reports on run folders: statistics, tables, figures, pages. They need neither torch nor the runner; see `load`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from attnbench.reports.findings.run import Run


def load(folder: "Path | str") -> "Run":
    """Read the run in a folder. Its `frame` has one row per case, its `scaling` the growth of each series.

    Raises:
        RunError: its files are missing or cannot be read.
    """
    from pathlib import Path

    from attnbench.reports.findings.run import load

    return load(Path(folder))


class Interval(NamedTuple):
    """A number with the ends of its 95 % interval, which are NaN below 3 processes."""

    value: float
    low: float
    high: float


def interval(numbers: Iterable[float]) -> Interval:
    """Return the geometric mean of positive numbers, one per process, with its 95 % interval.

    If `m` and `s` are mean and standard deviation (divisor P - 1) of the logarithms of P numbers, these are `exp(m)`
    and `exp(m +- t s / sqrt(P))`. `t` is the 0.975 quantile of Student's t with P - 1 degrees of freedom. NaN stands
    for a process without a number. The interval of a ratio is that of the ratios within each process:
    `interval(numpy.exp(run.log_ns[row] - run.paired_log_ns[other]))`.

    Raises:
        ValueError: a number is not positive.
    """
    import numpy as np

    from attnbench.reports.stats import statistics

    values = np.asarray(list(numbers), np.float64)
    wrong = values[(values <= 0) | np.isinf(values)]
    if wrong.size:
        raise ValueError(f"expected positive numbers, one per process, found {wrong[0]:g}")
    return Interval(*(float(np.exp(each)) for each in statistics.interval(np.log(values))[:3]))


def rounded(value: float, low: float, high: float) -> str:
    """Write a number with the digits that its interval justifies: `rounded(1234.5, 1180, 1290)` is `1,230`.

    The last digit has the place of the first digit of half the interval, `(high - low) / 2`, or a later one if an end
    would then read as 0, or as 1 without being 1. There are at most 4 digits, and 2 if the interval spans a factor of
    10 or is unknown (NaN).
    Reports round so, and write the ends to the same place.
    """
    from attnbench.reports.text import units

    return units.honest(value, low, high)


def plot(
    run: "Run", x: str = "seq_len", y: str = "time", hue: str = "series", where: str = "", ax: "Axes | None" = None
) -> "Axes":
    """Draw `y` over `x` with a line for each value of `hue`, as `bench plot` does, and return the axes.

    `y` is `time`, `speedup`, `memory` or any column of numbers, `x` and `hue` any columns of the run's frame, and
    `hue` may be `series`: label and implementation. `where` chooses cases, such as `"N >= 1024 and time < 5ms"`. It is
    a condition (docs/columns.md) and never runs code. Cases that differ in more get lines of their own. Without `ax` a
    new figure is made by pyplot.

    Raises:
        WhereError: there is no such column, the condition cannot be read, or there is nothing to draw.
    """
    from attnbench.reports import drawing as drawing  # before matplotlib, see there
    from attnbench.reports.drawing import fixed, saving
    from attnbench.reports.drawing import plot as own
    from attnbench.reports.drawing.style import STYLE

    if ax is not None:
        with saving.settings(STYLE):
            inches = float(ax.get_window_extent().width / ax.figure.dpi)
            ax.legend(handles=own.plot(run, ax, x, y, hue, where, inches))
        return ax
    from matplotlib import pyplot

    # Before the settings of figures: the first figure has pyplot set up how a notebook shows it.
    figure = pyplot.figure(figsize=(6.9, 3.2), layout="constrained")
    try:
        with saving.settings(STYLE):
            axes = figure.add_subplot()
            fixed.legend(figure, own.plot(run, axes, x, y, hue, where, fixed.axes_width(6.9, 1)))
    except Exception:
        pyplot.close(figure)
        raise
    return axes
