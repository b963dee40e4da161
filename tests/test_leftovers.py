"""What a kernel leaves behind: threads and processes are found, processes are ended, forks never speak."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import psutil
import pytest

from attnbench.runner.worker.process import failure, leftovers
from attnbench.suites import Status

WAITING = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def done() -> Iterator[threading.Event]:
    """What threads of a test wait for."""
    event = threading.Event()
    yield event
    event.set()


def thread(done: threading.Event, name: str) -> threading.Thread:
    started = threading.Thread(target=done.wait, name=name)
    started.start()
    return started


def test_a_thread_that_runs_is_named_until_it_ends(done: threading.Event) -> None:
    thread(done, "earlier")
    before = leftovers.snapshot()
    assert leftovers.left(before) is None
    later = thread(done, "later")
    assert leftovers.left(before) == "it left a thread running: later"
    done.set()
    later.join()
    assert leftovers.left(before) is None


def test_a_thread_is_found_that_has_the_identifier_of_one_that_ended(done: threading.Event) -> None:
    before = leftovers.snapshot()
    later = thread(done, "later")
    assert later.ident is not None
    assert later.native_id is not None
    ended = (later.ident, later.native_id - 1)
    before = leftovers.Snapshot(before.threads | {ended}, before.processes)
    assert leftovers.left(before) == "it left a thread running: later"


@pytest.mark.parametrize("module", ["torch._inductor.somewhere", "tqdm._monitor"])
def test_a_thread_of_torch_is_none_of_a_kernel(done: threading.Event, module: str) -> None:
    space: dict[str, Any] = {"__name__": module, "done": done}
    exec("def wait(): done.wait()", space)
    before = leftovers.snapshot()
    threading.Thread(target=space["wait"]).start()
    assert leftovers.left(before) is None


@pytest.mark.parametrize(("compilers", "is_of_torch"), [("1", False), ("2", True)])
def test_pools_are_of_torch_where_the_user_has_it_compile_in_threads(
    monkeypatch: pytest.MonkeyPatch, compilers: str, is_of_torch: bool
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", compilers)
    monkeypatch.setitem(sys.modules, "torch._inductor.async_compile", ModuleType("async_compile"))
    before = leftovers.snapshot()
    with ThreadPoolExecutor(thread_name_prefix="pool") as pool:
        pool.submit(int).result()
        assert leftovers.left(before) == (None if is_of_torch else "it left a thread running: pool_0")


def test_a_process_counts_until_somebody_has_waited_for_it() -> None:
    before = leftovers.snapshot()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert leftovers.left(before) == "it left a process running"
        assert leftovers.left(leftovers.snapshot()) is None
        process.communicate(b"\n")
    assert leftovers.left(before) is None


def test_what_is_left_is_a_failure_and_its_processes_are_ended() -> None:
    with subprocess.Popen(WAITING) as earlier:
        before = leftovers.snapshot()
        with subprocess.Popen(WAITING) as later:
            with pytest.raises(failure.Left) as error:
                leftovers.refuse(before)
            later.wait()
        assert failure.of_exception(error.value) == (Status.FAILED, "it left a process running")
        assert leftovers.left(before) is None
        leftovers.refuse(before)
        assert earlier.poll() is None
        earlier.kill()


def test_what_torch_compiles_with_is_left_alone() -> None:
    before = leftovers.snapshot()
    with subprocess.Popen([*WAITING, "site-packages/torch/_inductor/compile_worker/__main__.py"]) as process:
        # Until it is another program, the new process is still called what this one is.
        while "compile_worker" not in " ".join(psutil.Process(process.pid).cmdline()):
            pass
        assert leftovers.left(before) is None
        leftovers.end_processes(before)
        assert process.poll() is None
        process.kill()


FORKS = """
import os
import subprocess
from attnbench.runner.worker.process import leftovers

def child(body):
    pid = os.fork()
    if pid == 0:
        body()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

us = os.getpid()
leftovers.end_forked(us)
leftovers.prepare()
child(lambda: leftovers.end_forked(us))
child(os.fork)
before = leftovers.snapshot()
subprocess.run(["sh", "-c", "sleep 600 & exit 0"], stdout=subprocess.DEVNULL)
print(leftovers.left(before))
leftovers.end_processes(before)
print(leftovers.left(before))
"""


def test_a_fork_says_nothing_and_forks_no_more_and_no_grandchild_gets_away() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1", "1", "it left a process running", "None"]
