"""Ring attention in several processes: the same outputs and gradients as in one, and no process left over."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import unheard
from torch import Tensor

from attnbench.reports.findings.run import load
from attnbench.reports.pages import run_report
from attnbench.runner.execution import engine
from attnbench.runner.execution.progress import Quiet
from attnbench.runner.machine import environment
from attnbench.runner.worker import probe
from attnbench.suites import Case, Status
from attnbench.suites.problem import SuiteError
from attnbench.suites.schema.load import parse
from attnbench.variants import Named, Setting, Shape, kernels
from attnbench.variants.full import Full
from attnbench.variants.kernels.context_parallel import _block, _ranks
from attnbench.variants.kernels.context_parallel._ranks import RankError
from attnbench.variants.kernels.context_parallel.kernel import _Shared
from attnbench.variants.local_window import LocalWindow

TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 4e-2}

SUITE = """
name: shared
question: What does a second process gain?
shape: {heads: 2, head_dim: 16, seq_len: [64, 96]}
variants: [full, {local_window: {window: 3}}]
threads: 1
world: [1, 2]
measure: {processes: 3, values: 2, value_ms: 1}
"""


@pytest.fixture(autouse=True, scope="module")
def no_ranks_stay() -> object:
    yield
    for world in (2, 3):
        _ranks.of(world).end()


def setting(n: int, world: int, **changed: Any) -> Setting:
    told = {"device": "cpu", "dtype": "float32", "direction": "training", "threads": 1, "world": world, **changed}
    return Setting(shape=Shape(2, 4, 2, n, 8), **told)


def inputs(where: Setting) -> tuple[Tensor, ...]:
    shape, dtype = where.shape, getattr(torch, where.dtype)
    torch.manual_seed(shape.seq_len)
    heads = (shape.heads, shape.kv_heads, shape.kv_heads, shape.heads)
    return tuple(torch.randn(shape.batch, each, shape.seq_len, shape.head_dim, dtype=dtype) for each in heads)


def expected(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """By the definition, in float64."""
    q, k, v = (each.double() for each in (q, k, v))
    k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
    out: Tensor = scores.softmax(dim=-1) @ v
    return out


def program(where: Setting, *, causal: bool = False) -> kernels.Program:
    return kernels.load("context_parallel").build(Full(causal=causal), where)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n", "world"), [(1, 2), (2, 3), (7, 2), (61, 3), (130, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_outputs_and_gradients_are_those_of_the_definition(n: int, world: int, dtype: str, causal: bool) -> None:
    where = setting(n, world, dtype=dtype)
    q, k, v, dout = inputs(where)
    given = [each.clone().requires_grad_() for each in (q, k, v)]
    out = program(where, causal=causal).call(*given)
    found = (out, *torch.autograd.grad(out, given, dout))
    same = [each.double().requires_grad_() for each in (q, k, v)]
    want = expected(*same, causal=causal)
    for one, other in zip(found, (want, *torch.autograd.grad(want, same, dout.double())), strict=True):
        assert one.dtype == getattr(torch, dtype)
        scale = max(1.0, float(other.detach().abs().max()))
        assert float((one.double() - other).detach().abs().max()) <= TOLERANCE[dtype] * scale


def test_calls_do_not_share_their_results() -> None:
    where = setting(32, 2)
    q, k, v, dout = inputs(where)
    attend = program(where).call
    first, given = attend(q, k, v), [each.clone().requires_grad_() for each in (q, k, v)]
    before, out = first.clone(), attend(*given)
    attend(2 * q, k, v)
    assert torch.equal(first, before)
    gradient = torch.autograd.grad(out, given, dout)
    (same,) = torch.autograd.grad(attend(*given), given[:1], dout)
    assert torch.equal(gradient[0], same), "another call came between"


def test_a_rank_that_ends_is_an_error_and_the_next_program_has_new_ones() -> None:
    where = setting(16, 2)
    q, k, v, _ = inputs(where)
    attend = program(where).call
    os.kill(_ranks.of(2).pids[1], signal.SIGKILL)
    with pytest.raises(RankError):
        attend(q, k, v)
    assert program(where).call(q, k, v).shape == q.shape


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"world": 1}, "world: 2 or more"),
        ({"threads": 2}, "threads: 1"),
        ({"device": "cuda"}, "each rank needs a GPU, expected 2, found 0"),
        ({"direction": "decode"}, "decode"),
        ({"level": "layer"}, "level attention"),
    ],
)
def test_what_it_refuses(changed: dict[str, Any], words: str) -> None:
    full = Full()
    reason = kernels.load("context_parallel").supports(full, setting(16, **{"world": 2, **changed}))
    assert reason is not None
    assert words in reason


def test_other_patterns_are_refused() -> None:
    window = LocalWindow(window=3)
    assert "every query must see all keys" in str(kernels.load("context_parallel").supports(window, setting(16, 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("n", "m", "causal"), [(7, 5, False), (33, 33, True), (64, 64, True)])
def test_blocks_on_a_gpu_take_and_return_tensors_of_the_right_shapes(
    n: int, m: int, causal: bool, dtype: torch.dtype
) -> None:
    """On the device `meta`, which has shapes and no values."""
    q, dout = (torch.empty(2, 3, n, 16, dtype=dtype, device="meta") for _ in range(2))
    k, v = (torch.empty(2, 3, m, 16, dtype=dtype, device="meta") for _ in range(2))
    out, lse = _block.forward(q, k, v, causal=causal)
    assert (out.shape, out.dtype) == (q.shape, dtype)
    assert (lse.shape, lse.dtype) == (q.shape[:3], torch.float32)
    found = _block.backward(dout, q, k, v, out, lse, causal=causal)
    assert [each.shape for each in found] == [q.shape, k.shape, v.shape]


def test_parts_are_as_equal_as_possible() -> None:
    for n in range(9):
        for world in range(1, 5):
            found = _ranks.parts(n, world)
            assert sum(found) == n
            assert max(found) - min(found) <= 1


def test_full_attention_alone_is_shared() -> None:
    found = {(each.mechanism.name, each.implementation, each.setting.world) for each in parse(SUITE, "a.yaml").cases()}
    window = kernels.usual(kernels.PREFERRED, ["cpu"])
    assert found == {("full", "sdpa", 1), ("full", "context_parallel", 2), ("local_window", window, 1)}


def test_a_process_has_one_thread_beside_others() -> None:
    cases = parse(SUITE.replace("threads: 1", "threads: [1, 2]"), "a.yaml").cases()
    assert {each.setting.threads for each in cases if each.implementation == kernels.SHARED} == {1}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"variants: [full, ": "variants: ["}, "expected full with context_parallel, because world is above 1"),
        ({"variants: [full, ": "variants: [{full: {implementation: sdpa}}, "}, "expected full with context_parallel"),
        (
            {
                "world: [1, 2]": "",
                "full, {local_window: {window: 3}}": "{full: {implementation: context_parallel}}",
            },
            "expected world above 1",
        ),
        ({"threads: 1": "threads: 2"}, "expected threads: 1, alone or in a list"),
        ({"threads: 1": ""}, "expected threads: 1, alone or in a list"),
        ({"world: [1, 2]": "world: 0"}, "world: expected an integer from 1 to 64"),
    ],
)
def test_several_processes_need_something_that_they_share(changed: dict[str, str], words: str) -> None:
    text = SUITE
    for old, new in changed.items():
        text = text.replace(old, new)
    with pytest.raises(SuiteError, match=words):
        parse(text, "a.yaml")


def test_more_ranks_than_cores_are_proved_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Named("full"), "context_parallel", setting(24, 2))
    assert probe.probe(case, 2**28, unheard).status is Status.PASSED
    monkeypatch.setattr(environment, "cores", lambda: 1)
    found = probe.probe(case, 2**28, unheard)
    assert (found.status, found.reason) == (Status.UNSUPPORTED, "more ranks (2) than cores (1): proved, not timed")


def test_a_wrong_rank_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _Shared.forward

    def swapped(shared: _Shared, q: Tensor, k: Tensor, v: Tensor) -> int:
        return real(shared, q, k.flip(2), v)

    monkeypatch.setattr(_Shared, "forward", swapped)
    case = Case(Named("full"), "context_parallel", setting(24, 2))
    assert probe.probe(case, 2**28, unheard).status is Status.WRONG


@pytest.mark.slow
def test_a_run_says_what_processes_gain(tmp_path: Path) -> None:
    engine.run(parse(SUITE, "a.yaml"), tmp_path / "run", Quiet())
    run = load(tmp_path / "run")
    frame = run.frame[run.frame["implementation"] == "context_parallel"]
    assert {*run.frame["status"]} == {"passed"}
    assert {*run.frame["world"]} == {"1", "2"}
    # Each of two ranks sends its keys and values once: 2 tensors of 2 heads, N / 2 tokens, 16 numbers of 4 bytes.
    assert [*frame["sent_bytes"]] == [2 * 2 * n // 2 * 16 * 4 for n in frame["seq_len"]]
    assert (frame["rank_bytes"] > 0).all()
    assert [(each.label, each.seq_len, each.world) for each in run.shared] == [("full", 64, 2), ("full", 96, 2)]
    for each in run.shared:
        assert each.over_one.processes == 3
        assert math.isnan(each.over_threads.mean), "two threads were not measured"
        times = run.frame[(run.frame["seq_len"] == each.seq_len) & (run.frame["implementation"] == "sdpa")]["time_ns"]
        assert math.exp(each.over_one.mean) == pytest.approx(float(times.iloc[0]) / each.case["time_ns"])
    assert "several processes" in (run_report.write(run).parent / "table.md").read_text()
