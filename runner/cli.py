"""The command line. Each verb imports what it needs when it is called, so that `--help` is instant."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnbench.suites.suite import Suite

_VARIANTS = click.option(
    "--variants",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Find the one-file variants of FOLDER too. Their code is run.",
)
_QUICK, _RIGOROUS = 2, 20
_SUITE = click.argument("suite", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attnbench", prog_name="bench")
def main() -> None:
    """What self-attention costs: time, memory and work, checked before it is timed."""


@main.command()
@_SUITE
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run folder; new or empty.")
@click.option("--processes", type=click.IntRange(1, 1000), metavar="N", help="Replicates, instead of the suite's.")
@click.option("--quick", is_flag=True, help=f"{_QUICK} processes: a first look, without intervals.")
@click.option("--rigorous", is_flag=True, help=f"{_RIGOROUS} processes: narrow intervals, and two modes show.")
@click.option("--quiet", is_flag=True, help="Say nothing but where the run folder is.")
@click.option("--profile", is_flag=True, help="At the end, profile every case that passed.")
@_VARIANTS
def run(
    suite: Path,
    out: Path | None,
    processes: int | None,
    quick: bool,
    rigorous: bool,
    quiet: bool,
    profile: bool,
    folders: tuple[Path, ...],
) -> None:
    """Measure all cases of SUITE, a YAML file or the name of a suite that ships, and report.

    Every case is checked against a float64 oracle before it is timed. The run folder (by default
    runs/NAME-DATE-TIME) holds run.json, samples.jsonl, table.csv, table.md, report.md and figures/; with --profile also
    profile.jsonl, operators.csv, operators.md and traces/.

    More processes share the suite's budget: within case_s each of them gets fewer values, and suite_s ends the run.

    Exit codes: 0 measured; 2 usage, invalid suite or unusable folder; 3 a case was wrong, crashed, failed, timed out
    or ran out of memory unpredictedly; 5 nothing was measured; 124 the suite's time ran out; 130 interrupted.
    """
    wanted = _processes(processes, quick=quick, rigorous=rigorous)
    with _told():
        from attnbench.runner import engine, exit_code, progress

        loaded = _load(suite, folders)
        loaded = loaded if wanted is None else loaded.with_processes(wanted)
        folder = out or _new_folder(loaded.name)
        display = progress.choose(quiet=quiet)
        try:
            finished = engine.run(loaded, folder, display, command=_command(), folders=folders, profile=profile)
            code = exit_code.of((*finished.rows, *finished.profiles), out_of_time=finished.out_of_time)
        except KeyboardInterrupt:
            code = exit_code.INTERRUPTED
            _say("interrupted; what was finished is kept", quiet=quiet)
        finally:
            display.close()
        if (folder / "run.json").exists():
            _report(folder, quiet=quiet)
    sys.exit(code)


@main.command()
@_SUITE
@click.argument("case")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
@_VARIANTS
def profile(suite: Path, case: str, out: Path | None, folders: tuple[Path, ...]) -> None:
    """Show where the time and the memory of one CASE of SUITE go, operator by operator.

    CASE is a case's key, or words that its title alone holds: "local_window blockwise 2048 training". It is checked
    against the oracle first. DIR (by default runs/NAME-profile-DATE-TIME) gets profile.jsonl, operators.csv,
    operators.md, figures/ and a trace for https://ui.perfetto.dev in traces/. Recording slows calls: no time here is
    a result.

    Exit codes: 0 profiled; 2 usage, invalid suite, unusable folder, or not exactly one such case; 3 the case did not
    pass, or could not be profiled; 5 it does not exist here; 130 interrupted.
    """
    with _told():
        from attnbench.reports import profile as page
        from attnbench.runner import exit_code, journal, profiler
        from attnbench.suites.pick import pick

        loaded = _load(suite, folders)
        picked = pick(loaded.cases(), case)
        folder = out or _new_folder(f"{loaded.name}-profile")
        journal.make_folder(folder)
        click.echo(f"profiling {picked.title}", err=True)
        try:
            found = profiler.checked(picked, folder, loaded.budget, folders)
        except KeyboardInterrupt:
            _say("interrupted", quiet=False)
            sys.exit(exit_code.INTERRUPTED)
        if found.status != "passed":
            click.echo(f"{found.status}: {found.reason}", err=True)
            sys.exit(exit_code.NOTHING if found.status == "unsupported" else exit_code.NOT_PASSED)
        click.echo(page.terminal(found))
        click.echo(f"profile: {page.write(folder)}")


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def report(runs: tuple[Path, ...]) -> None:
    """Rebuild tables, figures and report of each RUN folder from its run.json, samples.jsonl and profile.jsonl alone.

    Exit codes: 0 written; 2 usage or unreadable folder.
    """
    with _told():
        from attnbench.reports import page, profile

        for folder in runs:
            click.echo(profile.write(folder) if profile.alone(folder) else page.write(folder))


@main.command()
@_SUITE
@_VARIANTS
def validate(suite: Path, folders: tuple[Path, ...]) -> None:
    """Check SUITE without running it: every mistake on a line of its own, with file, line and column.

    Exit codes: 0 valid; 2 usage or invalid suite.
    """
    with _told():
        loaded = _load(suite, folders)
        click.echo(f"{suite}: {len(loaded.cases())} cases")


@main.command("list")
@_VARIANTS
def list_(folders: tuple[Path, ...]) -> None:
    """List variants with their parameters, implementations, and the suites that ship.

    Exit codes: 0 listed; 2 usage.
    """
    with _told():
        from attnbench.runner import listing

        _extend(folders)
        click.echo(listing.text())


@main.command()
@_VARIANTS
def schema(folders: tuple[Path, ...]) -> None:
    """Print the JSON Schema of suites, for editors.

    Exit codes: 0 printed; 2 usage.
    """
    with _told():
        import json

        from attnbench.suites import schema

        _extend(folders)
        click.echo(json.dumps(schema.schema(), indent=2))


@main.command()
@click.argument("suite", type=click.Path(path_type=Path), default=Path("selftest"))
@click.option("--runs", type=click.IntRange(1), default=4, show_default=True, help="A/A runs that there shall be.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/selftest"), show_default=True, metavar="DIR")
@click.option("--quiet", is_flag=True, help="Say only what was found.")
def selftest(suite: Path, runs: int, out: Path, quiet: bool) -> None:
    """Prove on this machine what its numbers are worth: the same code against itself, and against known slow-downs.

    What DIR holds already is kept, and runs are added until there are as many as asked for. It gets selftest.jsonl,
    selftest.json, selftest.md and figures/.

    Exit codes: 0 every figure holds; 1 a figure failed, the page says which and what to change; 2 usage, invalid
    suite or unusable folder; 130 interrupted.
    """
    with _told():
        from attnbench.reports import decision
        from attnbench.reports import selftest as figures
        from attnbench.runner import exit_code
        from attnbench.runner import selftest as measuring

        loaded = _load(suite, ())
        rule = decision.Rule()
        pairs = measuring.Pairs(rule.screen_pairs, rule.confirm_pairs)

        def flag(screen: "Mapping[str, list[float]]") -> list[str]:
            import numpy as np

            return decision.flagged({key: np.array(values) for key, values in screen.items()}, rule)

        try:
            measuring.measure(loaded, out, runs, pairs, flag, lambda text: _say(text, quiet=quiet))
        except KeyboardInterrupt:
            _say("interrupted; what was finished is kept, the same command goes on", quiet=quiet)
            sys.exit(exit_code.INTERRUPTED)
        page = figures.write(out)
        found = figures.load(out)
        click.echo("\n".join([*figures.lines(found), f"page: {page}"]))
    sys.exit(0 if found.trusted else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor(as_json: bool) -> None:
    """Say what on this machine makes numbers worse, and what to do about it.

    Exit codes: 0 examined; 2 usage.
    """
    import json

    from attnbench.runner import doctor as examination

    found = examination.examine()
    click.echo(json.dumps(examination.to_json(found), indent=2) if as_json else examination.text(found))


@contextmanager
def _told() -> Iterator[None]:
    """Tell a user's mistake in plain lines, and exit with 2."""
    from attnbench.reports.journal import RunError
    from attnbench.runner import exit_code
    from attnbench.runner.journal import FolderError
    from attnbench.suites.load import SuiteError
    from attnbench.suites.pick import PickError

    try:
        yield
    except (SuiteError, FolderError, RunError, PickError) as error:
        click.echo(str(error), err=True)
        sys.exit(exit_code.USAGE)


