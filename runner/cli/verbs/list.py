"""`bench list`: available variants, implementations and suites."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from attnbench.runner.cli.common import VARIANTS, extend, refuse_broken, told

if TYPE_CHECKING:
    from attnbench.variants import Variant


@click.command()
@VARIANTS
def verb(folders: tuple[Path, ...]) -> None:
    """List variants, their parameters, implementations and suites.

    Exit codes: 0 listed; 2 usage, or a broken file of a variant, which is left out.
    """
    with told():
        extend(folders)
        click.echo("\n".join(_lines()))
        refuse_broken()


def _lines() -> Iterator[str]:
    """Variants by family; implementations; suites."""
    from attnbench.suites import shipped
    from attnbench.suites.schema.catalog import catalog
    from attnbench.variants import Family, kernels

    found = catalog()
    for family in get_args(Family):
        held = [(name, variant) for name, variant in found if variant.kind == family]
        if held:
            yield family
        for name, variant in held:
            yield from _described(name, variant)
    yield from ("implementations of patterns", f"  {', '.join(kernels.names())}", "suites")
    yield from (f"  {name}: {path}" for name, path in sorted(shipped().items()))


def _described(name: str, variant: "Variant") -> Iterator[str]:
    """A variant in a line; below, its formula, its cost, and its parameters."""
    from dataclasses import MISSING, fields

    from attnbench import variants
    from attnbench.suites.case import written
    from attnbench.variants import ATTENTION, mechanism_peers

    summary = variants.describe(name).partition("\n")[0]
    yield f"  {name}: {summary}" if summary else f"  {name}"
    yield from (f"      {line}" for line in variants.formula(name))
    if cost := variants.cost(name):
        yield f"      cost: {cost}"
    if variant.level != ATTENTION:
        yield f"      from level {variant.level} on"
    if mechanism_peers.names(name):
        yield f"      implementations: {', '.join(variants.implementations(name, ()))}"
    for each in fields(variant.parameters):
        default = "required" if each.default is MISSING else f"default {written(each.default)}"
        yield f"      {each.name} ({default}): {each.metadata['doc']}"
