"""`bench doctor`: what makes timings on this machine worse."""

import sys

import click

from attnbench.runner.cli import exit_code
from attnbench.runner.cli.common import told


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option("--build", is_flag=True, help="First compile the C++ code of native, as a run would do.")
def verb(as_json: bool, build: bool) -> None:
    """List what makes timings here worse, and what to do about it.

    Exit codes: 0 examined; 2 usage, or --build failed; 6 something is unfit: numbers from here would be wrong.
    """
    with told():
        import json

        from attnbench.runner.machine import doctor as examination
        from attnbench.variants.kernels import _building

        if build:
            try:
                _building.build(again=True)
            except _building.BuildError as problem:
                raise click.UsageError(str(problem)) from None
        found = examination.examine()
        click.echo(json.dumps(examination.to_json(found), indent=2) if as_json else examination.text(found))
    sys.exit(exit_code.UNFIT if any(each.level == "unfit" for each in found) else exit_code.OK)
