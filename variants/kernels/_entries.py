"""Padded batches in implementations that take no lengths: one call for each sequence of the batch, at its own length.

A sequence of length L takes the first L queries of the pattern at N, without the keys after these. A query that would
see no key sees its own in the call, and its output and gradient are then set to 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.variants._padding import NO_PADDING
from attnbench.variants._pattern import IntArray, Pattern, Spans
from attnbench.variants._setting import Direction, Setting, Shape
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._memory import key_bytes, query_bytes

Build = Callable[[Pattern, Setting], Program]
Predict = Callable[[Pattern, Setting, int], int]


class _Cut(Pattern):
    """The pattern of N tokens in a sequence that is shorter."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def spans(self, n: int) -> Spans:
        """Return the spans, whose length is n."""
        assert n == self._spans.n
        return self._spans


@dataclass(frozen=True)
class _Entry:
    """A sequence of the batch: its length, the program that computes it, and the queries that see no key, if any."""

    length: int
    program: Program
    blind: Tensor | None

    def part(self, number: int, tensor: Tensor) -> Tensor:
        """Return the sequence with this number in the batch `B H N D`, as a batch of one without padding."""
        return tensor[number : number + 1, :, : self.length]

    def zeroed(self, rows: Tensor) -> Tensor:
        """Return rows with 0 at queries that see no key."""
        return rows if self.blind is None else rows.index_fill(2, self.blind, 0.0)


class _Graph(NamedTuple):
    """The autograd graph of one call: what it was given, and its output."""

    given: list[Tensor]
    out: Tensor


def build(make: Build, pattern: Pattern, setting: Setting) -> Program:
    """Build a program for each length of a padded batch with `make`, and return one that calls them in turn."""
    shape = setting.shape
    lengths, spans = _lengths(shape), pattern.spans(shape.seq_len)
    made = {length: _entry(make, spans, setting, length) for length in dict.fromkeys(lengths)}
    entries = [made[length] for length in lengths]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        if torch.is_grad_enabled() and any(each.requires_grad for each in (q, k, v)):
            out: Tensor = _Differentiable.apply(q, k, v, entries)  # type: ignore[no-untyped-call]  # so in torch
            return out
        return _forward((q, k, v), entries, None)

    pairs = [each.program.computed_pairs for each in entries]
    prepared = sum(each.program.prepared_bytes for each in made.values())
    return Program(attend, None if None in pairs else sum(filter(None, pairs)), prepared)


def predict_bytes(predict: Predict, pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the peak bytes of one call, from what `predict` says of each length; T is a query and U a key tensor.

    Forward: T and the largest call. Backward: T + 2 U for the gradients and the largest call. Training: T, what all
    calls keep for the backward, and a backward.
    """
    shape, dtype, direction = setting.shape, setting.dtype, setting.direction
    lengths, spans = _lengths(shape), pattern.spans(shape.seq_len)
    queries, keys = query_bytes(shape, dtype), key_bytes(shape, dtype)

    def calls(direction: Direction) -> dict[int, int]:
        """Return the bytes of a call at each length."""
        ask = partial(_predicted, predict, spans, replace(setting, direction=direction), threads)
        return {length: ask(length) for length in dict.fromkeys(lengths)}

    if direction == "forward":
        return queries + max(calls(direction).values())
    backward = calls("backward")
    gradients = queries + 2 * keys + max(backward.values())
    if direction == "backward":
        return gradients
    training = calls("training")
    return queries + sum(training[length] - backward[length] for length in lengths) + gradients


def _lengths(shape: Shape) -> tuple[int, ...]:
    """Return the lengths of the sequences."""
    assert shape.lengths  # others have no padding
    return shape.lengths


def _alone(setting: Setting, length: int) -> Setting:
    """Return the setting of one sequence."""
    return replace(setting, shape=replace(setting.shape, batch=1, seq_len=length, padding=NO_PADDING))


def _seeing(spans: Spans, length: int) -> tuple[Spans, IntArray]:
    """Return the spans of a sequence in which every query sees a key, and the queries that should see none."""
    cut = spans.cut(length)
    blind = np.flatnonzero(cut.counts() == 0)
    stop = cut.stop.copy()
    start = cut.start.copy()
    start[blind, 0], stop[blind, 0] = blind, blind + 1
    return Spans(start, stop, cut.step), blind


def _predicted(predict: Predict, spans: Spans, setting: Setting, threads: int, length: int) -> int:
    """Return the bytes of a call on one sequence."""
    return predict(_Cut(_seeing(spans, length)[0]), _alone(setting, length), threads)


def _entry(make: Build, spans: Spans, setting: Setting, length: int) -> _Entry:
    """Build what computes one sequence."""
    seen, blind = _seeing(spans, length)
    hidden = torch.from_numpy(blind).to(setting.device) if len(blind) else None
    return _Entry(length, make(_Cut(seen), _alone(setting, length)), hidden)


def _forward(given: Sequence[Tensor], entries: Sequence[_Entry], graphs: list[_Graph] | None) -> Tensor:
    """Return the outputs. If `graphs` is given, append the graph of each call to it."""
    out = torch.zeros_like(given[0])
    for number, entry in enumerate(entries):
        mine = [entry.part(number, each).detach().requires_grad_(graphs is not None) for each in given]
        with torch.set_grad_enabled(graphs is not None):
            found = entry.program.call(*mine)
        entry.part(number, out).copy_(entry.zeroed(found.detach()))
        if graphs is not None:
            graphs.append(_Graph(mine, found))
        del mine, found  # without gradients this frees the call's tensors before the next call allocates its own
    return out


class _Differentiable(torch.autograd.Function):
    """`_forward` with gradients. Each call is differentiated separately, so that none allocates a whole gradient."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, entries: Sequence[_Entry]) -> Tensor:
        """Return the outputs and keep the graph of each call."""
        ctx.entries, ctx.graphs = entries, []
        ctx.save_for_backward(q, k, v)
        return _forward((q, k, v), entries, ctx.graphs)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return dQ, dK and dV."""
        found = [torch.zeros_like(each) for each in ctx.saved_tensors]
        for number, (entry, graph) in enumerate(zip(ctx.entries, ctx.graphs, strict=True)):
            _differentiate(entry, number, graph, dout, found)
        dq, dk, dv = found
        return dq, dk, dv, None


def _differentiate(entry: _Entry, number: int, graph: _Graph, dout: Tensor, found: Sequence[Tensor]) -> None:
    """Write the gradients of one call into its part of dQ, dK and dV."""
    slopes = entry.zeroed(entry.part(number, dout))
    # The caller may differentiate again (`retain_graph`), so the graph is kept.
    parts = torch.autograd.grad(graph.out, graph.given, slopes, retain_graph=True)
    for total, part in zip(found, parts, strict=True):
        entry.part(number, total).copy_(part)
