"""A call held to the oracle at a case's own length, for tests that call one in their own process."""

from collections.abc import Callable

import torch
from torch import Tensor

from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.mechanisms import Oracle
from attnbench.runner.worker.proof import expected, verdict
from attnbench.runner.worker.proof.verdict import Verdict
from attnbench.variants import Spans


def step() -> None:
    """A step that nobody waits for."""


def check_whole(
    attend: Callable[..., Tensor], spans: Spans, given: Inputs, *, grads: bool = True, reference: Oracle | None = None
) -> Verdict:
    """The verdict on every element of what a call gives."""
    leaves = [each.detach().requires_grad_(grads) for each in given[:3]]
    out = attend(*leaves)
    problem = verdict.unfit("output", out, given.q, given.n)
    if problem:
        return Verdict(float("inf"), problem)
    found = (out.detach(), *(torch.autograd.grad(out, leaves, given.dout) if grads else ()))
    if reference is None:
        (want,) = expected.of_pattern(spans, [given], grads=grads, step=step)
        return verdict.judge(found, want, given, spans, step)
    want = expected.of_reference(reference, 0, given, grads=grads, step=step)
    return verdict.judge(found, want, given, None, step)
