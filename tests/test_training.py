"""Training of models: what they learn, what their seeds decide, and how a training may end."""

import math
from dataclasses import replace
from typing import Any

import pytest
from settings import case_of
from stages import unheard as step
from test_task_level import case

from attnbench.runner.worker import training
from attnbench.runner.worker.probe import probe
from attnbench.suites import Case, Status
from attnbench.suites.result import Score, from_json
from attnbench.variants import Shape, levels
from attnbench.variants.levels.sequence_task import SequenceTask
from attnbench.variants.levels.task import Task


def made(name: str = "full", data: str = "mqar(pairs=2, symbols=4, train=512, test=200)", **changed: Any) -> Case:
    """A case that learns to recall two of four pairs in 80 steps, unless something is changed."""
    learned = case(name, {}, data, width=32, batch=32)
    level = levels.read(learned.setting.level)
    assert isinstance(level, Task)
    return learned.changed(level=levels.written("task", replace(level, **{"steps": 80, "lr": 0.01, **changed})))


def trained(learned: Case, replicate: int = 0, seed: int = 0, lr: float | None = None) -> Score:
    """The score of a model that passes."""
    found = training.train(learned, replicate, seed, lr, step)
    assert found.status is Status.PASSED, found.reason
    return found


def test_full_attention_recalls_and_no_mixing_guesses() -> None:
    full, floor = trained(made()), trained(made("identity"))
    assert full.score is not None
    assert floor.score is not None
    assert full.score > 0.9 > 0.4 > floor.score
    assert full.losses[-1] < 0.5 < floor.losses[-1]
    assert len(full.losses) == training.PARTS
    assert all(each > 0 for each in full.values_ns)
    assert from_json(full.to_json()) == full


@pytest.mark.parametrize("data", ["needle(length=5, train=64, test=40)", "listops(shortest=3, longest=9, train=64)"])
def test_every_form_of_target_is_scored(data: str) -> None:
    found = trained(made(data=data, steps=3))
    assert found.score is not None
    assert 0 <= found.score <= 1


def test_equal_seeds_give_equal_models_and_others_do_not() -> None:
    first, again, other = (trained(made(steps=20), *each) for each in ((0, 0), (0, 0), (1, 0)))
    assert (first.losses, first.score) == (again.losses, again.score)
    assert first.losses != other.losses
    assert first.losses != trained(made(steps=20), 0, 1).losses
    assert first.data_sha256 == other.data_sha256


def test_all_mechanisms_see_the_same_examples_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Any]] = []
    placed = training._placed

    def noting(model: Any, examples: Any, which: Any) -> Any:
        seen[-1].append(which.tolist())
        return placed(model, examples, which)

    monkeypatch.setattr(training, "_placed", noting)
    for name in ("full", "gru"):
        seen.append([])
        trained(made(name, steps=20))
    assert seen[0] == seen[1]


def test_a_loss_that_is_not_finite_ends_a_training() -> None:
    found = training.train(made(lr=1e30), 0, 0, None, step)
    assert found.status is Status.FAILED
    assert found.reason.startswith("diverged at step ")
    assert found.score is None


def test_the_rate_rises_and_falls() -> None:
    rates = [training._rate(step, 100) for step in range(100)]
    assert rates[:10] == [pytest.approx((at + 1) / 10) for at in range(10)]
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.001 + math.pi**2 / 4 / 90**2


def test_a_search_takes_the_rate_that_is_best_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {0.001: 0.2, 0.01: 0.6, 0.1: 0.4}
    monkeypatch.setattr(training, "_validated", lambda case, replicate, seed, lr, *_: scores[lr])
    found = trained(made(steps=3, search="0.001 0.01 0.1"))
    assert found.lr == 0.01
    assert dict(found.searched) == scores
    assert trained(made(steps=3, search="0.001 0.01 0.1"), 1, lr=0.1).lr == 0.1


def test_a_training_tells_which_share_of_it_is_done() -> None:
    told: list[tuple[str, float]] = []

    def stage(name: str, *, anew: bool = False, aside: bool = False, share: float | None = None) -> None:
        if share is not None:
            told.append((name, share))

    training.train(made(steps=20, search="0.001 0.01"), 0, 0, None, stage)
    shares = [share for _, share in told]
    assert shares == sorted(set(shares))
    assert len(shares) == 3 * training.PARTS
    assert shares[-1] == 1
    assert told[-1][0].startswith("training it: step 20 of 20, loss ")


def test_a_mechanism_that_raises_costs_its_own_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("cannot do")

    monkeypatch.setattr(training, "_model", broken)
    assert training.train(made(), 0, 0, None, step).reason == "ValueError: cannot do"


def test_how_far_layers_look_is_known_for_a_window_and_for_no_mixing() -> None:
    data = "needle(length=30, train=64, test=40)"
    full, floor = (trained(made(name, data, steps=2, reach=True)).reach for name in ("full", "identity"))
    assert [(each.field, each.span, each.error) for each in floor] == [(0.0, None, None)]
    assert full[0].error == pytest.approx(0, abs=1e-5)
    assert full[0].span is not None
    # Attention that does not choose sees tokens at a mean distance of (N^2 - 1) / 3 N.
    assert full[0].span == pytest.approx((30**2 - 1) / 90, rel=0.5)
    assert full[0].field > 0
    assert trained(made(data=data, steps=2)).reach == ()


def test_an_encoder_and_decoder_learns_to_copy() -> None:
    level = SequenceTask(layers=1, data="copy(length=4, symbols=3, train=256, test=100)", steps=150, lr=0.01)
    shape = Shape(32, 2, 2, level.length, 16)
    learned = case_of("full", {}, "sdpa", shape, direction="training")
    learned = learned.changed(level=levels.written("sequence_task", level))
    assert probe(learned, 2**32, step).status is Status.PASSED
    found = trained(learned)
    assert found.score is not None
    assert found.score > 0.9 > level.form.chance
