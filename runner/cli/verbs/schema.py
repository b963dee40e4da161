"""`bench schema`: the JSON Schema of suites."""

from pathlib import Path

import click

from attnbench.runner.cli.common import VARIANTS, extend, refuse_broken, told


@click.command()
@VARIANTS
def verb(folders: tuple[Path, ...]) -> None:
    """Print the JSON Schema of suites, for editors.

    Exit codes: 0 printed; 2 usage, or a broken file of a variant, which is left out.
    """
    with told():
        from attnbench.suites.schema import schema

        extend(folders)
        click.echo(schema.as_text(), nl=False)
        refuse_broken()
