"""The page of a run: `report.html`, one file with all that `report.md` says, its figures to be looked into."""

from pathlib import Path

from attnbench.reports import html
from attnbench.reports.data.files import put
from attnbench.reports.data.run import Run
from attnbench.reports.drawing import panels
from attnbench.reports.drawing.style import looks
from attnbench.reports.pages import run_report
from attnbench.reports.tables import tables
from attnbench.reports.text import citation, first_screen
from attnbench.reports.text.answer import answer
from attnbench.reports.text.escape import plain

_SHOWN = ("Figures",)
"""Sections of `report.md` that the page has in a form of its own."""


def write(run: Run) -> Path | None:
    """Write `report.html` into the run's folder, and return its path; None if the packages of `html` are not here.

    Raises:
        RunError: its profiles cannot be read.
    """
    return put(run.folder / "report.html", page(run)) if html.installed() else None


def page(run: Run) -> str:
    """Return the page of a run."""
    # Not at the top, so that `write` works without the packages.
    from attnbench.reports.html import charts, figures, marks, pictures, shell

    drawn, summary, look, seen = charts.of(run), run.summary, looks(run.frame), pictures.patterns(run)
    rows = summary.rows if summary else ()
    return shell.render(
        "report.html.j2",
        title=f"{plain(run.meta['name'])} · attnbench",
        context=panels.context(run),
        question=plain(run.meta["question"], longest=None),
        answer=[plain(each, longest=None) for each in answer(run)],
        table=first_screen.table(run),
        caption=first_screen.caption(run),
        beside=[(marks.swatch(look[each.name]), seen.get(each.case["label"], "")) for each in rows],
        charts=drawn,
        items=[figures.item(each) for each in drawn],
        bokeh=figures.script(),
        pictures=seen,
        symbols=pictures.symbols(run),
        sections=[
            each for each in shell.sections(run_report.report(run, tables.markdown(run))) if each.title not in _SHOWN
        ],
        bibtex=citation.bibtex(run),
        files=citation.files(run.folder),
    )
