"""`bench check`: a run against a stored one, under the policy of its suite."""

import sys
from pathlib import Path

import click

from attnbench.runner.cli.common import STORE, told
from attnbench.runner.cli.policy import FORMAT, LIMITS, SEVERITIES, STRICT, judged, policy_of
from attnbench.runner.cli.publish import publish


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--baseline", required=True, metavar="NAME|PATH", help="A stored baseline, its file, or the folder of a run."
)
@LIMITS
@SEVERITIES
@STRICT
@FORMAT
@STORE
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="A folder to write the comparison to; new or empty."
)
def verb(
    run: Path,
    baseline: str,
    limits: tuple[str, ...],
    severities: tuple[str, ...],
    strict: bool,
    form: str,
    store: Path,
    out: Path | None,
) -> None:
    """Check the folder RUN against a baseline.

    The policy is that of its suite (check:).

    Allowed and computed pairs count on any machine; peak memory and operators if torch, instruction set and threads
    are equal; times on the same machine only, and by default as a warning beyond 15 % (use bench ab for times). A case
    that vanished, passed before and does not now, or is new and faulty, fails the check. The first line says how small
    a slow-down would have been found, and warns where that is above the limit.

    Exit codes: 0 nothing is shown to be worse than the policy allows; 1 something is; 2 usage or unreadable folder; 3 a
    case is lost; 4 some time is inconclusive, or too noisy for its limit (--strict); 5 nothing was comparable, such as
    runs without a case in common.
    """
    with told():
        from attnbench.reports.compare import baselines
        from attnbench.reports.compare.between_runs import compare as compare_runs
        from attnbench.reports.compare.gate import held
        from attnbench.reports.decision.decide import Rule
        from attnbench.reports.findings.run import load
        from attnbench.runner.execution import journal
        from attnbench.suites import Case

        loaded = load(run)
        policy = policy_of(loaded.meta["suite"].get("check", {}), limits, severities)
        with baselines.opened(baseline, store) as stored:
            rows = [row for each in (stored, loaded) for row in each.meta["cases"]]
            policies = policy.by_case({row["key"]: Case.from_json(row) for row in rows})
            # Without a floor: what the noise lets be found is then said whatever the limit is.
            found = compare_runs(stored, loaded, Rule(floor=0), name=baseline, policies=policies)
            comparison = held(found, policies)
            if out is not None:
                journal.make_folder(out)
            publish(comparison, form, out)
    sys.exit(judged(comparison, form, strict=strict))
