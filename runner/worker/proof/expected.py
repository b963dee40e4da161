"""Expected results of a call at its own length: the oracle's elements, and the tolerance of each tensor.

For a pattern, the oracle streams over its spans (`stream`), in float32 for float32 and narrower dtypes. A variant's own
reference computes in float64, some rows at a time. Above `MOST_PAIRS` allowed pairs over batch and heads (N^2 for a
mechanism that is not a pattern), whole key heads are computed up to this number. If not even one fits, an even share of
the rows and keys of one head is computed. For other heads, it is a few rows and keys. A reference then computes a few
rows only. Elements that are not computed are NaN.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.call.mechanisms import Oracle
from attnbench.runner.worker.call.weights import weights
from attnbench.runner.worker.proof import oracle, stream, textbook, tolerance
from attnbench.runner.worker.proof.stream import Step, Units
from attnbench.runner.worker.proof.textbook import FEW, spread
from attnbench.suites import Case
from attnbench.variants import IntArray, Spans, Weights

MOST_PAIRS = 2**31
_SCORES = {"cpu": 2**21, "cuda": 2**24}
"""Maximum number of scores that a reference computes at once. On a CPU, larger arrays need new memory each time."""
_PRECISE = 1 / 8
"""The oracle's own error in float32 may be this share of the tolerance. Otherwise it computes in float64."""
_USELESS = 0.5
"""If a reference's own error in the case's dtype is above this share of the largest value, it cannot judge others."""


class Useless(ValueError):
    """A variant's reference is so inexact in the case's dtype that any result would pass."""


@dataclass(frozen=True)
class Expected:
    """Output of the oracle, and dQ, dK and dV if gradients are checked, in the shapes of the results."""

    values: tuple[Tensor, ...]
    """In float64, or in float32 if its error is a small share of the tolerance."""
    allowed: tuple[float, ...]
    """The largest allowed error of each."""
    proved: float
    """Share of the elements that are known."""
    ties: int | None = None
    """Rows whose choice by content is not unique; None if nothing is chosen."""


def of_case(case: Case, spans: Spans | None, contents: Sequence[Inputs], step: Step, first: int = 0) -> list[Expected]:
    """Return the expected results of a call of the case on each content of its inputs, numbered from `first`.

    Raises:
        Useless: the variant's own reference is too inexact.
    """
    reference, grads = mechanisms.reference(case), case.setting.direction != "forward"
    if spans and reference is None:
        return of_pattern(spans, contents, grads=grads, step=step)
    assert reference  # a mechanism that is not a pattern has a reference
    shape = case.setting.shape
    pairs = (spans.pairs() if spans else shape.seq_len**2) * shape.batch * shape.heads
    return [
        of_reference(reference, pairs, each, grads=grads, step=step, weights=weights(case, content))
        for content, each in enumerate(contents, first)
    ]


def of_pattern(
    spans: Spans, contents: Sequence[Inputs], *, grads: bool, step: Step, most: int | None = None
) -> list[Expected]:
    """Return softmax attention over a pattern's keys on each content. The first one gives the textbook's error.

    Of more than `most` pairs over batch and heads, by default `MOST_PAIRS`, only a part is computed.
    """
    most = MOST_PAIRS if most is None else most
    dtype = contents[0].q.dtype
    looks = textbook.look(spans, contents[0], grads=grads, step=step)
    errors = [max((each.error for each in looks if each.place == place), default=0.0) for place in range(1 + 3 * grads)]

    def in_dtype(wide: torch.dtype) -> list[Expected]:
        found = streamed(spans, contents, wide, grads, step, most)
        limits = (tolerance.allowed(errors, [_largest(each) for each in values], dtype) for values in found)
        return [Expected(values, limit, known(values)) for values, limit in zip(found, limits, strict=True)]

    # Float32 is faster than float64. A few elements in float64 show whether it is exact enough.
    narrow = torch.promote_types(dtype, torch.float32)
    found = in_dtype(narrow)
    first = found[0]
    apart = (_largest(first.values[each.place][each.where] - each.exact) / first.allowed[each.place] for each in looks)
    return found if max(apart) <= _PRECISE or narrow == torch.float64 else in_dtype(torch.float64)


def of_reference(
    reference: Oracle, pairs: int, given: Inputs, *, grads: bool, step: Step, weights: Weights = ()
) -> Expected:
    """Return the result of a variant's own reference. `pairs` are its allowed pairs over batch and heads.

    Above `MOST_PAIRS`, only the outputs of a few rows are computed, because gradients need all rows.

    Raises:
        Useless: the reference is too inexact in the case's dtype.
    """
    n, dtype = given.n, given[0].dtype
    whole = pairs <= MOST_PAIRS
    rows = np.arange(n) if whole else spread(n, FEW)
    wide = tuple(each.detach().double().requires_grad_(each.requires_grad) for each in weights)
    exact = asked(reference, Inputs(*(each.double() for each in given)), wide, rows, grads and whole, step)
    plain = asked(reference, given, weights, rows, grads and whole, step)
    errors = [float((near.double() - want).abs().max()) for near, want in zip(plain, exact, strict=True)]
    scales = [float(want.abs().max()) for want in exact]
    counts = len(given.tensors), len(scales)  # of inputs, and of what is left: weights
    floors = tolerance.floors(scales, dtype, groups=[(each, tolerance.ALIKE) for each in counts])
    refuse_useless(given, errors, scales, floors)
    allowed = tolerance.allowed(errors, scales, dtype, groups=[(each, tolerance.vanishing(n)) for each in counts])
    if whole:
        return Expected(exact, allowed, 1.0)
    learned = [each for each in weights if each.requires_grad]
    like = [given[0], *given.tensors, *learned] if grads else [given[0]]
    values = tuple(torch.full_like(each, torch.nan, dtype=torch.float64) for each in like)
    values[0][..., torch.from_numpy(rows).to(given[0].device), :] = exact[0]
    return Expected(values, allowed + (torch.inf,) * (len(values) - 1), known(values))


