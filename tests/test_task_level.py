"""Level task: the tokens and targets of data, models of equal size, and what a suite may write."""

from typing import Any

import pytest
import torch
from definitions import label
from settings import case_of
from stages import unheard as step

from attnbench import variants
from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.probe import probe
from attnbench.suites import Case, Status, SuiteError
from attnbench.suites.schema.load import from_dict, parse
from attnbench.variants import Shape, levels, tasks
from attnbench.variants.levels.task import Task

BUDGET = 2**32
MECHANISMS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("local_window", {"window": 5}),
    ("linear", {}),
    ("linformer", {"projected": 4}),
    ("performer", {"features": 16}),
    ("conv1d", {"kernel": 3}),
    ("lstm", {}),
    ("gru", {}),
    ("identity", {}),
]
DATA = ["mqar(pairs=3, symbols=5)", "needle(length=9)", "listops(shortest=5, longest=17)", "lra_retrieval(length=7)"]
SUITE = {
    "name": "it",
    "question": "?",
    "level": {"task": {"data": {"mqar": {"pairs": 3}}, "layers": 1, "steps": 7}},
    "shape": {"batch": 4, "heads": 2, "head_dim": 8},
    "direction": "training",
    "variants": ["full", "identity"],
}


def case(name: str, parameters: dict[str, Any], data: str, width: int = 16, batch: int = 4) -> Case:
    """A case that learns."""
    level = Task(layers=1, data=data)
    shape, how = Shape(batch, 2, 2, level.length, width // 2), "own" if variants.load(name).build else "sdpa"
    how = "blockwise" if name == "local_window" else how
    made = case_of(name, parameters, how, shape, direction="training")
    return made.changed(level=levels.written("task", level))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("name", "parameters"), [MECHANISMS[0], MECHANISMS[7], MECHANISMS[8]], ids=label)
def test_a_step_is_proved_on_every_form_of_data(
    name: str, parameters: dict[str, Any], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(tasks.read(data)), "missing", lambda *_: None)
    found = probe(case(name, parameters, data), BUDGET, step)
    assert found.status is Status.PASSED, found.reason
    assert found.proved == 1


@pytest.mark.parametrize(("name", "parameters"), MECHANISMS, ids=label)
def test_models_are_as_large_as_that_of_full_attention_or_have_the_smallest_network(
    name: str, parameters: dict[str, Any]
) -> None:
    data = "mqar(pairs=32, symbols=64)"
    sizes = []
    for each, given in (("full", {}), (name, parameters)):
        made = case(each, given, data, width=64)
        sizes.append(levels.learned(variants.load(each), made.parameters, made.setting))
    around = mechanisms.around(case(name, parameters, data, width=64))
    assert around
    assert isinstance(around.outer, Task)
    smallest = around.outer.hidden(Shape(1, 2, 2, 64, 32)) == 1
    assert abs(sizes[1] / sizes[0] - 1) < 0.01 or (smallest and sizes[1] > sizes[0])


def test_a_large_mechanism_says_by_how_much_it_exceeds() -> None:
    made = case("conv1d", {"kernel": 15}, "needle(length=9)", width=64)
    full = case("full", {}, "needle(length=9)", width=64)
    sizes = [levels.learned(variants.load(each.mechanism.name), each.parameters, each.setting) for each in (made, full)]
    assert sizes[0] > 1.1 * sizes[1]


def test_padding_is_left_out_of_the_mean_and_documents_are_compared() -> None:
    padded, pair = Task(data="listops(shortest=5, longest=17)"), Task(data="lra_retrieval(length=7)")
    x, tokens = torch.randn(2, 17, 8), torch.randint(1, 16, (2, 17))
    tokens[1, 5:] = 0
    read = padded.read(x, tokens)
    assert torch.allclose(read[0], x[0].mean(dim=0))
    assert torch.allclose(read[1], x[1, :5].mean(dim=0))
    x, tokens = torch.randn(4, 7, 8), torch.randint(1, 16, (4, 7))
    first, second = x.mean(dim=1)[2:]
    assert torch.allclose(pair.read(x, tokens)[1], torch.cat([first, second, first * second, first - second]))


