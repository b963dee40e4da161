"""Runs killed at random moments and resumed: no unit is lost or measured twice, nothing is left behind."""

import random
from pathlib import Path

import pytest
from killing import UNITS, Found, kill
from test_run import FIGURES, FILES

from attnbench.reports.data.run import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

KILLS = 5
"""Half of them anywhere in a run, the others soon after a unit: the benchmark of kills makes hundreds."""


def test_nothing_is_lost_however_a_run_is_killed(tmp_path: Path) -> None:
    found = Found()
    kill(found, tmp_path, KILLS, random.Random(0))
    assert found.wrong == []
    assert (found.lost, found.twice, found.unreadable, found.left_behind) == (0, 0, 0, 0)
    assert found.kills == KILLS
    for number in range(found.runs):
        out = tmp_path / f"run-{number}"
        assert len((out / "samples.jsonl").read_text().splitlines()) == UNITS
        assert sorted(path.name for path in out.iterdir()) == FILES
        assert sorted(path.name for path in (out / "figures").iterdir()) == FIGURES
        run = load(out).frame
        assert set(run["status"]) == {"passed"}
        assert set(run["processes"]) == {2}
