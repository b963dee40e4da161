"""Where the inputs of a run come from: its seed, and a file of the user's own inputs.

The file has queries `q`, `B H N D`, and keys `k` and values `v`, `B K N D`. A case takes the first of the file's batch
entries, heads and positions. The format is safetensors, because such a file holds data only and cannot run code.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.suites.problem import Problem, SuiteError, found, near
from attnbench.variants import Shape

_DTYPES = {"F64": ("<u8", 0x7FF0 << 48), "F32": ("<u4", 0x7F80 << 16), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}
"""By dtype of a file, that of its numbers' bits, and the bits that are all set if a number is not finite."""


@dataclass(frozen=True)
class Origin:
    """The seed of inputs and weights, and the path of the file with inputs for `error_vs_full`, if there is one.

    A run computes on two contents of its inputs, A and B. Each content has a number, which its inputs and learned
    weights are drawn with: 2 s and 2 s + 1 for the seed s.
    """

    seed: int = 0
    file: str | None = None

    @property
    def contents(self) -> tuple[int, int]:
        """The numbers of the contents A and B."""
        return 2 * self.seed, 2 * self.seed + 1


DEFAULT = Origin()


def digest(path: Path, shapes: Iterable[Shape]) -> str:
    """Return the SHA-256 of a file that has inputs for cases of these shapes.

    Raises:
        SuiteError: the file cannot be read, is not such a file, or does not fit one of the shapes.
    """
    try:
        return _digest(path, shapes)
    except (OSError, ValueError) as error:
        text = f"expected a file that can be read, found: {error.strerror}" if isinstance(error, OSError) else error
        raise SuiteError([Problem("", None, None, ("inputs",), f"{near(path)}: {text}")]) from None


def _digest(path: Path, shapes: Iterable[Shape]) -> str:
    from safetensors import SafetensorError, deserialize

    if not path.is_file():
        raise ValueError("expected a file, found none")
    content = path.read_bytes()
    try:
        tensors: dict[str, dict[str, Any]] = dict(deserialize(content))  # type: ignore[no-untyped-call]  # so in its stub
    except SafetensorError as error:
        raise ValueError(f"expected a file in the format safetensors, found a mistake: {error}") from None
    if not {"q", "k", "v"} <= tensors.keys():
        raise ValueError(f"expected the tensors q, k and v, {found(', '.join(sorted(tensors)))}")
    for name in "qkv":
        _check_numbers(name, **tensors[name])
    q, k, v = (tuple(tensors[name]["shape"]) for name in "qkv")
    if len(q) != 4 or k != v or (q[0], *q[2:]) != (*k[:1], *k[2:]) or 0 in (*q, *k) or q[1] % k[1]:
        expected = "q of shape B H N D, k and v of shape B K N D, and H a multiple of K"
        raise ValueError(f"expected {expected}, found q {[*q]}, k {[*k]} and v {[*v]}")
    for shape in shapes:
        _check_fit(shape, q, k)
    return hashlib.sha256(content).hexdigest()


def _check_numbers(name: str, dtype: str, data: bytes, **_: Any) -> None:
    """Raise if a tensor has another dtype, or numbers that are not finite."""
    if dtype not in _DTYPES:
        raise ValueError(f"expected {name} in one of {', '.join(_DTYPES)}, found {dtype}")
    kind, mask = _DTYPES[dtype]
    bits = np.frombuffer(data, kind)
    if (bits & mask == mask).any():
        raise ValueError(f"expected finite numbers in {name}, found others")


def _check_fit(shape: Shape, q: tuple[int, ...], k: tuple[int, ...]) -> None:
    """Raise if a case of this shape cannot take its inputs from queries and keys of these shapes."""
    there = {"batch": q[0], "heads": q[1], "kv_heads": k[1], "seq_len": q[2]}
    short = [f"{name} up to {size}" for name, size in there.items() if getattr(shape, name) > size]
    short += [f"head_dim {q[3]}"] if shape.head_dim != q[3] else []
    # A case must have the file's key heads: query head h reads key head h // (H / K).
    group = q[1] // k[1]
    short += [f"{group} heads for each of kv_heads"] if shape.heads != group * shape.kv_heads else []
    if short:
        sizes = ", ".join(f"{name} {getattr(shape, name)}" for name in (*there, "head_dim"))
        raise ValueError(f"expected inputs for a case with {sizes}, found a file for {', '.join(short)}")
