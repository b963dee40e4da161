"""`bench ab`: measure two revisions in turns."""

import shlex
import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import click

from attnbench.runner.cli.common import VARIANTS, command_line, decided_by, load_suite, say, told
from attnbench.runner.cli.policy import FORMAT, LIMITS, SEVERITIES, STRICT, judged, policy_of
from attnbench.runner.cli.publish import publish


@click.command()
@click.argument("base")
@click.argument("head", default="HEAD")
@click.option(
    "--suite", type=click.Path(path_type=Path), default=Path("ci"), show_default=True, help="What to measure."
)
@click.option(
    "--path",
    "root",
    default=".",
    show_default=True,
    metavar="DIR",
    help="The import root, relative to the repository.",
)
@click.option("--prepare", metavar="COMMAND", help="Run this first in each revision's folder, to build the library.")
@click.option("--aa", is_flag=True, help="Also time cases for which both revisions import the same files.")
@LIMITS
@SEVERITIES
@STRICT
@FORMAT
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
@click.option("--quiet", is_flag=True, help="Print only the result.")
@VARIANTS
def verb(
    base: str,
    head: str,
    suite: Path,
    root: str,
    prepare: str | None,
    aa: bool,
    limits: tuple[str, ...],
    severities: tuple[str, ...],
    strict: bool,
    form: str,
    out: Path | None,
    quiet: bool,
    folders: tuple[Path, ...],
) -> None:
    """Measure the revisions BASE and HEAD of this repository together, and report what got slower or faster.

    Two live workers take turns on each case, in pairs of fresh processes. Each imports from its own revision first
    (--path); the suite and attnbench come from this installation. Variants of --variants come from the folder as it is;
    their imports come from each revision. BASE is also measured against itself: if that differs by more than 3 %, no
    change is reported. Everything that is shown to be worse counts, even one byte of peak memory, unless --limit,
    --severity, or an entry of the suite's check: for single cases allows it. The rest of check: is only used by
    bench check.

    DIR (default: runs/ab-DATE-TIME) gets ab.jsonl, comparison.md, comparison.csv, comparison.json, figures/, with
    attnbench[html] comparison.html and, with --format github, comment.md. All but ab.jsonl are written at the end.
    After a kill, bench report DIR writes them, except comment.md.

    Exit codes: 0 nothing is shown to be worse; 1 something is; 2 usage, invalid suite, no such revision, nothing
    imported from --path, or unusable folder; 3 a case is lost; 4 some time is inconclusive (--strict); 5 nothing was
    comparable; 124 the suite's time ran out; 130 interrupted.
    """
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
        from attnbench.runner.ab import revisions
        from attnbench.runner.cli import exit_code
        from attnbench.runner.execution import journal
        from attnbench.runner.execution.json_lines import Book

        repository = revisions.top(Path.cwd())
        loaded = load_suite(suite, folders)
        # The suite's policy for all cases is for runs of different hours, so only that of single cases is used here.
        policy = policy_of({**EVERYTHING.model_dump(), "cases": loaded.check.cases}, limits, severities)
        folder = out or journal.new_folder("ab")
        journal.make_folder(folder)
        if head == "HEAD" and revisions.changed(repository):
            say("uncommitted changes are not measured: HEAD is the last commit", quiet=False)
        rule = Rule()
        stages, flag = decided_by(rule)
        early = exit_code.OK
        trees = Path(tempfile.mkdtemp(prefix="attnbench-"))
        try:
            laid_out = revisions.lay_out(repository, (base, head), trees)
            sides = []
            for name, each in zip("AB", laid_out, strict=True):
                if prepare is not None:
                    say(f"preparing {each.name}", quiet=quiet)
                    revisions.prepare(each, prepare)
                sides.append(measuring.Side(name, each, revisions.import_root(each, root)))
            with closing(Book(folder, reading.ROWS)) as book:
                in_time = measuring.measure(
                    loaded,
                    (sides[0], sides[1]),
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
        except revisions.RevisionError:
            # Nothing was compared: leave the folder usable for the next try.
            (folder / reading.ROWS).unlink(missing_ok=True)
            raise
        except KeyboardInterrupt:
            early = exit_code.INTERRUPTED
            say("interrupted; finished pairs are kept", quiet=quiet)
            if not (folder / reading.ROWS).exists():
                sys.exit(exit_code.INTERRUPTED)
        finally:
            shutil.rmtree(trees, ignore_errors=True)
        comparison = held(reading.load(folder), policy.by_case({case.key: case for case in loaded.cases()}))
        publish(comparison, form, folder)
        if form != "text":
            for doubt in forms.doubts(comparison):
                say(doubt, quiet=False)
    sys.exit(early or judged(comparison, form, strict=strict))
