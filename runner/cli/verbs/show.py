"""`bench show`: one variant explained and checked."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import VARIANTS, extend, put_or_print, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.suites import Case


def _names(context: click.Context, argument: click.Parameter, incomplete: str) -> list[str]:
    """Return the variants that a shell completes to."""
    del context, argument
    from attnbench import variants

    return [name for name in variants.names() if name.startswith(incomplete)]


@click.command()
@click.argument("name", metavar="VARIANT", shell_complete=_names)
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A parameter, or implementation; repeatable.")
@click.option("--seq-len", type=click.IntRange(1, 2**20), metavar="N", help="The length for picture and counts.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the picture: .svg or .png.")
@VARIANTS
def verb(name: str, given: tuple[str, ...], seq_len: int | None, out: Path | None, folders: tuple[Path, ...]) -> None:
    """Show one VARIANT: formula, source, parameters and pattern.

    Numbers of keys and pairs are shown too, and whether it is correct.

    Every implementation is compared with the float64 oracle in its own process, at small odd lengths and at N = 1553,
    in float32 with gradients. --set implementation=NAME checks only that one. Without torch the check is left out.

    Exit codes: 0 shown; 2 usage, an unwritable file, or a broken variant file; 3 the pattern is unsound, or an
    implementation was wrong, crashed, failed, timed out or ran out of memory; 5 the variant does not exist at this
    length; 130 interrupted.
    """
    if out is not None and out.suffix not in (".svg", ".png"):
        raise click.UsageError(f"--out {out}: expected a name that ends in .svg or .png; rename it")
    with told():
        from attnbench.runner.cli import exit_code
        from attnbench.runner.show import check_variant, describe
        from attnbench.suites.schema.load import variant_cases

        extend(folders)
        click.echo(describe.head(name))
        cases = variant_cases(name, given, "--set", **check_variant.AXES)
        unsound = describe.flaw(cases[0], seq_len)
        if unsound:
            click.echo(f"\nunsound: {unsound}")
            sys.exit(exit_code.NOT_PASSED)
        try:
            n = _draw(cases[0], seq_len, out)
        except describe.Missing as error:
            click.echo(f"\nunsupported: {error}")
            sys.exit(exit_code.NOTHING)
        sys.exit(_try_out(cases, n, folders))


def _draw(case: "Case", seq_len: int | None, out: Path | None) -> int:
    """Draw the case's pattern, or print that it has none. Returns a length at which the mechanism exists.

    Raises:
        Missing: it does not exist at this length.
        UsageError: --out is given, and there is no pattern.
    """
    from attnbench.runner.show import check_variant, describe
    from attnbench.variants import Pattern

    parameters = case.parameters
    if isinstance(parameters, Pattern):
        spans = describe.spans(parameters, seq_len)
        click.echo("\n" + describe.drawn(case.label, spans, sys.stdout.encoding))
        if out is not None:
            put_or_print(describe.picture_file(case.label, spans, out.suffix), out)
            click.echo(f"picture: {out}")
        return spans.n
    if out is not None:
        raise click.UsageError(f"--out {out}: {case.label} has no pattern to draw; leave it out")
    n = seq_len or parameters.near(check_variant.LENGTH)[1]
    reason = parameters.unsupported(n)
    if reason:
        raise describe.Missing(reason)
    click.echo(f"\n{describe.without_pattern(case, n)}")
    return n


def _try_out(cases: "Sequence[Case]", n: int, folders: tuple[Path, ...]) -> int:
    """Compare every case with the oracle and print the results; n is a length at which the pattern exists."""
    from attnbench.runner.cli import exit_code
    from attnbench.runner.show import check_variant

    if not check_variant.can_try():
        click.echo("\nnot checked: torch cannot be imported here")
        return exit_code.OK
    tried = check_variant.lengthened(cases, n)
    click.echo(f"\n{check_variant.heading(tried[0])}")
    width = max(len(case.implementation) for case in tried)
    code = exit_code.OK
    for each in check_variant.trials(tried, folders):
        click.echo(f"  {each.case.implementation:<{width}}  {each}")
        code = exit_code.NOT_PASSED if each.is_fault else code
    return code
