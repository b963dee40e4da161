"""The self-test: its figures from rows with known truth, and once for real."""

import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from attnbench.reports.data.reading import RunError
from attnbench.reports.decision import decide
from attnbench.reports.selftest import judge, page
from attnbench.reports.selftest.closed_forms import flops
from attnbench.runner.ab import selftest as measuring
from attnbench.runner.cli import main
from attnbench.runner.execution.journal import FolderError
from attnbench.runner.execution.json_lines import Book
from attnbench.suites import Case
from attnbench.suites.schema.load import parse

SUITE = """
name: small
question: Is it to be trusted?
shape: {heads: 2, head_dim: 16, seq_len: [31, 64]}
variants: [full, {truncated: {left: 3, right: [0, 40]}}, {local_window: {window: 9, edges: [clip, slide]}},
           {block_local: {block: 10, causal: [false, true]}}, {longformer: {window: 9}}]
"""


def cases() -> list[Case]:
    return parse(SUITE, "small.yaml").cases()


def rows(spread: float = 0.01, runs: int = 20, timer: float = 1.0, peak_varies: bool = False) -> list[dict[str, Any]]:
    """A self-test whose pairs scatter by `spread` about the truth."""
    rng = np.random.default_rng(0)
    keys = [case.key for case in cases()]
    told: list[dict[str, Any]] = [
        {"kind": "environment", "facts": {"cpu": "<fake>"}, "pairs": {"screen": 5, "confirm": 12}}
    ]
    for case in cases():
        work = flops(case) or 1
        probe = {
            "case": case.key,
            "status": "passed",
            "reason": "",
            "flops": work,
            "peak_bytes": 100,
            "predicted_bytes": 101,
        }
        told.append({"kind": "case", "key": case.key, "case": case.flat(), "probe": probe})
    told.append({"kind": "overhead", "calls": 40, "empty_ns": 100, "value_ns": 1e7})
    told.append({"kind": "agreement", "pairs_ns": {key: [[timer, 1.0], [timer, 1.0], [9.0, 1.0]] for key in keys}})
    for process in range(20):
        peaks = {key: [process if peak_varies else 1, 2, 3] for key in keys}
        told.append({"kind": "memory", "process": process, "peak_flops_pairs": peaks})
    for slowdown in (0.0, 0.10):
        for run in range(runs):
            truth = np.log1p(slowdown)
            screen = {key: list(truth + spread * rng.standard_normal(5)) for key in keys}
            flagged = selftest_flagged(screen)
            confirm = {key: list(truth + spread * rng.standard_normal(12)) for key in flagged}
            spent = {"wall_s": 100.0, "parent_cpu_s": 1.0, "load": 0.0}
            told.append(
                {"kind": "decision", "run": run, "slowdown": slowdown, "screen": screen, "confirm": confirm, **spent}
            )
    return told


def selftest_flagged(screen: dict[str, list[float]]) -> list[str]:
    from attnbench.reports.decision.decide import Rule, flagged

    return flagged({key: np.array(values) for key, values in screen.items()}, Rule())


def written(folder: Path, told: list[dict[str, Any]]) -> Path:
    (folder / "selftest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    return folder


def holds(folder: Path) -> dict[str, bool | None]:
    return {figure.name: figure.holds for figure in judge.load(folder).figures}


def test_a_quiet_machine_is_trusted(tmp_path: Path) -> None:
    found = judge.load(written(tmp_path, rows()))
    assert found.trusted, page.lines(found)
    assert len(found.figures) == 9
    assert found.spreads.keys() == {case.key for case in cases()}
    assert 0.008 < np.median(list(found.spreads.values())) < 0.012


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"timer": 1.05}, "cases whose median ratio to torch's timer is within 2 %"),
        ({"peak_varies": True}, "cases whose peak bytes and work are bit-equal over processes"),
        ({"spread": 0.3}, "a true slow-down of 10% that is found"),
    ],
)
def test_what_fails_is_named(tmp_path: Path, change: dict[str, Any], failing: str) -> None:
    told = holds(written(tmp_path, rows(**change)))
    assert told[failing] is False


