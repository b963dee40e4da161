"""The program of a case, and what it needs if its first call compiles."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from torch import Tensor

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import earlier
from attnbench.runner.worker.call.weights import held
from attnbench.suites import Case
from attnbench.variants import DECODE, OWN, Weights, kernels, mechanism_peers
from attnbench.variants.kernels import Program
from attnbench.variants.levels import Attend, Held


def build(case: Case, content: int = 0) -> Program:
    """Build the case's program with the weights of its mechanisms, which differ between contents."""
    every, level, decodes = held(case, content), mechanisms.around(case), case.setting.direction == DECODE
    if level is None:
        return _decoder(case, every, content) if decodes else _mechanism(case, every.own[0])
    layers = of_places(case, every, content)
    first, programs = layers[0], {id(each): each for each in layers}.values()

    def call(*inputs: Tensor) -> Tensor:
        """Return the output of the level around the mechanisms."""
        return level.call(case.setting, [each.call for each in layers], every, *inputs)

    def choice(*inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what each mechanism chooses within the level."""
        found: list[Tensor] = []
        level.call(case.setting, [_noting(each, found) for each in layers], every, *inputs)
        return tuple(found)

    pairs = [each.computed_pairs for each in layers]
    made = replace(
        first,
        call=call,
        choice=choice if first.choice else None,
        computed_pairs=None if None in pairs else sum(filter(None, pairs)),
        prepared_bytes=sum(each.prepared_bytes for each in programs),
        weights=every.flat,
    )
    learned = [each for each in every.flat if each.requires_grad]
    updated = level.outer.update(learned) if level.outer and case.setting.direction == "training" else None
    return replace(made, update=updated[0], state=updated[1]) if updated else made


def of_places(case: Case, every: Held, content: int) -> list[Program]:
    """Return the program of each of the case's mechanisms; equal ones without weights share one."""
    shared: dict[Case, Program] = {}
    found: list[Program] = []
    for place, own in zip(case.places, every.own, strict=True):
        if own or place not in shared:
            decodes = case.setting.direction == DECODE
            shared[place] = _decoder(place, every, content) if decodes else _mechanism(place, own)
        found.append(shared[place])
    return found


def _noting(program: Program, found: list[Any]) -> Attend:
    """Return a program's call that also notes its choice."""

    def attend(*inputs: Tensor) -> Tensor:
        assert program.choice
        found.append(program.choice(*inputs))
        return program.call(*inputs)

    return attend


def _mechanism(case: Case, own: Weights) -> Program:
    """Build the program of the case's mechanism alone, with its weights."""
    variant = variants.load(case.mechanism.name)
    if case.implementation == OWN:
        program = variant.program(case.parameters, case.setting, own)
    elif case.implementation in mechanism_peers.names(case.mechanism.name):
        program = mechanism_peers.load(case.implementation).build(case.parameters, case.setting, own)
    else:
        return kernels.load(case.implementation).build(case.pattern, case.setting)
    if (mechanisms.options(case) is None) != (program.choice is None):
        raise TypeError("expected options in Variant(...) and choice in Program(...), or neither, found one of them")
    return replace(program, weights=own) if own else program


def _decoder(case: Case, every: Held, content: int) -> Program:
    """Build the program that decodes the last token of a case; what it holds of the earlier ones is computed here."""
    tokens, level, (own,) = earlier(case.setting, content), mechanisms.around(case), every.own
    if level and level.inner:
        tokens = level.inner.project(case.setting, every.inner[0], tokens[0], 0)
    if case.implementation != OWN:
        return kernels.decoder(case.implementation).build(case.pattern, case.setting, tokens)
    decoding = variants.load(case.mechanism.name).decoding
    assert decoding  # admission refuses others
    return replace(decoding.program(case.parameters, case.setting, own, tokens), weights=own)


def compiles(program: Program) -> bool:
    """Check whether the kernel's first call compiles."""
    # Code under test may be older than this field.
    return bool(getattr(program, "compiled", False))


def room_to_compile(program: Program) -> AbstractContextManager[None]:
    """Allow more memory while the kernel compiles, if it does."""
    return memory.room_to_compile() if compiles(program) else nullcontext()


def kept_graph(program: Program) -> AbstractContextManager[None]:
    """Let a compiled kernel keep its graph for many backward calls; by default, the first one overwrites buffers."""
    if not compiles(program):
        return nullcontext()
    import torch._functorch.config as functorch

    kept: AbstractContextManager[None] = functorch.patch(donated_buffer=False)
    return kept


def cache_misses() -> int:
    """Return the number of graphs that this process compiled because torch's cache on disk did not have them."""
    from torch._dynamo.utils import counters

    return sum(counters["inductor"][f"fxgraph_cache_{each}"] for each in ("miss", "bypass"))
