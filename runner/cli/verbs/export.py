"""`bench export`: a run in the format of another tool."""

import sys
from pathlib import Path

import click

from attnbench.reports import export
from attnbench.runner.cli.common import put_or_print, told


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(export.names()), required=True, help="Output format.")
@click.option("--metric", type=click.Choice(["time", "speedup", "memory"]), help="latex: number to show; default time.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE instead of the terminal.")
def verb(folder: Path, form: str, metric: str | None, out: Path | None) -> None:
    """Write the results of RUN in a format that other tools read.

    pytest-benchmark: the format of its --benchmark-json. github-action-benchmark: for its tool customSmallerIsBetter,
    with times in ns and peak memory in bytes. csv, json and markdown: the tables of the report. latex: a table for a
    paper, with the package booktabs. The first two hold only cases that passed; the number of other cases is printed.

    Exit codes: 0 written; 2 usage, unreadable run or unwritable file; 5 no case passed.
    """
    if metric and form != "latex":
        raise click.UsageError(f"--metric: expected --format latex, found --format {form}")
    with told():
        from attnbench.reports.data import reading
        from attnbench.reports.export.formats import latex
        from attnbench.reports.findings.run import judged
        from attnbench.runner.cli import exit_code

        kept = reading.read(folder)
        run, format_ = judged(folder, kept), export.load(form)
        put_or_print(latex.write(run, kept, metric) if metric else format_.write(run, kept), out)
        passed, cases = int((run.frame["status"] == "passed").sum()), len(run.frame)
        if passed < cases and format_.PASSED_ONLY:
            click.echo(f"left out: {cases - passed} of {cases} cases, which did not pass", err=True)
    sys.exit(exit_code.OK if passed else exit_code.NOTHING)
