"""What models learned: the columns of scores, the tables, the answer and the figure of a run that trained models."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rows import QUICK, write
from test_task_level import SUITE

from attnbench.reports.drawing import saving
from attnbench.reports.figures import learned as figure
from attnbench.reports.figures import score_by_examples as by_examples
from attnbench.reports.findings.run import Run, load
from attnbench.reports.html import charts
from attnbench.reports.pages import run_report
from attnbench.reports.tables import learned, tables, terminal
from attnbench.reports.text.answer import answer
from attnbench.suites import Case, Probe, Status
from attnbench.suites.result import Score
from attnbench.suites.schema.load import from_dict

SCORES: Mapping[str, tuple[float, ...]] = {
    "full": (0.98, 0.99, 1.0),
    "linear": (0.97, 0.95, 0.99),
    "gru": (0.5, 0.6, 0.7),
    "identity": (0.03, 0.02, 0.04),
}


def run(folder: Path, scores: Mapping[str, tuple[float, ...]] = SCORES, **changed: Any) -> Run:
    """A run whose models have these scores, by variant."""
    suite = from_dict({**SUITE, "variants": [*scores], "baseline": "full/sdpa", **changed}, "it")
    rows: list[Probe | Score] = []
    for each in suite.cases():
        size = 1000 if each.mechanism.name != "gru" else 1200
        rows.append(Probe(each.key, Status.PASSED, "", call_ns=1e6, peak_bytes=2**20, parameter_count=size))
        rows += [score(each, seed, found) for seed, found in enumerate(scores[each.mechanism.name])]
    folder.mkdir()
    planned = [
        {"key": each.key, "baseline": suite.baselines_of(each)[0].key, "label": each.label, **each.flat()}
        for each in suite.cases()
    ]
    meta = {"format": 1, "name": "it", "question": "?", "suite": suite.to_json(), "source": "", "cases": planned}
    meta |= {"environment": {}, "command": "bench run it", "started": "2026-01-02T03:04:05+00:00", "seed": 0}
    (folder / "run.json").write_text(json.dumps({**meta, "finished": "2026-01-02T03:14:05+00:00", "patterns": []}))
    (folder / "samples.jsonl").write_text("".join(json.dumps(each.to_json()) + "\n" for each in rows))
    return load(folder)


def score(case: Case, seed: int, found: float) -> Score:
    values = (1e6, 1.1e6)
    return Score(
        case.key, Status.PASSED, "", seed, 5, values, score=found, validation=found, lr=0.003, losses=(2.0, 1.0)
    )


def test_columns_have_the_mean_over_seeds_and_the_gain_seed_by_seed(tmp_path: Path) -> None:
    frame = run(tmp_path / "run").frame.set_index("variant")
    assert frame["score"].to_dict() == pytest.approx({"full": 0.99, "linear": 0.97, "gru": 0.6, "identity": 0.03})
    # Student t with two degrees of freedom.
    assert frame.loc["full", "score_high"] == pytest.approx(0.99 + 4.302653 * 0.01 / 3**0.5)
    assert frame.loc["gru", "score_gain"] == pytest.approx(-0.39)
    assert frame.loc["gru", "score_gain_high"] == pytest.approx(-0.39 + 4.302653 * 0.09 / 3**0.5)
    assert set(frame["seeds"]) == {3}
    assert frame.loc["full", "steps_per_s"] == pytest.approx(1000)


def test_other_runs_have_no_scores(tmp_path: Path) -> None:
    found = load(write(tmp_path / "run", QUICK))
    assert found.learned == ()
    assert found.frame[["score", "seeds", "steps_per_s", "lr"]].isna().all(axis=None)


def test_the_best_and_those_that_guess_are_told_apart_by_intervals(tmp_path: Path) -> None:
    (found,) = run(tmp_path / "run").learned
    assert [each.case["variant"] for each in found.models] == ["full", "linear", "gru", "identity"]
    assert [each.case["variant"] for each in found.best] == ["full", "linear"]
    assert [each.case["variant"] for each in found.guessing] == ["identity"]
    assert {each.case["variant"]: round(each.extra_parameters, 2) for each in found.models}["gru"] == 0.2
    assert found.models[0].examples_per_s == pytest.approx(4 * 1000)


def test_what_mixes_nothing_and_is_not_beaten_is_told(tmp_path: Path) -> None:
    beaten = run(tmp_path / "beaten")
    alike = run(tmp_path / "alike", {**SCORES, "identity": SCORES["full"]})
    assert beaten.learned[0].unbeaten_floor is None
    assert alike.learned[0].unbeaten_floor is not None
    assert alike.learned[0].unbeaten_floor.case["variant"] == "identity"
    assert "identity" in answer(alike)[0]


def test_a_report_has_scores_tables_answer_and_figure(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    text = run_report.report(made, tables.markdown(made))
    assert learned.markdown(made) in text
    assert len(answer(made)) == 1
    assert figure.applies(made)
    for width in (None, 3.5):
        saving.save({"learned": partial(figure.draw, made, width)}, tmp_path)
    assert {"full", "linear", "gru", "identity"} <= set(learned.markdown(made).replace("/", " ").split())


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_first_screen_has_scores_best_first_at_every_width(tmp_path: Path, width: int) -> None:
    scores = {"full": SCORES["full"], "gru": SCORES["gru"], "linear": SCORES["linear"]}
    lines = [str(line) for line in terminal.screen(run(tmp_path / "run", scores), width)]
    places = [next(at for at, line in enumerate(lines) if line.startswith(name)) for name in ("full", "linear", "gru")]
    assert places == sorted(places)
    assert any("score" in line.split() for line in lines)


def test_two_seeds_show_nothing(tmp_path: Path) -> None:
    made = run(tmp_path / "run", {name: scores[:2] for name, scores in SCORES.items()})
    assert not made.learned[0].has_intervals
    assert "**" not in learned.markdown(made)
    assert len(answer(made)) == 2


def test_scores_stand_beside_the_published_ones_of_tasks_of_their_kind(tmp_path: Path) -> None:
    tasks = [{"task": {"data": each, "layers": 1, "steps": 7}} for each in ("listops", {"mqar": {"pairs": 3}})]
    lines = learned.markdown(run(tmp_path / "run", level=tasks)).splitlines()
    (at,) = (place for place, line in enumerate(lines) if line.startswith("| linear") and lines[place + 1][:3] == "| *")
    assert lines[at + 1] == r"| *linear_transformer* | *16.1* | - | - |"


def test_tasks_stand_side_by_side_with_their_mean(tmp_path: Path) -> None:
    both = [{"task": {"data": {"mqar": {"pairs": pairs}}, "layers": 1, "steps": 7}} for pairs in (3, 4)]
    made = run(tmp_path / "run", level=both)
    assert [each.task.data for each in made.learned] == ["mqar(pairs=3)", "mqar(pairs=4)"]
    row = next(line for line in learned.markdown(made).splitlines() if line.startswith("| gru"))
    assert row.endswith("| 60.0 |")


def test_scores_over_the_number_of_examples_say_where_each_mechanism_is_better(tmp_path: Path) -> None:
    tasks = [{"task": {"data": {"mqar": {"pairs": 3, "train": each}}, "layers": 1, "steps": 7}} for each in (50, 200)]
    made = run(tmp_path / "run", level=tasks)
    (found,) = made.learned_by_size
    assert (found.data, found.sizes) == ("mqar(pairs=3)", (50, 200))
    assert set(found.frame["examples"]) == {50, 200}
    assert "gru scores less with every number of examples" in " ".join(answer(made))
    for width in (None, 3.5):
        saving.save({"score_by_examples": partial(by_examples.draw, made, width)}, tmp_path)


def test_the_page_begins_with_scores_and_names_tasks_in_short(tmp_path: Path) -> None:
    tasks = [{"task": {"data": {"mqar": {"pairs": 3, "train": each}}, "layers": 1, "steps": 7}} for each in (50, 200)]
    (chart,) = charts.of(run(tmp_path / "run", level=tasks))
    assert chart.metrics[0].column == "score"
    (menu,) = (each for each in chart.menus if each.name == "level")
    assert all(len(words) < len(value) for words, value in zip(menu.words, menu.values, strict=True))


def test_tasks_that_differ_otherwise_are_not_compared_by_size(tmp_path: Path) -> None:
    tasks = [{"task": {"data": {"mqar": {"pairs": pairs, "train": 50 * pairs}}}} for pairs in (3, 4)]
    assert run(tmp_path / "run", level=tasks).learned_by_size == ()
