"""The weights of a case's program, by what they belong to."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call import mechanisms
from attnbench.suites import Case
from attnbench.variants import DECODE, Setting, Weights
from attnbench.variants.levels import Held, Level


def all_weights(case: Case, content: int = 0) -> Weights:
    """Return the weights of the case's program: those of the level, then those of its layers."""
    return held(case, content).flat


def held(case: Case, content: int = 0) -> Held:
    """Return the weights of the case by what they belong to. Those of a level do not depend on the mechanism."""
    level, setting, places = mechanisms.around(case), case.setting, case.places
    own = tuple(weights(place, content, layer) for layer, place in enumerate(places))
    if level is None:
        return Held((), ((),), own)

    def drawn(part: Level | None, there: Setting, *number: int) -> Weights:
        return _weights(part.weights, there, [setting.level, *number], content) if part else ()

    # A layer by itself has no number.
    numbers = [[layer] if level.outer else [] for layer in range(1, len(places) + 1)]
    pairs = zip(places, numbers, strict=True)
    inner = tuple(drawn(level.inner, place.setting, *number) for place, number in pairs)
    return Held(drawn(level.outer, setting), inner, own)


def weights(case: Case, content: int = 0, layer: int = 0) -> Weights:
    """Return the weights of the mechanism in one layer. Learned weights require a gradient and differ between contents.

    In `decode` no weight is learned, because the state of the earlier tokens depends on the weights.

    Weights are drawn in float32 on the CPU, with a seed that depends only on the run's seed, the mechanism, its sizes
    and the number of the layer.

    Raises:
        TypeError: the mechanism's `weights` does not return a tuple of such tensors.
    """
    draw = variants.load(case.mechanism.name).weights
    if draw is None:
        return ()
    named = [case.mechanism.name, case.first_parameters, *([layer] if layer else [])]
    return _weights(partial(draw, case.parameters), case.setting, named, content)


def _weights(draw: Callable[..., Weights], setting: Setting, named: list[Any], content: int) -> Weights:
    """Return the weights that `draw` draws from a setting and a generator, whose seed depends on the names of both."""
    sizes = {name: size for name, size in asdict(setting.shape).items() if isinstance(size, int)}
    run_seed, which = divmod(content, 2)
    # Runs of seed 0 keep the weights that they had before there were other seeds.
    told = [*named, sizes, *([run_seed] if run_seed else [])]
    hashed = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()
    # 62 bits, so that adding 1 for content B still gives a valid seed.
    seed = int.from_bytes(hashed[:8], "little") >> 2
    first, drawn = (draw(setting, torch.Generator().manual_seed(seed + each)) for each in (0, which))
    if not isinstance(drawn, tuple) or not all(map(_is_weight, drawn)):
        expected = "a tuple of tensors in float32 with at least one dimension, finite and not empty"
        raise TypeError(f"weights: expected {expected}, found {drawn!r:.80}")
    dtype = getattr(torch, setting.dtype)
    learned = [_is_learned(each) and setting.direction != DECODE for each in drawn]
    return tuple(
        (each if is_learned else fixed).detach().to(setting.device, dtype, copy=True).requires_grad_(is_learned)
        for fixed, each, is_learned in zip(first, drawn, learned, strict=True)
    )


def _is_weight(drawn: object) -> bool:
    """Check whether a drawn object is a valid weight."""
    return (
        isinstance(drawn, Tensor)
        and drawn.dtype == torch.float32
        and drawn.dim() > 0
        and drawn.numel() > 0
        and bool(drawn.isfinite().all())
    )


def _is_learned(weight: Tensor) -> bool:
    """Check whether a weight is learned."""
    return isinstance(weight, torch.nn.Parameter) and weight.requires_grad
