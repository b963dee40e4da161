"""The measured call: its inputs, weights and program, and what each direction computes."""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from math import prod
from typing import Any, Self

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.machine import memory
from attnbench.suites import Case
from attnbench.variants import ATTENTION, DECODE, OWN, Direction, Setting, Shape, Spans, Weights, kernels, levels
from attnbench.variants.kernels import Program
from attnbench.variants.levels import Around, Attend, Held, Level

Oracle = Callable[..., Tensor]
"""Function that returns outputs for q, k, v, then a mask of allowed keys or the indices of queries, then weights."""


_NAMES = {
    (4, 4, 4, 4): ("q", "k", "v", "dout"),
    (3, 3): ("x", "dout"),
    (3, 3, 3): ("x", "memory", "dout"),
    (2, 1, 2): ("tokens", "labels", "dout"),
    (2, 2, 2): ("source", "target", "dout"),
}
"""The names of a call's inputs by their numbers of dimensions."""
_EARLIER = 2**40
"""The seeds of earlier tokens begin here, above the numbers of all contents."""


class Inputs(tuple[Tensor, ...]):
    """The inputs of a call, and then the gradient of its output. The last dimension but one is the sequence.

    At level `attention` these are queries `B H N D`, keys and values `B K N D`, and dO `B H N D`, in the shape's
    layout. At level `layer`, tokens `B N C`, in cross-attention a memory `B M C`, and dY `B N C`. At level `encoder`,
    tokens `B N` and labels `B`, which are integers without a gradient, and the gradient of the losses `B 1`. At level
    `encoder_decoder`, a source `B N` and a target `B M+1`, integers too, and the gradient of the losses.
    """

    decoded: int | None
    """N, if these are the inputs of the last of N tokens alone, as in the direction `decode`."""
    lengths: tuple[int, ...] | None
    """The length of each sequence of a padded batch. All numbers past it are 0."""

    def __new__(cls, *tensors: Tensor, decoded: int | None = None, lengths: tuple[int, ...] | None = None) -> Self:
        """Put the tensors together."""
        made = super().__new__(cls, tensors)
        made.decoded, made.lengths = decoded, lengths
        return made

    def copy(self) -> "Inputs":
        """Return copies of all."""
        return Inputs(*(each.clone() for each in self), decoded=self.decoded, lengths=self.lengths)

    def sequences(self, numbers: list[int], length: int) -> "Inputs":
        """Return some sequences of a padded batch that have the same length, without padding."""
        return Inputs(*(each[numbers, :, :length] for each in self))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs alone."""
        return self[:-1]

    @property
    def dout(self) -> Tensor:
        """The gradient of the output."""
        return self[-1]

    @property
    def q(self) -> Tensor:
        """The queries."""
        return self[0]

    @property
    def k(self) -> Tensor:
        """The keys."""
        return self[1]

    @property
    def v(self) -> Tensor:
        """The values."""
        return self[2]

    @property
    def n(self) -> int:
        """The sequence length."""
        return self.decoded or self[0].shape[sequence(self[0])]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all."""
        return _NAMES[tuple(each.dim() for each in self)]

    @property
    def differentiable(self) -> tuple[Tensor, ...]:
        """The inputs that have a gradient."""
        return tuple(each for each in self.tensors if each.is_floating_point())

    def leaves(self, *, gradients: bool) -> tuple[Tensor, ...]:
        """Return the inputs as leaves of a graph, on the same memory, that require gradients if they can have them."""
        return tuple(each.detach().requires_grad_(gradients and each.is_floating_point()) for each in self.tensors)

    def wide(self) -> "Inputs":
        """Return all in float64; integers as they are."""
        every = (each.double() if each.is_floating_point() else each for each in self)
        return Inputs(*every, decoded=self.decoded, lengths=self.lengths)

    def result(self, place: int) -> str:
        """Return the name of a result: the output, the gradients of the inputs, such as dQ, and dW1, dW2, ...

        In `decode` the tensors of the state follow the output.
        """
        if self.decoded and place:
            return f"state {place}"
        given = [name for name, each in zip(self.names, self.tensors, strict=False) if each.is_floating_point()]
        names = ("output", *(f"d{each.upper()}" for each in given))
        return names[place] if place < len(names) else f"dW{place - len(names) + 1}"


