"""The verdict on a call's results. Every element is compared with the oracle, and in float64 near the tolerance."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.proof import stream
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.variants import IntArray, Spans

_NEAR = 3 / 4
"""An error above this share of the tolerance is computed again in float64 before it is judged."""
_WORST = 4
"""Number of rows with the largest errors, which are computed in float64. That of the output is reported."""
_REPEATED = 1 / 4
"""A repeated call may differ from the first by this share of the tolerance."""


@dataclass(frozen=True)
class Verdict:
    """Largest error of an output against the oracle, and what is wrong with the output or its gradients, or None."""

    max_abs_error: float
    problem: str | None


def judge(found: tuple[Tensor, ...], want: Expected, given: Inputs, spans: Spans | None, step: Step) -> Verdict:
    """Compare the result of a call on `given` with every known element of `want`.

    `spans` are those of the pattern. They are None if `want` comes from a variant's own reference, which is in float64
    already.
    """
    error = float("inf")
    if len(found) != len(want.values):
        return Verdict(error, f"expected {len(want.values)} results, found {len(found)}")
    for place, got in enumerate(found):
        allowed = want.allowed[place]
        problem = _in_padding(given.result(place), got, given)
        if problem:
            return Verdict(error, problem)
        rows = _row_errors(got, want.values[place], whole=want.proved == 1)
        finite = want.proved == 1 and bool(rows.isfinite().all())
        problem = None if finite else not_finite(given.result(place), got, given)
        if problem:
            return Verdict(error, problem)
        # The oracle's own error in float32 could decide about errors near the tolerance, so these are computed again.
        near = (rows > _NEAR * allowed) & (rows < torch.inf)
        worst = torch.zeros_like(near)
        worst.view(-1)[rows.flatten().topk(min(_WORST, rows.numel())).indices] = True
        if place > 0:
            worst &= near
        for chosen in (worst, near & ~worst):
            where = chosen.nonzero().cpu().numpy()
            if not len(where):
                continue
            exact = rows[chosen].tolist() if spans is None else _exact(place, got, where, given, spans, step)
            if place == 0 and chosen is worst:
                error = max(exact)
            if max(exact) > allowed:
                at = where[int(np.argmax(exact))]
                off = f"differs from the oracle by {max(exact):.1e}"
                return Verdict(error, f"{given.result(place)} {off} {_at(at.tolist(), given)}, allowed {allowed:.1e}")
    return Verdict(error, None)


def differs(first: tuple[Tensor, ...], again: tuple[Tensor, ...], want: Expected, given: Inputs) -> str | None:
    """Return how a repeated call differs from the first by more than rounding, or None."""
    for place, (one, other) in enumerate(zip(first, again, strict=True)):
        name = given.result(place)
        problem = _in_padding(name, other, given) or not_finite(name, other, given)
        if problem:
            return f"called again, its {problem}"
        rows = (other - one).abs().amax(dim=-1)
        allowed = _REPEATED * want.allowed[place]
        # In 16 bits, one unit in the last place of a large value may exceed this.
        digit = one.abs().amax(dim=-1) * torch.finfo(one.dtype).eps
        beyond = rows * (rows > allowed) * (rows > digit)
        if bool(beyond.any()):
            at = [int(each) for each in np.unravel_index(int(beyond.argmax()), rows.shape)]
            return (
                f"called again on the same inputs, its {name} differs by {float(beyond.max()):.1e} "
                f"{_at(at, given)}, allowed {allowed:.1e}"
            )
    return None


def unfit(name: str, got: object, like: Tensor, n: int) -> str | None:
    """Return why a result at length n is not a plain, finished tensor with the shape and dtype of `like`, or None."""
    expected = f"{name}: expected a torch.Tensor {like.dtype} {list(like.shape)} on {like.device.type}"
    if type(got) is not torch.Tensor:
        kind = type(got)
        return f"{expected}, found {kind.__module__}.{kind.__qualname__} at N={n}"
    lazy = got.layout is not torch.strided or got.is_conj() or got.is_neg()
    if lazy or (got.shape, got.dtype, got.device) != (like.shape, like.dtype, like.device):
        how = f"{got.dtype} {list(got.shape)} on {got.device.type}{', unfinished' if lazy else ''}"
        return f"{expected}, found {how} at N={n}"
    return None


def not_finite(name: str, got: Tensor, given: Inputs) -> str | None:
    """Return where a tensor is not finite, or None."""
    finite = got.isfinite()
    if bool(finite.all()):
        return None
    return f"{name} is not finite {_at((~finite.all(dim=-1)).nonzero()[0].tolist(), given)}"


def _in_padding(name: str, got: Tensor, given: Inputs) -> str | None:
    """Return where a tensor is not 0 past the end of a sequence of a padded batch, or None."""
    if given.lengths is None:
        return None
    ends = torch.tensor(given.lengths, device=got.device)[:, None, None]
    past = torch.arange(got.shape[2], device=got.device) >= ends
    wrong = (past & (got != 0).any(dim=-1)).nonzero()
    return f"{name} is not 0 in the padding {_at(wrong[0].tolist(), given)}" if len(wrong) else None


def _at(where: Sequence[int], given: Inputs) -> str:
    """Return the place of a row in words. A weight's gradient has other dimensions than batch, head and row."""
    if len(where) != len(("batch", "head", "row")):
        return f"at row {list(where)}"
    batch, head, row = where
    return f"at N={given.n}, batch {batch}, head {head}, row {row}"


def _row_errors(got: Tensor, want: Tensor, *, whole: bool) -> Tensor:
    """Return the largest error of each row `B H N`. Unless the `whole` oracle is known, unknown elements count as 0."""
    apart = (got.to(want.dtype) - want).abs_()
    return (apart if whole else apart.nan_to_num_(nan=0.0)).amax(dim=-1)


def _exact(place: int, got: Tensor, where: IntArray, given: Inputs, spans: Spans, step: Step) -> list[float]:
    """Return the errors in float64 of some rows `(batch, head, row)` of a tensor."""
    kv_heads = given.k.shape[1]
    repeats, mine = given.q.shape[1] // kv_heads, got.shape[1] // kv_heads
    # One run of the oracle for each key head covers all its rows.
    by_head: dict[tuple[int, int], list[int]] = defaultdict(list)
    lengths = given.lengths or (given.n,) * len(given.q)
    for index, (batch, head, row) in enumerate(where.tolist()):
        if row < lengths[batch]:  # in the padding, all is 0
            by_head[batch, head // mine].append(index)
    errors = [0.0] * len(where)
    for (batch, kv_head), indices in by_head.items():
        numbers = np.unique(where[indices, 2])
        heads = [slice(kv_head * many, (kv_head + 1) * many) for many in (repeats, 1, 1, repeats)]
        length = lengths[batch]
        one = Inputs(*(each[batch : batch + 1, few, :length] for each, few in zip(given, heads, strict=True)))
        seen = spans.cut(length) if given.lengths else spans
        units = stream.units(one, torch.float64)
        if place < 2:
            want = stream.at_rows(seen, numbers, units, grads=place == 1, step=step)[place][0]
        else:
            want = stream.at_keys(seen, numbers, units, step)[place - 2]
        for index in indices:
            _, head, row = where[index].tolist()
            off = got[batch, head, row].double() - want[head - kv_head * mine, int(np.searchsorted(numbers, row))]
            errors[index] = float(off.abs().max())
    return errors
