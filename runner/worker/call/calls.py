"""The call that is measured: its inputs, and what each direction computes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call import compilation
from attnbench.suites import Case
from attnbench.variants import OWN, Direction, Shape, Weights, kernels
from attnbench.variants.kernels import Program

Oracle = Callable[..., Tensor]
"""Outputs for q, k, v, then a mask of the keys each may see, or the numbers of the queries meant, then weights."""


class Inputs(NamedTuple):
    """Queries `B H N D`, keys and values `B K N D`, and the gradient of the output `B H N D`, in the shape's layout."""

    q: Tensor
    k: Tensor
    v: Tensor
    dout: Tensor


def inputs(shape: Shape, dtype: str, device: str, seed: int = 0) -> Inputs:
    """Standard normal tensors, the same on every run and device: drawn in float32 on the CPU, then converted.

    The layout changes where numbers lie, not which they are.
    """
    # On the CPU a copy that is kept would count against the case's memory, and might be the tensors themselves.
    drawn = _kept(shape, seed) if device == "cuda" else _drawn(shape, seed)

    def made(tensor: Tensor) -> Tensor:
        tensor = tensor.to(device=device, dtype=getattr(torch, dtype))
        return tensor.transpose(1, 2).contiguous().transpose(1, 2) if shape.layout == "bnhd" else tensor

    return Inputs(*map(made, drawn))


def _drawn(shape: Shape, seed: int) -> tuple[Tensor, ...]:
    """Standard normal float32 on the CPU: `B H N D`, twice `B K N D`, and `B H N D` again."""
    generator = torch.Generator().manual_seed(seed)
    heads = (shape.heads, shape.kv_heads, shape.kv_heads, shape.heads)
    return tuple(torch.randn(shape.batch, each, shape.seq_len, shape.head_dim, generator=generator) for each in heads)


_kept = lru_cache(maxsize=2)(_drawn)
"""The same, of the last two kept: drawing takes longer than most that a GPU does with it."""


def wait(device: str) -> None:
    """Until everything queued is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def wait_for_stream(device: str) -> None:
    """Until everything queued on the current stream is done: what runs beside it is not waited for."""
    if device == "cuda":
        torch.cuda.current_stream().synchronize()


def input_bytes(shape: Shape, dtype: str) -> int:
    """Bytes that `inputs` holds."""
    rows = 2 * (shape.heads + shape.kv_heads) * shape.batch * shape.seq_len
    return rows * shape.head_dim * int(getattr(torch, dtype).itemsize)


def build(case: Case) -> Program:
    """The case's program with the weights of its mechanism, ready to be called."""
    if case.implementation == OWN:
        given = weights(case)
        variant = variants.load(case.mechanism.name)
        program = variant.program(case.parameters, case.setting, given)
        if (variant.options is None) != (program.choice is None):
            raise TypeError(
                "expected options in Variant(...) and choice in Program(...), or neither, found one of them"
            )
        return replace(program, weights=given) if given else program
    return kernels.load(case.implementation).build(case.pattern, case.setting)


def weights(case: Case, content: int = 0) -> Weights:
    """The weights of the case's mechanism; those that are learned require a gradient, and have several contents.

    They are drawn in float32 on the CPU, the same for a mechanism and its sizes on every run and device.

    Raises:
        TypeError: the mechanism's `weights` gives something else than a tuple of such tensors.
    """
    draw, setting = variants.load(case.mechanism.name).weights, case.setting
    if draw is None:
        return ()
    sizes = {name: size for name, size in asdict(setting.shape).items() if isinstance(size, int)}
    told = json.dumps([case.mechanism.name, dict(case.mechanism.parameters), sizes], sort_keys=True)
    seed = int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "little") >> 2
    first, drawn = (draw(case.parameters, setting, torch.Generator().manual_seed(seed + each)) for each in (0, content))
    if not isinstance(drawn, tuple) or not all(map(_is_weight, drawn)):
        expected = "a tuple of tensors in float32 with at least one dimension, finite and not empty"
        raise TypeError(f"weights: expected {expected}, found {drawn!r:.80}")
    dtype = getattr(torch, setting.dtype)
    return tuple(
        (each if _is_learned(each) else fixed)
        .detach()
        .to(setting.device, dtype, copy=True)
        .requires_grad_(_is_learned(each))
        for fixed, each in zip(first, drawn, strict=True)
    )


def _is_weight(drawn: object) -> bool:
    """Whether something is a weight as a mechanism may draw it."""
    return (
        isinstance(drawn, Tensor)
        and drawn.dtype == torch.float32
        and drawn.dim() > 0
        and drawn.numel() > 0
        and bool(drawn.isfinite().all())
    )


def _is_learned(weight: Tensor) -> bool:
    """Whether a weight has a gradient."""
    return isinstance(weight, torch.nn.Parameter) and weight.requires_grad


