"""`bench report`: rebuild the tables, figures and page of a run."""

from pathlib import Path

import click

from attnbench.runner.cli.common import told, write_page
from attnbench.runner.cli.publish import write


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def verb(runs: tuple[Path, ...]) -> None:
    """Rebuild tables, figures and report of each RUN.

    They are made from its run.json, samples.jsonl and profile.jsonl alone.

    The report is report.md and, with the extra attnbench[html], report.html.

    In a folder of bench ab, rebuild the comparison from ab.jsonl, even if it ended early.

    Exit codes: 0 written; 2 usage or unreadable folder.
    """
    with told():
        from attnbench.reports import load
        from attnbench.reports.compare import between_revisions, page
        from attnbench.reports.pages import profile, run_report

        for folder in runs:
            if profile.alone(folder):
                click.echo(profile.write(folder))
            elif (folder / between_revisions.ROWS).is_file():
                rebuilt, command = page.rebuilt(folder)
                click.echo("\n".join(write(rebuilt, folder, command)))
            else:
                run = load(folder)
                written = run_report.write(run)
                click.echo(written)
                in_html = write_page(run, written)
                if in_html:
                    click.echo(in_html)