def _load(path: Path, folders: tuple[Path, ...]) -> "Suite":
    """The suite in a file, or one that ships, by name."""
    from attnbench.suites import shipped
    from attnbench.suites.load import load

    _extend(folders)
    return load(path if path.exists() else shipped().get(str(path), path))


def _processes(processes: int | None, *, quick: bool, rigorous: bool) -> int | None:
    """The number of replicates that the command line asks for, if it does."""
    asked = {
        "--processes": processes,
        "--quick": _QUICK if quick else None,
        "--rigorous": _RIGOROUS if rigorous else None,
    }
    given = {name: count for name, count in asked.items() if count is not None}
    if len(given) > 1:
        raise click.UsageError(f"expected one of {', '.join(asked)}, found {' and '.join(given)}; leave one")
    return next(iter(given.values()), None)


def _extend(folders: tuple[Path, ...]) -> None:
    from attnbench import variants

    for folder in folders:
        try:
            variants.extend(folder)
        except ValueError as error:
            raise click.UsageError(f"--variants {error}") from error


def _new_folder(name: str) -> Path:
    from datetime import datetime

    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def _command() -> list[str]:
    return ["bench", *sys.argv[1:]]


def _report(folder: Path, *, quiet: bool) -> None:
    """Write the report, and show its table."""
    from attnbench.reports import page

    written = page.write(folder)
    if not quiet:
        from rich.console import Console

        from attnbench.reports import answer, frame, tables

        run = frame.load(folder)
        console = Console()
        console.print(tables.terminal(run))
        for sentence in answer.answer(run):
            console.print(sentence, markup=False, highlight=False)
    click.echo(f"report: {written}")


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)
