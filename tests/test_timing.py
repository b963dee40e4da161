"""Values in a process: a call before each that is not timed, where calls are short."""

from collections.abc import Callable

import pytest

from attnbench.runner.worker.call import calls, clocks
from attnbench.runner.worker.call.calls import Call
from attnbench.runner.worker.timing import Bench
from attnbench.suites.schema.load import parse

SUITE = """
name: one
question: What goes before a value?
shape: {heads: 1, head_dim: 8, seq_len: 16}
variants: [full]
"""


@pytest.mark.parametrize(("led", "made"), [(True, 4), (False, 3)])
@pytest.mark.parametrize("call_ms", [9, 11])
def test_the_plan_says_whether_a_call_leads_each_value(
    monkeypatch: pytest.MonkeyPatch, call_ms: float, led: bool, made: int
) -> None:
    """Whatever it took in this process: two that are compared could decide differently."""
    log: list[str] = []

    def clock(call: Callable[[], object], many: int) -> float:
        for _ in range(many):
            call()
        return call_ms * 1e6

    monkeypatch.setattr(clocks, "of", lambda device: clock)
    monkeypatch.setattr(clocks, "for_warm_up", lambda device: clock)
    monkeypatch.setattr(
        calls, "call", lambda kernel, given, direction: Call(lambda: log.append(direction), lambda: None)
    )
    bench = Bench(parse(SUITE).cases(), 1e6, lambda index: None)
    log.clear()
    assert bench.take(0, 3, led=led) == call_ms * 1e6
    assert len(log) == made


def test_each_value_of_a_roof_is_a_sign_that_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow device all of them together may take longer than a case has."""

    def clock(call: Callable[[], object], many: int) -> float:
        return 1e6

    monkeypatch.setattr(clocks, "of", lambda device: clock)
    monkeypatch.setattr(clocks, "for_warm_up", lambda device: clock)
    marks: list[int] = []
    bench = Bench(parse(SUITE).cases(), 1e6, marks.append)
    marks.clear()
    assert bench.roofs() is not None
    assert marks == [0] * 8, "four of the product, four of the copy"