def sequence(tensor: Tensor) -> int:
    """Return the dimension of an input that is the sequence. Integers have no dimension after it."""
    return -2 if tensor.is_floating_point() else -1


def inputs(shape: Shape, dtype: str, device: str, content: int = 0, level: str = ATTENTION) -> Inputs:
    """Return standard normal tensors, drawn in float32 on the CPU and then converted, or what the level draws.

    In a padded batch, numbers past the end of a sequence are 0. A content is the same in every process, on every device
    and in every layout. `Origin` says how contents are numbered.
    """
    # On the CPU no draw is cached: it would count against the case's memory, and might be the returned tensors.
    drawn = (_kept if device == "cuda" else _drawn)(shape, level, content)
    made = Inputs(*_placed(drawn, shape, dtype, device), lengths=shape.lengths)
    for number, length in enumerate(shape.lengths or ()):
        for each in made:
            each[number, :, length:] = 0
    return made


def inputs_of(setting: Setting, content: int = 0) -> Inputs:
    """Return the `inputs` of a call in a setting, which are those of one token in `decode`."""
    decoded = setting.shape.seq_len if setting.direction == DECODE else None
    made = inputs(setting.given, setting.dtype, setting.device, content, setting.level)
    return Inputs(*made, decoded=decoded, lengths=made.lengths)


