"""Shared by verbs: options, reading a suite, and reporting errors."""

import errno
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from attnbench.runner.cli import exit_code
from attnbench.runner.machine import system_errors

if TYPE_CHECKING:
    from attnbench.reports.decision.decide import Rule
    from attnbench.reports.findings.run import Run
    from attnbench.runner.ab.paired_timing import Flag, Stages
    from attnbench.suites import Case
    from attnbench.suites.schema.suite import Suite

VARIANTS = click.option(
    "--variants",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Also use the variants in FOLDER. Their code is run.",
)
STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("baselines"),
    show_default=True,
    metavar="DIR",
    help="The folder of baselines.",
)


class SuitePath(click.Path):
    """The path of a suite. A shell completes the names of shipped suites, and else files."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin like this, after what a path completes to."""
        from attnbench.suites import shipped

        files = super().shell_complete(ctx, param, incomplete)
        return [*files, *(CompletionItem(name) for name in shipped() if name.startswith(incomplete))]


SUITE = click.argument("suite", type=SuitePath(path_type=Path))


@contextmanager
def told() -> Iterator[None]:
    """Report a user's mistake in one line and exit with 2. Exit with 130 if the user interrupts.

    A fault of attnbench exits with 70, because 1 means that something got slower.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(exit_code.INTERRUPTED)
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:  # any other error must not look like a result
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            # The reader of standard output has closed it; click handles that.
            raise
        mistake = _mistake(error)
        if mistake is None:
            traceback.print_exc()
            click.echo("a fault of attnbench, not of yours: please report it", err=True)
            sys.exit(exit_code.FAULT)
        click.echo(mistake, err=True)
        sys.exit(exit_code.USAGE)


def write_page(run: "Run", report: Path, *, quiet: bool = False) -> Path | None:
    """Write `report.html` beside the `report.md` of a run. If a package is missing, print how to get it."""
    from attnbench.reports import html
    from attnbench.reports.html import page

    written = page.write(run, report)
    if written is None:
        say(html.HINT, quiet=quiet)
    return written


def _mistake(error: Exception) -> str | None:
    """The message for a mistake of the user or a failure of the system; None for a fault of attnbench."""
    if isinstance(error, OSError):
        where = error.filename or "this system"
        return f"{where}: expected to be able to read and write there, found: {error.strerror}"
    refused = system_errors.of(error)
    if refused is not None:
        return f"expected to get from this system what bench needs, found: {refused}"

    from attnbench.reports.data.reading import RunError
    from attnbench.reports.data.where import WhereError
    from attnbench.runner.ab.environments import EnvironmentRefused
    from attnbench.runner.ab.revisions import RevisionError
    from attnbench.runner.execution.executor import ExecutorError
    from attnbench.runner.execution.journal import FolderError
    from attnbench.runner.workers.worker import WorkerEnded
    from attnbench.suites.schema.load import SuiteError
    from attnbench.suites.selection import SelectionError

    if isinstance(error, WorkerEnded):
        return f"expected a worker that can measure, found that {error.reason}; see bench doctor"
    mistakes = (SuiteError, FolderError, RunError, WhereError, SelectionError, RevisionError)
    return str(error) if isinstance(error, (*mistakes, EnvironmentRefused, ExecutorError)) else None


def load_suite(path: Path, folders: tuple[Path, ...]) -> "Suite":
    """The suite in a file, or a shipped suite by name."""
    from attnbench.suites import shipped
    from attnbench.suites.schema.load import load

    extend(folders)
    return load(path if path.is_file() else shipped().get(str(path), path))


def say_what_is_oversubscribed(cases: "Sequence[Case]", *, quiet: bool) -> None:
    """Print how many cases use more threads than this process may use cores."""
    from attnbench.runner.machine import environment

    cores = environment.cores()
    on_cpu = [each.setting.threads for each in cases if each.setting.device == "cpu"]
    many = [each for each in on_cpu if each != "auto" and each > cores]
    if many:
        named = ", ".join(map(str, sorted(set(many))))
        says = f"{len(many)} of {len(cases)} cases use more threads than this process may use cores"
        say(f"{says} (threads: {named}; cores: {cores}), so their threads wait for each other", quiet=quiet)


def extend(folders: tuple[Path, ...]) -> None:
    """Also use the variants of these folders."""
    from attnbench import variants

    for folder in folders:
        try:
            variants.extend(folder)
        except ValueError as error:
            raise click.UsageError(f"--variants {error}") from error


def decided_by(rule: "Rule") -> "tuple[Stages, Flag]":
    """What measuring needs of a rule: pairs per stage, and a function that flags cases after the first stage."""
    import numpy as np

    from attnbench.reports.decision import decide
    from attnbench.runner.ab.paired_timing import Stages

    stages = Stages(rule.screen_pairs, rule.confirm_pairs)
    return stages, lambda screen: decide.flagged({key: np.array(ratios) for key, ratios in screen.items()}, rule)


def command_line() -> list[str]:
    """The command as it was given."""
    return ["bench", *sys.argv[1:]]


def say(text: str, *, quiet: bool) -> None:
    """Print a message on standard error, unless quiet."""
    if not quiet:
        click.echo(text, err=True)


def put_or_print(content: str | bytes, out: Path | None) -> None:
    """Write content to a file, or print it if no file is given."""
    from attnbench.reports.data.files import put

    if out is None:
        click.echo(content, nl=False)
        return
    try:
        put(out, content)
    except OSError as error:
        raise click.UsageError(f"--out {out}: expected a file that can be written, found: {error.strerror}") from error


def refuse_broken() -> None:
    """Check that no file of a variant is broken.

    Raises:
        SuiteError: some file is broken.
    """
    from attnbench.suites import SuiteError
    from attnbench.suites.schema.catalog import problems

    broken = problems()
    if broken:
        raise SuiteError(broken)
