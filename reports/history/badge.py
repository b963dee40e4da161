"""The badge of a history, for the endpoint of shields.io (https://shields.io/badges/endpoint-badge)."""

import json

from attnbench.reports.data.values import plain
from attnbench.reports.history.changes import Changes
from attnbench.reports.text import units


def badge(changes: Changes) -> str:
    """Return the badge as JSON: how many cases the latest change made worse or better, and since which commit.

    Without a change, it says how small a slow-down half of the cases would have shown.
    """
    message, color = _told(changes)
    label = plain(changes.history.suite, 40)
    return json.dumps({"schemaVersion": 1, "label": label, "message": message, "color": color}) + "\n"


def _told(changes: Changes) -> tuple[str, str]:
    """Return message and colour."""
    history, latest = changes.history, changes.latest
    if latest is not None:
        count = latest.worse or len({each.case for each in latest.changes})
        cases = f"{count} case{'' if count == 1 else 's'}"
        since = history.label(latest.after)
        return (f"{cases} worse since {since}", "red") if latest.worse else (f"{cases} better since {since}", "green")
    if not changes.detectable:
        return "too few runs", "lightgrey"
    # The latest runs show large slow-downs alone; earlier ones, which have more runs after them, show smaller ones.
    seen = units.percent(max(changes.detectable.values()))
    return f"no change above {seen} in {len(history.runs)} runs", "brightgreen"
