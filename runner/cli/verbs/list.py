"""`bench list`: available variants, implementations and suites."""

from pathlib import Path

import click

from attnbench.runner.cli.common import VARIANTS, extend, refuse_broken, told


@click.command()
@VARIANTS
def verb(folders: tuple[Path, ...]) -> None:
    """List variants with their parameters, implementations, and shipped suites.

    Exit codes: 0 listed; 2 usage, or a broken file of a variant, which is left out.
    """
    with told():
        from attnbench.runner.show import list_variants

        extend(folders)
        click.echo(list_variants.text())
        refuse_broken()
