"""What is timed is what was proved: no kernel that is wrong, or cheats, gets a time."""

import gc
import json
import math
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from definitions import CASES
from settings import case_of, pattern_of
from stages import unheard
from torch import Tensor

from attnbench.runner.worker import timing
from attnbench.runner.worker.call import programs
from attnbench.runner.worker.call.inputs import inputs
from attnbench.runner.worker.call.sampling import Plan
from attnbench.runner.worker.probe import probe
from attnbench.runner.worker.process import failure, settings
from attnbench.runner.worker.proof import expected, oracle, verdict
from attnbench.suites import Case, Sample, Status
from attnbench.variants import Named, Shape
from attnbench.variants.kernels import Program

SHAPE = Shape(2, 4, 2, 320, 16)
"""Beyond all lengths at which this pattern is checked beside its own, and a multiple of 64."""
LONG = replace(SHAPE, seq_len=1664)
CASE = case_of("truncated", {"left": 20, "right": 0}, "blockwise", SHAPE, "float32", "cpu", "training", 1)
FORWARD = CASE.changed(direction="forward")
BUDGET = 2**32

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Spoil = Callable[[Attend, int], Attend]
"""Makes a kernel wrong, from a right one at some length."""


def long(n: int) -> bool:
    return n == SHAPE.seq_len


class _Bent(torch.autograd.Function):
    """Nothing, whose gradient is another."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, bend: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.bend = bend
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.bend(gradient.clone()), None


def bent(tensor: Tensor, bend: Callable[[Tensor], Tensor]) -> Tensor:
    found: Tensor = _Bent.apply(tensor, bend)  # type: ignore[no-untyped-call]  # torch's
    return found


def outputs(bend: Callable[[Tensor], Tensor]) -> Spoil:
    """Another output at the case's own length."""

    def spoil(right: Attend, n: int) -> Attend:
        return lambda q, k, v: bend(right(q, k, v).clone()) if long(n) else right(q, k, v)

    return spoil


def gradients(which: int, bend: Callable[[Tensor], Tensor]) -> Spoil:
    """Another gradient of q, k or v at the case's own length."""

    def spoil(right: Attend, n: int) -> Attend:
        def attend(*given: Tensor) -> Tensor:
            if long(n) and given[0].requires_grad:
                given = tuple(bent(each, bend) if place == which else each for place, each in enumerate(given))
            return right(*given)

        return attend

    return spoil


def filled(where: tuple[Any, ...], value: float) -> Callable[[Tensor], Tensor]:
    def bend(tensor: Tensor) -> Tensor:
        tensor[where] = value
        return tensor

    return bend


def every(row: slice | int, value: float = 0.0) -> Callable[[Tensor], Tensor]:
    return filled((slice(None), slice(None), row), value)


ROWS = {
    "one row of zeros": outputs(filled((1, 3, 229), 0.0)),
    "one row of NaN": outputs(filled((1, 3, 229), torch.nan)),
    "a tile that is never written": outputs(filled((1, 3, slice(128, 192)), 7.0)),
    "the first row of each tile": outputs(every(slice(0, None, 64))),
    "one element": outputs(filled((0, 2, 177, 5), 0.25)),
    "the second batch entry": outputs(filled((1,), 0.0)),
    "the last head": outputs(filled((slice(None), 3), 0.0)),
}


def blind_training(right: Attend, n: int) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = right(q, k, v)
        return out - out.detach() if q.requires_grad else out

    return attend


GRADIENTS = {
    "dV of the second batch entry": gradients(2, filled((1,), 0.0)),
    "dK of the second key head": gradients(1, filled((slice(None), 1), 0.0)),
    "dK of zeros": gradients(1, torch.zeros_like),
    "dV of zeros": gradients(2, torch.zeros_like),
    "dV of NaN": gradients(2, lambda each: each * torch.nan),
    "one row of dQ": gradients(0, filled((0, 1, 200), 0.0)),
    "one row of dK": gradients(1, filled((1, 0, 200), 0.0)),
    "one element of dV": gradients(2, filled((1, 1, 3, 3), 0.1)),
    "a training forward of zeros": blind_training,
}


def later(right: Attend, n: int) -> Attend:
    made = []

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        made.append(1)
        return right(q, k, v) * (1 if len(made) == 1 else 1.01)

    return attend