def refuse_useless(given: Inputs, errors: Sequence[float], scales: Sequence[float], floors: Sequence[float]) -> None:
    """Check that a reference in the case's dtype is near enough to the one in float64, by the largest values of both.

    Raises:
        Useless: it is not.
    """
    for place, (error, scale, floor) in enumerate(zip(errors, scales, floors, strict=True)):
        if not error <= _USELESS * scale + floor:
            dtype, name = str(given[0].dtype).removeprefix("torch."), given.result(place)
            off = f"is off by {error:.1e} in the {name} at N={given.n}"
            raise Useless(f"the variant's reference in {dtype} {off}: it proves nothing")


def shared(key: str, path: str | None, make: Callable[[], Sequence[Expected]], device: str) -> list[Expected]:
    """Return the results of `make`, or those that an earlier process saved in the file `path` for the same key."""
    if path is None:
        return [*make()]
    try:
        with open(path, "rb") as file:
            if file.readline() == f"{key}\n".encode():
                held = torch.load(file, map_location=device, weights_only=True)
                return [Expected(tuple(values), tuple(allowed), proved) for values, allowed, proved in held]
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        pass  # its writer was killed
    made = [*make()]
    try:
        with open(path, "wb") as file:
            file.write(f"{key}\n".encode())
            torch.save([[list(one.values), list(one.allowed), one.proved] for one in made], file)
    except (OSError, RuntimeError):
        pass  # the next process computes it again
    return made


def streamed(
    spans: Spans, contents: Sequence[Inputs], dtype: torch.dtype, grads: bool, step: Step, most: int
) -> list[tuple[Tensor, ...]]:
    """Return the output of each content, and its gradients, in a dtype, up to `most` pairs."""
    like = contents[0]
    shapes = (like.q.shape, *(each.shape for each in like[:3]))
    every = [stream.units(given, dtype) for given in contents]
    pairs, count = spans.pairs() * every[0].q.shape[1], len(every[0].q)
    if pairs * count <= most:
        # All contents at once, so that blocks are planned once and products are larger.
        joined = stream.whole(spans, Units(*map(torch.cat, zip(*every, strict=True))), grads=grads, step=step)
        found = [*zip(*(torch.split(each, count) for each in joined), strict=True)]
    else:
        found = [_in_part(spans, each, pairs, most, grads, step) for each in every]
    return [tuple(each.reshape(shape) for each, shape in zip(one, shapes, strict=False)) for one in found]


def _in_part(spans: Spans, every: Units, pairs: int, most: int, grads: bool, step: Step) -> tuple[Tensor, ...]:
    """Compute as many whole key heads as the limit of pairs, `most`, allows, and a few rows and keys of the others."""
    whole = most // pairs
    found = tuple(torch.full_like(each, torch.nan) for each in ((every.q, *every[:3]) if grads else every[:1]))
    if whole:
        part = stream.whole(spans, Units(*(each[:whole] for each in every)), grads=grads, step=step)
        for to, value in zip(found, part, strict=True):
            to[:whole] = value
    for unit in range(whole, len(every.q)):
        few = FEW if whole or unit else max(FEW, spans.n * most // pairs)
        one, into = (tuple(each[unit : unit + 1] for each in side) for side in (every, found))
        _partly(spans, spread(spans.n, few), Units(*one), into, step)
    return found


def _partly(spans: Spans, few: IntArray, given: Units, into: tuple[Tensor, ...], step: Step) -> None:
    """Compute some rows of one head's output and dQ, and as many keys of its dK and dV."""
    grads = len(into) > 1
    where = torch.from_numpy(few).to(given.q.device)
    for to, value in zip(into, stream.at_rows(spans, few, given, grads=grads, step=step), strict=False):
        to[:, :, where] = value
    if grads:
        for to, value in zip(into[2:], stream.at_keys(spans, few, given, step), strict=True):
            to[:, where] = value


def asked(
    reference: Oracle, given: Inputs, weights: Weights, rows: IntArray, grads: bool, step: Step
) -> tuple[Tensor, ...]:
    """Return the outputs of some rows, and the gradients of inputs and learned weights, a few rows at a time."""
    outs: list[Tensor] = []
    learned = [each.detach() for each in weights if each.requires_grad]
    sums = [torch.zeros_like(each) for each in (*given.tensors, *learned)] if grads else []
    for where in some_rows(given, rows):
        if grads:
            out, *found = oracle.gradients(given.tensors, where, given.dout[..., where, :], reference, weights)
            for total, part in zip(sums, found, strict=True):
                total += part
        else:
            with torch.no_grad():
                out = reference(*given.tensors, where, *weights)
        outs.append(out)
        step()
    return (torch.cat(outs, dim=-2), *sums)


def some_rows(given: Inputs, rows: IntArray) -> Iterator[Tensor]:
    """Yield the indices of queries on their device, as many at a time as a reference may compute at once."""
    height = max(1, _SCORES[given[0].device.type] // given[0][..., 0].numel())
    for at in range(0, len(rows), height):
        yield torch.from_numpy(rows[at : at + height]).to(given[0].device)


def _largest(tensor: Tensor) -> float:
    """Return the largest absolute value of the known elements."""
    return float(tensor.abs().nan_to_num(nan=0.0, posinf=torch.inf).max())


def known(values: Iterable[Tensor]) -> float:
    """Return the share of the elements that are known."""
    known, every = zip(*((int((~each.isnan()).sum()), each.numel()) for each in values), strict=True)
    return float(sum(known) / sum(every))
