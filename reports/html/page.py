"""The page of a run: `report.html`, one file with all that `report.md` says, its figures to be looked into."""

from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.reports import html
from attnbench.reports.data.files import put
from attnbench.reports.drawing import panels
from attnbench.reports.drawing.style import looks
from attnbench.reports.figures import patterns
from attnbench.reports.findings.run import Run
from attnbench.reports.pages import run_report
from attnbench.reports.text import citation, first_screen, outcomes
from attnbench.reports.text.answer import answer
from attnbench.reports.text.escape import plain

if TYPE_CHECKING:
    from attnbench.reports.html.shell import Section

_SHOWN = ("Figures",)
"""Sections of `report.md` that the page has in a form of its own."""
_MOST_TABLES = 1_000_000
"""Characters of the tables of a section. A page of 10,000 cases is to stay below 6 MB."""


def write(run: Run, report: Path) -> Path | None:
    """Write `report.html` beside the `report.md` of a run, and return its path; None if a package is missing.

    Raises:
        RunError: its profiles cannot be read.
    """
    if not html.installed():
        return None
    return put(run.folder / "report.html", page(run, report.read_text(encoding="utf-8")))


def page(run: Run, report: str) -> str:
    """Return the page of a run; `report` is its report as Markdown, which has the tables."""
    # Not at the top, so that `write` works without the packages.
    from attnbench.reports.html import cases, charts, figures, marks, pictures, shell

    drawn, summary, look, seen = charts.of(run), run.summary, looks(run.frame), pictures.patterns(run)
    rows = summary.rows if summary else ()
    return shell.render(
        "report.html.j2",
        title=f"{plain(run.meta['name'])} · attnbench",
        context=panels.context(run),
        question=plain(run.meta["question"], longest=None),
        answer=[plain(each, longest=None) for each in answer(run)],
        unfinished=run_report.unfinished(run),
        lines=[plain(each, longest=None) for each in outcomes.lines(run.outcomes)],
        table=first_screen.table(run),
        caption=first_screen.caption(run),
        beside=[(marks.swatch(look[each.name]), seen.get(each.case["label"], "")) for each in rows],
        charts=drawn,
        items=[figures.item(each) for each in drawn],
        bokeh=figures.script(),
        pictures=seen,
        cases=cases.section(run),
        symbols=pictures.symbols(run),
        reading=patterns.READING,
        sections=[_fitting(each) for each in shell.sections(report) if each.title not in _SHOWN],
        bibtex=citation.bibtex(run),
        files=citation.files(run.folder),
    )


def _fitting(section: "Section") -> "Section":
    """Return a section with as many of its parts, in their order, as fit; it says how many are left out."""
    from attnbench.reports.html import shell

    kept, room = [], _MOST_TABLES
    for part in section.parts:
        if len(part.body) <= room:
            kept.append(part)
            room -= len(part.body)
    many = len(section.parts) - len(kept)
    more = shell.prose(f"The page has no room for {many} more of these tables. They are in report.md.") if many else ""
    return section._replace(body=section.body + more, parts=tuple(kept))
