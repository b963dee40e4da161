"""Detects kernels that remember earlier calls: a call that repeats one is then faster, as a timed call would be.

Calls on content that is new and calls that repeat it are timed in turns. Where repeating is faster by more than both
spreads, and by a factor of 1.2 in the medians of 20 pairs, and once more in 20 fresh ones, the kernel remembers. Where
a call takes more than 100 ms it is 3 pairs and a factor of 2. A kernel is not looked at further whose first few pairs
show nothing of the kind: the longer calls take, the fewer.

In `backward` a call on new content is the first on a graph that was just made, and cold: of honest kernels it takes up
to 1.5 times as long where that is below a millisecond. So there it is a factor of 2 up to 2 ms.
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import median, quantiles

from attnbench.runner.worker.call import calls, clocks
from attnbench.runner.worker.call.calls import Call, Inputs
from attnbench.runner.worker.proof import contents
from attnbench.variants import Weights

SHORT_NS = 10_000_000
"""A call that takes no longer depends on what was done before it."""
LONG_NS = 100_000_000
COLD_NS = 2_000_000
"""Up to here a new graph makes a call of `backward` longer by more than a few percent."""

_MOST_REPEATS, _REPEATING_NS = 10, 5e6
"""Calls on the same content before one that is timed as a repetition, where they are short: it may take a few."""

Pair = Callable[[int], tuple[float, float]]
"""The time of a call on new content, and of one that repeats it; the number is another one for each pair."""


def look(
    call: Call,
    given: Inputs,
    both: tuple[Inputs, Inputs],
    weights: tuple[Weights, Weights],
    device: str,
    seen_ns: tuple[float, float, float],
    begin: Callable[[], None],
) -> str | None:
    """Why the kernel behind a call must be remembering earlier calls, or None.

    `seen_ns` are the times of a call on new content, of one that repeated it, and of one after many repetitions;
    `begin` is called before each pair.
    """
    *first_ns, call_ns = seen_ns
    clock = clocks.for_warm_up(device)
    spare = Inputs(*(each.clone() for each in given))
    others = tuple(each.detach().clone().requires_grad_(each.requires_grad) for each in call.weights)
    alone = replace(call, renew=lambda: None, weights=others)
    repeats = min(_MOST_REPEATS, int(_REPEATING_NS / max(1.0, call_ns)))

    def timed() -> float:
        calls.wait(device)
        return clock(call.run, 1)

    def pair(number: int) -> tuple[float, float]:
        begin()
        # As many calls and as much writing go before either call: after fewer of them a short call takes a quarter
        # longer on a busy machine, for its code has left the caches.
        for _ in range(repeats):
            call.run()
        contents.mix(call, given, both, weights, number)
        new_ns = timed()
        for _ in range(repeats):
            call.run()
        contents.mix(alone, spare, both, weights, number)
        return new_ns, timed()

    return remembers(pair, (first_ns[0], first_ns[1]), cold=call.output is not None and call_ns <= COLD_NS)


def remembers(pair: Pair, seen_ns: tuple[float, float], *, cold: bool = False) -> str | None:
    """Why the kernel must be remembering earlier calls, or None; `seen_ns` is a first pair: how long a call takes.

    `cold` calls on new content take longer anyway.
    """
    call_ns = max(seen_ns)
    factor, steps = (2.0, (1, 3)) if call_ns > LONG_NS else (1.2, (3 if call_ns <= SHORT_NS else 2, 6, 20))
    factor = max(factor, 2.0) if cold else factor
    taken = [seen_ns] if call_ns > SHORT_NS else []
    for many in steps:
        taken += [pair(number) for number in range(len(taken), many)]
        if not _faster(taken, factor):
            return None
    fresh = [pair(number) for number in range(many, 2 * many)]
    if not (_clear(taken) and _faster(fresh, factor) and _clear(fresh)):
        return None
    new, again = _medians(fresh)
    return f"it remembers earlier calls: {new / 1e6:.3g} ms on new inputs, {again / 1e6:.3g} ms where they repeat"


def _faster(taken: list[tuple[float, float]], factor: float) -> bool:
    """Whether repeating is faster by the factor."""
    new, again = _medians(taken)
    return bool(new > factor * again)


def _clear(taken: list[tuple[float, float]]) -> bool:
    """Whether the difference is larger than both spreads: the middle halves of the times do not meet."""
    new, again = (quantiles((pair[side] for pair in taken), n=4) for side in (0, 1))
    return new[0] > again[-1]


def _medians(taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Of the times on new content, and of those that repeat."""
    return median(new for new, _ in taken), median(again for _, again in taken)
