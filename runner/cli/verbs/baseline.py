"""`bench baseline`: stored runs to check against."""

from itertools import zip_longest
from pathlib import Path

import click

from attnbench.runner.cli.common import STORE, say, told


@click.group()
def verb() -> None:
    """Store runs as small files, to commit and to check against."""


@verb.command()
@click.argument("name")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace the baseline of this name.")
@STORE
def save(name: str, run: Path, replace: bool, store: Path) -> None:
    """Store the folder RUN as NAME.

    Exit codes: 0 stored; 2 usage, unreadable folder, or the name is taken.
    """
    with told():
        from attnbench.reports.compare import baselines
        from attnbench.reports.text import units

        stored = baselines.save(run, name, store, replace=replace)
        click.echo(f"{stored.path}: {units.size(stored.size)}")


@verb.command("list")
@STORE
def list_(store: Path) -> None:
    """List the baselines of the store: name, date, revision, machine, number of cases, and size.

    One that cannot be read is listed with the reason.

    Exit codes: 0 listed; 2 usage.
    """
    with told():
        from attnbench.reports.compare import baselines
        from attnbench.reports.data.reading import RunError
        from attnbench.reports.text import units

        if not store.is_dir():
            say(f"{store}: no such folder, so there are no baselines", quiet=False)
        rows: list[list[str]] = []
        for each in baselines.listed(store):
            size = units.size(each.size)
            try:
                held = baselines.describe(each)
            except RunError as error:
                rows.append([each.name, f"{size}, cannot be read: {str(error).partition(': ')[2]}"])
                continue
            rows.append([each.name, held.date, held.revision, held.machine, f"{held.cases:,} cases", size])
        widths = [max(map(len, column), default=0) for column in zip_longest(*(row[:-1] for row in rows), fillvalue="")]
        for row in rows:
            click.echo("  ".join([*map(str.ljust, row[:-1], widths), row[-1]]))


@verb.command()
@click.argument("name")
@STORE
def show(name: str, store: Path) -> None:
    """Show a baseline: where and when it was measured, and its table.

    Exit codes: 0 shown; 2 usage, or no such baseline.
    """
    with told():
        from rich.console import Console

        from attnbench.reports.compare import baselines
        from attnbench.reports.tables import terminal

        with baselines.opened(name, store) as run:
            facts = run.meta["environment"]
            click.echo(f"{run.meta['name']}, {run.meta.get('started')}, {run.meta['command']}")
            click.echo(
                f"{facts.get('cpu')}, {facts.get('threads')} threads, torch {facts.get('torch')}, "
                f"{facts.get('gpu') or 'no GPU'}"
            )
            terminal.show(run, Console())


@verb.command("rm")
@click.argument("name")
@STORE
def remove(name: str, store: Path) -> None:
    """Remove a baseline.

    Exit codes: 0 removed; 2 usage, or no such baseline.
    """
    with told():
        from attnbench.reports.compare import baselines

        click.echo(f"removed {baselines.remove(name, store)}")
