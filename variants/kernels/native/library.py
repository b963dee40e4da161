"""The compiled functions of `native`, and the values that they take: see `source/plan.h` and `source/native.cpp`."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from torch import Tensor

from attnbench.variants._setting import Shape
from attnbench.variants.kernels import _building
from attnbench.variants.kernels.native.plan import Pass

_TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}
_SHORT = ("rows", "run_start", "run_stop")
_LONG = ("tile_rows", "tile_runs", "tile_cost", "run_mask")


class _Pass(ctypes.Structure):
    """`Pass` in `source/plan.h`."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("tiles", "blocks", "slots", "merges")),
        *((name, ctypes.c_void_p) for name in (*_SHORT, *_LONG, "masks")),
        *((name, ctypes.c_void_p) for name in ("block_first", "block_step", "block_count", "block_slot")),
    ]


class _Tensor(ctypes.Structure):
    """`Tensor` in `source/plan.h`."""

    _fields_ = [("data", ctypes.c_void_p), *((name, ctypes.c_int64) for name in ("batch", "head", "row"))]


class _Sizes(ctypes.Structure):
    """`Sizes` in `source/plan.h`."""

    _fields_ = [(name, ctypes.c_int64) for name in ("batch", "heads", "key_heads", "length", "width", "threads")]


@dataclass(frozen=True)
class Asked:
    """What both functions need to know: types, sizes and threads."""

    dtype: str
    pairs: bool
    shape: Shape
    threads: int

    @cached_property
    def types(self) -> tuple[int, bool]:
        """The number of the dtype, and whether products are in bfloat16."""
        return _TYPES[self.dtype], self.pairs

    @cached_property
    def sizes(self) -> _Sizes:
        """The sizes in the form that the functions read."""
        shape = self.shape
        return _Sizes(shape.batch, shape.heads, shape.kv_heads, shape.seq_len, shape.head_dim, self.threads)


class Prepared:
    """A pass in the form that the compiled functions read."""

    def __init__(self, planned: Pass) -> None:
        arrays: list[np.ndarray[Any, Any]] = [np.ascontiguousarray(getattr(planned, name), np.int32) for name in _SHORT]
        arrays += [np.ascontiguousarray(getattr(planned, name), np.int64) for name in _LONG]
        arrays += [planned.masks, *(np.ascontiguousarray(row, np.int32) for row in planned.blocks)]
        self._arrays = arrays
        sizes = len(planned.tile_rows) - 1, planned.blocks.shape[1], planned.slots, int(planned.merges)
        self.struct = _Pass(*sizes, *(each.ctypes.data for each in arrays))

    @property
    def held_bytes(self) -> int:
        """Bytes of the plan."""
        return sum(each.nbytes for each in self._arrays)


def multiplies_bfloat16() -> bool:
    """Check whether torch multiplies bfloat16 on this CPU without converting it."""
    return bool(_functions().native_multiplies_bfloat16())


def space(asked: Asked, is_backward: bool, slots: int) -> int:
    """Return the bytes that each thread takes for a pass."""
    return int(_functions().native_space(*asked.types, is_backward, slots, asked.shape.head_dim))


def forward(planned: Prepared, asked: Asked, given: Sequence[Tensor], out: Tensor, sums: Tensor, room: Tensor) -> None:
    """Compute the outputs and log-sum-exps of a pass from q, k, v."""
    _functions().native_forward(
        *asked.types,
        ctypes.byref(planned.struct),
        ctypes.byref(asked.sizes),
        _tensors(given),
        _tensors([out]),
        ctypes.c_void_p(sums.data_ptr()),
        ctypes.c_void_p(room.data_ptr()),
    )


def backward(
    planned: Prepared, asked: Asked, given: Sequence[Tensor], sums: Tensor, found: Sequence[Tensor], room: Tensor
) -> None:
    """Add the gradients of a pass to dQ, dK, dV from q, k, v, the outputs and their gradient."""
    _functions().native_backward(
        *asked.types,
        ctypes.byref(planned.struct),
        ctypes.byref(asked.sizes),
        _tensors(given),
        ctypes.c_void_p(sums.data_ptr()),
        _tensors(found),
        ctypes.c_void_p(room.data_ptr()),
    )


@cache
def _functions() -> ctypes.CDLL:
    """Return the compiled functions."""
    functions = ctypes.CDLL(str(_building.build()))
    functions.native_space.restype = ctypes.c_int64
    functions.native_space.argtypes = [ctypes.c_int] * 3 + [ctypes.c_int64] * 2
    return functions


def _tensors(tensors: Sequence[Tensor]) -> "ctypes.Array[_Tensor]":
    """Return tensors `B H N D` in the form that the functions read."""
    return (_Tensor * len(tensors))(*(_Tensor(each.data_ptr(), *each.stride()[:3]) for each in tensors))