def one_buffer(right: Attend, n: int) -> Attend:
    kept: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = right(q, k, v)
        if q.requires_grad:
            return found
        kept[:] = kept or [torch.empty_like(found)]
        return kept[0].copy_(found)

    return attend


def kept_sums(right: Attend, n: int) -> Attend:
    sums: list[Tensor] = []

    def keep(gradient: Tensor) -> Tensor:
        sums[:] = [sums[0] + gradient if sums else gradient]
        return sums[0].clone()

    return lambda q, k, v: right(q, k, bent(v, keep) if v.requires_grad else v)


STATE: dict[str, Spoil] = {"wrong from the second call on": later, "gradients that are added up": kept_sums}
STATE_FORWARD: dict[str, Spoil] = {"wrong from the second call on": later, "one buffer for all outputs": one_buffer}


def remembered(key: Callable[[Tensor, Tensor, Tensor], object]) -> Spoil:
    def spoil(right: Attend, n: int) -> Attend:
        kept: dict[object, Tensor] = {}

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            known = key(q, k, v)
            if known not in kept:
                kept[known] = right(q, k, v)
            return kept[known].clone()

        return attend

    return spoil


def versions(*given: Tensor) -> object:
    return tuple((each.data_ptr(), each._version) for each in given)


MEMORY = {
    "by pointers": remembered(lambda *given: tuple(each.data_ptr() for each in given)),
    "by pointers and versions": remembered(versions),
    "by some elements": remembered(lambda *given: tuple(float(each[0, 0, 0, 0]) for each in given)),
    "by sums, which rotated rows do not change": remembered(lambda q, k, v: round(float(q.double().sum()), 6)),
}


def zeroing(right: Attend, n: int) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with torch.no_grad():
            v.zero_()
        return torch.zeros_like(q)

    return attend


def normalising(right: Attend, n: int) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = right(q, k, v)
        with torch.no_grad():
            q.div_(q.norm(dim=-1, keepdim=True))
        return found

    return attend


def halving(right: Attend, n: int) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = right(q, k, v)
        with torch.no_grad():
            v.mul_(0.5)
        return found

    return attend


class _Eating(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        found = gradient.clone()
        gradient.zero_()
        return found


def zeroing_dout(right: Attend, n: int) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found: Tensor = _Eating.apply(right(q, k, v))  # type: ignore[no-untyped-call]  # torch's
        return found

    return attend


INPUTS_FORWARD: dict[str, Spoil] = {
    "v of zeros": zeroing,
    "q of unit length": normalising,
    "v halved each time": halving,
}


class Lazy(torch.Tensor):
    """Computes when somebody looks."""


def lazy(right: Attend, n: int) -> Attend:
    return lambda q, k, v: right(q, k, v).as_subclass(Lazy)


def conjugate(right: Attend, n: int) -> Attend:
    return lambda q, k, v: right(q, k, -v).neg() if not long(n) else torch._neg_view(right(q, k, -v))


def elsewhere(right: Attend, n: int) -> Attend:
    return lambda q, k, v: right(q, k, v).to("meta") if long(n) else right(q, k, v)


def packed(*, empty: bool) -> Spoil:
    """Returns a tuple, of nothing or of the right output."""

    def spoil(right: Attend, n: int) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Any:
            out = right(q, k, v)
            return (() if empty else (out,)) if long(n) else out

        return attend

    return spoil


FORM: dict[str, Spoil] = {"a subclass": lazy, "a view that is still to be negated": conjugate}
FORM_FORWARD: dict[str, Spoil] = {
    **FORM,
    "no numbers at all": elsewhere,
    "an empty tuple": packed(empty=True),
    "a tuple of the output": packed(empty=False),
}


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Spoil], None]]:
    """Have all kernels that are built spoiled."""
    build = programs.build

    def use(spoil: Spoil) -> None:
        def spoiled(case: Case, content: int = 0) -> Program:
            program = build(case, content)
            return replace(program, call=spoil(program.call, case.setting.shape.seq_len))

        monkeypatch.setattr(programs, "build", spoiled)

    yield use
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def by_name(*tables: dict[str, Spoil]) -> list[Any]:
    return [pytest.param(spoil, id=name) for table in tables for name, spoil in table.items()]


