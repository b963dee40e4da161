"""Whether torch's fused kernel on this CPU packs keys and values, as on a CPU with a matrix unit (AMX)."""

import ctypes
from functools import cache

import torch

_SCALAR_TYPES = {torch.float16: 5, torch.bfloat16: 15}
"""The numbers of types in torch's C++ (`c10::ScalarType`)."""


@cache
def could_pack(dtype: torch.dtype) -> bool:
    """Whether calls in this type are packed here, wherever they are large enough.

    torch's own answer, for which Python has no name. What the CPU can do is not enough: oneDNN also asks the system
    and `ONEDNN_MAX_CPU_ISA`. Where torch has no such function, it packs nothing.
    """
    if dtype not in _SCALAR_TYPES:
        return False
    try:
        asked = ctypes.CDLL("libtorch_cpu.so")._ZN2at6native7cpublas10could_packEN3c1010ScalarTypeE
    except (OSError, AttributeError):
        return False
    asked.restype = ctypes.c_bool
    return bool(asked(ctypes.c_int8(_SCALAR_TYPES[dtype])))
