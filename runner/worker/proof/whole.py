"""The proof of the timed call at the case's own shape: every element, on two contents of its inputs."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from attnbench.runner.worker.call import calls
from attnbench.runner.worker.call.calls import Call
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.proof import contents, verdict
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.variants import Spans, Weights


class Wrong(Exception):
    """A call gave a wrong result, or changed something."""


class Proof:
    """Checks of what calls return on two contents of their inputs `given`.

    For each content, every element of the first output and gradients is compared with the oracle, and later results
    with the first. No call may change its inputs, its weights (which must equal `weights`) or an earlier result. Its
    state, which it changes by its definition, is put back after each call. `spans` are None if the variant has its own
    reference. `expect` is called after the first call on a content and returns its expected result.
    """

    def __init__(
        self,
        call: Call,
        given: Inputs,
        both: tuple[Inputs, Inputs],
        expect: Callable[[int], Expected],
        spans: Spans | None,
        weights: tuple[Weights, Weights],
        step: Step,
    ) -> None:
        self.max_abs_error = 0.0
        self.proved = 1.0
        """Share of the elements that are compared."""
        self.repeats_exactly = True
        self.ties: int | None = None
        """Rows whose choice by content is not unique, on the first content."""
        self._call = call
        self._given = given
        self._both = both
        self._expect = expect
        self._spans = spans
        self._weights = weights
        self._step = step
        self._firsts: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}
        """For each content, the result of the first call, and a copy made at once."""
        self._wants: dict[int, Expected] = {}

    def put(self, which: int) -> None:
        """Put a content into the inputs for the next call."""
        contents.rotate(self._call, self._given, self._both[which], self._weights[which])

    def look(self, which: int, result: Any) -> None:
        """Check the result of a call on the content that the inputs have now.

        Raises:
            Wrong: the result is wrong, or something changed.
        """
        found = plain(self._call, result, self._given)
        # Copy before waiting: a result that is not finished here would not be finished for its user either.
        copy = tuple(each.clone() for each in found)
        self._step()
        calls.wait(self._given[0].device.type)
        contents.put_back(self._call, self._weights[which])
        if which not in self._wants:
            self._wants[which] = self._expect(which)
            self.proved = min(self.proved, self._wants[which].proved)
            self.ties = self._wants[0].ties
        unchanged(self._given, self._both[which])
        unchanged_weights(self._call, self._weights[which])
        if which not in self._firsts:
            judged = verdict.judge(copy, self._wants[which], self._both[which], self._spans, self._step)
            self.max_abs_error = max(self.max_abs_error, judged.max_abs_error)
            problem = judged.problem
            # A result may share the memory of an input, for example dV that of dout. It then changes with the content.
            owned = (each if _owned(each, self._given) else kept for each, kept in zip(found, copy, strict=True))
            self._firsts[which] = tuple(owned), copy
        else:
            first = self._firsts[which][1]
            problem = verdict.differs(first, copy, self._wants[which], self._given)
            self.repeats_exactly &= all(map(torch.equal, first, copy))
        if problem:
            raise Wrong(problem)
        # A kernel may return a buffer that later calls overwrite, so all earlier results are compared again.
        if not all(
            torch.equal(*pair) for each in (*self._firsts.values(), (found, copy)) for pair in zip(*each, strict=True)
        ):
            raise Wrong("what a call returned changes later")

    @property
    def digest(self) -> str | None:
        """Digest of the first result, or None if repeated calls differ in their bits."""
        return digest_of(self._firsts[0][1]) if self.repeats_exactly else None


def _owned(found: Tensor, given: Inputs) -> bool:
    """Check whether a tensor shares no memory with an input."""
    return all(found.untyped_storage().data_ptr() != each.untyped_storage().data_ptr() for each in given)


def unchanged(given: Inputs, content: Inputs) -> None:
    """Check that the inputs are bit for bit what they were.

    Raises:
        Wrong: an input changed.
    """
    name = contents.changed(given, content)
    if name:
        raise Wrong(f"a call changes its input {name}")


def unchanged_weights(call: Call, weights: Weights) -> None:
    """Check that the weights of a call are bit for bit what they were, and that the same ones are learned.

    Raises:
        Wrong: a weight changed.
    """
    for number, (mine, kept) in enumerate(zip(call.weights, weights, strict=True), 1):
        if not torch.equal(mine, kept) or mine.requires_grad != kept.requires_grad:
            raise Wrong(f"a call, or a build, changes its weight W{number}")


def plain(call: Call, result: Any, given: Inputs) -> tuple[Tensor, ...]:
    """Return the result of a call as plain tensors. The gradient of an unused input is zero.

    Raises:
        Wrong: a result is not a plain, finished tensor, or has another shape, dtype or device.
    """
    found = []
    state = [each for each, _ in call.state]
    likes = (given.dout, *given.differentiable, *call.learned) if call.gradients else (given.dout, *state)
    for place, (each, like) in enumerate(zip(call.found(result), likes, strict=True)):
        if each is None and place:
            each = torch.zeros_like(like)
        problem = verdict.unfit(given.result(place), each, like, given.n)
        if problem:
            raise Wrong(problem)
        found.append(each.detach())
    return tuple(found)


def digest_of(found: Iterable[Tensor]) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of the tensors' bytes, in order."""
    hashed = hashlib.sha256()
    for each in found:
        hashed.update(each.contiguous().view(torch.uint8).cpu().numpy().data)
    return hashed.hexdigest()[:32]
