"""`bench validate`: every mistake of a suite."""

from pathlib import Path

import click

from attnbench.runner.cli.common import SUITE, VARIANTS, load_suite, say_what_is_oversubscribed, told


@click.command()
@SUITE
@VARIANTS
def verb(suite: Path, folders: tuple[Path, ...]) -> None:
    """Check SUITE without running it. Each mistake is one line with file, line and column.

    Exit codes: 0 valid; 2 usage or invalid suite.
    """
    with told():
        loaded = load_suite(suite, folders)
        say_what_is_oversubscribed(loaded.cases(), quiet=False)
        click.echo(f"{suite}: {len(loaded.cases())} cases")
