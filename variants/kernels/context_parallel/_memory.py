"""Tensors that several processes see: files that they map on the CPU, or memory of a GPU that they open."""

import base64
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor


def shared(file: Path, shape: Sequence[int], dtype: str, device: str) -> tuple[Tensor, Mapping[str, Any]]:
    """Return a tensor, and how another process opens it; on the CPU it is in a file, which may go when all have."""
    if device == "cuda":
        tensor = torch.empty(*shape, dtype=getattr(torch, dtype), device=device)
        opening = pickle.dumps(reduce_tensor(tensor))  # type: ignore[no-untyped-call]  # so in torch
        return tensor, {"pickle": base64.b64encode(opening).decode()}
    handle = {"file": str(file), "shape": [*shape], "dtype": dtype}
    return opened(handle), handle


def opened(handle: Mapping[str, Any]) -> Tensor:
    """Return the tensor of a handle."""
    if "pickle" in handle:
        rebuild, arguments = pickle.loads(base64.b64decode(handle["pickle"]))
        tensor: Tensor = rebuild(*arguments)
        return tensor
    shape, dtype = handle["shape"], getattr(torch, handle["dtype"])
    return torch.from_file(handle["file"], shared=True, size=math.prod(shape), dtype=dtype).view(shape)
