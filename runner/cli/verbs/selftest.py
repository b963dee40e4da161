"""`bench selftest`: how reliable timings on this machine are."""

import sys
from contextlib import closing
from pathlib import Path

import click

from attnbench.runner.cli.common import SuitePath, decided_by, load_suite, say, told


@click.command()
@click.argument("suite", type=SuitePath(path_type=Path), default=Path("selftest"))
@click.option("--runs", type=click.IntRange(1), default=4, show_default=True, help="Total number of A/A runs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/selftest"), show_default=True, metavar="DIR")
@click.option("--quiet", is_flag=True, help="Print only the result.")
def verb(suite: Path, runs: int, out: Path, quiet: bool) -> None:
    """Measure how reliable timings on this machine are.

    The same code is measured against itself, and against known slow-downs.

    Results in DIR are kept, and runs are added until there are --runs. DIR gets selftest.jsonl, selftest.json,
    selftest.md and figures/. On CUDA torch's timer is left out, because it does not measure the same thing.

    Exit codes: 0 every figure holds; 1 a figure failed (the page says which, with advice); 2 usage, invalid
    suite or unusable folder; 130 interrupted.
    """
    with told():
        from attnbench.reports.decision.decide import Rule
        from attnbench.reports.selftest import judge, page
        from attnbench.runner.ab import selftest as measuring
        from attnbench.runner.cli import exit_code
        from attnbench.runner.execution.json_lines import Book

        loaded = load_suite(suite, ())
        stages, flag = decided_by(Rule())
        try:
            with closing(Book(out, judge.ROWS)) as book:
                measuring.measure(loaded, book, runs, stages, flag, lambda text: say(text, quiet=quiet))
        except KeyboardInterrupt:
            say("interrupted; finished runs are kept, and the same command continues", quiet=quiet)
            if (out / judge.ROWS).exists():
                page.write(judge.load(out), out)
            sys.exit(exit_code.INTERRUPTED)
        found = judge.load(out)
        click.echo("\n".join([*page.lines(found), f"page: {page.write(found, out)}"]))
    sys.exit(0 if found.trusted else 1)
