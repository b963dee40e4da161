"""Writes a comparison into a folder, and prints it in the chosen format."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import command_line

if TYPE_CHECKING:
    from attnbench.reports.compare.comparison import Comparison

_MOST_LINES = 39
"""Lines of a first screen; where the files are comes below it."""
_MOST_NOTES = 4
_LONGEST_NOTE = 190
"""Characters of a note, which are two lines at 100 columns. The folder has all of them, and all cases and findings."""


def publish(comparison: "Comparison", form: str, folder: Path | None) -> None:
    """Write a comparison into a folder, if one is given, and print it in the format `form`."""
    from attnbench.reports.compare import forms, tables

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        pages = write(comparison, folder, shlex.join(command_line()))
    if form == "text":
        _print(comparison)
    elif form == "github":
        click.echo(forms.annotations(comparison), nl=False)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(forms.summary(comparison))
        if folder is not None:
            (folder / "comment.md").write_text(forms.comment(comparison), encoding="utf-8")
    else:
        written: dict[str, Callable[[], str]] = {
            "markdown": lambda: forms.summary(comparison),
            "csv": lambda: tables.csv(comparison),
            "json": lambda: tables.as_json(comparison),
            "junit": lambda: forms.junit(comparison),
        }
        click.echo(written[form](), nl=False)
    if folder is not None:
        for each in pages:
            click.echo(each, err=form != "text")


def write(comparison: "Comparison", folder: Path, command: str) -> list[str]:
    """Write the files of a comparison. Return where its pages are, or how to get one if a package is missing."""
    from attnbench.reports import html
    from attnbench.reports.compare import html as in_html
    from attnbench.reports.compare import page

    made = page.write(comparison, folder, command), in_html.write(comparison, folder, command)
    return [f"comparison: {each}" if each else html.HINT.replace("report", "comparison") for each in made]


def _print(comparison: "Comparison") -> None:
    """The first screen of a comparison, with as many of the worst cases as it has room for."""
    from rich.console import Console

    from attnbench.reports.compare import answer, forms, tables
    from attnbench.reports.text.escape import plain

    console = Console()
    said = [forms.headline(comparison), *answer.answer(comparison)]
    below = [plain(each, longest=_LONGEST_NOTE) for each in answer.notes(comparison)[:-1]][:_MOST_NOTES]
    for most in range(tables.MOST_FIRST, 0, -1):
        with console.capture() as captured:
            for each in said:
                console.print(plain(each, longest=None), markup=False, highlight=False)
            if len(comparison.shown):
                console.print(tables.terminal(comparison, most))
            for each in below:
                console.print(f"- {each}", markup=False, highlight=False)
        text = captured.get()
        if text.count("\n") <= _MOST_LINES:
            break
    click.echo(text, nl=False)
