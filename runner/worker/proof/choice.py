"""The proof of mechanisms that choose by content, in two parts.

First, float64 must allow each choice. Then every element is compared with the oracle, given these choices.

A choice is that of the m options with the largest scores. Rounding may swap options with nearly equal scores. So the
least score of a chosen option may be below the largest score of another one by twice the error of a score. That error
is judged like the error of an output (see `tolerance`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.weights import held
from attnbench.runner.worker.proof import around, expected, tolerance
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.runner.worker.proof.textbook import FEW, spread
from attnbench.suites import Case
from attnbench.variants import Weights

Options = Callable[..., tuple[Tensor, int]]
"""Function that returns the scores `B H R ... C` of options for inputs, rows and weights, and how many are chosen."""


class NotAllowed(ValueError):
    """A choice that float64 does not allow."""


def expected_with(case: Case, choice: Tensor | tuple[Tensor, ...], given: Inputs, content: int, step: Step) -> Expected:
    """Return the expected result of a call of the case on one content, given its choice.

    Within a level the choice is that of each mechanism, in order.

    Raises:
        NotAllowed: float64 does not allow the choice.
        Useless: the mechanism's reference is too inexact.
    """
    weights, places, level = held(case, content).own, case.places, mechanisms.around(case)
    choices: tuple[Any, ...] = tuple(choice) if level else (choice,)
    references = [mechanisms.reference(place, each) for place, each in zip(places, choices, strict=True)]
    judged = None
    wide, near = [given.wide()], [given]
    if level:
        judged = around.of_level(case, given, content, step, references)
        wide, near = judged.wide, judged.near
    ties = 0
    for place, mine, exact, rounded, own in zip(places, choices, wide, near, weights, strict=True):
        options = mechanisms.options(place)
        if options is None:
            raise TypeError(f"{case.mechanism.name}: expected options to choose from, found none")
        problem, tied = judge(options, exact, rounded, own, mine, step, mechanisms.choosers(place))
        if problem:
            raise NotAllowed(problem)
        ties += tied
    if judged:
        return replace(judged.expected, ties=ties)
    reference = references[0]
    assert reference  # a variant with options has one
    pairs = given[0][..., 0].numel() * given.n
    grads = case.setting.direction != "forward"
    expect = expected.of_reference(reference, pairs, given, grads=grads, step=step, weights=weights[0])
    return replace(expect, ties=ties)


def best(options: Options, given: Inputs, weights: Weights, step: Step, many: int | None = None) -> Tensor:
    """Return the choice `B H N ... m` in the dtype of the inputs, or that of `many` choosers instead of N queries."""
    found = []
    for rows in expected.some_rows(given, np.arange(many or given.n)):
        scores, count = options(*given.tensors, rows, *weights)
        found.append(scores.topk(count, sorted=False).indices)
        step()
    return torch.cat(found, dim=2)


def judge(
    options: Options,
    wide: Inputs,
    given: Inputs,
    weights: Weights,
    choice: Tensor,
    step: Step,
    many: int | None = None,
) -> tuple[str | None, int]:
    """Return what is wrong with a choice of N queries, or of `many` choosers, or None; and how many rows have ties.

    A row has a tie if rounding may exchange an option that it chose for one that it left out. At a long length, only a
    few rows are checked. Inputs are `wide` in float64, and `given` as a kernel has them in the case's dtype.
    """
    weights = tuple(each.detach() for each in weights)
    wide_weights = tuple(each.double() for each in weights)
    error = scale = short = 0.0
    at: list[int] = []
    gaps: list[Tensor] = []
    n = given.n
    many = many or n
    whole = given[0][..., 0].numel() * n <= expected.MOST_PAIRS
    for rows in expected.some_rows(given, np.arange(many) if whole else spread(many, FEW)):
        scores, count = options(*wide.tensors, rows, *wide_weights)
        problem = _unfit(choice, rows, scores, count, many)
        if problem:
            return f"{problem} at N={n}", 0
        some = choice[:, :, rows]
        # A kernel may round as much as the same formula in the case's dtype. Scores that forbid or force are infinite.
        apart = options(*given.tensors, rows, *weights)[0].double() - scores
        infinite = ~scores.isfinite()
        error = max(error, float(apart.masked_fill(infinite, 0.0).abs().max()))
        scale = max(scale, float(scores.masked_fill(infinite, 0.0).abs().max()))
        left = scores.scatter(-1, some, -torch.inf).amax(dim=-1)
        # If every allowed option is chosen, both are -inf.
        missed = (left - scores.gather(-1, some).amin(dim=-1)).nan_to_num(nan=0.0, posinf=torch.inf)
        # A choice among forbidden options is no tie.
        gaps.append(missed.masked_fill(~left.isfinite(), -torch.inf).flatten())
        if float(missed.max()) > short:
            short = float(missed.max())
            where = [int(each) for each in np.unravel_index(int(missed.argmax()), missed.shape)]
            at = [where[0], where[1], int(rows[where[2]])]
        step()
    allowed = 2 * tolerance.allowed([error], [scale], given[0].dtype)[0]
    if short <= allowed:
        return None, int((torch.cat(gaps) >= -allowed).sum())
    problem = (
        f"choice: an option is left out whose score is larger by {short:.1e} than that of one that is chosen, allowed "
        f"{allowed:.1e}, at N={n}, batch {at[0]}, head {at[1]}, row {at[2]}"
    )
    return problem, 0


def _unfit(choice: Tensor, rows: Tensor, scores: Tensor, count: int, many: int) -> str | None:
    """Return why something is no valid choice of `many` choosers, or None. Those at `rows` have these scores."""
    expected_shape = (*scores.shape[:2], many, *scores.shape[3:-1], count)
    what = f"choice: expected a torch.Tensor torch.int64 {list(expected_shape)}"
    if type(choice) is not Tensor:
        return f"{what}, found {type(choice).__module__}.{type(choice).__qualname__}"
    if choice.shape != expected_shape or choice.dtype != torch.int64:
        return f"{what}, found {choice.dtype} {list(choice.shape)}"
    ordered = choice[:, :, rows].sort(dim=-1).values
    if int(ordered.min()) < 0 or int(ordered.max()) >= scores.shape[-1]:
        return f"choice: expected numbers from 0 to {scores.shape[-1] - 1}, found others"
    if bool((ordered.diff(dim=-1) == 0).any()):
        return "choice: expected different options, found one twice"
    return None
