"""Writes a comparison into a folder, and prints it in the chosen format."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import command_line

if TYPE_CHECKING:
    from attnbench.reports.compare.comparison import Comparison
    from attnbench.reports.compare.gate import Finding
    from attnbench.reports.data.frame import Run

_MOST_FINDINGS = 40
"""Findings printed on the terminal; the folder has all of them."""


def publish(
    comparison: "Comparison",
    found: "Sequence[Finding] | None",
    form: str,
    folder: Path | None,
    runs: "tuple[Run, Run] | None" = None,
) -> None:
    """Write a comparison into a folder, where one is given, and print it in the form that was asked for.

    `found` is None where nothing is held to a policy.
    """
    from attnbench.reports.compare import forms, page, tables

    where = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        where = page.write(comparison, folder, runs, shlex.join(command_line()), found)
    if form == "text":
        _print(comparison, found)
    elif form == "github":
        click.echo(forms.annotations(comparison, found or []), nl=False)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(forms.summary(comparison, found))
        if folder is not None:
            (folder / "comment.md").write_text(forms.comment(comparison, found), encoding="utf-8")
    else:
        written: dict[str, Callable[[], str]] = {
            "markdown": lambda: forms.summary(comparison, found),
            "csv": lambda: tables.csv(comparison),
            "json": lambda: tables.as_json(comparison, found),
            "junit": lambda: forms.junit(comparison, found or []),
        }
        click.echo(written[form](), nl=False)
    if where is not None:
        click.echo(f"comparison: {where}", err=form != "text")


def _print(comparison: "Comparison", found: "Sequence[Finding] | None") -> None:
    """The table and the answer, for the terminal."""
    from rich.console import Console

    from attnbench.reports.compare import answer, forms, tables

    console = Console()
    console.print(tables.terminal(comparison))
    for sentence in answer.answer(comparison):
        console.print(sentence, markup=False, highlight=False)
    shown = (found or [])[:_MOST_FINDINGS]
    for each in shown:
        console.print(f"{each.severity}: {each.title}: {each.metric} {each.told}", markup=False, highlight=False)
    if len(shown) < len(found or []):
        console.print(f"and {len(found or []) - len(shown)} more")
    if found is not None:
        console.print(forms.headline(comparison, found), markup=False, highlight=False)