def test_a_biased_arm_is_a_false_alarm(tmp_path: Path) -> None:
    told = rows()
    for row in told:
        if row["kind"] == "decision" and row["slowdown"] == 0 and row["run"] == 3:
            key = next(iter(row["screen"]))
            row["screen"][key] = [0.1, 0.11, 0.1, 0.1, 0.09]
            row["confirm"][key] = [0.1] * 11 + [0.11]
    found = judge.load(written(tmp_path, told))
    alarms = found.figures[0]
    assert alarms.holds is False
    assert alarms.found.startswith("1 of 20")
    assert not found.trusted


def test_the_page_is_written_and_escaped(tmp_path: Path) -> None:
    path = page.write(judge.load(written(tmp_path, rows(runs=4))), tmp_path)
    text = path.read_text()
    assert "<fake>" not in text
    assert "fake" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures",
        "selftest.json",
        "selftest.jsonl",
        "selftest.md",
    ]
    assert len(list((tmp_path / "figures").iterdir())) == 4
    told = json.loads((tmp_path / "selftest.json").read_text())
    assert told["trusted"] is True
    assert len(told["figures"]) == 9


def test_one_that_was_interrupted_before_its_first_pair_has_a_page(tmp_path: Path) -> None:
    found = judge.load(written(tmp_path, [row for row in rows() if row["kind"] != "decision"]))
    text = page.write(found, tmp_path).read_text()
    assert "The spread of a pair" not in text


def test_rows_that_are_none_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="found none"):
        judge.load(tmp_path)
    (tmp_path / "selftest.jsonl").write_text("[1, 2\n")
    with pytest.raises(RunError, match="jsonl:1: expected a row of JSON, found no valid JSON"):
        judge.load(tmp_path)


def test_two_self_tests_in_one_folder_are_refused(tmp_path: Path) -> None:
    told = "expected no run under way in it, found one; wait for its end$"
    facts = {"facts": {}, "pairs": {"screen": 5, "confirm": 12}}
    with closing(Book(tmp_path, judge.ROWS)) as first, closing(Book(tmp_path, judge.ROWS)) as second:
        first.write("environment", **facts)
        with pytest.raises(FolderError, match=told):
            second.write("environment", **facts)
        with pytest.raises(FolderError, match=told):
            Book(tmp_path, judge.ROWS)
    with closing(Book(tmp_path, judge.ROWS)) as again:
        assert again.of("environment") == [{"kind": "environment", **facts}]
        again.write("overhead", calls=40)
    assert len((tmp_path / judge.ROWS).read_text().splitlines()) == 2


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.title)
def test_closed_forms_count_what_the_patterns_allow(case: Case) -> None:
    pairs = int(case.pattern.spans(case.setting.shape.seq_len).mask().sum())
    counted = flops(case)
    assert counted in (None, 4 * pairs * case.setting.shape.heads * case.setting.shape.head_dim)
    assert (counted is None) == (case.mechanism.name == "longformer")


TINY = """
name: tiny
question: Does the self-test run?
shape: {heads: 2, head_dim: 16, seq_len: 64}
variants: [{local_window: {window: 17}}]
measure: {value_ms: 1}
"""


@pytest.mark.slow
def test_for_real_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fewer pairs than are usual, and against one slow-down."""
    monkeypatch.setattr(decide, "Rule", partial(decide.Rule, screen_pairs=3, confirm_pairs=3))
    monkeypatch.setattr(measuring, "SLOWDOWNS", (0.0, 0.10))
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    command = ["selftest", "tiny.yaml", "--runs", "1", "--out", "out"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code in (0, 1), done.output
    assert "page: out/selftest.md" in done.stdout
    rows = Path("out/selftest.jsonl").read_text()
    again = CliRunner().invoke(main, [*command, "--quiet"])
    assert again.stdout == done.stdout, "nothing was measured again"
    assert again.stderr == ""
    assert Path("out/selftest.jsonl").read_text() == rows
