"""Exceptions that mean that the system refused a process, a thread, memory or a file."""

import errno
import os

_THREAD = "start new thread"
_OUT_OF_MEMORY = ("cannot allocate memory", "failed to map segment")

_REMEDIES = {
    errno.EAGAIN: "end other processes, or raise the limit on them (ulimit -u, pids.max of a container)",
    errno.ENOMEM: "end other programs, or raise the limit on memory (ulimit -v, memory.max of a container)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close files of other programs, or raise fs.file-max",
    errno.ENOSPC: "free some of the disk",
}

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
_ours: set[str] = set()
"""Environment variables that are set for this process only."""


def do_without_threads() -> None:
    """Keep NumPy and SciPy from starting threads in this process. Call it before either is imported.

    If OpenBLAS cannot start a thread, it interrupts the process like Ctrl-C. The threads are not needed here.
    """
    if BLAS_THREADS not in os.environ:
        os.environ[BLAS_THREADS] = "1"
        _ours.add(BLAS_THREADS)


def not_inherited() -> set[str]:
    """Return the variables that workers must not inherit."""
    return _ours & os.environ.keys()


def of(error: BaseException) -> str | None:
    """Return one line with what the system refused and what to do; None if the error is not of this kind."""
    text = " ".join(str(error).split())[:300]
    if _is_lack_of_memory(error):
        return _told("no memory is left", errno.ENOMEM)
    if isinstance(error, OSError):
        what = error.strerror or text or type(error).__name__
        where = f" ({error.filename})" if error.filename else ""
        return _told(f"{what}{where}", error.errno)
    if isinstance(error, RuntimeError) and _THREAD in text:
        return _told("no thread can be started", errno.EAGAIN)
    if isinstance(error, ImportError):
        return _of_import(error.__cause__ if isinstance(error.__cause__, ImportError) else error)
    return None


def _is_lack_of_memory(error: BaseException | None) -> bool:
    """Check whether an error was caused by a failed allocation.

    If Python itself has no memory for a call it raises SystemError; later errors may then be meaningless.
    """
    while error is not None:
        if isinstance(error, MemoryError | SystemError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _of_import(error: ImportError) -> str | None:
    """Return why a module could not be loaded; None if it was loaded but lacks a name."""
    text = " ".join(str(error).split())[:300]
    if not (isinstance(error, ModuleNotFoundError) or ".so" in text):
        return None
    if any(words in text.lower() for words in _OUT_OF_MEMORY):
        return _told(text, errno.ENOMEM)
    return f"{text}; install it, or free what it needs to be loaded"


def _told(what: str, number: int | None) -> str:
    """Return the message with advice for this errno."""
    return f"{what}; {_REMEDIES.get(number or 0, 'see bench doctor')}"