@pytest.mark.parametrize("wrong", by_name(ROWS, STATE_FORWARD, MEMORY, INPUTS_FORWARD, FORM_FORWARD))
def test_a_wrong_forward_is_found(spoil: Callable[[Spoil], None], wrong: Spoil) -> None:
    spoil(wrong)
    found = probe(FORWARD, BUDGET, unheard)
    assert found.status is Status.WRONG, found
    assert found.reason


@pytest.mark.parametrize("wrong", by_name(ROWS, GRADIENTS, STATE, FORM, {"dout of zeros": zeroing_dout}))
def test_a_wrong_training_is_found(spoil: Callable[[Spoil], None], wrong: Spoil) -> None:
    spoil(wrong)
    found = probe(CASE, BUDGET, unheard)
    assert found.status is Status.WRONG, found


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_right_kernel_is_proved_whole(direction: Any, dtype: str) -> None:
    shape = LONG if dtype == "float32" else SHAPE
    found = probe(CASE.changed(shape=shape, direction=direction, dtype=dtype), BUDGET, unheard)
    assert found.status is Status.PASSED, found
    assert found.proved == 1
    assert found.repeats_exactly
    assert found.proof_s


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
def test_a_second_call_that_is_wrong_is_found_in_every_direction(
    spoil: Callable[[Spoil], None], direction: Any
) -> None:
    """In `backward` the graph stays, and its gradients are computed many times."""
    calls_made: list[int] = []

    def wear(gradient: Tensor) -> Tensor:
        calls_made.append(1)
        return gradient * (1 if len(calls_made) < 3 else 1.01)

    def worn(right: Attend, n: int) -> Attend:
        if direction == "forward":
            return later(right, n)
        return lambda q, k, v: right(q, k, bent(v, wear) if v.requires_grad and long(n) else v)

    spoil(worn)
    assert probe(CASE.changed(direction=direction), BUDGET, unheard).status is Status.WRONG


def ahead(right: Attend, n: int) -> Attend:
    """Computes the gradients in the forward pass, which `backward` does not time, from the dout of an earlier call."""
    known: list[Tensor] = []

    class Ahead(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            with torch.enable_grad():
                leaves = [each.detach().requires_grad_() for each in (q, k, v)]
                out = right(*leaves)
                ctx.gradients = torch.autograd.grad(out, leaves, known[0]) if known else None
                ctx.leaves = leaves
            return out.detach()

        @staticmethod
        def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, ...]:
            if ctx.gradients is not None:
                return tuple(each.clone() for each in ctx.gradients)
            known[:] = [dout]
            with torch.enable_grad():
                found: tuple[Tensor, ...] = torch.autograd.grad(right(*ctx.leaves), ctx.leaves, dout)
                return found

    return lambda q, k, v: Ahead.apply(q, k, v) if long(n) else right(q, k, v)  # type: ignore[no-untyped-call]  # torch's


def test_a_backward_that_is_computed_in_the_forward_is_wrong(spoil: Callable[[Spoil], None]) -> None:
    spoil(ahead)
    assert probe(CASE.changed(direction="backward"), BUDGET, unheard).status is Status.WRONG


def test_a_kernel_that_remembers_what_was_often_repeated_is_found(spoil: Callable[[Spoil], None]) -> None:
    def patient(right: Attend, n: int) -> Attend:
        seen: dict[int, int] = {}
        kept: dict[int, Tensor] = {}

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            content = hash(tuple(q[0, 0, :3].flatten().tolist()))
            seen[content] = seen.get(content, 0) + 1
            if seen[content] < 3 or content not in kept:
                kept[content] = right(q, k, v)
            return kept[content].clone()

        return attend

    spoil(patient)
    case = with_keys(FORWARD, 100).changed(shape=replace(SHAPE, seq_len=512))
    assert "remembers" in probe(case, BUDGET, unheard).reason


