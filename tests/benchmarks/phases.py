"""What part of a call of `native` each phase takes, by samples of the program counter. Needs perf, nm and addr2line."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_SECONDS = 8
_HZ = 999
_PHASES = {
    "matrix products": ("product", "brgemm"),
    "softmax and its gradient": ("mask_and_find_most", "exponentials", "differentiate", "dot"),
    "packing keys, values and queries": ("pack_columns", "pack_right_columns", "pack_right_rows"),
    "writing outputs": ("scale_lanes", "write_rows", "finish", "start"),
    "sums into dK and dV": ("flush", "add_rows"),
}
_OTHER = "other parts of native"
_OUTSIDE = "torch and the system"
_PHASE_OF = {function: phase for phase, functions in _PHASES.items() for function in functions}
_SAMPLE = re.compile(
    r"\s*(?P<time>[0-9.]+):\s+[0-9a-f]+\s+(?P<symbol>.*?)(\+0x(?P<offset>[0-9a-f]+))?\s+\((?P<library>.*)\)\s*$"
)


def call(dtype: str, direction: str) -> None:
    """Call a window of 257 keys in `native` for `_SECONDS` with one thread; print the path of its library and when."""
    import torch

    from attnbench.variants import Setting
    from attnbench.variants.kernels import _building, load
    from attnbench.variants.local_window import LocalWindow

    torch.set_num_threads(1)
    sizes = {"batch": 1, "heads": 8, "kv_heads": 8, "seq_len": 8192, "head_dim": 64}
    setting = Setting.of({**sizes, "device": "cpu", "dtype": dtype, "direction": direction, "threads": 1})
    program = load("native").build(LocalWindow(window=257), setting)
    learns = direction == "training"
    q, k, v, dout = (torch.randn(1, 8, 8192, 64).to(getattr(torch, dtype)).requires_grad_(learns) for _ in range(4))
    begun = time.monotonic()
    print(_building.build(), begun)
    while time.monotonic() < begun + _SECONDS:
        if learns:
            torch.autograd.grad(program.call(q, k, v), (q, k, v), dout)
        else:
            with torch.no_grad():
                program.call(q, k, v)


def samples(recorded: Path, library: Path, begun: float) -> Iterator[str | int]:
    """Yield the phase of each sample since `begun`, or its address in `library`."""
    told = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout
    starts = {name: int(at, 16) for at, _, name in (line.split() for line in told.splitlines() if line.count(" ") == 2)}
    fields = ["perf", "script", "--no-demangle", "-i", str(recorded), "-F", "time,ip,sym,symoff,dso"]
    for line in subprocess.run(fields, capture_output=True, text=True, check=True).stdout.splitlines():
        if (found := _SAMPLE.match(line)) is None or float(found["time"]) < begun:
            continue
        symbol, origin = found["symbol"], found["library"]
        if origin == str(library):
            yield starts[symbol] + int(found["offset"], 16) if symbol in starts else _OTHER
        elif "anon" in origin or origin.endswith(".map") or re.search("brgemm|dnnl", symbol, re.IGNORECASE):
            yield "matrix products"  # the code that oneDNN writes at run time, or what calls it
        else:
            yield _OUTSIDE


def phases(addresses: set[int], library: Path) -> dict[int, str]:
    """Return the phase of each address: that of the innermost function with one."""
    given = "\n".join(hex(each) for each in addresses)
    command = ["addr2line", "--inlines", "--functions", "--demangle", "--addresses", "-e", str(library)]
    told = subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
    found: dict[int, str] = {}
    at = 0
    for line in told.splitlines():
        if line.startswith("0x"):
            at = int(line, 16)
            continue
        names = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", line)).split("(")[0].split()
        name = names[-1].rpartition("::")[2] if names else ""
        if name in _PHASE_OF:
            found.setdefault(at, _PHASE_OF[name])
    return found


def shares(dtype: str, direction: str, folder: Path) -> dict[str, float]:
    """Return the share of samples of each phase."""
    recorded = folder / "perf.data"
    # A library of its own, with the lines of its source.
    environment = {**os.environ, "CXXFLAGS": "-g", "XDG_CACHE_HOME": str(folder)}
    begin = [sys.executable, __file__, dtype, direction]
    command = ["perf", "record", "-q", "-F", str(_HZ), "-e", "cpu-clock", "-k", "CLOCK_MONOTONIC"]
    command += ["-o", str(recorded), *begin]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    path, begun = told.split()
    library = Path(path)
    found = list(samples(recorded, library, float(begun)))
    of_address = phases({each for each in found if isinstance(each, int)}, library)
    counted = Counter(of_address.get(each, _OTHER) if isinstance(each, int) else each for each in found)
    return {phase: counted[phase] / len(found) for phase in (*_PHASES, _OTHER, _OUTSIDE)}


def main() -> None:
    """Print a table: a column for each direction and dtype."""
    columns = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environment = {**os.environ, "CXXFLAGS": "-g", "XDG_CACHE_HOME": made}
        build = "from attnbench.variants.kernels import _building; _building.build()"
        subprocess.run([sys.executable, "-c", build], env=environment, check=True)  # before anything is recorded
        for direction in ("forward", "training"):
            for dtype in ("float32", "bfloat16"):
                columns[f"{dtype} {direction}"] = shares(dtype, direction, folder)
    print("| share of samples |", " | ".join(columns), "|")
    print("|", " | ".join(["---"] + ["---:"] * len(columns)), "|")
    for phase in (*_PHASES, _OTHER, _OUTSIDE):
        print("|", phase, "|", " | ".join(f"{each[phase]:.0%}" for each in columns.values()), "|")


if __name__ == "__main__":
    (call if len(sys.argv) == 3 else main)(*sys.argv[1:])
