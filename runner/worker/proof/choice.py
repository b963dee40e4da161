"""The proof of mechanisms that choose by content, in two parts.

First, float64 must allow each choice. Then every element is compared with the oracle, given these choices.

A choice is that of the m options with the largest scores. Rounding may swap options with nearly equal scores. So the
least score of a chosen option may be below the largest score of another one by twice the error of a score. That error
is judged like the error of an output (see `tolerance`).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call import calls
from attnbench.runner.worker.call.calls import Inputs
from attnbench.runner.worker.proof import around, expected, tolerance
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.runner.worker.proof.textbook import FEW, spread
from attnbench.suites import Case
from attnbench.variants import Weights

Options = Callable[..., tuple[Tensor, int]]
"""Function that returns the scores `B H R ... C` of options for q, k, v, rows and weights, and how many are chosen."""


class NotAllowed(ValueError):
    """A choice that float64 does not allow."""


def expected_with(case: Case, choice: Tensor, given: Inputs, content: int, step: Step) -> Expected:
    """Return the expected result of a call of the case on one content, given its choice.

    Raises:
        NotAllowed: float64 does not allow the choice.
        Useless: the mechanism's reference is too inexact.
    """
    options, weights = calls.options(case), calls.weights(case, content)
    if options is None:
        raise TypeError(f"{case.mechanism.name}: expected options to choose from, found none")
    reference = calls.reference(case, choice)
    assert reference  # a variant with options has one
    if calls.around(case):
        expect, (wide,), (near,) = around.of_level(case, None, given, content, step, reference)
        problem = flaw(options, wide, near, weights, choice, step)
        if problem:
            raise NotAllowed(problem)
        return expect
    problem = flaw(options, Inputs(*(each.double() for each in given)), given, weights, choice, step)
    if problem:
        raise NotAllowed(problem)
    pairs = given.q[..., 0].numel() * given.q.shape[2]
    return expected.of_reference(
        reference, pairs, given, grads=case.setting.direction != "forward", step=step, weights=weights
    )


def best(options: Options, given: Inputs, weights: Weights, step: Step) -> Tensor:
    """Return the choice `B H N ... m` in the dtype of the inputs."""
    found = []
    for rows in expected.some_rows(given, np.arange(given.q.shape[2])):
        scores, count = options(*given[:3], rows, *weights)
        found.append(scores.topk(count, sorted=False).indices)
        step()
    return torch.cat(found, dim=2)


def flaw(options: Options, wide: Inputs, given: Inputs, weights: Weights, choice: Tensor, step: Step) -> str | None:
    """Return what is wrong with a choice, or None. At a long length, only a few rows are checked.

    Inputs are `wide` in float64, and `given` as a kernel has them in the case's dtype.
    """
    weights = tuple(each.detach() for each in weights)
    wide_weights = tuple(each.double() for each in weights)
    error = scale = short = 0.0
    at: list[int] = []
    n = given.q.shape[2]
    whole = given.q[..., 0].numel() * n <= expected.MOST_PAIRS
    for rows in expected.some_rows(given, np.arange(n) if whole else spread(n, FEW)):
        scores, count = options(*wide[:3], rows, *wide_weights)
        problem = _unfit(choice, rows, scores, count, n)
        if problem:
            return problem
        some = choice[:, :, rows]
        # A kernel may round as much as the same formula in the case's dtype.
        apart = options(*given[:3], rows, *weights)[0].double() - scores
        error = max(error, float(apart[scores.isfinite()].abs().max()))
        scale = max(scale, float(scores[scores.isfinite()].abs().max()))
        left = scores.scatter(-1, some, -torch.inf).amax(dim=-1)
        # If every allowed option is chosen, both are -inf.
        missed = (left - scores.gather(-1, some).amin(dim=-1)).nan_to_num(nan=0.0, posinf=torch.inf)
        if float(missed.max()) > short:
            short = float(missed.max())
            where = [int(each) for each in np.unravel_index(int(missed.argmax()), missed.shape)]
            at = [where[0], where[1], int(rows[where[2]])]
        step()
    allowed = 2 * tolerance.allowed([error], [scale], given.q.dtype)[0]
    if short <= allowed:
        return None
    return (
        f"choice: an option is left out whose score is larger by {short:.1e} than that of one that is chosen, allowed "
        f"{allowed:.1e}, at N={n}, batch {at[0]}, head {at[1]}, row {at[2]}"
    )


def _unfit(choice: Tensor, rows: Tensor, scores: Tensor, count: int, n: int) -> str | None:
    """Return why something is not a valid choice of the queries at `rows`, whose options have these scores, or None."""
    expected_shape = (*scores.shape[:2], n, *scores.shape[3:-1], count)
    what = f"choice: expected a torch.Tensor torch.int64 {list(expected_shape)}"
    if type(choice) is not Tensor:
        return f"{what}, found {type(choice).__module__}.{type(choice).__qualname__} at N={n}"
    if choice.shape != expected_shape or choice.dtype != torch.int64:
        return f"{what}, found {choice.dtype} {list(choice.shape)} at N={n}"
    ordered = choice[:, :, rows].sort(dim=-1).values
    if int(ordered.min()) < 0 or int(ordered.max()) >= scores.shape[-1]:
        return f"choice: expected numbers from 0 to {scores.shape[-1] - 1}, found others at N={n}"
    if bool((ordered.diff(dim=-1) == 0).any()):
        return f"choice: expected different options, found one twice at N={n}"
    return None
