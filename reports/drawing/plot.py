"""A figure of one's own: any number of a run over any column, one line per value of another."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from attnbench.reports.data.frame import COLUMNS
from attnbench.reports.data.settings import names
from attnbench.reports.data.values import FloatArray, cell, floats
from attnbench.reports.data.where import WhereError, column, where
from attnbench.reports.drawing import fixed, log_ticks, panels
from attnbench.reports.drawing.log_ticks import Ticks
from attnbench.reports.drawing.style import COLOURS, FILLS, LINES, MARKERS, NOTE_COLOUR, scale
from attnbench.reports.findings.run import Run
from attnbench.reports.text import cells
from attnbench.variants import AXES

SERIES = "series"
"""The column of names of series, `label/implementation`."""
_LABELS = {
    "time_ns": "time of one call",
    "peak_bytes": "peak memory of one call",
    "speedup": "speed-up against the baseline",
    "energy_j": "energy of one call",
    "seq_len": "sequence length N",
    SERIES: "",
}
_LOGARITHMIC = 4.0
"""An axis of positive numbers is logarithmic if their largest is at least so many times their smallest."""


class _Kind(NamedTuple):
    """How numbers of a unit are written."""

    suffix: str
    ticks: Ticks
    one: Callable[[float], str]


_KINDS = (
    _Kind("_ns", log_ticks.times, log_ticks.round_time),
    _Kind("_j", log_ticks.energies, log_ticks.round_energy),
    _Kind("_bytes", log_ticks.sizes, log_ticks.round_size),
    _Kind("_per_s", log_ticks.rates, log_ticks.round_count),
    _Kind("speedup", log_ticks.ratios, lambda value: f"{value:g}x"),
    _Kind("", log_ticks.numbers, lambda value: f"{value:g}"),
)


def plot(run: Run, axes: Axes, x: str, y: str, hue: str, condition: str, inches: float) -> list[Line2D]:
    """Draw `y` over `x` with a line for each value of `hue`, and return the entries of a legend.

    Cases of a line have different `x`: where other things vary too, lines differ in them as well. The entries tell how
    many cases have no number. `inches` is about how wide the axes are.

    Raises:
        WhereError: there is no such column, or nothing to draw.
    """
    frame = _table(run)
    x, value, hue = (column(frame, each).name for each in (x, y, hue))
    chosen = where(frame, condition) if condition else frame
    if not len(chosen):
        raise WhereError(f"expected cases for which {condition or 'the run has numbers'}, found none of {len(frame)}")
    numbers = _numbers(chosen, value)
    measured, placed = np.isfinite(numbers), chosen[x].notna().to_numpy()
    known = measured & placed
    if not known.any():
        raise WhereError(f"expected cases with a number in {value} and with {x}, found none: {_counted(chosen)}")
    shown = chosen[known]
    by_number = pd.api.types.is_numeric_dtype(shown[x]) and not pd.api.types.is_bool_dtype(shown[x])
    places = _places(shown[x]) if not by_number else {}
    at = floats(shown[x]) if by_number else np.array([places[cell(each)] for each in shown[x]], np.float64)
    low, high = _interval(shown, value)
    _y_axis(axes, value, np.concatenate([numbers[known], low, high]))
    _x_axis(axes, x, at, list(places), inches)
    if value == "speedup":
        axes.axhline(1, color=NOTE_COLOUR, linewidth=0.8, zorder=1)
    handles = []
    for rows, options in _lines(shown, x, hue):
        rows = rows[np.argsort(at[rows], kind="stable")]
        options |= {} if by_number else {"linestyle": "none"}
        handles += axes.plot(at[rows], numbers[known][rows], **options)
        if by_number:
            axes.fill_between(at[rows], low[rows], high[rows], color=options["color"], alpha=panels.BAND, linewidth=0)
        else:
            axes.vlines(at[rows], low[rows], high[rows], color=options["color"], linewidth=1.2 * scale())
    for missing, what in ((~measured, "a number"), (measured & ~placed, x)):
        if missing.any():
            told = f"not drawn, without {what}: {_counted(chosen[missing])}"
            handles.append(Line2D([], [], linestyle="none", label=told))
    return handles


def figure(run: Run, x: str, y: str, hue: str, condition: str, width: float) -> Figure:
    """Draw a figure of so many inches, whose label says what it shows.

    Raises:
        WhereError: as `plot` does.
    """
    drawn, spec = fixed.grid(width, [fixed.row(fixed.TALL + 0.1 * width)])
    axes = drawn.add_subplot(spec[0])
    legend = plot(run, axes, x, y, hue, condition, fixed.axes_width(width, 1))
    below = [fixed.wide(each.get_text(), 8) for each in axes.get_xticklabels() if each.get_rotation()]
    drawn.set_size_inches(width, drawn.get_figheight() + max(below, default=0.0))
    fixed.legend(drawn, legend)
    x, y = (column(_table(run), each).name for each in (x, y))
    words = f"{_label(y)} over {_label(x)}"
    chosen = f", for {condition}" if condition else ""
    title = f"{words[0].upper()}{words[1:]}{chosen}"
    panels.header(drawn, title, f"{panels.context(run)}. {panels.intervals(run, 'Bands')}")
    return drawn


def _table(run: Run) -> pd.DataFrame:
    """Return the table of a run with the names of its series."""
    return run.frame.assign(**{SERIES: names(run.frame)})


def _numbers(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return a column of numbers."""
    if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
        raise WhereError(f"expected a column of numbers, such as time, speedup or memory, found {name}")
    return floats(frame[name])


