"""Options of the verbs that check a comparison against a policy, and the resulting exit code."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from attnbench.reports.compare.comparison import Comparison
    from attnbench.suites.schema.limits import Check

_FORMATS = ("text", "markdown", "csv", "json", "github", "junit")
_METRICS = ("time", "memory", "work", "operators", "error")
_SEVERITIES = ("fail", "warn", "ignore")
_NOTHING_MORE = {"time": {"relative": "0%", "absolute": "0ns"}, "memory": {"relative": "0%", "absolute": "0B"}}
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="Output format. github: annotations, and a step summary if GITHUB_STEP_SUMMARY is set.",
)
LIMITS = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="METRIC=LIMIT",
    help="How much worse time or memory may be: a share (time=20%) or an amount (memory=1MiB). With both, a value "
    "within either passes. Replaces the limits of that metric, those of single cases too.",
)
SEVERITIES = click.option(
    "--severity",
    "severities",
    multiple=True,
    metavar="METRIC=SEVERITY",
    help=f"Severity ({', '.join(_SEVERITIES)}) of a metric ({', '.join(_METRICS)}). Replaces that of the metric, and "
    "those of single cases.",
)
STRICT = click.option(
    "--strict",
    is_flag=True,
    help="Exit with 4 if some time is inconclusive, unstable or incomparable, or could not have shown what its limit "
    "refuses.",
)


def judged(comparison: "Comparison", form: str, *, strict: bool) -> int:
    """The exit code of a gate. Prints the reason if it is that of --strict."""
    from attnbench.reports.compare.answer import undecided
    from attnbench.runner.cli import exit_code

    code = exit_code.of_comparison(comparison, strict=strict)
    if code == exit_code.INCONCLUSIVE:
        reason = f"{undecided(comparison)}, which --strict does not let pass"
        click.echo(f"::error title=attnbench::{reason}" if form == "github" else reason, err=form != "github")
    return code


def policy_of(keys: dict[str, Any], limits: Sequence[str], severities: Sequence[str]) -> "Check":
    """A policy with the changes of the command line."""
    from pydantic import ValidationError

    from attnbench.suites.schema.document import Document
    from attnbench.suites.schema.limits import Check
    from attnbench.suites.schema.schema import explain

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
    before = Check.model_validate(keys).model_dump()
    entries = [_without(entry, changes) for entry in before.pop("cases", ())]
    told = {metric: {**old, **changes.get(metric, {})} for metric, old in before.items()}
    try:
        return Check.model_validate({**told, "cases": [entry for entry in entries if len(entry) > 1]})
    except ValidationError as error:
        first = explain(error, Document("", changes), Check)[0]
        metric, key = map(str, first.path)
        option = "--severity" if key == "severity" else "--limit"
        raise click.UsageError(f"{option} {metric}: {first.text}") from None


def _without(entry: Mapping[str, Any], changes: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """An entry of `cases` without the limits that the command line replaces."""
    kept = {
        metric: {key: value for key, value in limits.items() if key not in changes.get(metric, ())}
        for metric, limits in entry.items()
        if metric != "where"
    }
    return {"where": entry["where"], **{metric: limits for metric, limits in kept.items() if limits}}
