"""Compiling with `torch.compile`: a check of what it needs, and an error instead of a silent uncompiled run.

torch keeps compiled code on disk (`TORCHINDUCTOR_CACHE_DIR`), so the next process compiles faster.
"""

import importlib.util
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import torch
from torch import Tensor

from attnbench.variants.kernels import _building

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def refusal(name: str, device: str) -> str | None:
    """Return why an implementation cannot be compiled for a device here, or None."""
    if device == "cuda":
        found = importlib.util.find_spec("triton") is not None
        return None if found else f"{name} needs triton to be compiled on cuda, found none; install it"
    refused = _building.compiler_refusal(name)
    if refused:
        return refused
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        return f"{name} needs Python's headers to be compiled: expected {header}, found none; install python3-dev"
    return None


def compiled(attend: Attend) -> Attend:
    """Return `attend` so that its first call at each shape compiles it.

    torch keeps at most eight compiled versions for each code object, and runs further ones uncompiled. Each function
    returned here has its own copy of the code, and so eight versions of its own.

    Raises:
        RuntimeError: when called, if torch does not compile: too many versions, or compiling is switched off.
    """
    from torch._dynamo.exc import FailOnRecompileLimitHit

    def traced(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # False only if Python runs this body itself; the compiled code does not contain the check.
        if not torch.compiler.is_compiling():
            raise RuntimeError("torch would run it uncompiled; unset TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE")
        return attend(q, k, v)

    own = FunctionType(traced.__code__.replace(), traced.__globals__, closure=traced.__closure__)
    made: Attend = torch.compile(own, dynamic=False, fullgraph=True)

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        try:
            return made(q, k, v)
        except FailOnRecompileLimitHit:
            limit = torch._dynamo.config.recompile_limit
            raise RuntimeError(f"torch's recompile limit of {limit} is reached; beyond it runs uncompiled") from None

    return call
