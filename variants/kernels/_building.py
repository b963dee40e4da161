"""Builds the C++ code of `native`, once for each machine, compiler and version. Importing this does not import torch.

The library lies in `attnbench` in the user's cache folder (`XDG_CACHE_HOME`, by default `~/.cache`). Its name holds a
digest of the sources, the flags, the compiler, torch's version and the instruction sets of the CPU, so that machines
with a common home do not run each other's instructions. `CXX` names the compiler and `CXXFLAGS` adds flags.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from attnbench.variants import _cache

_SOURCES = Path(__file__).parent / "native" / "source"
# Vectors are passed between functions of one file only, so their calling convention does not matter.
_WARNINGS = ("-Wall", "-Wextra", "-Wno-psabi")
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-fPIC", "-shared", *_WARNINGS)
_MACHINES = ("x86_64", "AMD64")


class BuildError(RuntimeError):
    """The library cannot be built here; the text says why."""


def compiler() -> str:
    """Return the command of the C++ compiler: that in CXX, by default g++ (clang++ on macOS)."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def compiler_refusal(name: str) -> str | None:
    """Return why an implementation has no C++ compiler here, or None."""
    words = shlex.split(compiler())
    if words and shutil.which(words[0]):
        return None
    return f"{name} needs a C++ compiler: expected {compiler()}, found none; install it, or name another in CXX"


def refusal() -> str | None:
    """Return why `native` cannot be built here, or None: another kind of CPU, or no compiler. Nothing is tried."""
    found = platform.machine()
    if found not in _MACHINES:
        return f"native is written for x86-64 and has not been tried on {found}"
    return compiler_refusal("native")


def known_problem() -> str | None:
    """Return why there is no library and none can be built, as far as is known without trying, or None."""
    refused = refusal()
    if refused:
        return refused
    library = _library()
    failed = library.with_suffix(".error")
    if failed.exists():
        return failed.read_text()
    folder = next(each for each in library.parents if each.exists())
    if not library.exists() and not os.access(folder, os.W_OK):
        return f"native cannot be built: {folder} cannot be written; name another folder in XDG_CACHE_HOME"
    return None


def is_built() -> bool:
    """Check whether the library is in the cache."""
    return _library().exists()


def build(again: bool = False) -> Path:
    """Return the library, after building it if it is not in the cache, which takes about 10 seconds.

    A build that failed is not repeated, but with `again`. Several processes may call this at once: one builds, the
    others wait.

    Raises:
        BuildError: there is no compiler, it fails, or the cache folder cannot be written.
    """
    refused = refusal()
    if refused:
        raise BuildError(refused)
    library = _library()
    if library.exists():
        return library
    failed = library.with_suffix(".error")
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with open(library.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not library.exists():
                if failed.exists() and not again:
                    raise BuildError(failed.read_text())
                failed.unlink(missing_ok=True)
                _compile(library, failed)
    except OSError as problem:
        raise BuildError(f"native cannot be built: {problem}; name another folder in XDG_CACHE_HOME") from None
    return library


@cache
def _library() -> Path:
    """Return the file of the library."""
    return _cache.folder() / f"native-{_digest()}.so"


def _compile(library: Path, failed: Path) -> None:
    """Compile the sources beside the library, and then give the result its name; write what went wrong to `failed`."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise BuildError("native needs torch, found none")
    torch = Path(spec.origin).parent / "lib"
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as folder:
        made = Path(folder, library.name)
        command = [*_command(), str(_SOURCES / "native.cpp"), "-o", str(made), f"-L{torch}", "-ltorch_cpu"]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=_unlimited)
        if done.returncode:
            lines = (done.stderr or f"exit status {done.returncode}").splitlines()
            first = next((line for line in lines if "error" in line), lines[0])
            problem = f"native cannot be built by {compiler()}: {first.strip()}"
            failed.write_text(problem)
            raise BuildError(problem)
        os.replace(made, library)


def _unlimited() -> None:
    """Lift the memory limit of a worker, which is too small for a compiler."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _command() -> list[str]:
    """Return the compiler's command and flags."""
    return [*shlex.split(compiler()), *_FLAGS, *shlex.split(os.environ.get("CXXFLAGS", ""))]


def _digest() -> str:
    """Return a digest of everything that the library depends on."""
    version = subprocess.run([*shlex.split(compiler()), "--version"], capture_output=True, text=True).stdout
    parts = [*_command(), version, importlib.metadata.version("torch"), _instructions()]
    parts += [each.read_text() for each in sorted(_SOURCES.iterdir())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _instructions() -> str:
    """Return the instruction sets of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), "")