def _interval(frame: pd.DataFrame, name: str) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the interval of a number; NaN if it has none."""
    for unit in ("", "_ns", "_j"):
        low, high = (f"{name.removesuffix(unit)}_{end}{unit}" for end in ("low", "high"))
        if {low, high} <= {*frame.columns}:
            return floats(frame[low]), floats(frame[high])
    nothing = np.full(len(frame), np.nan)
    return nothing, nothing


def _lines(frame: pd.DataFrame, x: str, hue: str) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, Any]]]:
    """Yield the rows of each line, as positions, with its look and its label."""
    others = _others(frame, x, hue)
    text = pd.DataFrame({name: [_told(name, each) for each in frame[name]] for name in (hue, *others)})
    text[hue] = text[hue].replace("", f"no {hue}")
    hues = list(text[hue].unique())
    rests = list(dict.fromkeys(text[others].itertuples(index=False, name=None)))
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for row, (colour, *rest) in enumerate(text[[hue, *others]].itertuples(index=False, name=None)):
        groups.setdefault((colour, tuple(rest)), []).append(row)
    for (colour, other), rows in groups.items():
        i, j = hues.index(colour), rests.index(other)
        yield (
            np.array(rows),
            {
                "color": COLOURS[i % len(COLOURS)],
                "marker": MARKERS[i % len(MARKERS)],
                "linestyle": LINES[j % len(LINES)],
                "fillstyle": FILLS[j % len(FILLS)],
                "markerfacecoloralt": "white",
                "linewidth": 1.5 * scale(),
                "markersize": 4.5 * scale(),
                "label": f"{colour} ({', '.join(filter(None, other))})" if any(other) else colour,
            },
        )


def _others(frame: pd.DataFrame, x: str, hue: str) -> list[str]:
    """Return what else varies between cases of the same `x` and `hue`."""
    parameters = [name for name in frame.columns if name not in (*COLUMNS, SERIES)]
    found: list[str] = []
    for name in ("variant", "implementation", *(each for each in AXES if each != x), *parameters):
        groups = frame.groupby([x, hue, *found], dropna=False, sort=False)[name]
        if name not in (x, hue) and (groups.nunique(dropna=False) > 1).any():
            found.append(name)
    return found


def _told(name: str, value: Any) -> str:
    """Write the value of a column for a legend: a number with its name, a text alone, nothing if it is missing."""
    if pd.isna(value):
        return ""
    return str(value) if isinstance(value, str) else f"{name}={value}"


def _places(values: pd.Series) -> dict[str, float]:
    """Return the place of each text on an axis."""
    return {text: float(i) for i, text in enumerate(dict.fromkeys(cell(each) for each in values))}


def _counted(frame: pd.DataFrame) -> str:
    """Count cases by how they ended: `2 OOM, 1 passed`."""
    counts = frame["status"].value_counts(sort=False)
    return ", ".join(f"{many} {cells.SHORT.get(str(status), status)}" for status, many in counts.items())


def _label(name: str) -> str:
    """Return the words for a column; its unit stands at the ticks."""
    if name in _LABELS:
        return _LABELS[name]
    unit = next(each.suffix for each in _KINDS if name.endswith(each.suffix))
    rest = name.removesuffix(unit) if unit != "speedup" else name
    return f"{rest.replace('_', ' ')}{' per second' if unit == '_per_s' else ''}"


def _is_logarithmic(values: FloatArray) -> bool:
    inside = values[np.isfinite(values)]
    return bool((inside > 0).all() and inside.max() >= _LOGARITHMIC * inside.min())


def _y_axis(axes: Axes, name: str, values: FloatArray) -> None:
    """Set up the y axis, logarithmic if that fits."""
    kind = next(each for each in _KINDS if name.endswith(each.suffix))
    axes.set_ylabel(_label(name))
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.6)
    axes.set_axisbelow(True)
    if not _is_logarithmic(values):
        axes.set_ylim(*_ends(values))
        places = _linear(values, kind)
        axes.set_yticks([place for place, _ in places], [text for _, text in places])
        return
    low, high = (float(np.exp(each)) for each in panels.reach(values))
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(low, high)
    places = kind.ticks(low, high)
    axes.set_yticks([place for place, _ in places], [text for _, text in places])


def _x_axis(axes: Axes, name: str, at: FloatArray, texts: Sequence[str], inches: float) -> None:
    """Set up the x axis: of texts, else logarithmic if that fits."""
    words = _label(name)
    values = np.unique(at).tolist()
    if texts:
        narrow = max(fixed.wide(each, 8) for each in texts) > inches / len(texts) - 0.05
        turned: dict[str, Any] = {"rotation": 90} if narrow else {}
        axes.set_xticks(range(len(texts)), list(texts), **turned)
        axes.set_xlim(-0.5, len(texts) - 0.5)
        axes.set_xlabel(words)
        return
    kind, whole = next(each for each in _KINDS if name.endswith(each.suffix)), all(each % 1 == 0 for each in values)
    if values[0] > 0 and (name == "seq_len" or _is_logarithmic(at)):
        made = log_ticks.lengths if whole and not kind.suffix else lambda ends, _: kind.ticks(ends[0], ends[-1])
        panels.x_axis(axes, panels.Across(name, words, made), values, inches)
    else:
        axes.set_xlim(*_ends(at))
        places = _linear(at, kind)
        axes.set_xticks([place for place, _ in places], [text for _, text in places])
        axes.set_xlabel(words)


def _ends(values: FloatArray) -> tuple[float, float]:
    """Return the ends of a linear axis."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def _linear(values: FloatArray, kind: _Kind) -> list[tuple[float, str]]:
    """Return the ticks of a linear axis."""
    low, high = _ends(values)
    places = [float(place) for place in MaxNLocator(5).tick_values(low, high) if low <= place <= high]
    return [(place, kind.one(place) if place > 0 else f"{place:g}") for place in places]
