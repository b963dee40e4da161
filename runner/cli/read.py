"""The verbs that read: runs, suites, and what there is."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import SUITE, VARIANTS, extend, load_suite, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.suites import Case

_FORMATS = ("pytest-benchmark", "github-action-benchmark", "csv", "json", "markdown")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def report(runs: tuple[Path, ...]) -> None:
    """Rebuild tables, figures and report of each RUN folder from its run.json, samples.jsonl and profile.jsonl alone.

    A folder of bench ab gets its comparison again, from ab.jsonl, also where that ended early.

    Exit codes: 0 written; 2 usage or unreadable folder.
    """
    with told():
        from attnbench.reports import load, page, profile
        from attnbench.reports.comparison import ab
        from attnbench.reports.comparison import page as comparison

        for folder in runs:
            if profile.alone(folder):
                click.echo(profile.write(folder))
            elif (folder / ab.ROWS).is_file():
                click.echo(comparison.rebuild(folder))
            else:
                click.echo(page.write(load(folder)))


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

        kept = journal.read(folder)
        run = frame.judged(folder, kept)
        _put(formats.FORMATS[form](run, kept), out)
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

    Exit codes: 0 listed; 2 usage, or a broken file of a variant, which is left out.
    """
    with told():
        from attnbench.runner import listing

        extend(folders)
        click.echo(listing.text())
        _refuse_broken()


@click.command()
@click.argument("name", metavar="VARIANT")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A parameter, or implementation; repeatable.")
@click.option("--seq-len", type=click.IntRange(1, 2**20), metavar="N", help="The length to draw and to count at.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the picture too: .svg or .png.")
@VARIANTS
def show(name: str, given: tuple[str, ...], seq_len: int | None, out: Path | None, folders: tuple[Path, ...]) -> None:
    """Show one VARIANT: formula and source, parameters, its pattern, how many keys and pairs, and whether it is right.

    Every implementation is held to the float64 oracle, in a process of its own, at small odd lengths and at one of
    1553, in float32 and with gradients; --set implementation=NAME tries that one alone. Without torch, all but this is
    shown.

    Exit codes: 0 shown; 2 usage, an unwritable file, or a broken file of a variant; 3 its pattern is unsound, or an
    implementation was wrong, crashed, failed, timed out or ran out of memory; 5 it does not exist at this length;
    130 interrupted.
    """
    if out is not None and out.suffix not in (".svg", ".png"):
        raise click.UsageError(f"--out {out}: expected a name that ends in .svg or .png; rename it")
    with told():
        from attnbench.runner import exit_code, portrait, trial
        from attnbench.suites import words

        extend(folders)
        click.echo(portrait.head(name))
        cases = words.cases(name, given, "--set", **trial.AXES)
        unsound = portrait.flaw(cases[0], seq_len)
        if unsound:
            click.echo(f"\nunsound: {unsound}")
            sys.exit(exit_code.NOT_PASSED)
        try:
            spans = portrait.spans(cases[0].pattern, seq_len)
        except portrait.Missing as error:
            click.echo(f"\nunsupported: {error}")
            sys.exit(exit_code.NOTHING)
        click.echo("\n" + portrait.drawn(cases[0].label, spans, sys.stdout.encoding))
        if out is not None:
            _put(portrait.picture_file(cases[0].label, spans, out.suffix), out)
            click.echo(f"picture: {out}")
        sys.exit(_try_out(cases, spans.n, folders))


@click.command()
@VARIANTS
def schema(folders: tuple[Path, ...]) -> None:
    """Print the JSON Schema of suites, for editors.

    Exit codes: 0 printed; 2 usage, or a broken file of a variant, which is left out.
    """
    with told():
        import json

        from attnbench.suites import schema

        extend(folders)
        click.echo(json.dumps(schema.schema(), indent=2))
        _refuse_broken()


def _refuse_broken() -> None:
    """Tell what is wrong with files of variants.

    Raises:
        SuiteError: something is.
    """
    from attnbench.suites import SuiteError
    from attnbench.suites.catalog import problems

    broken = problems()
    if broken:
        raise SuiteError(broken)


def _try_out(cases: "Sequence[Case]", n: int, folders: tuple[Path, ...]) -> int:
    """Hold every case to the oracle, and say how each did; n is a length at which the pattern exists."""
    from attnbench.runner import exit_code, trial

    if not trial.can_try():
        click.echo("\nnot checked: torch cannot be imported here")
        return exit_code.OK
    tried = trial.lengthened(cases, n)
    click.echo(f"\n{trial.heading(tried[0])}")
    width = max(len(case.implementation) for case in tried)
    code = exit_code.OK
    for each in trial.trials(tried, folders):
        click.echo(f"  {each.case.implementation:<{width}}  {each}")
        code = exit_code.NOT_PASSED if each.is_fault else code
    return code


def _put(content: str | bytes, out: Path | None) -> None:
    """Write into a file, or on the terminal."""
    from attnbench.reports.files import put

    if out is None:
        click.echo(content, nl=False)
        return
    try:
        put(out, content)
    except OSError as error:
        raise click.UsageError(f"--out {out}: expected a file that can be written, found: {error.strerror}") from error
