"""`bench compare`: two runs or more, or the cases of one run, against each other."""

import sys
from pathlib import Path

import click

from attnbench.runner.cli.common import told
from attnbench.runner.cli.policy import FORMAT
from attnbench.runner.cli.publish import publish

_AXES = ("implementation", "variant", "direction")
_ONE_DOCUMENT = ("csv", "json", "junit")
"""Formats that cannot hold more than one comparison."""


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--by", type=click.Choice(_AXES), help="Compare the cases of one RUN with each other.")
@click.option("--across-machines", is_flag=True, help="If machines differ, compare ratios within each run, as advice.")
@FORMAT
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
def verb(runs: tuple[Path, ...], by: str | None, across_machines: bool, form: str, out: Path | None) -> None:
    """Compare RUNs with the first of them, case by case.

    Time, memory, work and error are compared. A single RUN is compared with itself.

    DIR (default: runs/compare-DATE-TIME) gets comparison.md, comparison.csv, comparison.json, figures/ and, with
    attnbench[html], comparison.html, or one folder for each of several comparisons.

    Everything that is shown to be worse counts, including operators of profiled runs; the suite's check: is not used.
    Times of two runs also differ because of other load on the machine. bench ab avoids this by measuring both at once.

    Exit codes: 0 compared; 1 something is worse; 2 usage or unreadable folder; 3 a case is lost; 5 nothing comparable,
    such as runs without a case in common. With --by, or --across-machines on different machines, slower cases do not
    cause exit code 1.
    """
    if by is None and len(runs) < 2:
        raise click.UsageError("expected two RUNs or more, or one with --by, found one; name what to compare it with")
    if by is not None and len(runs) != 1:
        raise click.UsageError(f"--by: expected one RUN, found {len(runs)}; name one")
    if by is not None and across_machines:
        raise click.UsageError("--by: expected no --across-machines: one run has one machine")
    if len(runs) > 2 and form in _ONE_DOCUMENT:
        raise click.UsageError(
            f"--format {form}: expected two RUNs, found {len(runs)}; --out DIR gets a folder for each comparison"
        )
    with told():
        from attnbench.reports.compare.between_runs import compare as compare_runs
        from attnbench.reports.compare.gate import STRICT as POLICY
        from attnbench.reports.compare.gate import held
        from attnbench.reports.compare.within_run import within
        from attnbench.reports.findings.run import load
        from attnbench.runner.cli import exit_code
        from attnbench.runner.execution import journal

        loaded = [load(folder) for folder in runs]
        folder = out or journal.new_folder("compare")
        journal.make_folder(folder)
        if by is not None:
            comparison = within(loaded[0], by)  # type: ignore[arg-type]  # click has checked it
            publish(comparison, form, folder)
            sys.exit(exit_code.of_comparison(comparison))
        codes = []
        for place, other in enumerate(loaded[1:], 1):
            comparison = compare_runs(loaded[0], other, across_machines=across_machines)
            into = folder if len(loaded) == 2 else folder / f"{place}-{other.folder.name}"
            advice = across_machines and bool(comparison.differences)
            comparison = held(comparison, POLICY, times=not advice)
            publish(comparison, form, into)
            codes.append(exit_code.of_comparison(comparison))
    sys.exit(exit_code.worst(codes))
