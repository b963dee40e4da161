"""The proof of the very call that is timed, at the case's own shape: every element, on two contents of its inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnbench.runner.worker import calls
from attnbench.runner.worker.calls import Call, Inputs
from attnbench.runner.worker.proof import contents, digest, verdict
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.variants import Spans


class Wrong(Exception):
    """What a call gave, or did, is wrong."""


@dataclass(frozen=True)
class Proof:
    """What was found of a call that is right."""

    max_abs_error: float
    proved: float
    """The share of elements that were looked at."""
    digest: str | None
    """Of what it gave on content A; None where it does not give the same bits each time."""
    new_ns: float
    """How long the first call on content B took."""
    again_ns: float
    """How long a call took that repeats the one before."""


def prove(
    call: Call,
    given: Inputs,
    both: tuple[Inputs, Inputs],
    wants: Sequence[Expected],
    spans: Spans | None,
    first: Any,
    device: str,
    clock: Callable[[Callable[[], Any]], tuple[Any, float]],
    step: Step,
) -> Proof:
    """Call on the contents A, B, A, B and B again, each put into `given`; `first` is what the first call on A gave.

    The first output and gradients of each content are held to the oracle at every element, the others to the first. No
    call may change its inputs, or what an earlier one gave. `clock` makes a call and says how long it took.

    Raises:
        Wrong: something is.
    """
    kept: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = []
    errors, times_ns, exactly = [], [0.0], True
    result = first
    for turn, which in enumerate((0, 1, 0, 1, 1)):
        step()
        if turn:
            if turn < 4:
                contents.rotate(given, both[which])
                call.renew()
            result, took_ns = clock(call.run)
            times_ns.append(took_ns)
        found = plain(call, result, given)
        # At once: what is not there yet, is not there when the next kernel needs it.
        copy = tuple(each.clone() for each in found)
        calls.wait(device)
        name = contents.changed(given, both[which])
        if name:
            raise Wrong(f"a call changes its input {name}")
        if turn < 2:
            judged = verdict.judge(copy, wants[which], both[which], spans, step)
            errors.append(judged.max_abs_error)
            problem = judged.problem
            kept.append((found, copy))
        else:
            problem = verdict.differs(kept[which][1], copy, wants[which])
            exactly &= all(map(torch.equal, kept[which][1], copy))
        if problem:
            raise Wrong(problem)
        if not all(torch.equal(*pair) for each in (*kept, (found, copy)) for pair in zip(*each, strict=True)):
            raise Wrong("what a call returned changes later")
    proved = min(want.proved for want in wants)
    return Proof(max(errors), proved, digest.of(kept[0][1]) if exactly else None, times_ns[1], times_ns[-1])


def plain(call: Call, result: Any, given: Inputs) -> tuple[Tensor, ...]:
    """What a call gave, as plain tensors; the gradient of an input that it ignores is zero.

    Raises:
        Wrong: one of them is no plain tensor that needs no further work, or is of another shape, dtype or device.
    """
    found = []
    for place, each in enumerate(call.found(result)):
        if each is None and place:
            each = torch.zeros_like(given[place - 1])
        problem = verdict.unfit(place, each, given)
        if problem:
            raise Wrong(problem)
        found.append(each.detach())
    return tuple(found)