def test_two_fields_are_the_sum_of_two_vectors() -> None:
    level, embedding = Task(data="mqar(pairs=3, symbols=5)"), torch.randn(11, 8)
    assert torch.equal(level.embedded(torch.tensor([[3 + 11 * 7]]), embedding)[0, 0], embedding[3] + embedding[7])


def test_data_fixes_the_length_and_the_rest_is_as_in_other_suites() -> None:
    suite = from_dict(SUITE, "it")
    assert [each.setting.shape.seq_len for each in suite.cases()] == [6, 6]
    assert suite.cases()[0].setting.level == "task(layers=1, data=mqar(pairs=3), steps=7)"
    assert from_dict(suite.to_json(), "it").cases() == suite.cases()


def test_rates_and_a_search_are_mappings() -> None:
    text = """
name: it
question: "?"
level: {task: {data: digits, lr: {others: 1e-3, full: 0.01}, search: {lr: [0.001, 1e-2]}}}
shape: {batch: 4, heads: 2, head_dim: 8}
direction: training
variants: [full, gru]
"""
    level = levels.read(parse(text).cases()[0].setting.level)
    assert isinstance(level, Task)
    assert (level.rate("full"), level.rate("gru"), level.rates) == (0.01, 0.001, (0.001, 0.01))
    assert from_dict(parse(text).to_json(), "it").cases() == parse(text).cases()


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": {"batch": 4, "heads": 2, "head_dim": 8, "seq_len": 64}},
        {"level": "encoder"},
        {"level": {"task": {"data": "copy"}}},
        {"level": {"task": {"data": "digit"}}},
        {"level": {"task": {"data": {"mqar": {"pairs": 0}}}}},
        {"level": {"task": {"data": {"mqar": {"pairs": 40, "symbols": 8}}}}},
        {"level": {"task": {"lr": {"full": 0.01}}}},
        {"level": {"task": {"lr": 2.0}}},
        {"level": {"task": {"search": {"lr": [0.1]}}}},
        {"level": {"task": {"batch": 8}}},
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_error(changed: dict[str, Any]) -> None:
    with pytest.raises(SuiteError) as caught:
        from_dict({**SUITE, **changed}, "it")
    assert len(caught.value.problems) == 1


def test_lists_of_data_and_of_rates_make_cases() -> None:
    level = {"task": {"data": ["digits", {"mqar": {"pairs": 3}}], "lr": [0.01, {"others": 0.003, "full": 0.1}]}}
    suite = from_dict({**SUITE, "level": level, "variants": ["full"]}, "it")
    found = [levels.read(case.setting.level) for case in suite.cases()]
    told = [(each.data, each.rate("full")) for each in found if isinstance(each, Task)]
    assert sorted(told) == [("digits", 0.01), ("digits", 0.1), ("mqar(pairs=3)", 0.01), ("mqar(pairs=3)", 0.1)]
    assert from_dict(suite.to_json(), "it").cases() == suite.cases()


def test_a_level_is_named_by_its_data_and_without_rates_of_single_variants() -> None:
    assert levels.brief("task(data=mqar(pairs=3), lr=others:0.01 full:0.1, steps=7)") == "task(mqar(pairs=3), steps=7)"
    assert levels.brief("task(lr=0.1)") == "task(digits, lr=0.1)"
    assert levels.brief("layer(positions=rotary)") == "layer(positions=rotary)"
    assert levels.brief("attention") == "attention"


def test_a_task_is_trained_with_data_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = case("full", {}, "needle(length=9)").changed(direction="forward")
    assert probe(forward, BUDGET, step).status is Status.UNSUPPORTED
    monkeypatch.delenv(tasks.FOLDER, raising=False)
    found = probe(case("full", {}, "lra_listops(length=9)"), BUDGET, step)
    assert (found.status, "lra_listops" in found.reason) == (Status.UNSUPPORTED, True)
