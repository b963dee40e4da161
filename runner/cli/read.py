"""The verbs that read: runs, suites, and what there is."""

import sys
from pathlib import Path

import click

from attnbench.runner.cli.common import SUITE, VARIANTS, extend, load_suite, told

_FORMATS = ("pytest-benchmark", "github-action-benchmark", "csv", "json", "markdown")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def report(runs: tuple[Path, ...]) -> None:
    """Rebuild tables, figures and report of each RUN folder from its run.json, samples.jsonl and profile.jsonl alone.

    Exit codes: 0 written; 2 usage or unreadable folder.
    """
    with told():
        from attnbench.reports import page, profile

        for folder in runs:
            click.echo(profile.write(folder) if profile.alone(folder) else page.write(folder))


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(_FORMATS), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write here instead of on the terminal.")
def export(folder: Path, form: str, out: Path | None) -> None:
    """Write the results of the RUN folder in a format that other tools read.

    pytest-benchmark is what its --benchmark-json writes; github-action-benchmark is for its tool customSmallerIsBetter,
    with times in ns and peak memory in bytes; csv, json and markdown are the tables of the report. The first two hold
    only cases that passed; how many are left out is said.

    Exit codes: 0 written; 2 usage, unreadable run or unwritable file; 5 no case passed.
    """
    with told():
        from attnbench.reports import export as formats
        from attnbench.reports import frame, journal
        from attnbench.runner import exit_code

        run = frame.load(folder)
        _put(formats.FORMATS[form](run, journal.read(folder)), out)
        passed, cases = int((run.frame["status"] == "passed").sum()), len(run.frame)
        if passed < cases and form in formats.PASSED_ONLY:
            click.echo(f"left out: {cases - passed} of {cases} cases, which did not pass", err=True)
    sys.exit(exit_code.OK if passed else exit_code.NOTHING)


@click.command()
@SUITE
@VARIANTS
def validate(suite: Path, folders: tuple[Path, ...]) -> None:
    """Check SUITE without running it: every mistake on a line of its own, with file, line and column.

    Exit codes: 0 valid; 2 usage or invalid suite.
    """
    with told():
        loaded = load_suite(suite, folders)
        click.echo(f"{suite}: {len(loaded.cases())} cases")


@click.command("list")
@VARIANTS
def list_(folders: tuple[Path, ...]) -> None:
    """List variants with their parameters, implementations, and the suites that ship.

    Exit codes: 0 listed; 2 usage.
    """
    with told():
        from attnbench.runner import listing

        extend(folders)
        click.echo(listing.text())


@click.command()
@VARIANTS
def schema(folders: tuple[Path, ...]) -> None:
    """Print the JSON Schema of suites, for editors.

    Exit codes: 0 printed; 2 usage.
    """
    with told():
        import json

        from attnbench.suites import schema

        extend(folders)
        click.echo(json.dumps(schema.schema(), indent=2))


def _put(text: str, out: Path | None) -> None:
    """Write into a file, or on the terminal."""
    from attnbench.reports.files import put

    if out is None:
        click.echo(text, nl=False)
        return
    try:
        put(out, text)
    except OSError as error:
        raise click.UsageError(f"--out {out}: expected a file that can be written, found: {error.strerror}") from error
