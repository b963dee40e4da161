"""`bench profile`: time and memory of one case by operator."""

import sys
from pathlib import Path

import click

from attnbench.runner.cli.common import SUITE, VARIANTS, load_suite, told


@click.command()
@SUITE
@click.argument("case")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
@VARIANTS
def verb(suite: Path, case: str, out: Path | None, folders: tuple[Path, ...]) -> None:
    """Show the time and memory of one CASE of SUITE by operator.

    CASE is a key, or words that match exactly one title: "local_window blockwise 2048 training". The case is checked
    against the oracle first. DIR (default: runs/NAME-profile-DATE-TIME) gets profile.jsonl, operators.csv,
    operators.md, figures/ and a trace for https://ui.perfetto.dev in traces/. Recording slows calls, so do not use
    these times as results.

    Exit codes: 0 profiled; 2 usage, invalid suite, unusable folder, or not exactly one matching case; 3 the case did
    not pass, or could not be profiled; 5 the case is unsupported here; 130 interrupted.
    """
    with told():
        from attnbench.reports.pages import profile as page
        from attnbench.runner.cli import exit_code
        from attnbench.runner.execution import journal, profiler
        from attnbench.suites.selection import pick

        loaded = load_suite(suite, folders)
        picked = pick(loaded.cases(), case)
        folder = out or journal.new_folder(f"{loaded.name}-profile")
        journal.make_folder(folder)
        click.echo(f"profiling {picked.title}", err=True)
        found = profiler.checked(picked, folder, loaded.budget, folders, loaded.origin)
        if found.status != "passed":
            click.echo(f"{found.status}: {found.reason}", err=True)
            sys.exit(exit_code.NOTHING if found.status == "unsupported" else exit_code.NOT_PASSED)
        click.echo(page.terminal(found))
        click.echo(f"profile: {page.write(folder)}")
