"""The process of one rank: it opens the tensors of a program, and computes its part of them on request.

Requests are lines of JSON on standard input. Each is answered by a line of JSON on standard output: if it was to be
measured, the peak of the allocator and the bytes that were sent; or what went wrong.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from attnbench.variants.kernels import _peak
from attnbench.variants.kernels.context_parallel import _memory, _ring
from attnbench.variants.kernels.context_parallel._ring import Ring


class Part:
    """A program's tensors, and the slices of them that are this rank's."""

    def __init__(self, rank: int, device: torch.device, told: Mapping[str, Any]) -> None:
        self.device = device
        self.ring = Ring(rank, told["parts"], told["causal"])
        first = sum(told["parts"][:rank])
        here = slice(first, first + told["parts"][rank])
        self.here = {name: _memory.opened(handle)[:, :, here] for name, handle in told["tensors"].items()}
        self.result: tuple[Tensor, Tensor] | None = None

    def forward(self) -> None:
        """Compute this rank's outputs. What the backward pass needs of them is kept."""
        q, k, v = map(self._own, ("q", "k", "v"))
        self.result = _ring.forward(self.ring, q, k, v)
        self.here["out"].copy_(self.result[0])

    def backward(self) -> None:
        """Compute this rank's gradients from `dout`."""
        assert self.result
        dout, q, k, v = map(self._own, ("dout", "q", "k", "v"))
        found = _ring.backward(self.ring, dout, q, k, v, *self.result)
        for name, each in zip(("dq", "dk", "dv"), found, strict=True):
            self.here[name].copy_(each)

    def _own(self, name: str) -> Tensor:
        """Return this rank's part of a tensor, in the memory of its device."""
        return self.here[name].to(self.device).contiguous()


def main(rank: int, world: int, kind: str, meeting: str) -> None:
    """Serve requests until standard input ends. `kind`: `cpu` or `cuda`, of which each rank has one."""
    torch.set_num_threads(1)
    device = torch.device(f"cuda:{rank}" if kind == "cuda" else kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    backend = {"cpu": "gloo", "cuda": "nccl"}[kind]
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=world)
    parts: dict[int, Part] = {}
    _answer()
    for line in sys.stdin:
        told = json.loads(line)
        try:
            if told["do"] == "make":
                parts[told["program"]] = Part(rank, device, told)
                _answer()
            elif told["do"] == "drop":
                parts.pop(told["program"], None)
                _answer()
            else:
                _answer(**_compute(parts[told["program"]], told))
        except Exception as error:  # the parent raises it
            _answer(error=" ".join(f"{type(error).__name__}: {error}".split()))


def _compute(part: Part, told: Mapping[str, Any]) -> dict[str, int]:
    """Compute what was asked. Return the peak of the allocator and the bytes that were sent, if asked for."""

    def work() -> None:
        (part.forward if told["do"] == "forward" else part.backward)()
        if part.device.type == "cuda":
            torch.cuda.synchronize(part.device)

    part.ring.sent_bytes = 0
    if not told["measured"]:
        work()
        return {}
    return {"peak_bytes": _peak_bytes(work, part.device), "sent_bytes": part.ring.sent_bytes}


def _peak_bytes(work: Callable[[], None], device: torch.device) -> int:
    """Return the most bytes that this rank holds at a time while it works, without those held before it."""
    if device.type == "cpu":
        return _peak.peak_bytes(work)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    return torch.cuda.max_memory_allocated(device) - before


def _answer(**told: Any) -> None:
    print(json.dumps(told), flush=True)
