"""`bench report`: the tables, figures and page of a run, written again."""

from pathlib import Path

import click

from attnbench.runner.cli.common import told


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def verb(runs: tuple[Path, ...]) -> None:
    """Rebuild tables, figures and report of each RUN folder from its run.json, samples.jsonl and profile.jsonl alone.

    A folder of bench ab gets its comparison again, from ab.jsonl, also where that ended early.

    Exit codes: 0 written; 2 usage or unreadable folder.
    """
    with told():
        from attnbench.reports import load
        from attnbench.reports.compare import between_revisions
        from attnbench.reports.compare import page as comparison
        from attnbench.reports.pages import profile, run_report

        for folder in runs:
            if profile.alone(folder):
                click.echo(profile.write(folder))
            elif (folder / between_revisions.ROWS).is_file():
                click.echo(comparison.rebuild(folder))
            else:
                click.echo(run_report.write(load(folder)))
