"""The verbs that measure."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import SUITE, VARIANTS, command_line, load_suite, new_folder, say, told

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUICK, _RIGOROUS = 2, 20


@click.command()
@SUITE
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run folder; new or empty.")
@click.option("--processes", type=click.IntRange(1, 1000), metavar="N", help="Replicates, instead of the suite's.")
@click.option("--quick", is_flag=True, help=f"{_QUICK} processes: a first look, without intervals.")
@click.option("--rigorous", is_flag=True, help=f"{_RIGOROUS} processes: narrow intervals, and two modes show.")
@click.option("--quiet", is_flag=True, help="Say nothing but where the run folder is.")
@click.option("--profile", is_flag=True, help="At the end, profile every case that passed.")
@VARIANTS
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
    with told():
        from attnbench.runner import engine, exit_code, progress

        loaded = load_suite(suite, folders)
        loaded = loaded if wanted is None else loaded.with_processes(wanted)
        folder = out or new_folder(loaded.name)
        display = progress.choose(quiet=quiet)
        try:
            finished = engine.run(loaded, folder, display, command=command_line(), folders=folders, profile=profile)
            code = exit_code.of((*finished.rows, *finished.profiles), out_of_time=finished.out_of_time)
        except KeyboardInterrupt:
            code = exit_code.INTERRUPTED
            say("interrupted; what was finished is kept", quiet=quiet)
        finally:
            display.close()
        if (folder / "run.json").exists():
            _report(folder, quiet=quiet)
    sys.exit(code)


@click.command()
@SUITE
@click.argument("case")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
@VARIANTS
def profile(suite: Path, case: str, out: Path | None, folders: tuple[Path, ...]) -> None:
    """Show where the time and the memory of one CASE of SUITE go, operator by operator.

    CASE is a case's key, or words that its title alone holds: "local_window blockwise 2048 training". It is checked
    against the oracle first. DIR (by default runs/NAME-profile-DATE-TIME) gets profile.jsonl, operators.csv,
    operators.md, figures/ and a trace for https://ui.perfetto.dev in traces/. Recording slows calls: no time here is
    a result.

    Exit codes: 0 profiled; 2 usage, invalid suite, unusable folder, or not exactly one such case; 3 the case did not
    pass, or could not be profiled; 5 it does not exist here; 130 interrupted.
    """
    with told():
        from attnbench.reports import profile as page
        from attnbench.runner import exit_code, journal, profiler
        from attnbench.suites.pick import pick

        loaded = load_suite(suite, folders)
        picked = pick(loaded.cases(), case)
        folder = out or new_folder(f"{loaded.name}-profile")
        journal.make_folder(folder)
        click.echo(f"profiling {picked.title}", err=True)
        try:
            found = profiler.checked(picked, folder, loaded.budget, folders)
        except KeyboardInterrupt:
            say("interrupted", quiet=False)
            sys.exit(exit_code.INTERRUPTED)
        if found.status != "passed":
            click.echo(f"{found.status}: {found.reason}", err=True)
            sys.exit(exit_code.NOTHING if found.status == "unsupported" else exit_code.NOT_PASSED)
        click.echo(page.terminal(found))
        click.echo(f"profile: {page.write(folder)}")


@click.command()
@click.argument("suite", type=click.Path(path_type=Path), default=Path("selftest"))
@click.option("--runs", type=click.IntRange(1), default=4, show_default=True, help="A/A runs that there shall be.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/selftest"), show_default=True, metavar="DIR")
@click.option("--quiet", is_flag=True, help="Say only what was found.")
def selftest(suite: Path, runs: int, out: Path, quiet: bool) -> None:
    """Prove on this machine what its numbers are worth: the same code against itself, and against known slow-downs.

    What DIR holds already is kept, and runs are added until there are as many as asked for. It gets selftest.jsonl,
    selftest.json, selftest.md and figures/. On CUDA torch's timer is left out: it does not measure the same thing.

    Exit codes: 0 every figure holds; 1 a figure failed, the page says which and what to change; 2 usage, invalid
    suite or unusable folder; 130 interrupted.
    """
    with told():
        from attnbench.reports import decision
        from attnbench.reports import selftest as figures
        from attnbench.runner import exit_code
        from attnbench.runner import selftest as measuring

        loaded = load_suite(suite, ())
        rule = decision.Rule()
        pairs = measuring.Pairs(rule.screen_pairs, rule.confirm_pairs)

        def flag(screen: "Mapping[str, list[float]]") -> list[str]:
            import numpy as np

            return decision.flagged({key: np.array(values) for key, values in screen.items()}, rule)

        try:
            measuring.measure(loaded, out, runs, pairs, flag, lambda text: say(text, quiet=quiet))
        except KeyboardInterrupt:
            say("interrupted; what was finished is kept, the same command goes on", quiet=quiet)
            if (out / figures.ROWS).exists():
                figures.write(out)
            sys.exit(exit_code.INTERRUPTED)
        page = figures.write(out)
        found = figures.load(out)
        click.echo("\n".join([*figures.lines(found), f"page: {page}"]))
    sys.exit(0 if found.trusted else 1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor(as_json: bool) -> None:
    """Say what on this machine makes numbers worse, and what to do about it.

    Exit codes: 0 examined; 2 usage.
    """
    import json

    from attnbench.runner import doctor as examination

    found = examination.examine()
    click.echo(json.dumps(examination.to_json(found), indent=2) if as_json else examination.text(found))


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