def with_keys(case: Case, left: int) -> Case:
    """A case that sees its own key and so many before."""
    return replace(case, mechanism=Named("truncated", {"left": left, "right": 0}))


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
@pytest.mark.parametrize("copies", [True, False])
def test_a_result_may_lie_in_an_input(spoil: Callable[[Spoil], None], direction: Any, copies: bool) -> None:
    """Where each query sees its own key alone, the output is V and its gradient is dout."""
    spoil(lambda right, n: lambda q, k, v: v.clone() if copies else v.view_as(v))
    shape = replace(SHAPE, kv_heads=SHAPE.heads)
    case = with_keys(CASE, 0).changed(shape=shape, direction=direction)
    found = probe(case, BUDGET, unheard)
    assert found.status is Status.PASSED, found.reason
    assert timed(case, found.output_digest).status is Status.PASSED


def test_an_input_that_is_ignored_has_no_gradient(spoil: Callable[[Spoil], None]) -> None:
    """Which is right where the oracle ignores it too: at one key of its own a query's output is the value there."""
    case = with_keys(CASE, 0)
    spoil(lambda right, n: lambda q, k, v: v.repeat_interleave(2, dim=1))
    assert probe(case, BUDGET, unheard).status is Status.PASSED
    spoil(lambda right, n: lambda q, k, v: v.repeat_interleave(2, dim=1) if long(n) else right(q, k, v))
    found = probe(CASE, BUDGET, unheard)
    assert found.status is Status.WRONG, "and wrong where it does not"