def reference(case: Case, choice: Tensor | None = None) -> Oracle | None:
    """What the case's variant brings as its oracle, if it does; it refuses outputs of another shape or dtype.

    `choice` is what a call chose, where the mechanism chooses by content.
    """
    variant = variants.load(case.mechanism.name)
    own = variant.reference
    if own is None:
        return None

    def outputs(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, *weights: Tensor) -> Tensor:
        """Outputs `B H R D` of the queries at `rows`."""
        beside = () if variant.is_pattern else (weights,) if choice is None else (weights, choice)
        out = own(case.parameters, q, k, v, rows, *beside)
        expected = torch.Size((*q.shape[:2], len(rows), q.shape[3]))
        if out.shape != expected or out.dtype != q.dtype:
            found = f"{out.dtype} {list(out.shape)}"
            raise TypeError(f"reference: expected {q.dtype} {list(expected)} for {len(rows)} rows, found {found}")
        return out

    return outputs


def options(case: Case) -> Callable[..., tuple[Tensor, int]] | None:
    """Scores of the options that the case's mechanism chooses from, and how many it chooses, of q, k, v, rows, weights.

    None where it does not choose by content.
    """
    own = variants.load(case.mechanism.name).options
    if own is None:
        return None

    def scored(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, *weights: Tensor) -> tuple[Tensor, int]:
        """The scores `B H R ... C` of the queries at `rows`, and how many options are chosen."""
        found = own(case.parameters, q, k, v, rows, weights)
        scores, count = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
        right = isinstance(scores, Tensor) and scores.dim() > 3 and type(count) is int
        if not right or scores.shape[:3] != (*q.shape[:2], len(rows)) or not 1 <= count <= scores.shape[-1]:
            raise TypeError(f"options: expected scores {[*q.shape[:2], len(rows)]} and more, and a count, found others")
        return scores, count

    return scored


@dataclass(frozen=True)
class Call:
    """What is timed: one call in a direction, on inputs that stay where they are and may get other content."""

    run: Callable[[], Any]
    """`forward` gives the output; `training` the output and the gradients; `backward` the gradients alone.

    They are dQ, dK, dV and those of the learned weights. The gradient of an input that is ignored is None.
    """
    renew: Callable[[], None]
    """To be called after the inputs got other content: `backward` makes its graph anew."""
    output: Callable[[], Tensor] | None = None
    """The output of the graph whose gradients `backward` computes."""
    gradients: bool = True
    """Whether `run` computes gradients."""
    weights: Weights = ()
    """What the program was built with."""
    learned: Weights = ()
    """Those of them that have a gradient."""
    choice: Callable[[], Any] | None = None
    """What `run` chooses by content, on the inputs as they are."""

    def found(self, result: Any) -> tuple[Any, ...]:
        """What `run` gave, as a proof looks at it: the output, and but in `forward` the gradients."""
        if not self.gradients:
            return (result,)
        return tuple(result) if self.output is None else (self.output(), *result)


def call(program: Program, given: Inputs, direction: Direction) -> Call:
    """One call in the given direction.

    Gradients are `torch.autograd.grad(out, (q, k, v), dout)`, learned weights beside q, k, v. The graph of `backward`
    is made here, and kept.
    """
    attend = program.call
    choice = partial(chosen, program, given) if program.choice else None
    if direction == "forward":

        def forward() -> object:
            with torch.no_grad():
                return attend(given.q, given.k, given.v)

        return Call(forward, _nothing, gradients=False, weights=program.weights, choice=choice)
    leaves = tuple(tensor.detach().requires_grad_() for tensor in (given.q, given.k, given.v))
    learned = tuple(each for each in program.weights if each.requires_grad)
    wanted = leaves + learned
    if direction == "training":

        def training() -> object:
            out = attend(*leaves)
            return out, *torch.autograd.grad(out, wanted, given.dout, allow_unused=True)

        return Call(training, _nothing, weights=program.weights, learned=learned, choice=choice)
    graph: list[Tensor] = []

    def renew() -> None:
        graph.clear()
        with compilation.kept_graph(program):
            graph.append(attend(*leaves))

    def backward() -> object:
        return torch.autograd.grad(graph[0], wanted, given.dout, retain_graph=True, allow_unused=True)

    renew()
    return Call(backward, renew, lambda: graph[0], weights=program.weights, learned=learned, choice=choice)


def ready(program: Program, given: Inputs, direction: Direction) -> Call:
    """The same call; where the kernel is compiled, that is done here, and no call that is timed does it."""
    with compilation.room(program):
        made = call(program, given, direction)
        if compilation.needed(program):
            made.run()
    return made


def chosen(program: Program, given: Inputs) -> Any:
    """What a program chooses on inputs."""
    assert program.choice
    with torch.no_grad():
        return program.choice(*given[:3])


def _nothing() -> None:
    """What need not be renewed."""
