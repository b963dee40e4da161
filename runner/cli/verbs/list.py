"""`bench list`: available variants, implementations and suites."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import VARIANTS, extend, refuse_broken, told

if TYPE_CHECKING:
    from attnbench.variants import Variant


@click.command()
@VARIANTS
def verb(folders: tuple[Path, ...]) -> None:
    """List variants with their parameters, implementations, and shipped suites.

    Exit codes: 0 listed; 2 usage, or a broken file of a variant, which is left out.
    """
    with told():
        extend(folders)
        click.echo("\n".join(_lines()))
        refuse_broken()


def _lines() -> Iterator[str]:
    """Patterns, then mechanisms that are no pattern; implementations; suites."""
    from attnbench.suites import shipped
    from attnbench.suites.schema.catalog import catalog
    from attnbench.variants import kernels

    found = catalog()
    for head, patterns in (("patterns", True), ("mechanisms without a pattern", False)):
        yield head
        for name, variant in found:
            if variant.is_pattern is patterns:
                yield from _described(name, variant)
    yield from ("implementations of patterns", f"  {', '.join(kernels.names())}", "suites")
    yield from (f"  {name}: {path}" for name, path in sorted(shipped().items()))


def _described(name: str, variant: "Variant") -> Iterator[str]:
    """A variant in a line, and its parameters below."""
    from dataclasses import MISSING, fields

    from attnbench import variants
    from attnbench.suites.case import written

    summary = variants.describe(name).partition("\n")[0]
    yield f"  {name}: {summary}" if summary else f"  {name}"
    for each in fields(variant.parameters):
        default = "required" if each.default is MISSING else f"default {written(each.default)}"
        yield f"      {each.name} ({default}): {each.metadata['doc']}"
