"""The verbs that compare what was measured."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.runner.cli.common import command_line, told

if TYPE_CHECKING:
    from attnbench.reports.comparison import Comparison
    from attnbench.reports.frame import Run
    from attnbench.reports.gate import Finding
    from attnbench.suites.check import Check

_AXES = ("implementation", "variant", "direction")
_FORMATS = ("text", "markdown", "csv", "json", "github", "junit")
_ONE_DOCUMENT = ("csv", "json", "junit")
"""Forms of which two after each other are none."""
_METRICS = ("time", "memory", "work", "operators", "error")
_SEVERITIES = ("fail", "warn", "ignore")
_NOTHING_MORE = {"time": {"relative": "0%", "absolute": "0ns"}, "memory": {"relative": "0%", "absolute": "0B"}}
_MOST_FINDINGS = 40
"""Told on the terminal; all of them are in the folder."""
_LARGEST_FLOOR = 0.99
"""A rule knows no larger one; the policy's own limit is held afterwards."""
_STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("baselines"),
    show_default=True,
    metavar="DIR",
    help="The folder of baselines.",
)
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="What is printed. github: annotations, and the step summary where GITHUB_STEP_SUMMARY names its file.",
)
LIMITS = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="METRIC=LIMIT",
    help="How much worse time or memory may be: a share (time=20%) or an amount (memory=1MiB). Of both, either "
    "is enough. Instead of the limits of that metric.",
)
SEVERITIES = click.option(
    "--severity",
    "severities",
    multiple=True,
    metavar="METRIC=SEVERITY",
    help=f"Of {', '.join(_METRICS)}: one of {', '.join(_SEVERITIES)}. Instead of that of the metric.",
)
STRICT = click.option(
    "--strict", is_flag=True, help="Exit with 4 where some time is inconclusive, unstable or incomparable."
)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--by", type=click.Choice(_AXES), help="Compare the cases of one RUN with each other.")
@click.option(
    "--across-machines", is_flag=True, help="Where machines differ, compare ratios within each run, as advice."
)
@FORMAT
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder to write; new or empty.")
def compare(runs: tuple[Path, ...], by: str | None, across_machines: bool, form: str, out: Path | None) -> None:
    """Compare RUNs with the first of them, case by case: time, memory, work and error; or one RUN with itself.

    DIR (by default runs/compare-DATE-TIME) gets comparison.md, comparison.csv, comparison.json and figures/; where
    there are several comparisons, each has a folder in it.

    Whatever is shown to be worse counts, operators of profiled runs too; no suite's check: is asked. Times of two runs
    also differ by what else the machine did: bench ab measures both at once.

    Exit codes: 0 compared; 1 something is worse; 2 usage or unreadable folder; 3 a case is lost; 5 nothing comparable.
    With --by, and with --across-machines where machines differ, what is slower is a finding: never 1 for that.
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
        from attnbench.reports import frame
        from attnbench.reports.comparison.runs import compare as compare_runs
        from attnbench.reports.comparison.within import within
        from attnbench.reports.gate import STRICT as POLICY
        from attnbench.reports.gate import findings
        from attnbench.runner import exit_code, journal

        loaded = [frame.load(folder) for folder in runs]
        folder = out or journal.new_folder("compare")
        journal.make_folder(folder)
        if by is not None:
            comparison = within(loaded[0], by)  # type: ignore[arg-type]  # click has checked it
            publish(comparison, None, form, folder)
            sys.exit(exit_code.of_comparison(comparison, []))
        codes = []
        for place, other in enumerate(loaded[1:], 1):
            comparison = compare_runs(loaded[0], other, across_machines=across_machines)
            into = folder if len(loaded) == 2 else folder / f"{place}-{other.folder.name}"
            advice = across_machines and bool(comparison.differences)
            found = [each for each in findings(comparison, POLICY) if each.metric != "time" or not advice]
            publish(comparison, found, form, into, (loaded[0], other))
            codes.append(exit_code.of_comparison(comparison, found))
    sys.exit(exit_code.worst(codes))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--baseline", required=True, metavar="NAME|PATH", help="A stored baseline, its file, or the folder of a run."
)
@LIMITS
@SEVERITIES
@STRICT
@FORMAT
@_STORE
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="A folder to write the comparison to; new or empty."
)
def check(
    run: Path,
    baseline: str,
    limits: tuple[str, ...],
    severities: tuple[str, ...],
    strict: bool,
    form: str,
    store: Path,
    out: Path | None,
) -> None:
    """Check the folder RUN against a baseline, under the policy of its suite (check:).

    Pairs allowed and computed count on any machine; peak memory and operators where torch, instruction set and threads
    are the same; times on the same machine alone, and by default only as a warning beyond 15 %: see bench ab. A case
    that vanished, passed before and does not now, or is new and at fault, fails the check.

    Exit codes: 0 nothing is shown to be worse than the policy allows; 1 something is; 2 usage or unreadable folder; 3 a
    case is lost; 4 some time is inconclusive (--strict); 5 nothing was comparable.
    """
    with told():
        from attnbench.reports import baseline as baselines
        from attnbench.reports import frame
        from attnbench.reports.comparison.runs import compare as compare_runs
        from attnbench.reports.decision import Rule
        from attnbench.reports.gate import findings
        from attnbench.runner import journal
        from attnbench.suites.check import share

        loaded = frame.load(run)
        policy = policy_of(loaded.meta["suite"].get("check", {}), limits, severities)
        floor = min(share(policy.time.relative), _LARGEST_FLOOR)
        rule = Rule(floor=floor, equivalence=max(floor, 0.05))
        with baselines.opened(baseline, store) as stored:
            comparison = compare_runs(stored, loaded, rule, name=baseline)
            found = findings(comparison, policy)
            if out is not None:
                journal.make_folder(out)
            publish(comparison, found, form, out, (stored, loaded))
    sys.exit(judged(comparison, found, policy, form, strict=strict))


@click.group()
def baseline() -> None:
    """Store runs to check against: small files, to be committed."""


@baseline.command()
@click.argument("name")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Replace the baseline of this name.")
@_STORE
def save(name: str, run: Path, replace: bool, store: Path) -> None:
    """Store the folder RUN as NAME.

    Exit codes: 0 stored; 2 usage, unreadable folder, or the name is taken.
    """
    with told():
        from attnbench.reports import baseline, units

        stored = baseline.save(run, name, store, replace=replace)
        click.echo(f"{stored.path}: {units.size(stored.size)}")


@baseline.command("list")
@_STORE
def list_(store: Path) -> None:
    """List the baselines of the store.

    Exit codes: 0 listed; 2 usage.
    """
    with told():
        from attnbench.reports import baseline, units

        for each in baseline.listed(store):
            click.echo(f"{each.name}  {units.size(each.size)}")


@baseline.command()
@click.argument("name")
@_STORE
def show(name: str, store: Path) -> None:
    """Say what a baseline holds: where and when it was measured, and its table.

    Exit codes: 0 shown; 2 usage, or there is none of this name.
    """
    with told():
        from rich.console import Console

        from attnbench.reports import baseline, tables

        with baseline.opened(name, store) as run:
            facts = run.meta["environment"]
            click.echo(f"{run.meta['name']}, {run.meta.get('started')}, {run.meta['command']}")
            click.echo(
                f"{facts.get('cpu')}, {facts.get('threads')} threads, torch {facts.get('torch')}, "
                f"{facts.get('gpu') or 'no GPU'}"
            )
            Console().print(tables.terminal(run))


@baseline.command("rm")
@click.argument("name")
@_STORE
def remove(name: str, store: Path) -> None:
    """Remove a baseline.

    Exit codes: 0 removed; 2 usage, or there is none of this name.
    """
    with told():
        from attnbench.reports import baseline

        click.echo(f"removed {baseline.remove(name, store)}")


def publish(
    comparison: "Comparison",
    found: "Sequence[Finding] | None",
    form: str,
    folder: Path | None,
    runs: "tuple[Run, Run] | None" = None,
) -> None:
    """Write a comparison into a folder, where one is given, and print it in the form that was asked for.

    `found` is None where nothing is held to a policy.
    """
    from attnbench.reports.comparison import forms, page, tables

    where = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        where = page.write(comparison, folder, runs, shlex.join(command_line()), found)
    if form == "text":
        _print(comparison, found)
    elif form == "github":
        click.echo(forms.annotations(comparison, found or []), nl=False)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(forms.summary(comparison, found))
        if folder is not None:
            (folder / "comment.md").write_text(forms.comment(comparison, found), encoding="utf-8")
    else:
        written: dict[str, Callable[[], str]] = {
            "markdown": lambda: forms.summary(comparison, found),
            "csv": lambda: tables.csv(comparison),
            "json": lambda: tables.as_json(comparison, found),
            "junit": lambda: forms.junit(comparison, found or []),
        }
        click.echo(written[form](), nl=False)
    if where is not None:
        click.echo(f"comparison: {where}", err=form != "text")


def judged(comparison: "Comparison", found: "Sequence[Finding]", policy: "Check", form: str, *, strict: bool) -> int:
    """The exit code of a gate; that of --strict is explained, and does not look at times that are to be ignored."""
    from attnbench.runner import exit_code

    code = exit_code.of_comparison(comparison, found, strict=strict and policy.severity("time") != "ignore")
    if code == exit_code.INCONCLUSIVE:
        told = "some time is inconclusive, unstable or incomparable, which --strict does not let pass"
        click.echo(f"::error title=attnbench::{told}" if form == "github" else told, err=form != "github")
    return code


def _print(comparison: "Comparison", found: "Sequence[Finding] | None") -> None:
    """The table and the answer, for the terminal."""
    from rich.console import Console

    from attnbench.reports.comparison import answer, forms, tables

    console = Console()
    console.print(tables.terminal(comparison))
    for sentence in answer.answer(comparison):
        console.print(sentence, markup=False, highlight=False)
    shown = (found or [])[:_MOST_FINDINGS]
    for each in shown:
        console.print(f"{each.severity}: {each.title}: {each.metric} {each.told}", markup=False, highlight=False)
    if len(shown) < len(found or []):
        console.print(f"and {len(found or []) - len(shown)} more")
    if found is not None:
        console.print(forms.headline(comparison, found), markup=False, highlight=False)


def policy_of(keys: dict[str, Any], limits: Sequence[str], severities: Sequence[str]) -> "Check":
    """A policy, as the command line changes it."""
    from pydantic import ValidationError

    from attnbench.suites.check import Check

    changes: dict[str, dict[str, str]] = {}
    for option, words, metrics in (("--limit", limits, _METRICS[:2]), ("--severity", severities, _METRICS)):
        for each in words:
            metric, _, value = each.partition("=")
            if metric not in metrics or not value:
                wanted = f"METRIC={option.removeprefix('--').upper()} with one of {', '.join(metrics)}"
                raise click.UsageError(f"{option}: expected {wanted}, found {each}")
            key = "severity" if option == "--severity" else "relative" if value.endswith("%") else "absolute"
            changes.setdefault(metric, {})[key] = value
    for metric, given in changes.items():
        if "relative" in given or "absolute" in given:
            changes[metric] = {**_NOTHING_MORE[metric], **given}
    try:
        return Check.model_validate(keys).changed(changes)
    except ValidationError as error:
        first = error.errors()[0]
        metric, key = map(str, first["loc"][:2])
        option = "--severity" if key == "severity" else "--limit"
        raise click.UsageError(f"{option} {metric}: {first['msg']}, found {first['input']}") from None