def earlier(setting: Setting, content: int = 0) -> tuple[Tensor, ...]:
    """Return the inputs of the N - 1 tokens before the last, without a gradient; both contents of a seed share them."""
    drawn = _drawn(setting.shape, setting.level, _EARLIER + content // 2)[:-1]
    return tuple(each[..., :-1, :] for each in _placed(drawn, setting.shape, setting.dtype, setting.device))


def _placed(drawn: tuple[Tensor, ...], shape: Shape, dtype: str, device: str) -> Iterator[Tensor]:
    """Yield tensors in a dtype, on a device and in the shape's layout."""
    for each in drawn:
        tensor = each.to(device, getattr(torch, dtype) if each.is_floating_point() else each.dtype)
        yield tensor.transpose(1, 2).contiguous().transpose(1, 2) if shape.layout == "bnhd" else tensor


def _sizes(shape: Shape, level: str) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of the inputs and of the output."""
    found = levels.read(level)
    if found:
        return found.sizes(shape)
    heads = (shape.heads, shape.kv_heads, shape.kv_heads, shape.heads)
    return tuple((shape.batch, each, shape.seq_len, shape.head_dim) for each in heads)


def _drawn(shape: Shape, level: str, seed: int) -> tuple[Tensor, ...]:
    """Draw standard normal float32 tensors on the CPU, or what the level draws."""
    found, generator = levels.read(level), torch.Generator().manual_seed(seed)
    if found:
        return found.draw(shape, generator)
    return tuple(torch.randn(*each, generator=generator) for each in _sizes(shape, level))


_kept = lru_cache(maxsize=2)(_drawn)
"""`_drawn` with a cache of two, because drawing takes longer than most work of a GPU on the result."""


def wait(device: str) -> None:
    """Wait until all queued work is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def wait_for_stream(device: str) -> None:
    """Wait until the current stream is done. Work on other streams is not waited for."""
    if device == "cuda":
        torch.cuda.current_stream().synchronize()


def input_bytes(setting: Setting, *, dout: bool = True) -> int:
    """Return the bytes of the inputs in a setting, with or without the gradient of the output."""
    sizes = _sizes(setting.given, setting.level)
    return sum(map(prod, sizes if dout else sizes[:-1])) * int(getattr(torch, setting.dtype).itemsize)


def build(case: Case, content: int = 0) -> Program:
    """Build the case's program with the weights of its mechanisms, which differ between contents."""
    every, level, decodes = held(case, content), around(case), case.setting.direction == DECODE
    if level is None:
        return _decoder(case, every, content) if decodes else _mechanism(case, every.own[0])
    # Layers alike without weights of their mechanism have the same program.
    shared: dict[Case, Program] = {}
    layers: list[Program] = []
    for place, own in zip(case.places, every.own, strict=True):
        if own or place not in shared:
            shared[place] = _decoder(place, every, content) if decodes else _mechanism(place, own)
        layers.append(shared[place])
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


def _noting(program: Program, found: list[Any]) -> Attend:
    """Return a program's call that also notes its choice."""

    def attend(*inputs: Tensor) -> Tensor:
        assert program.choice
        found.append(program.choice(*inputs))
        return program.call(*inputs)

    return attend


def _mechanism(case: Case, own: Weights) -> Program:
    """Build the program of the case's mechanism alone, with its weights."""
    if case.implementation != OWN:
        return kernels.load(case.implementation).build(case.pattern, case.setting)
    variant = variants.load(case.mechanism.name)
    program = variant.program(case.parameters, case.setting, own)
    if (options(case) is None) != (program.choice is None):
        raise TypeError("expected options in Variant(...) and choice in Program(...), or neither, found one of them")
    return replace(program, weights=own) if own else program


def _decoder(case: Case, every: Held, content: int) -> Program:
    """Build the program that decodes the last token of a case; what it holds of the earlier ones is computed here."""
    tokens, level, (own,) = earlier(case.setting, content), around(case), every.own
    if level and level.inner:
        tokens = level.inner.project(case.setting, every.inner[0], tokens[0], 0)
    if case.implementation != OWN:
        return kernels.decoder(case.implementation).build(case.pattern, case.setting, tokens)
    decoding = variants.load(case.mechanism.name).decoding
    assert decoding  # admission refuses others
    return replace(decoding.program(case.parameters, case.setting, own, tokens), weights=own)


def around(case: Case) -> Around | None:
    """Return what stands around the case's mechanisms, or None if its variant is the whole of it."""
    return levels.around(case.setting.level, variants.load(case.mechanism.name).level)


def all_weights(case: Case, content: int = 0) -> Weights:
    """Return the weights of the case's program: those of the level, then those of its layers."""
    return held(case, content).flat


def held(case: Case, content: int = 0) -> Held:
    """Return the weights of the case by what they belong to. Those of a level do not depend on the mechanism."""
    level, setting, places = around(case), case.setting, case.places
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


def reference(case: Case, choice: Tensor | None = None, spans: Spans | None = None) -> Oracle | None:
    """Return the oracle of the case's variant, or None. It raises if its outputs have another shape or dtype.

    `choice` is what a call chose, if the mechanism chooses by content. `spans` are those of a pattern that modifies
    scores within a sequence of a padded batch.
    """
    variant = variants.load(case.mechanism.name)
    own = variant.reference or (getattr(type(case.parameters), "attention", None) if modifies_scores(case) else None)
    # Code under test may be older than biases.
    biased = case.setting.level != ATTENTION and levels.has_bias(case.setting)
    if biased:
        own = importlib.import_module("attnbench.variants._scored").attention
    if own is None:
        return None

    many = len(_sizes(case.setting.shape, variant.level)) - 1 + biased

    def outputs(*given: Tensor) -> Tensor:
        """Return outputs `B H R D` of the queries at rows, from inputs, rows and weights."""
        inputs, rows, weights = given[:many], given[many], given[many + 1 :]
        beside: tuple[Any, ...] = () if spans is None else (spans,)
        if not variant.is_pattern:
            beside = (weights,) if choice is None else (weights, choice)
        out = own(case.parameters, *inputs, rows, *beside)
        like = inputs[0]
        expected = torch.Size((*like.shape[:-2], len(rows), like.shape[-1]))
        if out.shape != expected or out.dtype != like.dtype:
            found = f"{out.dtype} {list(out.shape)}"
            raise TypeError(f"reference: expected {like.dtype} {list(expected)} for {len(rows)} rows, found {found}")
        return out

    return outputs


def modifies_scores(case: Case) -> bool:
    """Check whether the case's pattern modifies scores."""
    # Code under test may be older than `Scored`.
    return hasattr(case.parameters, "modified")


def streams(case: Case) -> bool:
    """Check whether single elements of the case's results can be computed again: those of attention over a pattern."""
    return around(case) is None and reference(case) is None and case.setting.direction != DECODE


def options(case: Case) -> Callable[..., tuple[Tensor, int]] | None:
    """Return a function that scores the options of a mechanism that chooses by content, from inputs, rows and weights.

    Return None if the mechanism does not choose by content with these parameters.
    """
    variant, shape = variants.load(case.mechanism.name), case.setting.shape
    own = variant.options
    if own is None or not case.parameters.chooses():
        return None
    many = len(_sizes(shape, variant.level)) - 1

    def scored(*given: Tensor) -> tuple[Tensor, int]:
        """Return the scores `B H R ... C` of the queries at `rows`, and the number of options that are chosen."""
        inputs, rows, weights = given[:many], given[many], given[many + 1 :]
        found = own(case.parameters, *inputs, rows, weights)
        scores, count = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
        # Tokens `B N C` do not say how many heads there are.
        heads = inputs[0].shape[1] if inputs[0].dim() > 3 else shape.heads
        expected = (inputs[0].shape[0], heads, len(rows))
        right = isinstance(scores, Tensor) and scores.dim() > 3 and type(count) is int
        if not right or scores.shape[:3] != expected or not 1 <= count <= scores.shape[-1]:
            raise TypeError(f"options: expected scores {[*expected]} and more, and a count, found others")
        return scores, count

    return scored


def choosers(case: Case) -> int:
    """Return how many of each head choose by content: its queries, unless the variant says otherwise."""
    own, n = variants.load(case.mechanism.name).choosers, case.setting.shape.seq_len
    return own(case.parameters, n) if own else n


@dataclass(frozen=True)
class Call:
    """One call in a direction: what is timed. Its inputs stay in the same memory, but their content may change."""

    run: Callable[[], Any]
    """Runs the call. `forward` and `decode` return the output, `training` output and gradients, `backward`
    gradients only.

    Gradients are those of the inputs and of learned weights. The gradient of an unused input is None.
    """
    renew: Callable[[], None]
    """Must be called after the content of the inputs changed. `backward` then builds its graph again."""
    output: Callable[[], Tensor] | None = None
    """Returns the output of the graph that `backward` differentiates."""
    gradients: bool = True
    """Whether `run` computes gradients."""
    weights: Weights = ()
    """Weights that the program was built with."""
    learned: Weights = ()
    """Weights that have a gradient."""
    choice: Callable[[], Any] | None = None
    """Returns what `run` chooses on the current content of the inputs."""
    state: tuple[tuple[Tensor, Tensor], ...] = ()
    """Tensors that `run` changes by its definition, each with a copy of its first value."""

    def found(self, result: Any) -> tuple[Any, ...]:
        """Return the result of `run` as the proof needs it: the output, then gradients, or without these the state."""
        if not self.gradients:
            return (result, *(each.clone() for each, _ in self.state))
        return tuple(result) if self.output is None else (self.output(), *result)


def call(program: Program, given: Inputs, direction: Direction) -> Call:
    """Make a call in the given direction.

    Gradients are `torch.autograd.grad(out, inputs, dout)`, with learned weights after the inputs. The graph of
    `backward` is built here and kept.
    """
    attend = program.call
    choice = partial(chosen, program, given) if program.choice else None
    state = tuple((each, each.detach().clone()) for each in program.state)
    if direction in ("forward", DECODE):

        def forward() -> object:
            with torch.no_grad():
                return attend(*given.tensors)

        return Call(forward, _nothing, gradients=False, weights=program.weights, choice=choice, state=state)
    leaves = given.leaves(gradients=True)
    learned = tuple(each for each in program.weights if each.requires_grad)
    wanted = tuple(each for each in leaves if each.requires_grad) + learned
    if direction == "training":

        def training() -> object:
            out = attend(*leaves)
            found = torch.autograd.grad(out, wanted, given.dout, allow_unused=True)
            if program.update:
                program.update(found[len(wanted) - len(learned) :])
            return out, *found

        return Call(training, _nothing, weights=program.weights, learned=learned, choice=choice, state=state)
    graph: list[Tensor] = []

    def renew() -> None:
        # Free the old graph first: the memory budget has no room for two.
        graph.clear()
        with kept_graph(program):
            graph.append(attend(*leaves))

    def backward() -> object:
        return torch.autograd.grad(graph[0], wanted, given.dout, retain_graph=True, allow_unused=True)

    renew()
    made = Call(backward, renew, lambda: graph[0], weights=program.weights, learned=learned, choice=choice)
    return replace(made, state=state)


def ready(program: Program, given: Inputs, direction: Direction) -> Call:
    """Make a call, and compile its kernel if it needs that, so that no timed call compiles."""
    with room_to_compile(program):
        made = call(program, given, direction)
        if compiles(program):
            made.run()
    return made


def chosen(program: Program, given: Inputs) -> Any:
    """Return what a program chooses on inputs."""
    assert program.choice
    with torch.no_grad():
        return program.choice(*given.tensors)


def _nothing() -> None:
    """Renew nothing."""


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
