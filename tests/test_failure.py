"""What exceptions and deaths mean."""

import signal

import pytest

from attnbench.runner.worker.process import failure
from attnbench.suites import Status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), Status.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
                      "you tried to allocate 1099511627776 bytes. Error code 12"), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling it"), Status.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), Status.FAILED),
        (RuntimeError("std::bad_alloc"), Status.OUT_OF_MEMORY),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Status.FAILED),
        (ValueError("no"), Status.FAILED),
    ],
)  # fmt: skip
def test_exceptions(error: Exception, status: Status) -> None:
    found, reason = failure.of_exception(error)
    assert found is status
    assert reason.startswith(type(error).__name__)


def test_a_reason_is_one_line_of_bounded_length() -> None:
    _, reason = failure.of_exception(ValueError("\n\n  first " + "x" * 1000 + "\nsecond"))
    assert reason.startswith("ValueError: first xxx")
    assert "\n" not in reason
    assert len(reason) < 400
    assert failure.of_exception(KeyError())[1] == "KeyError"
    _, reason = failure.of_exception(ValueError("the compiler said:\n\n  no\nand more"))
    assert reason == "ValueError: the compiler said: no", "a line that ends in a colon says nothing alone"


def test_deaths() -> None:
    status, reason = failure.of_exit(-signal.SIGSEGV, "")
    assert (status, reason) == (Status.CRASHED, "its process was killed by SIGSEGV")
    assert "out-of-memory killer" in failure.of_exit(-signal.SIGKILL, "")[1]
    assert failure.of_exit(-35, "")[1] == "its process was killed by signal 35", "those for real time have no name"
    assert failure.of_exit(3, "boom")[1] == "its process ended with exit code 3; last words: boom"
