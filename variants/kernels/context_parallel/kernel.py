"""Full attention by ring attention in several processes; see `_ring`.

The inputs are copied into memory that all ranks see, and the output and the gradients out of it; both are part of a
call. A rank holds 1 / W of all tokens and, at a time, keys and values of another 1 / W. A rank is a process with one
thread, or with a GPU of this machine.
"""

import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnbench.variants import ATTENTION, DECODE
from attnbench.variants._pattern import Pattern
from attnbench.variants._setting import Setting
from attnbench.variants.kernels import Program
from attnbench.variants.kernels._support import itemsize, refusal
from attnbench.variants.kernels.context_parallel import _memory, _ranks
from attnbench.variants.kernels.sdpa import causality

_FORWARD, _BACKWARD = ("q", "k", "v", "out"), ("dout", "dq", "dk", "dv")


def supports(pattern: Pattern, setting: Setting) -> str | None:
    """Support full attention, causal or not, with one thread a rank on the CPU, or else one GPU."""
    if refused := refusal(pattern, setting):
        return refused
    if setting.world == 1:
        return "it needs several ranks; use world: 2 or more"
    if setting.device == "cuda" and (found := torch.cuda.device_count()) < setting.world:
        return f"each rank needs a GPU, expected {setting.world}, found {found}"
    if setting.device == "cuda" and setting.dtype == "float64":
        return "no kernel for CUDA returns log-sum-exp in float64; use float32"
    if setting.device == "cpu" and setting.threads != 1:
        return f"a rank has one thread; use threads: 1, found {setting.threads}"
    if setting.level != ATTENTION or setting.direction == DECODE:
        return "a sequence is shared at level attention, and not in direction decode"
    if causality(pattern, setting.shape.seq_len) is None:
        return "keys go around to all ranks, so every query must see all keys, or all up to itself"
    return None


def predict_bytes(pattern: Pattern, setting: Setting, threads: int) -> int:
    """Return the bytes of what a call returns: the output, and in `backward` and `training` the gradients."""
    del pattern, threads
    shape = setting.shape
    queries = shape.batch * shape.heads * shape.seq_len * shape.head_dim
    keys = shape.batch * shape.kv_heads * shape.seq_len * shape.head_dim
    many = {"forward": queries, "backward": queries + 2 * keys, "training": 2 * queries + 2 * keys}[setting.direction]
    return many * itemsize(setting.dtype)


def build(pattern: Pattern, setting: Setting) -> Program:
    """Start the ranks, if they do not run yet, and share memory with them."""
    shared = _Shared(pattern, setting)
    shape = setting.shape
    is_causal = causality(pattern, shape.seq_len) is True
    pairs = None if is_causal else shape.batch * shape.heads * shape.seq_len**2

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Map queries `B H N D`, keys and values `B K N D` to outputs `B H N D`."""
        out: Tensor = _Attention.apply(q, k, v, shared)  # type: ignore[no-untyped-call]  # so in torch
        return out

    return Program(attend, pairs, shared.bytes, measure_ranks=shared.measure)


class _Shared:
    """A program's tensors, which its ranks see too."""

    def __init__(self, pattern: Pattern, setting: Setting) -> None:
        shape = setting.shape
        n, width = shape.seq_len, shape.head_dim
        heads = {"q": shape.heads, "out": shape.heads, "dout": shape.heads, "dq": shape.heads}
        names = [*_FORWARD, *(_BACKWARD if setting.direction != "forward" else ())]
        self.ranks, self.program, self.calls = _ranks.of(setting.world, setting.device), _ranks.number(), 0
        self.measured: list[Mapping[str, int]] | None = None
        self.ranks.start()
        with tempfile.TemporaryDirectory(prefix="attnbench-", dir=_in_memory()) as folder:
            sizes = {name: (shape.batch, heads.get(name, shape.kv_heads), n, width) for name in names}
            made = {
                name: _memory.shared(Path(folder) / name, size, setting.dtype, setting.device)
                for name, size in sizes.items()
            }
            self.tensors = {name: tensor for name, (tensor, _) in made.items()}
            handles = {name: handle for name, (_, handle) in made.items()}
            causal = causality(pattern, n) is True
            self.ask("make", tensors=handles, parts=_ranks.parts(n, setting.world), causal=causal)
        weakref.finalize(self, _drop, self.ranks, self.program)

    @property
    def bytes(self) -> int:
        """The bytes of all shared tensors."""
        return sum(each.nbytes for each in self.tensors.values())

    def ask(self, do: str, **told: Any) -> None:
        """Have all ranks do something for this program, with what the device has written before."""
        if self.tensors["q"].is_cuda:
            torch.cuda.synchronize()
        found = self.ranks.ask(do, program=self.program, measured=self.measured is not None, **told)
        if self.measured is not None:
            self.measured.append(found)

    def measure(self, call: Callable[[], object]) -> tuple[int, int]:
        """Return the most bytes that a rank allocates at a time in a call, and the most that one sends."""
        self.measured = []
        try:
            call()
            return (
                max((each["peak_bytes"] for each in self.measured), default=0),
                sum(each["sent_bytes"] for each in self.measured),
            )
        finally:
            self.measured = None

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> int:
        """Have the ranks compute outputs. Return the number of the call, whose sums the ranks keep."""
        for name, each in (("q", q), ("k", k), ("v", v)):
            self.tensors[name].copy_(each.detach())
        self.ask("forward")
        self.calls += 1
        return self.calls


class _Attention(torch.autograd.Function):
    """The call with its gradients."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, shared: _Shared) -> Tensor:
        ctx.shared, ctx.call = shared, shared.forward(q, k, v)
        ctx.save_for_backward(q, k, v)
        return shared.tensors["out"].clone()

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        shared = ctx.shared
        if ctx.call != shared.calls:
            # Another call came between, so the ranks have its sums.
            ctx.call = shared.forward(*ctx.saved_tensors)
        shared.tensors["dout"].copy_(dout)
        shared.ask("backward")
        dq, dk, dv = (shared.tensors[name].clone() for name in ("dq", "dk", "dv"))
        return dq, dk, dv, None


def _drop(ranks: _ranks.Ranks, program: int) -> None:
    """Let the ranks forget a program that is not used any more."""
    if ranks.pids:
        ranks.ask("drop", program=program)


def _in_memory() -> str | None:
    """Return a folder whose files are in memory, if there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
