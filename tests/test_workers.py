"""Real workers that print, send rubbish, vanish or do not listen; and those who ask them."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from settings import case_of

import attnbench.variants
from attnbench import variants
from attnbench.runner.cli import main
from attnbench.runner.cli.common import told
from attnbench.runner.execution import engine
from attnbench.runner.workers.prober import Prober
from attnbench.runner.workers.worker import NotStarted, StartKind, Worker, WorkerEnded
from attnbench.suites import Probe, Status
from attnbench.suites.schema.limits import Budget
from attnbench.variants import Shape

VARIANT = '''
"""Full attention that does something else besides."""

import ctypes
import os
import stat
import struct
import sys
import time
import threading

from attnbench.variants import Variant
from attnbench.variants.full import Full
from attnbench.variants.kernels import Program, sdpa


def sockets():
    """This process's ends of pipes to others."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass


def send(message):
    for fd in sockets():
        os.write(fd, message)


def build(pattern, setting):
    kernel = sdpa.build(pattern, setting)
    def attend(q, k, v):
        BODY
        return kernel.call(q, k, v)
    return Program(attend)


VARIANT = Variant(Full, source="none", build=build)
'''
RUBBISH = "its process sent rubbish instead of a reply"


def probed(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str, case_s: float = 60) -> Probe:
    """How a variant ends whose every call does this besides."""
    monkeypatch.setattr(attnbench.variants, "__path__", list(attnbench.variants.__path__))
    (folder / "strange.py").write_text(VARIANT.replace("BODY", body))
    variants.extend(folder)
    case = case_of("strange", {}, "own", Shape(1, 1, 1, 16, 8), "float32", "cpu", "forward", 1)
    with closing(Prober(Budget(case_s=case_s), 2**30, (folder,))) as prober:
        return prober.probe(case)


def test_what_a_variant_prints_is_no_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probed(tmp_path, monkeypatch, "print('{' * 10_000, flush=True); os.write(1, b'{}'); os.write(2, b'{}')")
    assert (probe.status, probe.reason) == (Status.PASSED, "")


@pytest.mark.parametrize(
    ("body", "case_s"),
    [
        pytest.param("send(b'hello')", 60, id="no-message"),
        pytest.param("send(struct.pack('!i', 2) + b'[]')", 60, id="a-message-of-nothing"),
        pytest.param("send(struct.pack('!i', 2) + b'\\xff\\xff')", 60, id="no-json"),
        pytest.param("send(struct.pack('!i', -7))", 60, id="less-than-nothing"),
        pytest.param("send(struct.pack('!i', -1) + b'\\xff' * 8)", 60, id="more-than-there-is"),
        pytest.param("send(struct.pack('!i', 99)); threading.Event().wait()", 2, id="never-the-rest-of-it"),
        pytest.param("os.closerange(3, 256); threading.Event().wait()", 2, id="closed"),
    ],
)
def test_rubbish_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, case_s: float) -> None:
    probe = probed(tmp_path, monkeypatch, body, case_s)
    assert (probe.status, probe.reason) == (Status.CRASHED, RUBBISH)


def test_a_reply_of_the_wrong_kind_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = """message = b'{"reply": {"kind": "probe"}}'; send(struct.pack('!i', len(message)) + message)"""
    probe = probed(tmp_path, monkeypatch, body)
    assert (probe.status, probe.reason) == (Status.CRASHED, RUBBISH)


def test_a_worker_that_leaves_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probed(tmp_path, monkeypatch, "os.write(2, b'I am off\\n'); os._exit(0)")
    assert probe.status is Status.CRASHED
    assert probe.reason == "its process ended with exit code 0; last words: I am off"


@pytest.fixture
def worker() -> Any:
    """A worker that is ready."""
    with Worker("forkserver") as started:
        started.wait()
        yield started


def test_a_worker_that_vanishes_between_questions_costs_the_first_case_of_the_next(worker: Worker) -> None:
    worker._marks[0] = 7  # what it was last at
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerEnded, match="killed by SIGKILL") as error:
        worker.ask({"do": "environment"}, 60)
    assert error.value.index == 0


def test_the_log_of_a_worker_has_no_name_once_it_is_ready(worker: Worker) -> None:
    assert not Path(worker._log.name).exists()


def test_the_log_of_a_worker_that_never_came_to_it_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Worker("spawn") as started:
        os.kill(started._process.pid, signal.SIGKILL)
        with pytest.raises(NotStarted):
            started.wait()
    assert not Path(started._log.name).exists()


DEAF = """
import sys
import time
from pathlib import Path
from attnbench import variants
from attnbench.runner.workers.worker import Worker
from attnbench.suites import Case
from attnbench.variants import Named, Setting, Shape

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    variants.extend(folder)
    setting = Setting("cpu", "float32", "forward", Shape(1, 1, 1, 16, 8), 1)
    case = Case(Named("strange"), "own", setting)
    with Worker(sys.argv[1], None, (folder,)) as worker:
        request = {"do": "probe", "case": case.flat(), "threads": 1, "budget_bytes": 2**30, "oracle": None}
        worker.ask({**request, "origin": {}}, 600)
"""


@pytest.mark.parametrize("kind", ["forkserver", "spawn"])
def test_a_worker_that_does_not_listen_ends_with_its_parent(tmp_path: Path, kind: StartKind) -> None:
    """Its kernel never lets go of the interpreter. It holds a pipe open, which ends when it does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    body = f"os.write(os.open({str(pipe)!r}, os.O_WRONLY), b'!'); ctypes.PyDLL(None).sleep(1000)"
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants" / "strange.py").write_text(VARIANT.replace("BODY", body))
    (tmp_path / "ask.py").write_text(DEAF)
    command = [sys.executable, str(tmp_path / "ask.py"), kind, str(tmp_path / "variants")]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as parent, pipe.open("rb", buffering=0) as file:
        assert file.read(1) == b"!"
        parent.kill()
        assert file.read(1) == b""


def test_no_worker_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **named: Any) -> None:
        raise WorkerEnded(Status.CRASHED, "its process ended with exit code 1; last words: no torch", 0)

    monkeypatch.setattr(engine, "run", fail)
    done = CliRunner().invoke(main, ["run", "quick", "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert done.output == (
        "expected a worker that can measure, found that its process ended with exit code 1; last words: no torch; "
        "see bench doctor\n"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(28, "No space left on device", "out/table.csv"),
            "out/table.csv: expected to be able to read and write there, found: No space left on device\n",
        ),
        (
            BlockingIOError(11, "Resource temporarily unavailable"),
            "this system: expected to be able to read and write there, found: Resource temporarily unavailable\n",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(error: OSError, line: str) -> None:
    @click.command()
    def verb() -> None:
        with told():
            raise error

    done = CliRunner().invoke(verb)
    assert (done.exit_code, done.output) == (2, line)


def test_an_interruption_is_no_regression() -> None:
    @click.command()
    def verb() -> None:
        with told():
            raise KeyboardInterrupt

    done = CliRunner().invoke(verb)
    assert (done.exit_code, done.output) == (130, "interrupted\n")


def test_a_reader_that_has_gone_is_no_mistake() -> None:
    @click.command()
    def verb() -> None:
        with told():
            raise BrokenPipeError(32, "Broken pipe")

    done = CliRunner().invoke(verb)
    assert (done.exit_code, done.output) == (1, "")
