"""`bench history`: runs of one suite over commits."""

import sys
from pathlib import Path

import click

from attnbench.runner.cli.common import told


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="DIR|GLOB...")
@click.option("--suite", metavar="NAME", help="Use the runs of this suite, not of the one with most runs.")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Use only the latest N runs.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write history.html, history.md, history.csv and badge.json into this folder, over older ones.",
)
def verb(runs: tuple[str, ...], suite: str | None, last: int | None, out: Path | None) -> None:
    """Show what changed over runs of one suite.

    This is the time relative to the baseline, memory, work and error of each case.

    DIR is a folder of run folders or of stored baselines (bench baseline save), or one of these; GLOB is a pattern such
    as 'runs/*'. Runs are ordered by the date of the commit in which bench run was called, else by their start. Each
    change is shown with the commits between which it lies. Times take six runs or more; memory and work take two.

    Exit codes: 0 shown, whatever changed; 2 usage, or a package is missing; 5 no run of the suite could be read.
    """
    with told():
        from attnbench.reports import history as package
        from attnbench.reports import html
        from attnbench.runner.cli import exit_code

        if not package.installed():
            click.echo(package.HINT, err=True)
            sys.exit(exit_code.USAGE)
        from attnbench.reports.history import changes, finding, page, tables
        from attnbench.reports.history.history import history

        chosen, left_out = finding.ordered(finding.paths(runs), suite, last)
        found = history(chosen, left_out)
        if found is None:
            for each in left_out:
                click.echo(f"left out: {each}", err=True)
            wanted = f"runs of the suite {suite}" if suite else "runs of a suite"
            click.echo(f"{' '.join(runs)}: expected {wanted}, found none; name another folder", err=True)
            sys.exit(exit_code.NOTHING)
        seen = changes.find(found)
        for line in tables.terminal(seen):
            click.echo(line)
        if out is not None:
            click.echo(f"history: {page.write(seen, out)}")
            if not html.installed():
                click.echo(package.PAGE_HINT)
