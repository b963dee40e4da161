"""The process of one rank: it maps the tensors of a program, and computes its part of them on request.

Requests are lines of JSON on standard input. Each is answered by a line of JSON on standard output: if it was to be
measured, the peak of the allocator and the bytes that were sent; or what went wrong.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from attnbench.variants.kernels import _peak
from attnbench.variants.kernels.context_parallel import _ring
from attnbench.variants.kernels.context_parallel._ring import Ring


def mapped(folder: Path, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor in a file that several processes map."""
    size = 1
    for each in shape:
        size *= each
    return torch.from_file(str(folder / name), shared=True, size=size, dtype=dtype).view(shape)


class Part:
    """A program's tensors, and the slices of them that are this rank's."""

    def __init__(self, rank: int, told: Mapping[str, Any]) -> None:
        dtype, (batch, heads, kv_heads, n, width) = getattr(torch, told["dtype"]), told["shape"]
        self.ring = Ring(rank, told["parts"], told["causal"])
        first = sum(told["parts"][:rank])
        here = slice(first, first + told["parts"][rank])
        many = {"k": kv_heads, "v": kv_heads, "dk": kv_heads, "dv": kv_heads}
        every = {
            name: mapped(Path(told["folder"]), name, (batch, many.get(name, heads), n, width), dtype)
            for name in told["tensors"]
        }
        self.here = {name: each[:, :, here] for name, each in every.items()}
        self.result: tuple[Tensor, Tensor] | None = None

    def forward(self) -> None:
        """Compute this rank's outputs. What the backward pass needs of them is kept."""
        q, k, v = (self.here[name].contiguous() for name in ("q", "k", "v"))
        self.result = _ring.forward(self.ring, q, k, v)
        self.here["out"].copy_(self.result[0])

    def backward(self) -> None:
        """Compute this rank's gradients from `dout`."""
        assert self.result
        dout, q, k, v = (self.here[name].contiguous() for name in ("dout", "q", "k", "v"))
        found = _ring.backward(self.ring, dout, q, k, v, *self.result)
        for name, each in zip(("dq", "dk", "dv"), found, strict=True):
            self.here[name].copy_(each)


def main(rank: int, world: int, meeting: str) -> None:
    """Serve requests until standard input ends."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    parts: dict[int, Part] = {}
    _answer()
    for line in sys.stdin:
        told = json.loads(line)
        try:
            _answer(**_do(parts, rank, told))
        except Exception as error:  # the parent raises it
            _answer(error=" ".join(f"{type(error).__name__}: {error}".split()))


def _do(parts: dict[int, Part], rank: int, told: Mapping[str, Any]) -> dict[str, int]:
    """Do what was asked. Return the peak of the allocator, if asked for, and the bytes that were sent."""
    program = told["program"]
    if told["do"] == "make":
        parts[program] = Part(rank, told)
        return {}
    if told["do"] == "drop":
        parts.pop(program, None)
        return {}
    part = parts[program]
    work = part.forward if told["do"] == "forward" else part.backward
    part.ring.sent_bytes = 0
    if not told["measured"]:
        work()
        return {}
    return {"peak_bytes": _peak.peak_bytes(work), "sent_bytes": part.ring.sent_bytes}


def _answer(**told: Any) -> None:
    print(json.dumps(told), flush=True)
