"""`bench ab`: measure two revisions or environments in turns."""

import shlex
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnbench.runner.cli.common import VARIANTS, SuitePath, command_line, decided_by, load_suite, say, told
from attnbench.runner.cli.policy import FORMAT, LIMITS, SEVERITIES, STRICT, judged, policy_of
from attnbench.runner.cli.publish import publish

if TYPE_CHECKING:
    from attnbench.runner.ab.sides import Side


@click.command()
@click.argument("base", required=False)
@click.argument("head", default="HEAD")
@click.option(
    "--env",
    "environments",
    multiple=True,
    metavar="WORDS",
    help="Compare environments instead of revisions: requirements of pip (numpy==2.1) and variables (NAME=VALUE), "
    "separated by spaces. Once: against the current environment; twice: A and B.",
)
@click.option("--suite", type=SuitePath(path_type=Path), default=Path("ci"), show_default=True, help="What to measure.")
@click.option(
    "--path",
    "root",
    metavar="DIR",
    help="The import root, relative to the repository (default: its top). With --env: a folder that both import from.",
)
@click.option("--prepare", metavar="COMMAND", help="Run this first in each revision's folder, to build the library.")
@click.option("--aa", is_flag=True, help="Also time cases for which both revisions import the same files.")
@LIMITS
@SEVERITIES
@STRICT
@FORMAT
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
@click.option("--title", metavar="TEXT", help="What comment.md is called (default: the name of the suite).")
@click.option("--quiet", is_flag=True, help="Print only the result.")
@VARIANTS
def verb(
    base: str | None,
    head: str,
    environments: tuple[str, ...],
    suite: Path,
    root: str | None,
    prepare: str | None,
    aa: bool,
    limits: tuple[str, ...],
    severities: tuple[str, ...],
    strict: bool,
    form: str,
    out: Path | None,
    title: str | None,
    quiet: bool,
    folders: tuple[Path, ...],
) -> None:
    """Measure BASE and HEAD together, and report what is slower.

    Both are revisions of this repository. What is faster is reported too.

    With --env, measure two environments instead. Requirements are installed with pip into virtual environments of their
    own, which import everything else from the current one; they are removed afterwards.

    Two live workers take turns on each case, in pairs of fresh processes. Each imports from its own revision first
    (--path); the suite and attnbench come from this installation. Variants of --variants come from the folder as it is;
    their imports come from each revision. BASE is also measured against itself: if that differs by more than 3 %, no
    change is reported. Everything that is shown to be worse counts, even one byte of peak memory, unless --limit,
    --severity, or an entry of the suite's check: for single cases allows it. The rest of check: is only used by
    bench check.

    DIR (default: runs/ab-DATE-TIME) gets ab.jsonl, comparison.md, comparison.csv, comparison.json, figures/, with
    attnbench[html] comparison.html and, with --format github, comment.md. All but ab.jsonl are written at the end.
    After a kill, bench report DIR writes them, except comment.md. A comment on a pull request replaces the earlier one
    with the same title (--title).

    Exit codes: 0 nothing is shown to be worse; 1 something is; 2 usage, invalid suite, no such revision, nothing
    imported from --path, what pip cannot install, or unusable folder; 3 a case is lost; 4 some time is inconclusive
    (--strict); 5 nothing was comparable; 124 the suite's time ran out; 130 interrupted.
    """
    if (base is None) == (not environments) or len(environments) > 2:
        given = f"BASE and {len(environments)} --env" if base else f"{len(environments)} --env"
        raise click.UsageError(f"expected BASE, or --env once or twice, found {given}")
    for option, wanted in (("--prepare", prepare is not None), ("--aa", aa)):
        if environments and wanted:
            raise click.UsageError(f"{option}: expected with BASE alone; --env times every case of one checkout")
    for limit in limits:
        if limit.startswith("time=") and not limit.endswith("%"):
            raise click.UsageError(f"--limit {limit}: expected a share such as time=5%; only ratios are measured here")
    for severity in severities:
        if severity.startswith("operators="):
            raise click.UsageError(f"--severity {severity}: nothing is profiled here; bench check compares operators")
    with told():
        from attnbench.reports.compare import between_revisions as reading
        from attnbench.reports.compare import forms
        from attnbench.reports.compare.gate import STRICT as EVERYTHING
        from attnbench.reports.compare.gate import held
        from attnbench.reports.decision.decide import Rule
        from attnbench.runner.ab import measure as measuring
        from attnbench.runner.ab.environments import EnvironmentRefused
        from attnbench.runner.ab.revisions import RevisionError
        from attnbench.runner.cli import exit_code
        from attnbench.runner.execution import journal
        from attnbench.runner.execution.json_lines import Book

        loaded = load_suite(suite, folders)
        # The suite's policy for all cases is for runs of different hours, so only that of single cases is used here.
        policy = policy_of({**EVERYTHING.model_dump(), "cases": loaded.check.cases}, limits, severities)
        folder = out or journal.new_folder("ab")
        journal.make_folder(folder)
        rule = Rule()
        stages, flag = decided_by(rule)
        early = exit_code.OK
        trees = Path(tempfile.mkdtemp(prefix="attnbench-"))
        try:
            if base is None:
                sides = _of_environments(environments, root, trees, quiet=quiet)
            else:
                sides = _of_revisions((base, head), root or ".", prepare, trees, quiet=quiet)
            with closing(Book(folder, reading.ROWS)) as book:
                in_time = measuring.measure(
                    loaded,
                    sides,
                    book,
                    stages,
                    flag,
                    lambda text: say(text, quiet=quiet),
                    folders=folders,
                    same_too=aa,
                    policy=policy,
                    command=shlex.join(command_line()),
                )
            if not in_time:
                early = exit_code.OUT_OF_TIME
        except (RevisionError, EnvironmentRefused):
            # Nothing was compared: leave the folder usable for the next try.
            (folder / reading.ROWS).unlink(missing_ok=True)
            if out is None:
                folder.rmdir()
            raise
        except KeyboardInterrupt:
            early = exit_code.INTERRUPTED
            say("interrupted; finished pairs are kept", quiet=quiet)
            if not (folder / reading.ROWS).exists():
                sys.exit(exit_code.INTERRUPTED)
        finally:
            shutil.rmtree(trees, ignore_errors=True)
        comparison = held(reading.load(folder), policy.by_case({case.key: case for case in loaded.cases()}))
        publish(replace(comparison, suite=title or comparison.suite), form, folder)
        if form != "text":
            for doubt in forms.doubts(comparison):
                say(doubt, quiet=False)
    sys.exit(early or judged(comparison, form, strict=strict))