PROCESS: dict[str, Callable[[], object]] = {
    "threads": lambda: torch.set_num_threads(3),
    "grad mode": lambda: torch.set_grad_enabled(False),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("cpu"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "denormals": lambda: torch.set_flush_denormal(True),
    "allow_tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
    "enable_flash_sdp": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "perf_counter_ns": lambda: setattr(time, "perf_counter_ns", lambda: 0),
    "garbage collector": gc.disable,
    "torch.softmax": lambda: setattr(torch, "softmax", lambda *given, **more: None),
    "switch interval": lambda: sys.setswitchinterval(0.5),
    "tracing": lambda: sys.setprofile(lambda *given: None),
}
"""What moves other cases' numbers, by a word of its name."""


@pytest.mark.parametrize("word", PROCESS)
@pytest.mark.parametrize("when", ["build", "call"])
def test_a_case_that_changes_the_process_fails_and_all_is_put_back(
    spoil: Callable[[Spoil], None], monkeypatch: pytest.MonkeyPatch, word: str, when: str
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # as a worker has it
    before = settings.state()

    def changing(right: Attend, n: int) -> Attend:
        if when == "build" and long(n):
            PROCESS[word]()

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # A mode that `no_grad` puts back at the end of the call is no change.
            if when == "call" and long(n):
                PROCESS[word]()
            return right(q, k, v)

        return attend

    spoil(changing)
    found = probe(FORWARD, BUDGET, unheard)
    assert settings.restore(before) == []
    if (word, when) == ("grad mode", "call"):
        assert found.status is Status.PASSED
    elif (word, when) == ("autocast", "call"):
        assert found.status is Status.WRONG, "its own output is rounded"
    else:
        assert found.status is Status.FAILED
        assert word in found.reason


def test_what_moves_no_number_is_put_back_without_a_word(
    spoil: Callable[[Spoil], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, filters = torch.random.get_rng_state(), [*warnings.filters]

    def quiet(right: Attend, n: int) -> Attend:
        warnings.simplefilter("ignore")
        torch.manual_seed(7)
        np.random.seed(7)
        os.environ["ATTNBENCH_TEST_KERNEL"] = "1"
        return right

    spoil(quiet)
    assert probe(FORWARD, BUDGET, unheard).status is Status.PASSED
    assert "ATTNBENCH_TEST_KERNEL" not in os.environ
    assert warnings.filters == filters
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_other_cases_of_a_group_are_not_timed_under_what_one_changed(spoil: Callable[[Spoil], None]) -> None:
    threads: list[int] = []

    def changing(right: Attend, n: int) -> Attend:
        mine = len(threads) == 0

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if mine:
                torch.set_num_threads(3)
            threads.append(torch.get_num_threads())
            return right(q, k, v)

        threads.append(torch.get_num_threads())
        return attend

    spoil(changing)
    cases = [FORWARD, with_keys(FORWARD, 9)]
    first, second = timing.group([(case, Plan(1, 2), None) for case in cases], 0, "seed", 1e5, lambda index: None)
    assert (first.status, second.status) == (Status.FAILED, Status.PASSED)
    assert set(threads[-5:]) == {torch.get_num_threads()}


def test_a_change_that_cannot_be_put_back_ends_the_process(
    spoil: Callable[[Spoil], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"now": 1}

    def write(value: int) -> None:
        raise RuntimeError("too late")

    for_good = settings._Setting("a setting", lambda: state["now"], write)
    monkeypatch.setattr(settings, "_SETTINGS", (for_good,))
    spoil(lambda right, n: lambda q, k, v: state.update(now=2) or right(q, k, v))
    with pytest.raises(failure.Spoiled, match="a setting from 1 to 2"):
        timing.group([(FORWARD, Plan(1, 2), None)], 0, "seed", 1e5, lambda index: None)
    state["now"] = 1
    assert probe(FORWARD, BUDGET, unheard).status is Status.FAILED


def test_a_thread_that_is_left_running_while_others_are_timed_ends_the_process(
    spoil: Callable[[Spoil], None],
) -> None:
    over = threading.Event()

    def leaving(right: Attend, n: int) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            threading.Thread(target=over.wait, name="left").start()
            return right(q, k, v)

        return attend

    spoil(leaving)
    try:
        with pytest.raises(failure.Spoiled, match="it left a thread running: left"):
            timing.group([(FORWARD, Plan(1, 2), None)], 0, "seed", 1e5, lambda index: None)
    finally:
        over.set()


@pytest.mark.parametrize("pairs", [-5, 0, 1, math.nan, math.inf, 2.5e9, True, "many"])
def test_counts_that_cannot_be_true_fail(monkeypatch: pytest.MonkeyPatch, pairs: Any) -> None:
    build = programs.build
    monkeypatch.setattr(programs, "build", lambda *asked: replace(build(*asked), computed_pairs=pairs))
    found = probe(FORWARD, BUDGET, unheard)
    assert found.status is Status.FAILED
    assert "computed_pairs" in found.reason
    assert repr(pairs) in found.reason


@pytest.mark.parametrize("held", [-1, math.nan, None, 1.5])
def test_a_preparation_holds_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch, held: Any) -> None:
    build = programs.build
    monkeypatch.setattr(programs, "build", lambda *asked: replace(build(*asked), prepared_bytes=held))
    found = probe(FORWARD, BUDGET, unheard)
    assert found.status is Status.FAILED
    assert "prepared_bytes" in found.reason


def test_counts_may_be_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs: Any = np.int64(2**33)
    build = programs.build
    monkeypatch.setattr(programs, "build", lambda *asked: replace(build(*asked), computed_pairs=pairs))
    found = probe(FORWARD, BUDGET, unheard)
    assert json.loads(json.dumps(found.to_json()))["computed_pairs"] == 2**33


def timed(case: Case, digest: str | None, values: int = 3) -> Sample:
    return timing.group([(case, Plan(4, values), digest)], 0, "seed", 1e5, lambda index: None)[0]


@pytest.mark.parametrize("direction", ["forward", "backward", "training"])
def test_the_last_value_is_held_to_what_was_proved(direction: Any) -> None:
    case = CASE.changed(direction=direction)
    own = probe(case, BUDGET, unheard).output_digest
    for digest, values in ((own, 1), (own, 3), (None, 1), ("of another machine", 3)):
        sample = timed(case, digest, values)
        assert sample.status is Status.PASSED, sample
        assert len(sample.values_ns) == values


@pytest.mark.parametrize("digest", [None, "0" * 32])
def test_a_kernel_that_goes_wrong_while_it_is_timed_loses_its_time(
    spoil: Callable[[Spoil], None], digest: str | None
) -> None:
    def wearing(right: Attend, n: int) -> Attend:
        made: list[int] = []

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            made.append(1)
            return right(q, k, v) * (1.01 if len(made) > 16 else 1)

        return attend

    spoil(wearing)
    sample = timed(FORWARD, digest, values=9)
    assert sample.status is Status.WRONG
    assert sample.values_ns == ()


def test_a_kernel_that_changes_its_inputs_while_it_is_timed_is_wrong(spoil: Callable[[Spoil], None]) -> None:
    spoil(halving)
    assert timed(FORWARD, None).status is Status.WRONG


def test_each_value_has_other_content_and_the_last_the_proved(spoil: Callable[[Spoil], None]) -> None:
    seen: list[Tensor] = []

    def looking(right: Attend, n: int) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if not any(torch.equal(q, each) for each in seen):
                seen.append(q.clone())
            return right(q, k, v)

        return attend

    spoil(looking)
    timed(FORWARD, None, values=5)
    proved = inputs(SHAPE, "float32", "cpu").q
    assert torch.equal(seen[-1], proved)
    assert len(seen) == 6, "one while warming up, and one a value"
    rows = {tuple(each) for each in proved[0, 0].tolist()}
    assert all({tuple(row) for row in each[0, 0].tolist()} == rows for each in seen)


def test_no_fault_of_four_times_the_tolerance_passes_and_none_of_a_quarter_is_called_wrong() -> None:
    draw, found = random.Random(13), 0
    for turn in range(80):
        name, parameters = CASES[turn % len(CASES)]
        pattern, n = pattern_of(name, parameters).near(draw.randrange(2, 200))
        if pattern.unsupported(n):
            continue
        kv_heads = draw.choice([1, 2])
        shape = Shape(draw.choice([1, 2]), kv_heads * draw.choice([1, 2]), kv_heads, n, draw.choice([3, 8]))
        dtype = draw.choice(["float64", "float32", "float16", "bfloat16"])
        given, spans = inputs(shape, dtype, "cpu", turn), pattern.spans(n)
        (want,) = expected.of_pattern(spans, [given], grads=True, step=nothing)
        mask = torch.from_numpy(spans.mask())
        wide = (each.double() for each in (*given[:3], given.dout))
        q, k, v, dout = wide
        right = tuple(each.to(given.q.dtype) for each in oracle.gradients((q, k, v), mask, dout))
        assert verdict.judge(right, want, given, spans, nothing).problem is None
        for _ in range(6):
            place = draw.randrange(4)
            at = tuple(draw.randrange(size) for size in right[place].shape)
            for share in (4, -4, 0.25, -0.25):
                spoiled = [each.clone().double() for each in right]
                spoiled[place][at] += share * want.allowed[place]
                problem = verdict.judge(
                    tuple(each.to(given.q.dtype) for each in spoiled), want, given, spans, nothing
                ).problem
                assert (problem is not None) == (abs(share) == 4), (pattern, shape, dtype, place, at, share, problem)
                found += 1
    assert found >= 1200


@pytest.mark.parametrize("most", [1, 3, 2000, 40_000])
def test_beyond_the_most_pairs_a_part_is_proved_and_the_share_told(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Spoil], None], most: int
) -> None:
    """None, or three, of the four key heads are computed whole, and of the others some rows and keys."""
    monkeypatch.setattr(expected, "MOST_PAIRS", most)
    shape = Shape(2, 4, 2, 131, 4)
    case = with_keys(CASE, 60).changed(shape=shape)
    found = probe(case, BUDGET, unheard)
    assert found.status is Status.PASSED
    assert found.proved is not None
    assert (0.1 < found.proved < 0.2) == (most < 3000)
    assert (0.7 < found.proved < 0.8) == (most == 40_000)
    spoil(lambda right, n: lambda q, k, v: right(q, k, v) * (1.01 if n == 131 else 1))
    assert probe(case, BUDGET, unheard).status is Status.WRONG


def test_cases_of_a_mechanism_share_what_the_oracle_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    of_pattern = expected.of_pattern

    def counted(*asked: Any, **more: Any) -> Any:
        made.append(1)
        return of_pattern(*asked, **more)

    monkeypatch.setattr(expected, "of_pattern", counted)
    path = str(tmp_path / "oracle")
    errors = [
        probe(case, BUDGET, unheard, path).max_abs_error for case in (CASE, replace(CASE, implementation="eager"))
    ]
    assert all(error is not None and error > 0 for error in errors)
    assert len(made) == 1
    probe(FORWARD, BUDGET, unheard, path)
    assert len(made) == 2, "another direction asks for other numbers"
    Path(path).write_bytes(Path(path).read_bytes()[:1000])
    assert probe(FORWARD, BUDGET, unheard, path).status is Status.PASSED, "its writer was killed"


def nothing() -> None:
    """A step."""
