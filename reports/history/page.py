"""Functions that write a history: `history.html`, `history.md`, `history.csv` and `badge.json`."""

from pathlib import Path

from attnbench.reports import html
from attnbench.reports.data.files import put
from attnbench.reports.data.values import plain
from attnbench.reports.history import tables
from attnbench.reports.history.badge import badge
from attnbench.reports.history.changes import Changes


def write(changes: Changes, folder: Path) -> Path:
    """Write all files into a folder. Return the path of `history.html`, or of `history.md` without its packages."""
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / "history.csv", tables.csv(changes.history))
    put(folder / "badge.json", badge(changes))
    text = put(folder / "history.md", tables.markdown(changes))
    return put(folder / "history.html", page(changes)) if html.installed() else text


def page(changes: Changes) -> str:
    """Return the page in HTML: a figure of any case and metric, the table of all cases, and what `history.md` says."""
    # Not at the top, so that `write` works without the packages.
    from attnbench.reports.history import cases, chart
    from attnbench.reports.html import figures, shell

    data = chart.data(changes)
    return shell.render(
        "history.html.j2",
        title=f"{plain(changes.history.suite)} over time · attnbench",
        context=tables.headline(changes),
        question=plain(changes.history.runs[-1].meta["question"], longest=None),
        answer=[plain(each, longest=None) for each in tables.answer(changes)],
        shown=data,
        cases=cases.section(changes),
        figure=shell.data({"item": chart.item(), "data": data}),
        sections=shell.sections(tables.markdown(changes)),
        changes=len(changes.groups),
        bokeh=figures.script(),
    )