def _of_revisions(
    names: tuple[str, str], root: str, prepare: str | None, folder: Path, *, quiet: bool
) -> "tuple[Side, Side]":
    """Lay out two revisions of this repository in a folder, and prepare them."""
    from attnbench.runner.ab import revisions
    from attnbench.runner.ab.sides import Side

    repository = revisions.top(Path.cwd())
    if names[1] == "HEAD" and revisions.changed(repository):
        say("uncommitted changes are not measured: HEAD is the last commit", quiet=False)
    a, b = revisions.lay_out(repository, names, folder)
    if prepare is not None:
        for each in (a, b):
            say(f"preparing {each.name}", quiet=quiet)
            revisions.prepare(each, prepare)
    return Side("A", a, revisions.import_root(a, root)), Side("B", b, revisions.import_root(b, root))


def _of_environments(texts: tuple[str, ...], root: str | None, folder: Path, *, quiet: bool) -> "tuple[Side, Side]":
    """Make two environments in a folder: those of two texts, or the current one and that of a text."""
    from attnbench.runner.ab import environments
    from attnbench.runner.ab.sides import Side

    if root is not None and not Path(root).is_dir():
        raise click.UsageError(f"--path {root}: expected a folder that both sides import from, found none")
    path = None if root is None else Path(root).resolve()
    made = []
    for place, wanted in zip("ab"[-len(texts) :], [environments.Wanted.parse(text) for text in texts], strict=True):
        if wanted.requirements:
            say(f"installing {' '.join(wanted.requirements)}", quiet=quiet)
        made.append(environments.make(wanted, folder / place))
    a, b = made if len(made) == len("AB") else (environments.Environment(), made[0])
    return Side("A", root=path, environment=a), Side("B", root=path, environment=b)
