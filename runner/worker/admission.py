"""Checks before a case runs: that it exists here, that its pattern is valid, and that it should fit in memory."""

import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch

from attnbench import variants
from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import input_bytes, lengths_of
from attnbench.runner.worker.process import failure
from attnbench.runner.worker.proof.expected import MOST_PAIRS, Useless
from attnbench.suites import Case, Status
from attnbench.variants import (
    ATTENTION,
    DECODE,
    FLOPS_PER_PAIR,
    OWN,
    Direction,
    Parameters,
    Pattern,
    Setting,
    Spans,
    TooManySpans,
    flaw,
    kernels,
    levels,
    mechanism_peers,
)
from attnbench.variants.kernels import SHARED, Program

_HELD, _HELD_16_BITS = 10, 18
"""Memory of a proof in multiples of the inputs' bytes: contents, results and copies, and a float32 oracle."""


class Chosen(Protocol):
    """What an implementation says before it is built: those of patterns, those that decode, and peers."""

    def supports(self, parameters: Any, setting: Setting, /) -> str | None:
        """Return why it cannot compute this, or None."""

    def predict_bytes(self, parameters: Any, setting: Setting, threads: int, /) -> int:
        """Return the peak bytes that one call will allocate."""


class Ended(Exception):
    """A case ended before it was measured."""

    def __init__(self, status: Status, reason: str, predicted: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.predicted = predicted


@contextmanager
def ending(where: str) -> Iterator[None]:
    """Turn any exception into the end of the case. The reason says where, because it may not be at the case's shape."""
    try:
        yield
    except (Ended, Useless):
        raise
    except BaseException as error:  # a kernel may raise anything; only its own case ends
        status, reason = failure.of_exception(error)
        raise Ended(status, f"{where}: {reason}") from None


def plan(case: Case, budget_bytes: int) -> dict[str, Any]:
    """Return a case's predicted memory and its work, or `status` and `reason` if it will not run."""
    try:
        predicted_bytes = admit(case, budget_bytes)
        allowed_pairs, flops = work(case, case.spans)
    except Ended as end:
        return {"status": end.status, "reason": end.reason}
    except BaseException as error:  # a variant may raise anything; only its own case ends
        status, reason = failure.of_exception(error)
        return {"status": status, "reason": reason}
    return {"status": None, "predicted_bytes": predicted_bytes, "allowed_pairs": allowed_pairs, "flops": flops}


def implementation(case: Case) -> Chosen:
    """Return the case's implementation, which is not the variant's own."""
    if case.implementation in mechanism_peers.names(case.mechanism.name):
        return mechanism_peers.load(case.implementation)
    if case.setting.direction == DECODE:
        return kernels.decoder(case.implementation)
    return kernels.load(case.implementation)


def work(case: Case, spans: Spans | None) -> tuple[int | None, int | None]:
    """Return the allowed pairs over batch, heads and layers, and the FLOPs of one call, without padding.

    Pairs are None if the mechanism is not a pattern. Both are None if a pattern has its own reference, because it then
    computes something else than softmax attention over its keys.

    Raises:
        Ended: the mechanism gives an invalid number of FLOPs.
    """
    around = mechanisms.around(case)
    beside = around.flops(case.setting) if around else 0
    places = Counter(case.places)
    if spans is None:
        return None, sum(many * _own_flops(place) for place, many in places.items()) + beside
    if variants.load(case.mechanism.name).reference:
        return None, None
    shape, of_head = case.setting.shape, spans.pairs()
    if around and around.outer:
        of_head = sum(many * _pairs(place) for place, many in places.items())
    lengths = lengths_of(shape)
    pairs = shape.heads * (spans.pairs_of(lengths) if lengths else of_head * shape.batch)
    return pairs, FLOPS_PER_PAIR[case.setting.direction] * pairs * shape.head_dim + beside


def admit(case: Case, budget_bytes: int) -> int | None:
    """Return the bytes that a call should allocate, or None if the variant's own kernel predicts nothing.

    Raises:
        Ended: the case does not exist here or should not fit in memory.
    """
    reason = _unsupported(case)
    if reason:
        raise Ended(Status.UNSUPPORTED, reason)
    if case.implementation == OWN:
        return None
    chosen, setting = implementation(case), case.setting
    threads = torch.get_num_threads() if setting.device == "cpu" else 0
    around, places = mechanisms.around(case), case.places

    def mechanism(direction: Direction, number: int = 0) -> int:
        place = places[number]
        # Projections leave each token's heads together.
        layout = "bnhd" if around and around.outer else place.setting.shape.layout
        there = replace(place.setting, direction=direction, shape=replace(place.setting.shape, layout=layout))
        return chosen.predict_bytes(place.parameters, there, threads)

    def predict(direction: Direction) -> int:
        there = replace(setting, direction=direction)
        return around.predict_bytes(there, mechanism) if around else mechanism(direction)

    predicted = held = predict(setting.direction)
    if setting.direction == "backward":
        # What the forward pass saves is allocated before the call, but must fit too.
        held = predict("training")
    needed = max(predicted, held) + proof_bytes(case)
    if needed > budget_bytes:
        reason = f"predicted: needs {_gib(needed)} with its inputs and its proof, the budget is {_gib(budget_bytes)}"
        raise Ended(Status.OUT_OF_MEMORY, reason, predicted=True)
    return predicted


def proof_bytes(case: Case) -> int:
    """Return the bytes that a proof of the case holds beside a call's own, including the inputs.

    Around layers, it holds what they keep for their gradients in float64. In `decode` it holds all N tokens.
    """
    many = _HELD_16_BITS if getattr(torch, case.setting.dtype).itemsize == 2 else _HELD
    held, around = many * input_bytes(replace(case.setting, direction="forward")), mechanisms.around(case)
    if around and around.outer:
        held += around.predict_bytes(replace(case.setting, dtype="float64"), lambda *_: 0)
    return held


def sound(parameters: Parameters, n: int) -> Spans | None:
    """Return a pattern's spans at a length at which it exists, or None if the mechanism is not a pattern.

    Raises:
        Ended: the spans are invalid.
    """
    if not isinstance(parameters, Pattern):
        return None
    found = flaw(parameters, n)
    if found:
        raise Ended(Status.FAILED, found)
    return parameters.spans(n)


def _own_flops(case: Case) -> int:
    """Return the FLOPs of one call of a mechanism that is not a pattern.

    Raises:
        Ended: the mechanism does not give a valid number.
    """
    try:
        return variants.load(case.mechanism.name).flops(case.parameters, case.setting)
    except TypeError as error:
        raise Ended(Status.FAILED, str(error)) from None


def _unsupported(case: Case) -> str | None:
    """Return why the case does not exist here, or None. Raise if its pattern exists but is invalid."""
    if case.setting.device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device here"
    reason = _off_level(case) or _undecodable(case) or _unpadded(case) or _unshared(case)
    if reason:
        return reason
    return next(filter(None, (_refused(case, place) for place in dict.fromkeys(case.places))), None)


def _refused(case: Case, place: Case) -> str | None:
    """Return why a case's mechanism does not exist in one of its places, or None."""
    n, level = place.setting.shape.seq_len, levels.read(place.setting.level)
    reason = (level.mismatch(place.parameters) if level else None) or place.parameters.unsupported(n)
    if reason:
        return reason
    try:
        sound(place.parameters, n)
        # A reference computes all pairs of a pattern.
        of_head = n**2 if mechanisms.reference(place) else _pairs(place)
        pairs = of_head * place.setting.shape.batch * place.setting.shape.heads
    except TooManySpans as error:
        return str(error)
    around = mechanisms.around(case)
    if around and (around.outer or case.setting.direction not in ("forward", DECODE)) and pairs > MOST_PAIRS:
        what = f"{'calls' if around.outer else 'gradients'} at level {case.setting.level}"
        return f"{what} are proved for up to {MOST_PAIRS:,} pairs, found {pairs:,}"
    if case.implementation == OWN:
        return None
    return implementation(place).supports(place.parameters, place.setting)


def _pairs(place: Case) -> int:
    """Return the allowed pairs of one head, or all if the mechanism is not a pattern."""
    seen = place.spans
    return seen.pairs() if seen else place.setting.shape.seq_len**2


def _off_level(case: Case) -> str | None:
    """Return why the case does not exist at its level, or None."""
    setting, lowest = case.setting, variants.load(case.mechanism.name).level
    level = levels.read(setting.level)
    if level is None:
        return None if lowest == ATTENTION else f"{case.mechanism.name} exists from level {lowest} on"
    if setting.shape.layout != "bhnd":
        return f"a layer's projections decide the layout; at level {setting.level} use layout: bhnd"
    if lowest != ATTENTION and levels.written(lowest, level.inner) != lowest:
        instead = f"level: {lowest}" if level.inner is level else "other positions"
        return f"{case.mechanism.name} is a whole {lowest}: use {instead}, found {setting.level}"
    if level.inner.has_bias and case.implementation == OWN:
        return levels.BIAS_REFUSED
    return level.refusal(setting)


def _undecodable(case: Case) -> str | None:
    """Return why the case does not decode if it should, or None. Implementations of patterns say so themselves."""
    if case.setting.direction != DECODE:
        return None
    around = mechanisms.around(case)
    if around and around.outer:
        return f"one token is decoded at level attention or layer, found {case.setting.level}"
    if case.implementation != OWN:
        return None
    decoding = variants.load(case.mechanism.name).decoding
    if decoding is None:
        return f"{case.mechanism.name} does not decode: it keeps no state from token to token"
    chooses = "it chooses by content, and a step has no choice to prove" if mechanisms.options(case) else None
    reason = chooses or decoding.refusal(case.parameters)
    return f"{case.mechanism.name} does not decode: {reason}" if reason else None


def _unpadded(case: Case) -> str | None:
    """Return why the case has no padded batch, if its batch is padded, or None. Implementations say so themselves."""
    setting = case.setting
    if lengths_of(setting.shape) is None:
        return None
    if setting.direction == DECODE:
        return "decode has no padded batch: its cache holds N tokens of every sequence"
    if setting.level != ATTENTION:
        return f"a padded batch is measured at level attention, found {setting.level}"
    if case.implementation != OWN:
        return None
    return f"{case.mechanism.name} does not know which tokens are padding: it is computed by a kernel of its own"


def _unshared(case: Case) -> str | None:
    """Return why several processes do not share the sequence of the case, if they should, or None."""
    if case.setting.world == 1 or case.implementation == SHARED:
        return None
    return f"it computes in one process, found world={case.setting.world}; use {SHARED} of full"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def counted(program: Program, least: int) -> tuple[int | None, int]:
    """Return the pairs that a program says it computes (None if unknown), and the bytes that it prepared.

    Raises:
        ValueError: it computes fewer pairs than `least`, or a number is invalid.
    """
    pairs = None if program.computed_pairs is None else _integer(program.computed_pairs)
    if program.computed_pairs is not None and (pairs is None or pairs < least):
        raise ValueError(
            f"computed_pairs: expected None or an integer of at least {least}, found {program.computed_pairs!r}"
        )
    prepared = _integer(program.prepared_bytes)
    if prepared is None or prepared < 0:
        raise ValueError(f"prepared_bytes: expected an integer of at least 0, found {program.prepared_bytes!r}")
    return pairs, prepared


def _integer(value: object) -> int | None:
    """Return a Python or NumPy integer as an int, and None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # raises if it is not an integer
    except TypeError:
        return None
