"""The layout of tensors in memory as an axis: what is measured in it, and how it is told from the usual one."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rows
import torch
from definitions import label
from settings import case_of, check, pattern_of, setting
from stages import unheard
from torch import Tensor

from attnbench.reports.data.settings import settings
from attnbench.reports.drawing.panels import context
from attnbench.reports.findings.run import Run, load
from attnbench.runner.machine import memory
from attnbench.runner.worker import probe
from attnbench.runner.worker.call import calls, programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.timing import Bench
from attnbench.suites import Case, Status
from attnbench.suites.case import names
from attnbench.suites.schema.suite import Suite
from attnbench.variants import Direction, Shape, kernels
from attnbench.variants.kernels import Program


def suite(**keys: Any) -> Suite:
    told = {"name": "n", "question": "Q?", "shape": {"seq_len": 64}, "variants": ["full"]}
    return Suite.model_validate({**told, **keys})


def test_both_layouts_hold_the_same_numbers_in_another_order() -> None:
    shape = Shape(2, 6, 3, 5, 4)
    usual, other = (inputs(each, "bfloat16", "cpu") for each in (shape, replace(shape, layout="bnhd")))
    for first, second in zip(usual, other, strict=True):
        assert torch.equal(first, second)
        assert first.is_contiguous()
        assert second.transpose(1, 2).is_contiguous()
        assert not second.is_contiguous()


def test_an_unknown_layout_is_named() -> None:
    with pytest.raises(ValueError, match="layout: expected one of bhnd, bnhd, found 'nbhd'"):
        Shape(**{**vars(Shape(1, 1, 1, 1, 1)), "layout": "nbhd"})


def test_the_usual_layout_has_the_keys_of_before_there_were_others() -> None:
    usual, other = suite(shape={"seq_len": 64, "layout": ["bhnd", "bnhd"]}).cases()
    before = {
        name: value
        for name, value in usual.flat().items()
        if name not in ("layout", "padding", "level", "world", "hardware")
    }
    assert usual.key == hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:12]
    assert usual == Case.from_json(before)
    assert other == Case.from_json(json.loads(json.dumps(other.flat())))
    assert len({usual.key, other.key, Case.from_json(before).key}) == 2
    assert usual.setting != other.setting
    assert usual.family != other.family


def test_layouts_are_an_axis() -> None:
    it = suite(shape={"seq_len": [16, 64], "head_dim": [4, 8], "layout": ["bnhd", "bhnd"]})
    told = [(each.setting.shape.head_dim, each.setting.shape.layout, each.setting.shape.seq_len) for each in it.cases()]
    assert told == [(d, layout, n) for d in (4, 8) for layout in ("bnhd", "bhnd") for n in (16, 64)]
    assert {each.setting.shape.layout for each in suite().cases()} == {"bhnd"}
    left = suite(shape={"seq_len": 64, "layout": ["bnhd", "bhnd"]}, exclude=[{"layout": "bnhd"}]).cases()
    assert [each.setting.shape.layout for each in left] == ["bhnd"]


def test_names_tell_the_layout_where_there_are_several() -> None:
    cases = suite(shape={"seq_len": 64, "layout": ["bhnd", "bnhd"]}).cases()
    assert [case.title for case in cases] == [
        "full/sdpa N=64 float32 cpu forward",
        "full/sdpa N=64 float32 cpu forward bnhd",
    ]
    points = [{"label": case.label, **case.flat()} for case in cases]
    assert names(points) == [f"full/sdpa N=64 float32 cpu forward layout={each}" for each in ("bhnd", "bnhd")]
    assert names(points[1:]) == ["full/sdpa N=64 float32 cpu forward"]


POINTS: list[tuple[str, dict[str, Any], str]] = [
    ("full", {}, "sdpa"),
    ("full", {"causal": True}, "sdpa"),
    ("full", {}, "eager"),
    ("full", {}, "blockwise"),
    ("local_window", {"window": 33}, "eager"),
    ("local_window", {"window": 33}, "sdpa_masked"),
    ("local_window", {"window": 33}, "blockwise"),
    ("local_window_2d", {"window": (5, 7), "grid": (7, 23)}, "blockwise"),
    ("longformer", {"window": 33}, "blockwise"),
    ("bigbird", {"block": 16}, "blockwise"),
]


@pytest.mark.parametrize("sizes", [(1, 3, 3), (2, 6, 2), (2, 4, 1), (3, 1, 1)], ids=label)
@pytest.mark.parametrize(("name", "parameters", "implementation"), POINTS, ids=label)
def test_it_equals_the_oracle(
    name: str, parameters: dict[str, Any], implementation: str, sizes: tuple[int, int, int]
) -> None:
    pattern, shape = pattern_of(name, parameters), Shape(*sizes, 161, 8, "bnhd")
    kernel = kernels.load(implementation).build(pattern, setting(shape, "float32", "cpu"))
    assert check(kernel.call, pattern.spans(161), shape, "float32", "cpu", gradients=True).problem is None
    assert check(kernel.call, pattern.spans(161), shape, "float32", "cpu").problem is None


@pytest.mark.parametrize(
    "shape", [Shape(1, 8, 8, 1024, 64, "bnhd"), Shape(2, 8, 2, 784, 64, "bnhd")], ids=["heads", "groups"]
)
@pytest.mark.parametrize("direction", ["forward", "training", "backward"])
@pytest.mark.parametrize(
    ("implementation", "name", "parameters"),
    [
        ("eager", "full", {}),
        ("sdpa", "full", {}),
        ("sdpa_masked", "local_window", {"window": 65}),
        ("blockwise", "full", {}),
        ("blockwise", "local_window", {"window": 65}),
        ("blockwise", "longformer", {"window": 65}),
    ],
    ids=label,
)
def test_predicted_bytes_are_those_allocated(
    implementation: str, name: str, parameters: dict[str, Any], direction: Direction, shape: Shape
) -> None:
    case = case_of(name, parameters, implementation, shape, "float32", "cpu", direction, "auto")
    call = calls.call(programs.build(case), inputs(shape, "float32", "cpu"), case.setting.direction).run
    call()
    asked = case.pattern, case.setting, torch.get_num_threads()
    predicted = kernels.load(implementation).predict_bytes(*asked)
    assert predicted == pytest.approx(memory.cpu_peaks(call).allocated_bytes, rel=0.1)


def test_what_is_probed_and_timed_lies_in_its_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[bool, ...]] = set()
    build: Callable[..., Program] = programs.build

    def watched(*asked: object) -> Program:
        kernel = build(*asked)

        def attend(*tensors: Tensor) -> Tensor:
            # A single token or head lies alike in both.
            seen.add(tuple(each.transpose(1, 2).is_contiguous() for each in tensors))
            return kernel.call(*tensors)

        return replace(kernel, call=attend)

    monkeypatch.setattr(programs, "build", watched)
    (case,) = suite(shape={"heads": 2, "head_dim": 8, "seq_len": 64, "layout": "bnhd"}, direction="training").cases()
    assert probe.probe(case, 2**40, unheard).status is Status.PASSED
    bench = Bench([case], 1e5, lambda index: None)
    assert bench.take(0, 1, led=True) is not None
    assert seen == {(True, True, True)}


def two_layouts(folder: Path) -> Run:
    """A run of the same case in both layouts."""
    (case,) = (each for _, each in rows.cases(rows.Plan((rows.FULL,), (512,))))
    both = [case, case.changed(shape=replace(case.setting.shape, layout="bnhd"))]
    meta = rows.meta(rows.Plan((rows.FULL,), (512,)))
    meta["cases"] = [{"key": each.key, "baseline": each.key, **each.flat()} for each in both]
    return load(rows.write_rows(folder, meta, [rows.probe(each, rows.FULL, Status.PASSED, "") for each in both]))


def test_layouts_are_settings_of_their_own(tmp_path: Path) -> None:
    run = two_layouts(tmp_path)
    assert list(run.frame["layout"]) == ["bhnd", "bnhd"]
    assert [each.title for each in settings(run.frame)] == [
        "forward, float32, cpu, B1 H8 D64",
        "forward, float32, cpu, B1 H8 D64 bnhd",
    ]
    assert "B1 H8" not in context(run)


def test_one_unusual_layout_is_told_and_the_usual_one_is_not(tmp_path: Path) -> None:
    frame = two_layouts(tmp_path).frame
    usual, other = (settings(frame[frame["layout"] == layout]) for layout in ("bhnd", "bnhd"))
    assert [each.title for each in usual] == ["forward, float32, cpu"]
    assert [each.title for each in other] == ["forward, float32, cpu, B1 H8 D64 bnhd"]


def test_a_run_from_before_there_were_layouts_can_be_read(tmp_path: Path) -> None:
    plan = rows.Plan((rows.FULL, rows.LOCAL), (512,))
    meta = rows.meta(plan)
    for each in meta["cases"]:
        del each["layout"]
    run = load(rows.write_rows(tmp_path, meta, rows.rows(plan)))
    assert set(run.frame["layout"]) == {"bhnd"}
    assert list(run.frame["case"]) == [each.key for _, each in rows.cases(plan)]
