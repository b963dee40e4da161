"""`bench merge`: make one run of runs that measured one suite in parts."""

from pathlib import Path

import click

from attnbench.runner.cli.common import VARIANTS, command_line, extend, told, write_page


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN...")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the merged run; new or empty.",
)
@VARIANTS
def verb(runs: tuple[Path, ...], out: Path, folders: tuple[Path, ...]) -> None:
    """Make one run of several RUNs that measured parts of one suite.

    Parts are, for example, shards. The report is written, too.

    Each RUN stays a part with its machine, and only times of one part are paired. Runs need the same suite and version.
    If two runs measured a case on one machine, its processes add up. If they measured it on several classes of
    hardware, such as two models of CPU, the classes stand side by side. Else each sweep over lengths needs one machine.

    Exit codes: 0 merged; 2 usage, unreadable folder, or runs that cannot be one.
    """
    if len(runs) < 2:
        raise click.UsageError(f"expected at least two RUN folders, found {len(runs)}; name all parts")
    with told():
        from attnbench.reports import load
        from attnbench.reports.pages import run_report
        from attnbench.runner.execution import merging

        extend(folders)
        merging.merge(runs, out, command_line())
        run = load(out)
        report = run_report.write(run)
        click.echo(f"report: {report}")
        page = write_page(run, report)
        if page:
            click.echo(f"page: {page}")
