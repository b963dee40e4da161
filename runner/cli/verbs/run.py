"""`bench run`: measure a suite."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli import executors
from attnbench.runner.cli.common import (
    VARIANTS,
    SuitePath,
    command_line,
    extend,
    load_suite,
    say,
    say_what_is_oversubscribed,
    told,
    write_page,
)
from attnbench.runner.cli.executors import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnbench.runner.execution.task import Finished
    from attnbench.suites import Case
    from attnbench.suites.schema.suite import Suite

_QUICK, _RIGOROUS = 2, 20


@click.command()
@click.argument("suite", type=SuitePath(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run folder; new or empty.")
@click.option(
    "--resume",
    "resumed",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue the run in the folder RUN: measure only what is missing.",
)
@click.option(
    "--anyway", is_flag=True, help="Continue RUN even if the suite or the machine changed; measure on unfit nodes."
)
@click.option("--processes", type=click.IntRange(1, 1000), metavar="N", help="Processes, instead of the suite's.")
@click.option("--quick", is_flag=True, help=f"{_QUICK} processes: a first look, without intervals.")
@click.option("--rigorous", is_flag=True, help=f"{_RIGOROUS} processes: narrow intervals, and bimodal cases show.")
@click.option("-k", "words", metavar="EXPR", help='Only cases whose title or key matches: "local_window and not 512".')
@click.option("--variant", multiple=True, metavar="NAME", help="Only this variant; repeatable, like the next three.")
@click.option("--device", multiple=True, metavar="NAME", help="Only this device.")
@click.option("--direction", multiple=True, metavar="NAME", help="Only this direction.")
@click.option("--seq-len", multiple=True, type=int, metavar="N", help="Only this sequence length.")
@click.option("--shard", metavar="I/N", help="Only shard I of N of the cases, such as 2/5; join runs with bench merge.")
@click.option("--dry-run", is_flag=True, help="List what would be measured, with memory and time; measure nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each event.")
@click.option("--quiet", is_flag=True, help="Print only the path of the report.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Where the files of lra_* lie, for level task; by default the variable ATTNBENCH_DATA.",
)
@click.option("--profile", is_flag=True, help="At the end, profile every case that passed.")
@executors.options
@VARIANTS
def verb(
    suite: Path | None,
    out: Path | None,
    resumed: Path | None,
    where: Where,
    anyway: bool,
    processes: int | None,
    quick: bool,
    rigorous: bool,
    words: str | None,
    variant: tuple[str, ...],
    device: tuple[str, ...],
    direction: tuple[str, ...],
    seq_len: tuple[int, ...],
    shard: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    data: Path | None,
    profile: bool,
    folders: tuple[Path, ...],
) -> None:
    """Measure all cases of SUITE, and write a report.

    SUITE is a YAML file or the name of a shipped suite.

    Every case is checked against a float64 oracle before it is timed. The run folder (default: runs/NAME-DATE-TIME)
    holds run.json, samples.jsonl, table.csv, table.md, report.md, figures/ and, where the extra html is installed,
    report.html; with --profile also profile.jsonl, operators.csv, operators.md and traces/.

    More processes share the suite's budget: each gets fewer values within case_s, and suite_s still ends the run.

    --shard I/N measures one of N parts with about equal work, for several jobs or machines. It never divides a sweep
    over lengths. All shards need the same suite and narrowing options.

    --executor ray measures on the nodes of a Ray cluster, one unit at a time on each: a replicate of a sweep over
    lengths, or of a training. If nodes have several classes of hardware, each class measures all cases. --executor
    slurm submits a job for each of --shards parts, and merges them. Both are described in docs/cluster.md.

    --resume RUN continues a run that was interrupted, killed or out of time, or adds processes to it. SUITE is then
    optional; if given, it must be unchanged, or only have more cases, which are then measured.

    Exit codes: 0 measured, or --dry-run; 2 usage, invalid suite or unusable folder; 3 a case was wrong, crashed,
    failed, timed out or ran out of memory unpredictedly; 5 nothing was measured; 124 the suite's time ran out; 130
    interrupted.
    """
    wanted = _processes(processes, quick=quick, rigorous=rigorous)
    _check(suite, resumed, anyway=anyway and where.executor != "ray")
    where.check(profile=profile, shard=shard is not None, resume=resumed is not None and where.executor == "slurm")
    others = {"--out": out is not None, "--dry-run": dry_run, "--shard": shard is not None}
    _one_of("--resume", resumed is not None, others)
    _one_of("--dry-run", dry_run, {"--out": out is not None, "--profile": profile, "--quiet": quiet})
    with told():
        from attnbench.runner.cli import exit_code
        from attnbench.runner.execution import engine, journal, progress
        from attnbench.suites.selection import Narrowing
        from attnbench.suites.shards import Shard
        from attnbench.variants import tasks

        if data is not None:
            os.environ[tasks.FOLDER] = str(data.absolute())
        nodes, jobs = where.nodes(anyway=anyway), where.jobs()
        part = None if shard is None else Shard.read(shard)
        written = None if part is None else str(part)
        narrowing = Narrowing(variant, device, direction, seq_len, words)
        extend(folders)
        loaded = None if suite is None else load_suite(suite, folders)
        loaded = loaded.with_processes(wanted) if loaded and wanted else loaded
        measure: Callable[..., Finished]
        if resumed is not None:
            folder = resumed
            more = partial(engine.resume, folder, suite=loaded, narrow=narrowing.of, processes=wanted, anyway=anyway)
            measure = partial(more, profile=profile, executor=nodes)
        else:
            assert loaded is not None
            cases = narrowing.of(loaded.cases())
            cases = part.of(cases) if part else cases
            say_what_is_oversubscribed(cases, quiet=quiet or as_json)
            if dry_run:
                _dry_run(loaded, cases, folders, written, as_json=as_json)
                return
            _say_what_has_no_baseline(loaded, cases, quiet=quiet or as_json)
            folder = out or journal.new_folder(loaded.name)
            measure = partial(engine.run, loaded, folder, cases=cases, shard=written, profile=profile, executor=nodes)
            if jobs:
                from attnbench.runner.cluster import slurm

                measure = partial(slurm.run, loaded, folder, cases=cases, jobs=jobs)
        display = progress.choose(quiet=quiet, as_json=as_json)
        if as_json:
            progress.event("run", folder=str(folder))
        try:
            finished = measure(progress=display, command=command_line(), folders=folders)
            code = exit_code.of((*finished.rows, *finished.profiles), out_of_time=finished.out_of_time)
            if finished.out_of_time:
                say(f"the suite's time is spent; {_left(folder, where)}", quiet=quiet or as_json)
        except KeyboardInterrupt:
            code = exit_code.INTERRUPTED
            say(f"interrupted; {_left(folder, where)}", quiet=quiet or as_json)
        finally:
            display.close()
        if (folder / "run.json").exists():
            _report(folder, quiet=quiet, as_json=as_json)
        if as_json:
            progress.event("finished", exit_code=code, folder=str(folder))
    sys.exit(code)


def _check(suite: Path | None, resumed: Path | None, *, anyway: bool) -> None:
    """Refuse a command without anything to measure."""
    if suite is None and resumed is None:
        raise click.UsageError("expected SUITE, or --resume RUN, found neither; name a suite")
    if anyway and resumed is None:
        raise click.UsageError("--anyway: expected --resume RUN beside it, found none; leave it out")


def _one_of(option: str, given: bool, others: dict[str, bool]) -> None:
    """Refuse options that have no effect beside `option`."""
    for name, too in others.items():
        if given and too:
            raise click.UsageError(f"expected one of {option} and {name}, found both; leave one")


def _processes(processes: int | None, *, quick: bool, rigorous: bool) -> int | None:
    """The number of replicates on the command line, if given."""
    options = {
        "--processes": processes,
        "--quick": _QUICK if quick else None,
        "--rigorous": _RIGOROUS if rigorous else None,
    }
    given = {name: count for name, count in options.items() if count is not None}
    if len(given) > 1:
        raise click.UsageError(f"expected one of {', '.join(options)}, found {' and '.join(given)}; leave one")
    return next(iter(given.values()), None)


def _say_what_has_no_baseline(suite: "Suite", cases: "Sequence[Case]", *, quiet: bool) -> None:
    """Print how many cases have no speed-up because their baseline was left out."""
    present = {case.key for case in cases}
    baselines = [{each.key for each in suite.baselines_of(case)} for case in cases]
    lost = sum(bool(keys) and not keys & present for keys in baselines)
    if lost:
        named = " or ".join(suite.baseline)
        say(f"{lost} of {len(cases)} cases get no speed-up: their baseline {named} is left out", quiet=quiet)


def _left(folder: Path, where: Where) -> str:
    """The message about a run that ended early."""
    if (folder / "run.json").exists():
        return f"finished results are kept; to continue: bench run --resume {folder}{where.words}"
    if where.executor == "slurm":
        return "finished results are kept; to continue: the same command again"
    return "nothing was started"


def _dry_run(
    suite: "Suite", cases: "Sequence[Case]", folders: tuple[Path, ...], shard: str | None, *, as_json: bool
) -> None:
    """Print what would be measured."""
    from attnbench.runner.cli import dry_run
    from attnbench.runner.plan.dry_run import plan

    found = plan(suite, cases, folders)
    if as_json:
        dry_run.tell(found, shard)
    else:
        click.echo(dry_run.text(found, shard))


def _report(folder: Path, *, quiet: bool, as_json: bool) -> None:
    """Write the report, and print its table."""
    from attnbench.reports import load
    from attnbench.reports.pages import run_report

    run = load(folder)
    written = run_report.write(run)
    if as_json:
        write_page(run, written, quiet=True)
        from attnbench.reports.export.formats import json
        from attnbench.runner.execution import progress

        for row in json.cases(run):
            progress.event("result", **row)
        progress.event("report", path=str(written))
        return
    if not quiet:
        from rich.console import Console

        from attnbench.reports.tables import terminal

        terminal.show(run, Console())
    click.echo(f"report: {written}")
    page = write_page(run, written, quiet=quiet)
    if page and not quiet:
        click.echo(f"page: {page}")
