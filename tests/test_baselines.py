"""Several baselines: a sweep is compared with the fastest of them, in words, tables and comparisons alike."""

from dataclasses import replace
from pathlib import Path

import pytest
import rows
from rows import FULL, LOCAL, Plan, Series

from attnbench.reports.compare import between_runs
from attnbench.reports.findings.run import Run, load
from attnbench.reports.tables import tables
from attnbench.reports.text.answer import answer
from attnbench.suites import Status

LENGTHS = (256, 512, 1024, 2048)
NATIVE = replace(FULL, implementation="native")
"""As fast as `FULL`."""


def run(tmp_path: Path, *series: Series, lengths: tuple[int, ...] = LENGTHS) -> Run:
    plan = Plan((*series, LOCAL), lengths, process_sd=0, value_sd=0, baseline=["full/sdpa", "full/native"])
    return load(rows.write(tmp_path, plan))


def baselines(found: Run) -> list[str]:
    return sorted(set(found.frame["baseline"]))


@pytest.mark.parametrize(("factor", "fastest", "other"), [(0.8, "native", "sdpa"), (1.25, "sdpa", "native")])
def test_a_sweep_takes_the_fastest(tmp_path: Path, factor: float, fastest: str, other: str) -> None:
    found = run(tmp_path, FULL, replace(NATIVE, at_1024_ns=FULL.at_1024_ns * factor))
    assert baselines(found) == [f"full/{fastest}"]
    (result,) = found.results
    assert result.baseline == f"full/{fastest}"
    assert dict(result.other_baselines) == pytest.approx({f"full/{other}": 0.8})
    assert f"full/{other} is 0.80x as fast" in tables.lengths(result)
    assert any(f"full/{fastest}" in sentence for sentence in answer(found))


def test_lengths_that_only_one_passed_do_not_count(tmp_path: Path) -> None:
    # Over all lengths native would be faster, over the common ones sdpa is.
    ended = dict.fromkeys((1024, 2048), (Status.TIMED_OUT, "no answer"))
    slow = replace(NATIVE, at_1024_ns=FULL.at_1024_ns * 1.1, endings=ended)
    assert baselines(run(tmp_path, FULL, slow)) == ["full/sdpa"]


def test_an_unsupported_baseline_leaves_the_other(tmp_path: Path) -> None:
    never = dict.fromkeys(LENGTHS, (Status.UNSUPPORTED, "no compiler"))
    found = run(tmp_path, FULL, replace(NATIVE, endings=never))
    assert baselines(found) == ["full/sdpa"]
    assert found.results[0].other_baselines == ()


def test_machines_are_compared_by_one_baseline(tmp_path: Path) -> None:
    a = run(tmp_path / "a", FULL, replace(NATIVE, at_1024_ns=FULL.at_1024_ns * 0.8))
    b = run(tmp_path / "b", FULL, replace(NATIVE, at_1024_ns=FULL.at_1024_ns * 1.25))
    b = replace(b, meta={**b.meta, "environment": {**b.meta["environment"], "cpu": "Another CPU"}})
    frame = between_runs.compare(a, b, across_machines=True).frame
    local = frame[frame["label"].str.startswith("local_window")]
    # Against native, which takes 0.8 and then 1.25 times as long, local_window falls to 0.8 / 1.25 of the ratio.
    assert local["ratio"].to_numpy(float) == pytest.approx(0.8 / 1.25)
