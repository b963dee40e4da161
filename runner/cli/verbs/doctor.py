"""`bench doctor`: what makes timings on this machine worse."""

import click

from attnbench.runner.cli.common import told


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def verb(as_json: bool) -> None:
    """List what makes timings on this machine worse, and what to do about it.

    Exit codes: 0 examined; 2 usage.
    """
    with told():
        import json

        from attnbench.runner.machine import doctor as examination

        found = examination.examine()
        click.echo(json.dumps(examination.to_json(found), indent=2) if as_json else examination.text(found))
