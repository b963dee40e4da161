"""`bench run --json`: one JSON object a line, as docs/run.md says."""

import json
import re
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_dry_run import Seer
from test_engine import SUITE, FakeWorker, Machine, passed
from test_resume import Stopping

from attnbench.reports.data.frame import COLUMNS
from attnbench.runner.cli import main
from attnbench.runner.execution import engine
from attnbench.runner.execution.local import Local
from attnbench.runner.plan import dry_run
from attnbench.suites import Case, Probe, Sample
from attnbench.variants.kernels import _building

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "run.md").read_text()


def items(title: str) -> dict[str, str]:
    """The items of a list of the page: the text after the colon, by each name before it."""
    (body,) = re.findall(rf"^{re.escape(title)}:\n\n((?:(?:- |  ).*\n)+)", PAGE, re.MULTILINE)
    parts = [each.partition(":")[::2] for each in re.split(r"^- ", body, flags=re.MULTILINE)[1:]]
    return {name: text for names, text in parts for name in re.findall(r"`(\w+)`", names)}


def documented() -> dict[str, set[str]]:
    """The fields of every event."""
    events = {
        name: set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text)))
        for name, text in items("Events, with their fields").items()
    }
    return events | {"result": set(COLUMNS)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SUITE)
    return tmp_path


def lines(*words: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(main, ["run", *words, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


def complete(case: Case) -> Probe:
    """What a report needs of a case."""
    return replace(passed(case), predicted_bytes=1, allowed_pairs=1000, flops=32_000, max_abs_error=0.0)


def use(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Have the engine ask the workers of a machine."""
    monkeypatch.setattr(engine, "Local", lambda: Local(machine.start, machine.now))


def test_every_event_of_a_run_has_the_fields_of_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Stopping(100, complete))
    # As on a machine that has not compiled native yet; the workers are not real.
    monkeypatch.setattr(_building, "is_built", lambda: False)
    monkeypatch.setattr(_building, "build", lambda again: None)
    told = lines("tiny.yaml", "--out", "out", "--profile")
    told += lines("--resume", "out", "--processes", "4")
    names = [each["event"] for each in told]
    for each in told:
        assert each.keys() - {"event"} == documented()[each["event"]], each["event"]
    assert set(names) == set(documented()) - {"case", "estimate", "refused"}, "the last is of clusters"
    counts = {"probe": 9, "sample": 9 * 4, "replicate": 4, "profile": 9, "result": 18, "report": 2, "resumed": 1}
    assert {name: names.count(name) for name in counts} == counts
    assert (names[0], names[-1]) == ("run", "finished")
    assert told[-1] == {"event": "finished", "exit_code": 0, "folder": "out"}
    written = [json.loads(line) for line in Path("out/samples.jsonl").read_text().splitlines()]
    assert [each["row"] for each in told if each["event"] in ("probe", "sample")] == written
    results = [each for each in told if each["event"] == "result"]
    assert {each["status"] for each in results} == {"passed"}
    assert all(each["time_ns"] > 0 for each in results)
    assert {each["phase"] for each in told if each["event"] == "progress"} == {"probe", "time", "profile"}


def test_the_rows_have_the_fields_of_the_page() -> None:
    both = set(items("Fields of a row"))
    assert both | set(items("Fields of a probe")) == {each.name for each in fields(Probe)} | {"kind"}
    assert both | set(items("Fields of a sample")) == {each.name for each in fields(Sample)} | {"kind"}


def test_a_dry_run_has_the_fields_of_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "plan", partial(dry_run.plan, start_worker=Seer().start))
    told = lines("tiny.yaml", "--dry-run")
    assert [each["event"] for each in told] == ["case"] * 9 + ["estimate"]
    for each in told:
        assert each.keys() - {"event"} == documented()[each["event"]]
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.yaml"]


def test_an_interruption_ends_the_lines_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Stopping(12, complete))
    done = CliRunner().invoke(main, ["run", "tiny.yaml", "--out", "out", "--json"])
    assert done.exit_code == 130
    *_, report, last = [json.loads(line) for line in done.output.splitlines()]
    assert report["event"] == "report"
    assert last == {"event": "finished", "exit_code": 130, "folder": "out"}


def test_each_line_is_written_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """What was told before the third probe is there when that begins."""
    seen: list[str] = []

    class Looking(FakeWorker):
        def ask(self, request: dict[str, Any], patience_s: float, heard: object = None) -> Any:
            seen.append(capfd.readouterr().out)
            return super().ask(request, patience_s)

    machine = Machine(complete)
    monkeypatch.setattr(machine, "start", lambda *given: Looking(machine))
    use(monkeypatch, machine)
    with pytest.raises(SystemExit):
        main(["run", "tiny.yaml", "--out", "out", "--json"], standalone_mode=False)
    assert [json.loads(line)["event"] for line in seen[3].splitlines()] == ["probe", "progress"]
