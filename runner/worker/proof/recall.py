"""Detection of kernels that remember earlier calls. Repeated calls of such a kernel, and so timed calls, are too fast.

Calls on new content and calls that repeat it are timed in pairs; which one is first alternates. A kernel remembers if,
twice in 20 pairs, the fastest call that repeats is faster than the fastest one on new content by a factor of 1.2 and by
2 us, and the middle halves of the times do not overlap. If a call takes more than 100 ms, it is 3 pairs and a factor of
2. The check ends early if the first few pairs show no difference; the longer a call takes, the fewer pairs.

Other work on the machine only adds time, so the fastest calls vary least. Beside busy processes, an honest copy of 16
KiB took 0.96 to 1.05 times as long on new content by the fastest of 20 calls, and 0.84 to 1.31 times by the median, in
200 rounds each.

In `backward`, a call on new content is the first on a new graph, and cold. For honest kernels it takes up to 1.5 times
as long if that is below a millisecond. So there the factor is 2 for calls up to 2 ms.
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import quantiles

from attnbench.runner.worker.call import calls, clocks
from attnbench.runner.worker.call.calls import Call
from attnbench.runner.worker.call.inputs import Inputs
from attnbench.runner.worker.proof import contents
from attnbench.variants import Weights

SHORT_NS = 10_000_000
"""A shorter call depends on what ran before it."""
LONG_NS = 100_000_000
COLD_NS = 2_000_000
"""Up to this duration, a new graph slows a call of `backward` by more than a few percent."""

_LEAST_NS = 2_000
"""An honest call of 5 us took 1.2 us longer on new content on a busy machine."""
_MOST_REPEATS, _REPEATING_NS = 10, 5e6
"""Untimed calls on the same content before a timed one, if they are short. A kernel may need a few to remember."""

Pair = Callable[[int], tuple[float, float]]
"""Function that returns the times of a call on new content and of one that repeats it. Each pair has its own number."""


def look(
    call: Call,
    given: Inputs,
    both: tuple[Inputs, Inputs],
    weights: tuple[Weights, Weights],
    device: str,
    seen_ns: tuple[float, float, float],
    begin: Callable[[], None],
) -> str | None:
    """Return why the kernel behind a call must be remembering earlier calls, or None.

    `seen_ns` are the times of a call on new content, of one that repeats it, and of one after many repetitions. `begin`
    is called before each pair.
    """
    *first_ns, call_ns = seen_ns
    clock = clocks.for_warm_up(device)
    spare = given.copy()
    others = tuple(each.detach().clone().requires_grad_(each.requires_grad) for each in call.weights)
    state = tuple((first.clone(), first) for _, first in call.state)
    alone = replace(call, renew=lambda: None, weights=others, state=state)
    repeats = min(_MOST_REPEATS, int(_REPEATING_NS / max(1.0, call_ns)))

    def timed(writes: Call, into: Inputs, number: int) -> float:
        # Each timed call follows the same number of calls and writes. With fewer, a short call takes 25 % longer on a
        # busy machine, because its code has left the caches.
        for _ in range(repeats):
            call.run()
        contents.mix(writes, into, both, weights, number)
        calls.wait(device)
        return clock(call.run, 1)

    def pair(number: int) -> tuple[float, float]:
        begin()
        if number % 2:
            again_ns = timed(alone, spare, number)
            return timed(call, given, number), again_ns
        new_ns = timed(call, given, number)
        return new_ns, timed(alone, spare, number)

    return remembers(pair, (first_ns[0], first_ns[1]), cold=call.output is not None and call_ns <= COLD_NS)


def remembers(pair: Pair, seen_ns: tuple[float, float], *, cold: bool = False) -> str | None:
    """Return why the kernel must be remembering earlier calls, or None.

    `seen_ns` is a first pair. `cold` means that calls on new content take longer for other reasons.
    """
    call_ns = max(seen_ns)
    least = 2.0 if cold or call_ns > LONG_NS else 1.2
    steps = (1, 3) if call_ns > LONG_NS else (3 if call_ns <= SHORT_NS else 2, 6, 20)
    taken = [seen_ns] if call_ns > SHORT_NS else []
    for many in steps:
        taken += [pair(number) for number in range(len(taken), many)]
        if not _faster(taken, least):
            return None
    # The first pairs were selected because they looked suspicious, so new ones must confirm the difference.
    fresh = [pair(number) for number in range(many, 2 * many)]
    if not (_clear(taken) and _faster(fresh, least) and _clear(fresh)):
        return None
    new, again = _fastest(fresh)
    return f"it remembers earlier calls: {new / 1e6:.3g} ms on new inputs, {again / 1e6:.3g} ms where they repeat"


def _faster(taken: list[tuple[float, float]], factor: float) -> bool:
    """Check whether repeated calls are faster by the factor, and by more than caches and the clock can explain."""
    new, again = _fastest(taken)
    return bool(new > factor * again and new - again > _LEAST_NS)


def _clear(taken: list[tuple[float, float]]) -> bool:
    """Check whether the middle halves of the times do not overlap."""
    new, again = (quantiles((pair[side] for pair in taken), n=4) for side in (0, 1))
    return new[0] > again[-1]


def _fastest(taken: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the shortest time on new content and that of repeated calls."""
    return min(new for new, _ in taken), min(again for _, again in taken)
