"""Small pictures in SVG of the keys that each query of a pattern sees."""

from collections.abc import Mapping

from markupsafe import Markup

from attnbench.reports.drawing.pattern_image import path, shrunk
from attnbench.reports.figures.patterns import thumbnail
from attnbench.reports.findings.run import Run

_SIDE = 64
"""The most cells of a side: a picture is smaller than that on most screens."""
_MOST = 200
"""The most patterns with a picture."""


def symbols(run: Run) -> Markup:
    """Return the pictures of a run's patterns, each once, as symbols that `patterns` uses."""
    one = Markup('<symbol id="pattern-{}" viewBox="0 0 {} {}"><path d="{}"/></symbol>')
    drawn = [shrunk(thumbnail(each), _SIDE) for each in run.meta["patterns"][:_MOST]]
    told = [one.format(i, len(seen), len(seen), path(seen)) for i, seen in enumerate(drawn)]
    return Markup('<svg class="symbols" aria-hidden="true">{}</svg>').format(Markup("\n").join(told))


def patterns(run: Run) -> Mapping[str, Markup]:
    """Return the picture of each label that has a pattern."""
    one = Markup('<svg class="pattern" aria-hidden="true"><use href="#pattern-{}"/></svg>')
    return {label: one.format(place) for label, place in places(run).items()}


def places(run: Run) -> Mapping[str, int]:
    """Return the number of each label's symbol."""
    return {each["label"]: place for place, each in enumerate(run.meta["patterns"][:_MOST])}
