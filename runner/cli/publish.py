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

_MOST_FINDINGS = 40
"""Findings printed on the terminal; the folder has all of them."""


def publish(comparison: "Comparison", form: str, folder: Path | None) -> None:
    """Write a comparison into a folder, if one is given, and print it in the format `form`."""
    from attnbench.reports.compare import forms, page, tables

    where = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        where = page.write(comparison, folder, shlex.join(command_line()))
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
    if where is not None:
        click.echo(f"comparison: {where}", err=form != "text")


def _print(comparison: "Comparison") -> None:
    """The table and the answer, for the terminal."""
    from rich.console import Console

    from attnbench.reports.compare import answer, forms, tables

    console = Console()
    console.print(tables.terminal(comparison))
    for sentence in answer.answer(comparison):
        console.print(sentence, markup=False, highlight=False)
    found = comparison.findings or ()
    shown = found[:_MOST_FINDINGS]
    for each in shown:
        console.print(f"{each.severity}: {each.title}: {each.words}", markup=False, highlight=False)
    if len(shown) < len(found):
        console.print(f"and {len(found) - len(shown)} more")
    if comparison.findings is not None:
        console.print(forms.headline(comparison), markup=False, highlight=False)
