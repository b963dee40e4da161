"""The verbs that measure, besides `run` and `ab`."""

import sys
from contextlib import closing
from pathlib import Path

import click

from attnbench.runner.cli.common import SUITE, VARIANTS, decided_by, load_suite, say, told


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
        folder = out or journal.new_folder(f"{loaded.name}-profile")
        journal.make_folder(folder)
        click.echo(f"profiling {picked.title}", err=True)
        found = profiler.checked(picked, folder, loaded.budget, folders)
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
        from attnbench.reports import selftest as figures
        from attnbench.reports.decision import Rule
        from attnbench.runner import exit_code
        from attnbench.runner import selftest as measuring
        from attnbench.runner.book import Book

        loaded = load_suite(suite, ())
        stages, flag = decided_by(Rule())
        try:
            with closing(Book(out, figures.ROWS)) as book:
                measuring.measure(loaded, book, runs, stages, flag, lambda text: say(text, quiet=quiet))
        except KeyboardInterrupt:
            say("interrupted; what was finished is kept, the same command goes on", quiet=quiet)
            if (out / figures.ROWS).exists():
                figures.write(figures.load(out), out)
            sys.exit(exit_code.INTERRUPTED)
        found = figures.load(out)
        click.echo("\n".join([*figures.lines(found), f"page: {figures.write(found, out)}"]))
    sys.exit(0 if found.trusted else 1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor(as_json: bool) -> None:
    """Say what on this machine makes numbers worse, and what to do about it.

    Exit codes: 0 examined; 2 usage.
    """
    with told():
        import json

        from attnbench.runner import doctor as examination

        found = examination.examine()
        click.echo(json.dumps(examination.to_json(found), indent=2) if as_json else examination.text(found))
